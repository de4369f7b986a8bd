"""`python -m flows.daily` from nothing to its report, files and database."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.working_folder import WorkingFolder

pytestmark = pytest.mark.slow
DAILY = ("flows.daily", "--simulations", "8", "--seed", "1", "--json", "report.json")

OUTCOMES = """
SELECT s.expression, s.settings, s.status, s.origin, s.gain, a.sharpe, a.fitness, a.turnover,
       a.returns, a.drawdown, a.margin, a.pnl, a.alpha_id, a.hopeful
FROM simulations s LEFT JOIN alphas a USING (service, alpha_id) ORDER BY s.key
"""


@pytest.fixture(scope="module")
def twice(
    tmp_path_factory: pytest.TempPathFactory, market_cache: Path, prefect_url: str
) -> list[tuple[WorkingFolder, Any]]:
    """The same command in two fresh folders: as for a user, and on a server that runs.

    For the first, Python and a temporary Prefect server are started.
    """
    places = [
        WorkingFolder(tmp_path_factory.mktemp("daily") / "work", cache=market_cache, api=api)
        for api in (None, prefect_url)
    ]
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda place: place.run(*DAILY, new=place is places[0]), places)
        return list(zip(places, done, strict=True))


def test_a_first_run_needs_nothing_and_prints_a_table(
    twice: list[tuple[WorkingFolder, Any]],
) -> None:
    place, done = twice[0]
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "SYNTHETIC calibration market" in done.stdout
    assert "tried" in done.stdout and "8 simulations in" in done.stdout
    assert "expression" in done.stdout and "what became of it" in done.stdout
    counts = place.json("report.json")["counts"]
    assert counts["simulated"] == counts["invented"] + counts["mined"] == 8


def test_the_report_agrees_with_the_database(twice: list[tuple[WorkingFolder, Any]]) -> None:
    place, _ = twice[0]
    report = place.json("report.json")
    counts, run = report["counts"], f"run_id = {report['run_id']}"
    simulations = f"SELECT count(*) FROM simulations WHERE {run}"
    submissions = f"SELECT count(*) FROM submissions WHERE {run} AND status = 'accepted'"
    hopeful = (
        "SELECT count(*) FROM simulations JOIN alphas USING (service, alpha_id) "
        f"WHERE hopeful AND {run}"
    )
    assert place.count(simulations) == counts["simulated"] + counts["unfinished"]
    assert place.count(f"{simulations} AND origin = 'miner'") == counts["mined"]
    assert place.count(f"{simulations} AND alpha_id IS NULL") == (
        counts["errors"] + counts["unfinished"]
    )
    assert place.count(f"{simulations} AND gain > 0") == counts["improved"]
    assert place.count(hopeful) == counts["hopeful"] == counts["planted"] + counts["noise"]
    assert place.count(submissions) == counts["submitted"] <= counts["daily_limit"]
    ((status, stored),) = place.rows("SELECT status, json_extract(report, '$.counts') FROM runs")
    assert status == "finished"
    assert stored is not None and f'"simulated":{counts["simulated"]}' in stored.replace(" ", "")


def test_the_files_are_valid(twice: list[tuple[WorkingFolder, Any]]) -> None:
    place, _ = twice[0]
    report = place.json("report.json")
    written = place.json("hopeful_alphas.json")
    stored = {row[0] for row in place.rows("SELECT alpha_id FROM alphas WHERE hopeful")}
    assert {entry["alpha_id"] for entry in written} == stored
    assert all(entry["fitness"] > 0.5 and entry["expression"] for entry in written)
    accepted = place.rows("SELECT alpha_id, eastern_day FROM submissions WHERE status='accepted'")
    assert len(accepted) == report["counts"]["submitted"]
    if not accepted:
        return
    log = place.json("submission_log.json")
    assert log["last_submission_date"] == accepted[0][1]
    results = place.json("submission_results.json")
    assert {one["alpha_id"] for one in results if one["result"]["status"] == "success"} == {
        alpha_id for alpha_id, _ in accepted
    }


def test_the_same_seed_gives_the_same_alphas_and_numbers(
    twice: list[tuple[WorkingFolder, Any]],
) -> None:
    (one, _), (other, done) = twice
    assert done.returncode == 0, done.stderr
    assert len(one.rows(OUTCOMES)) == 8
    assert one.rows(OUTCOMES) == other.rows(OUTCOMES)
    accepted = "SELECT alpha_id FROM submissions WHERE status = 'accepted' ORDER BY id"
    assert one.rows(accepted) == other.rows(accepted)


@pytest.mark.long
def test_a_second_run_repeats_nothing(twice: list[tuple[WorkingFolder, Any]]) -> None:
    _, (place, _) = twice
    first = place.json("report.json")
    done = place.run(*DAILY)
    assert done.returncode == 0, done.stderr
    second = place.json("report.json")
    assert second["run_id"] != first["run_id"]
    assert second["counts"]["simulated"] == 8
    keys = [row[0] for row in place.rows("SELECT key FROM simulations")]
    assert len(keys) == len(set(keys)) == 16
    sent_twice = "SELECT count(*) FROM simulations WHERE attempts <> 1"
    assert place.count(sent_twice) == 0
    sent = "SELECT alpha, count(*) FROM submissions GROUP BY 1"
    submitted = place.rows(sent, "local-brain.sqlite")
    assert all(times == 1 for _, times in submitted)
    assert second["counts"]["submitted_today"] <= second["counts"]["daily_limit"]


def test_the_ui_can_show_the_inputs_of_every_task(twice: list[tuple[WorkingFolder, Any]]) -> None:
    """Prefect's UI knows three kinds and shows no page with another one."""
    place, _ = twice[0]
    stored = place.rows("SELECT name, task_inputs FROM task_run", "prefect/prefect.db")
    assert "publish the report" in [name for name, _ in stored]
    kinds = {
        given["input_type"]
        for _, inputs in stored
        for one in json.loads(inputs).values()
        for given in one
    }
    assert kinds <= {"task_run", "parameter", "constant"}
