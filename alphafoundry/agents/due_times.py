"""Which ticks there are: the due times of an agent, in whole seconds since 1970 UTC.

An interval is counted in UTC from 1970, so a change of clocks neither drops a tick nor doubles
one; a time of day is that of the exchange. Agents with `market_hours: true` are due in sessions
and the half hour after them only, whatever else the clock says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

from alphafoundry.agents.hours import GRACE_SECONDS, ExchangeHours, SessionHours
from alphafoundry.agents.schedule import Task

Due = tuple[int, int, str]
"""(moment, rank, agent): the order in which ticks go."""


def due_times(task: Task, hours: ExchangeHours, after: int, until: int) -> list[int]:
    """Return when the agent is due in (after, until], ascending.

    `hours` must hold the sessions of these days.
    """
    if until <= after:
        return []
    if task.before_close is not None or task.after_open is not None:
        first, last = after - (task.after_open or 0), until + (task.before_close or 0)
        moments = [_moment_in(task, one) for one in hours.overlapping(first, last)]
        return [moment for moment in moments if after < moment <= until]
    if task.at is not None:
        moments = _at_time_of_day(task, hours, after, until)
    elif task.in_sessions:
        return list(_in_sessions(task, hours, after, until))
    else:
        return list(_every(task, after + 1, until))
    if task.in_sessions:
        return [moment for moment in moments if hours.at(moment).trades]
    return moments


def is_due(task: Task, hours: ExchangeHours, moment: int) -> bool:
    """Return whether the agent is due at that moment."""
    if task.settings.interval_minutes is None:
        return moment in due_times(task, hours, moment - 1, moment)
    if (moment - task.offset) % task.interval:
        return False
    return not task.in_sessions or hours.phase(moment).trades


def last_due(task: Task, hours: ExchangeHours, now: int) -> int | None:
    """Return the agent's last due time up to `now`, within ten days; None without one."""
    found = due_times(task, hours, now - 10 * 86_400, now)
    return found[-1] if found else None


def all_due(tasks: Iterable[Task], hours: ExchangeHours, after: int, until: int) -> Iterator[Due]:
    """Yield every agent's due times in (after, until], ordered by moment, rank and name."""
    yield from sorted(
        (moment, task.rank, task.name)
        for task in tasks
        for moment in due_times(task, hours, after, until)
    )


def _every(task: Task, first: int, last: int) -> range:
    """Return the moments offset + k * interval in [first, last]."""
    start = first + (task.offset - first) % task.interval
    return range(start, last + 1, task.interval)


def _in_sessions(task: Task, hours: ExchangeHours, after: int, until: int) -> Iterator[int]:
    for one in hours.overlapping(after, until):
        first, last = max(one.opens, after + 1), min(one.closes + GRACE_SECONDS - 1, until)
        yield from _every(task, first, last)


def _moment_in(task: Task, one: SessionHours) -> int:
    if task.before_close is not None:
        return one.closes - task.before_close
    assert task.after_open is not None
    return one.opens + task.after_open


def _at_time_of_day(task: Task, hours: ExchangeHours, after: int, until: int) -> list[int]:
    assert task.at is not None
    first: date = datetime.fromtimestamp(after, UTC).date() - timedelta(days=1)
    days = (until - after) // 86_400 + 4
    moments = (hours.local_moment(first + timedelta(days=n), task.at) for n in range(days))
    return [moment for moment in moments if after < moment <= until]
