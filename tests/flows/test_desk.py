"""`python -m flows.desk`: wrong uses, and a simulation that is killed and goes on."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.working_folder import WorkingFolder, wait_until

DESK = "flows.desk"


@pytest.fixture
def place(tmp_path: Path, market_cache: Path) -> WorkingFolder:
    return WorkingFolder(tmp_path / "work", cache=market_cache)


@pytest.mark.slow
def test_a_wrong_use_is_one_line(place: WorkingFolder) -> None:
    bad = place.path / "bad.yaml"
    bad.write_text("tasks:\n  w: {interval_minutes: 5}\ndesk:\n  limits: {gros: 1}\n")
    none = "there is no desk yet; run `make desk`"
    for words, told in (
        (("flaten", "x"), "'flaten' is no command of the desk; choose one of simulate, run, com"),
        (("flatten", "a storm"), none),
        (("reconcile",), none),
        (("replay",), none),
        (("compare", "--without", "costs"), none),
        (("check", "bad.yaml"), "bad.yaml:4: desk.limits.gros: unknown key 'gros'; did you mean"),
    ):
        done = place.run(DESK, *words)
        assert done.returncode == 2, words
        assert told in done.stderr and done.stderr.startswith("error: "), words
        assert done.stderr.count("\n") == 1, words
    for words, told in (
        (("flatten",), "required: reason"),
        (("reconcile", "a", "b"), "unrecognized arguments: b"),
    ):
        done = place.run(DESK, *words)
        assert done.returncode == 2 and told in done.stderr
    helps = place.run(DESK, "--help").stdout
    for name in ("flatten REASON", "reconcile [DESK]", "replay [DESK]"):
        assert name in helps
    assert "orders nothing twice" in " ".join(place.run(DESK, "flatten", "--help").stdout.split())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_simulation_that_is_killed_goes_on_by_itself(
    place: WorkingFolder, prefect_url: str
) -> None:
    place.env["PREFECT_API_URL"] = prefect_url
    words = ("simulate", "2d", "--seeding", "20")

    def kept() -> int:
        return place.count("SELECT count(*) FROM agent_desks WHERE checkpoint IS NOT NULL")

    with place.start(DESK, *words) as command:
        wait_until(kept, 600, "a session that is kept")
        command.send_signal(signal.SIGKILL)
        command.wait()
    done = place.run(DESK, *words, "--json", "cut.json", timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Going on with simulation-" in done.stdout + done.stderr
    whole = place.run(DESK, *words, "--restart", "--json", "whole.json", timeout=600)
    assert whole.returncode == 0, whole.stderr
    assert place.json("cut.json")["digest"] == place.json("whole.json")["digest"]
    assert len(place.rows("SELECT name FROM agent_desks")) == 2

    again = place.run(DESK, "replay", timeout=600)
    assert again.returncode == 0 and "replay: every row is the same" in again.stdout
    again = place.run(DESK, "reconcile")
    assert (again.returncode, again.stdout.count("reconciled to $0.00")) == (0, 1)

    [(newest,)] = place.rows("SELECT name FROM agent_desks ORDER BY rowid DESC LIMIT 1")
    with contextlib.closing(sqlite3.connect(place.home / "foundry.sqlite")) as store, store:
        store.execute(
            "DELETE FROM agent_ticks WHERE desk = ? AND position > "
            "(SELECT max(position) / 2 FROM agent_ticks WHERE desk = ?)",
            (newest, newest),
        )
    again = place.run(DESK, "replay", newest, timeout=600)
    assert again.returncode == 3
    assert f"rows of {newest} have changed since" in again.stdout
    assert f"{newest}: no more ticks" in again.stdout
