"""Which ticks there are: intervals, times of day, sessions, and the change of clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.agents.due_times import all_due, due_times, is_due, last_due
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.market.sessions import sessions
from tests.library.agents.desks import at, hours_of, schedule_of

NEW_YORK = ZoneInfo("America/New_York")
YEAR = hours_of("2024-01-01", "2024-12-31")

TASKS = """
  always: {interval_minutes: 30}
  session: {interval_minutes: 10, conditions: {market_hours: true}}
  evening: {at: "20:00"}
  night: {at: "02:30"}
  rebalance: {before_close: 20 min, conditions: {market_hours: true}}
  opening: {after_open: 90 s}
"""


@pytest.fixture
def tasks(tmp_path: Path):
    return schedule_of(tmp_path, TASKS).tasks


def local(moments: list[int]) -> list[str]:
    return [datetime.fromtimestamp(m, NEW_YORK).strftime("%d %H:%M:%S") for m in moments]


@pytest.mark.parametrize("day", ["2024-03-10", "2024-11-03", "2024-07-01"])
def test_an_interval_has_constant_gaps_over_a_change_of_clocks(tasks, day):
    start = at(day) - 86_400
    found = due_times(tasks["always"], YEAR, start, start + 3 * 86_400)
    assert len(found) == 3 * 48
    assert {b - a for a, b in pairwise(found)} == {1800}


def test_a_time_of_day_stays_when_the_clocks_change(tasks):
    for first in ("2024-03-08T12:00:00", "2024-11-01T12:00:00"):
        found = due_times(tasks["evening"], YEAR, at(first), at(first) + 5 * 86_400)
        assert {line[3:] for line in local(found)} == {"20:00:00"}
        assert len(found) == 5


def test_a_time_of_day_that_does_not_exist_is_an_hour_later_and_one_that_comes_twice_is_once(tasks):
    spring = due_times(tasks["night"], YEAR, at("2024-03-10"), at("2024-03-11"))
    assert local(spring) == ["10 03:30:00"]
    twice = ZoneInfo("America/New_York")
    autumn = [
        datetime.fromtimestamp(m, twice)
        for m in due_times(tasks["night"], YEAR, at("2024-11-02T12:00:00"), at("2024-11-04"))
    ]
    assert [one.strftime("%d %H:%M") for one in autumn] == ["03 02:30"]


def test_agents_of_the_session_are_due_in_it_and_half_an_hour_after(tasks):
    # 2024-03-08 opens at 14:30 UTC, 2024-03-11 at 13:30: the clocks have changed in between.
    for day, opens, closes in [
        ("2024-03-08", "14:30", "21:00"),
        ("2024-03-11", "13:30", "20:00"),
        ("2024-11-29", "14:30", "18:00"),
    ]:
        found = due_times(tasks["session"], YEAR, at(day), at(day) + 86_399)
        first, last = at(f"{day}T{opens}:00"), at(f"{day}T{closes}:00") + 1800
        assert first <= found[0] < first + 600
        assert last - 600 <= found[-1] < last
        assert len(found) == (last - first) // 600


@pytest.mark.parametrize("day", ["2024-03-29", "2024-07-04", "2024-12-25", "2024-11-30"])
def test_nothing_of_the_session_is_due_on_a_closed_day(tasks, day):
    for name in ("session", "rebalance", "opening"):
        assert due_times(tasks[name], YEAR, at(day), at(day) + 86_399) == []


def test_before_the_close_follows_half_days(tasks):
    full = due_times(tasks["rebalance"], YEAR, at("2024-11-27"), at("2024-11-28"))
    half = due_times(tasks["rebalance"], YEAR, at("2024-11-29"), at("2024-11-30"))
    assert local(full) == ["27 15:40:00"] and local(half) == ["29 12:40:00"]
    opening = due_times(tasks["opening"], YEAR, at("2024-11-29"), at("2024-11-30"))
    assert local(opening) == ["29 09:31:30"]


@given(
    start=st.integers(at("2024-01-05"), at("2024-12-10")),
    spans=st.lists(st.integers(1, 400_000), min_size=1, max_size=5),
)
def test_the_days_may_be_cut_anywhere(start, spans):
    tasks = _TASKS
    whole = start + sum(spans)
    for task in tasks.values():
        once = due_times(task, YEAR, start, whole)
        pieces, moment = [], start
        for span in spans:
            pieces += due_times(task, YEAR, moment, moment + span)
            moment += span
        assert once == pieces == sorted(set(once))
        assert all(start < one <= whole for one in once)
        if once:
            assert last_due(task, YEAR, once[0]) == once[0]


def test_a_years_session_ticks_are_those_of_the_calendar_counted_apart(tasks):
    after, until = at("2024-01-01"), at("2025-01-01")
    task = tasks["session"]
    expected = 0
    for one in sessions("XNYS", date(2024, 1, 1), date(2024, 12, 31)):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=task.offset)
        steps = -((moment - one.opens) // timedelta(minutes=10))
        moment += steps * timedelta(minutes=10)
        while moment < one.closes + timedelta(minutes=30):
            expected += 1
            moment += timedelta(minutes=10)
    assert len(due_times(task, YEAR, after, until)) == expected


def test_equal_due_times_go_by_dependency_then_priority_then_name(tmp_path):
    given = schedule_of(
        tmp_path,
        """
  b: {after_open: 60, priority: low}
  a: {after_open: 60, priority: low}
  last: {after_open: 60, priority: critical, dependencies: [a]}
  first: {after_open: 60, priority: critical}
""",
    )
    found = all_due(given.tasks.values(), YEAR, at("2024-01-03"), at("2024-01-04"))
    assert [name for _, _, name in found] == ["first", "a", "last", "b"]


def test_a_market_that_never_closes_has_no_end_of_session():
    always = ExchangeHours("24/7", date(2024, 3, 1), date(2024, 3, 20))
    assert always.at(at("2024-03-10T07:30:00")).open


def _tasks():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return schedule_of(Path(folder), TASKS).tasks


_TASKS = _tasks()


def test_what_is_due_now_is_what_is_listed(tasks):
    for task in tasks.values():
        for moment in range(at("2024-01-03"), at("2024-12-28"), 7 * 86_400 + 5003):
            listed = due_times(task, YEAR, moment - 86_400, moment + 86_400)
            for one in (moment, *listed[::7], *(found + 1 for found in listed[::7])):
                assert is_due(task, YEAR, one) == (one in due_times(task, YEAR, one - 1, one))


def test_sessions_that_overlap_a_span_are_those_that_looking_at_each_finds():
    first, last = YEAR.sessions[20].opens, YEAR.sessions[22].closes
    for after in range(first - 7200, last + 7200, 1800):
        until = after + 5400
        slow = [one for one in YEAR.sessions if one.closes + 1800 > after and one.opens <= until]
        assert list(YEAR.overlapping(after, until)) == slow


@pytest.mark.parametrize("day", ["2024-03-10", "2024-07-01", "2024-11-03"])
def test_the_day_at_the_exchange_is_that_of_its_zone(day):
    for moment in range(at(day), at(day) + 2 * 86_400, 450):
        assert YEAR.local_day(moment) == datetime.fromtimestamp(moment, NEW_YORK).date()
