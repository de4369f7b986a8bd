"""`kill -9` in the middle, then the same command again."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import psutil
import pytest

from tests.flows.misbehaving import FITTING, Service
from tests.flows.test_submission import GOOD, have
from tests.working_folder import WorkingFolder, wait_until

pytestmark = pytest.mark.slow
SIMULATIONS = 16
FLAGS = ("--simulations", str(SIMULATIONS), "--seed", "0")


def kill_when(place: WorkingFolder, finished: int, *flags: str, **env: str) -> list[psutil.Process]:
    """Start the daily run and kill it once so many simulations ended; return its children."""
    with place.start("flows.daily", *FLAGS, *flags, **env) as process:
        wait_until(
            lambda: process.poll() is not None or place.finished() >= finished,
            what=f"{finished} finished simulations",
        )
        assert process.poll() is None, place.output("flows.daily")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return children


def check_nothing_was_lost_or_repeated(
    place: WorkingFolder, before: dict[str, int], brain_database: Path
) -> None:
    """Compare what the killed run had finished with what is there after the second run."""
    assert place.rows("PRAGMA integrity_check") == [("ok",)]
    after = dict(place.rows("SELECT key, attempts FROM simulations WHERE alpha_id IS NOT NULL"))
    assert before.items() <= after.items(), "a finished simulation was sent again"
    assert set(before.values()) == {1}
    without_alpha = """SELECT count(*) FROM simulations LEFT JOIN alphas USING (service, alpha_id)
        WHERE status IN ('complete', 'warning') AND sharpe IS NULL"""
    assert place.count(without_alpha) == 0
    unfinished = "status IN ('planned', 'sending', 'sent', 'deferred')"
    assert place.count(f"SELECT count(*) FROM simulations WHERE {unfinished}") == 0
    with sqlite3.connect(brain_database) as brain:
        assert brain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        made = brain.execute("SELECT content_key, count(*) FROM alphas GROUP BY 1").fetchall()
        submitted = brain.execute(
            "SELECT alpha, count(*) FROM submissions WHERE verdict = 'accepted' GROUP BY 1"
        ).fetchall()
    brain.close()
    assert [key for key, times in made if times > 1] == []
    assert [alpha for alpha, times in submitted if times > 1] == []
    ours = place.rows("SELECT alpha_id FROM submissions WHERE status = 'accepted'")
    assert {alpha for alpha, _ in submitted} == {alpha for (alpha,) in ours}


def finished_keys(place: WorkingFolder) -> dict[str, int]:
    return dict(place.rows("SELECT key, attempts FROM simulations WHERE alpha_id IS NOT NULL"))


def check_the_report(place: WorkingFolder, counts: dict[str, int]) -> None:
    assert counts["simulated"] == SIMULATIONS
    assert counts["resumed"] > 0
    assert counts["unfinished"] == 0
    statuses = place.rows("SELECT status FROM runs ORDER BY id")
    assert statuses == [("interrupted",), ("finished",)]


@pytest.mark.long
def test_on_a_temporary_server(lonely_folder: WorkingFolder) -> None:
    place = lonely_folder
    children = kill_when(place, 5)
    assert children, "the temporary server is a child of the run"
    wait_until(lambda: not any(map(_lives, children)), what="the end of the orphaned server")
    before = finished_keys(place)
    report = place.report("flows.daily", *FLAGS)
    check_the_report(place, report["counts"])
    check_nothing_was_lost_or_repeated(place, before, place.home / "local-brain.sqlite")


@pytest.mark.long
def test_on_a_server_of_its_own(working_folder: WorkingFolder, tmp_path: Path) -> None:
    service = Service(tmp_path, simulation_seconds=0.5)
    with service.on_a_port() as brain:
        kill_when(working_folder, 4, "--brain", brain, **FITTING)
        before = finished_keys(working_folder)
        report = working_folder.report("flows.daily", *FLAGS, "--brain", brain, **FITTING)
        check_the_report(working_folder, report["counts"])
        check_nothing_was_lost_or_repeated(working_folder, before, tmp_path / "brain.sqlite")


def test_while_it_submits(place: WorkingFolder, tmp_path: Path) -> None:
    """The verdict comes later than the kill; the next run asks for it and sends nothing twice."""
    service = Service(tmp_path, poll_seconds=1.5)
    with service.on_a_port() as url:
        (alpha,) = have(place, url, GOOD)
        with place.start("flows.submit", "--brain", url, **FITTING) as process:
            wait_until(
                lambda: process.poll() is not None or service.counting.submitted.total() > 0,
                what="a submission under way",
            )
            assert process.poll() is None, place.output("flows.submit")
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert place.rows("SELECT status FROM submissions") == [("intended",)]
        report = place.report("flows.submit", "--brain", url, **FITTING)
    assert report["counts"]["submitted_today"] == 1
    assert place.rows("SELECT status FROM submissions") == [("accepted",)]
    assert service.counting.submitted == {alpha: 1}


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
