"""Submissions: one per alpha, no more than the limit of a day, also between processes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from alphafoundry.clock import eastern_day
from alphafoundry.errors import StoreError
from alphafoundry.store import (
    RunRow,
    Store,
    begin_run,
    finish_run,
    intend_submission,
    read_submissions,
    settle_submission,
    unsettled_submissions,
)
from tests.library.store.conftest import SERVICE
from tests.library.store.processes import race
from tests.postgres import on_both

DAY = date(2024, 3, 1)


def intend(store: Store, run: RunRow, alpha_id: str, day: date = DAY, limit: int = 4):
    return intend_submission(store, SERVICE, alpha_id, day, daily_limit=limit, run_id=run.id)


def test_intended_then_accepted(store: Store, run: RunRow) -> None:
    intent = intend_submission(
        store, SERVICE, "a1", DAY, daily_limit=4, run_id=run.id, checks=[{"name": "LOW_SHARPE"}]
    )
    assert intent.refused is None
    assert intent.submission is not None
    assert intent.submission.status == "intended"
    assert settle_submission(store, SERVICE, "a1", "accepted", detail="done")
    (found,) = read_submissions(store, SERVICE)
    assert (found.status, found.detail, found.eastern_day) == ("accepted", "done", DAY)
    assert found.checks == [{"name": "LOW_SHARPE"}]
    assert found.settled_at is not None


def test_an_alpha_is_not_submitted_twice(store: Store, run: RunRow) -> None:
    intend(store, run, "a1")
    assert intend(store, run, "a1").refused == "already_intended"
    settle_submission(store, SERVICE, "a1", "accepted")
    assert intend(store, run, "a1", date(2024, 3, 2)).refused == "already_accepted"


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_a_refused_alpha_may_try_again(store: Store, run: RunRow, status) -> None:
    intend(store, run, "a1")
    settle_submission(store, SERVICE, "a1", status, detail="SELF_CORRELATION FAIL")
    later = date(2024, 3, 2)
    assert intend(store, run, "a1", later).submission is not None
    (found,) = read_submissions(store, SERVICE)
    assert (found.eastern_day, found.detail, found.settled_at) == (later, None, None)


def test_the_limit_counts_intended_and_accepted_of_the_day(store: Store, run: RunRow) -> None:
    intend(store, run, "a1")
    intend(store, run, "a2")
    settle_submission(store, SERVICE, "a2", "accepted")
    intend(store, run, "a3")
    settle_submission(store, SERVICE, "a3", "rejected")
    assert intend(store, run, "a4", limit=3).submission is not None
    assert intend(store, run, "a5", limit=3).refused == "daily_limit"
    assert intend(store, run, "a5", date(2024, 3, 2), limit=3).submission is not None
    assert intend(store, run, "a6", date(2024, 3, 3), limit=0).refused == "daily_limit"
    assert [row.alpha_id for row in read_submissions(store, SERVICE, day=DAY)] == [
        "a1",
        "a2",
        "a3",
        "a4",
    ]


def test_services_have_their_own_limit(store: Store, run: RunRow) -> None:
    intend(store, run, "a1", limit=1)
    other = intend_submission(store, "worldquant", "a1", DAY, daily_limit=1, run_id=run.id)
    assert other.submission is not None


@on_both
def test_processes_together_keep_the_limit(database_url: str, tmp_path: Path) -> None:
    printed = race("intend", database_url, tmp_path / "go", ("0", "8"), ("4", "12"), ("0", "12"))
    allowed = [alpha for one in printed for alpha in one]
    assert len(allowed) == len(set(allowed)) == 4


def test_settling_twice_changes_nothing(store: Store, run: RunRow) -> None:
    intend(store, run, "a1")
    assert settle_submission(store, SERVICE, "a1", "accepted", checks=[{"name": "A"}])
    assert not settle_submission(store, SERVICE, "a1", "failed")
    (found,) = read_submissions(store, SERVICE, status=["accepted"])
    assert found.checks == [{"name": "A"}]


def test_what_was_never_intended_cannot_be_settled(store: Store) -> None:
    with pytest.raises(StoreError, match="a9 was not recorded as intended"):
        settle_submission(store, SERVICE, "a9", "accepted")


def test_unsettled_submissions_go_to_one_run(store: Store, run: RunRow) -> None:
    intend(store, run, "a1")
    intend(store, run, "a2")
    settle_submission(store, SERVICE, "a2", "accepted")
    second = begin_run(store, flow="daily", service=SERVICE)
    third = begin_run(store, flow="daily", service=SERVICE)
    assert [row.alpha_id for row in unsettled_submissions(store, SERVICE, run_id=run.id)] == ["a1"]
    assert unsettled_submissions(store, SERVICE, run_id=second.id) == []
    finish_run(store, run.id, "failed")
    assert [row.alpha_id for row in unsettled_submissions(store, SERVICE, run_id=second.id)] == [
        "a1"
    ]
    assert unsettled_submissions(store, SERVICE, run_id=third.id) == []


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2024, 1, 2, 4, 59, tzinfo=UTC), date(2024, 1, 1)),
        (datetime(2024, 1, 2, 5, 0, tzinfo=UTC), date(2024, 1, 2)),
        (datetime(2024, 7, 2, 3, 59, tzinfo=UTC), date(2024, 7, 1)),
        (datetime(2024, 7, 2, 4, 0, tzinfo=UTC), date(2024, 7, 2)),
    ],
)
def test_the_eastern_day_follows_daylight_saving(now: datetime, day: date) -> None:
    assert eastern_day(now) == day


def test_the_eastern_day_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        eastern_day(datetime(2024, 1, 2))
