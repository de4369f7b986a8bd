"""Runs and whether they live."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from alphafoundry.errors import StoreError
from alphafoundry.store import (
    RunRow,
    Store,
    beat,
    begin_run,
    claim_abandoned,
    finish_run,
    is_alive,
    read_refusals,
    read_runs,
    record_refusals,
    unsettled_submissions,
)
from tests.library.store.conftest import SERVICE
from tests.library.store.processes import child, line

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_a_run_from_start_to_finish(store: Store) -> None:
    run = begin_run(
        store,
        flow="daily",
        service=SERVICE,
        market_label="calibration",
        seed=2**62,
        settings={"home": Path(".foundry")},
        now=NOON,
    )
    assert is_alive(run)
    assert beat(store, run.id, now=NOON + timedelta(seconds=30))
    finish_run(store, run.id, "finished", {"best": float("nan")}, now=NOON + timedelta(hours=1))
    (found,) = read_runs(store)
    assert (found.status, found.seed, found.settings) == (
        "finished",
        2**62,
        {"home": ".foundry"},
    )
    assert found.report == {"best": None}
    assert found.heartbeat_at == NOON + timedelta(seconds=30)
    assert found.finished_at == NOON + timedelta(hours=1)
    assert not is_alive(found)


def test_a_run_that_is_over_cannot_beat(store: Store, run: RunRow) -> None:
    finish_run(store, run.id, "interrupted")
    assert not beat(store, run.id)


def test_an_unknown_run_cannot_be_finished(store: Store) -> None:
    with pytest.raises(StoreError, match="no run 5"):
        finish_run(store, 5, "finished")


def test_an_unknown_status_is_refused(store: Store, run: RunRow) -> None:
    with pytest.raises(StoreError):
        finish_run(store, run.id, "exploded")  # type: ignore[arg-type]


def test_a_later_process_with_the_same_number_is_another(run: RunRow) -> None:
    run.process_started -= 60
    assert not is_alive(run)


def test_another_host_is_judged_by_its_signs_of_life(
    run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    assert is_alive(run, now=run.heartbeat_at + timedelta(minutes=9))
    assert not is_alive(run, now=run.heartbeat_at + timedelta(minutes=11))


def test_the_work_of_a_killed_process_goes_to_the_next_run(
    store: Store, run: RunRow, database_url: str, tmp_path: Path
) -> None:
    with child("rest", database_url, tmp_path / "go") as process:
        number = int(line(process))
        (living,) = (found for found in read_runs(store) if found.id == number)
        assert is_alive(living)
        assert claim_abandoned(store, SERVICE, run_id=run.id) == []
        assert unsettled_submissions(store, SERVICE, run_id=run.id) == []
        process.kill()
        # Not waited for yet: until then the killed process is a zombie with its old number.
        while is_alive(living):
            pass
        assert len(claim_abandoned(store, SERVICE, run_id=run.id)) == 60
        (submission,) = unsettled_submissions(store, SERVICE, run_id=run.id)
        assert submission.alpha_id == "a1"
    assert {found.id: found.status for found in read_runs(store)}[number] == "interrupted"


def test_a_killed_run_of_any_flow_is_over_when_the_next_begins(store: Store) -> None:
    """A workflow has neither simulations nor submissions that another would take over."""
    begin_run(store, flow="optimize", service="local", now=NOON)
    alive = begin_run(store, flow="optimize", service="local", now=NOON)
    with store.write() as session:
        session.execute(update(RunRow).where(RunRow.id < alive.id).values(process_started=12345.0))
    begin_run(store, flow="optimize", service="local", now=NOON)
    statuses = [run.status for run in reversed(read_runs(store))]
    assert statuses == ["interrupted", "running", "running"]


def test_refused_texts_are_kept_with_their_reason(store: Store, run: RunRow) -> None:
    record_refusals(store, run.id, [("rank(", "unclosed"), ("\x00", "empty")], origin="ollama")
    record_refusals(store, run.id, [], origin="ollama")
    assert [(row.text, row.reason, row.origin) for row in read_refusals(store, run.id)] == [
        ("rank(", "unclosed", "ollama"),
        ("\ufffd", "empty", "ollama"),
    ]
