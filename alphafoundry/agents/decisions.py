"""Decisions of a desk made again from what its rows say: the same gate must say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import zip_longest
from typing import Any

from alphafoundry.agents.book import fresh_book
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.hours import ExchangeHours, seconds
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.registry import AgentResult
from alphafoundry.agents.schedule import Schedule, stored_schedule
from alphafoundry.agents.snapshot import Facts
from alphafoundry.errors import MarketError
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow, AgentTickRow
from alphafoundry.store.agents import read_ticks


def replayed(store: Store, desk: AgentDeskRow) -> tuple[int, str | None]:
    """Play the starts, ends and outcomes of a desk on a clock into the gate again.

    By the schedule that the desk was started with. Return how many ticks it has, and the first
    decision that differs, None where all are the same.
    """
    schedule = stored_schedule(desk.schedule, environment=desk.settings["environment"])
    rows = read_ticks(store, desk.name)
    last = max((row.claimed_at for row in rows), default=desk.began_at)
    hours = ExchangeHours(
        schedule.orchestrator.exchange, desk.began_at.date() - timedelta(days=1), last.date()
    )
    found = differing_decisions(schedule, hours, rows, seconds(desk.began_at))
    return len(rows), next(iter(found), None)


def first_difference(store: Store, before: str, after: str) -> str | None:
    """Return the first tick in which two simulations of one desk differ, None where none does."""
    for one, other in zip_longest(read_ticks(store, before), read_ticks(store, after)):
        told = [_told(row) for row in (one, other)]
        if told[0] != told[1]:
            return f"first difference: {before}: {told[0]}; {after}: {told[1]}"
    return None


def _told(row: AgentTickRow | None) -> str:
    if row is None:
        return "no more ticks"
    result = f" {json.dumps(row.result, sort_keys=True)}" if row.result else ""
    return (
        f"{row.agent} due {row.due_at:%Y-%m-%d %H:%M:%S} {row.outcome}: {row.reason[:200]}"
        f"{result[:200]}"
    )


class _NoFloor:
    def facts(self, now: int) -> Facts:
        raise NotImplementedError("every row brings its own facts")


def differing_decisions(
    schedule: Schedule, hours: ExchangeHours, rows: list[AgentTickRow], began_at: int
) -> Iterator[str]:
    """Yield a line for each tick that would be decided otherwise today.

    Starts, ends, outcomes and the facts that each gate saw are those of the rows; agents do not
    run. Rows must be of a desk on a real clock, in the order of their positions.
    """
    intervals = {task.name: task.interval for task in schedule.tasks.values()}
    desk = Desk(schedule, hours, known_agents(), fresh_book(intervals, began_at), _NoFloor())
    running: list[tuple[int, int, Any, AgentTickRow]] = []
    for row in rows:
        if row.reason == "nobody was there at the time":
            continue
        now, due_at = seconds(row.claimed_at), seconds(row.due_at)
        running.sort(key=lambda one: one[:2])
        while running and running[0][3].wall_ended <= row.wall_claimed:  # type: ignore[operator]
            ended, _, step, done = running.pop(0)
            failed = done.outcome == "failed"
            result = AgentResult(figures=done.result or {})
            desk.end(step, ended, MarketError(done.reason) if failed else result)
        paused = row.reason.removeprefix("paused: ")
        desk.book.states[row.agent].paused = None if paused == row.reason else paused
        given = dict(row.seen or {})
        desk.book.mode = given.pop("mode", "ACTIVE")
        desk.book.states[row.agent].stretch = given.pop("stretch", 1)
        until = given.get("data_until")
        given["data_until"] = None if until is None else date.fromisoformat(until)
        step = desk.begin(row.agent, now, due_at=due_at, facts=replace(Facts(), **given))
        verdict = step.decision.verdict if step.decision else step.status
        was = "run" if row.outcome in ("ran", "failed", "running") else row.outcome
        if verdict != was:
            reason = step.decision.reason if step.decision else ""
            yield f"{row.agent} due {row.due_at:%m-%d %H:%M:%S}: was {was}, now {verdict} {reason}"
        if step.status == "running" and row.ended_at is not None:
            running.append((seconds(row.ended_at), row.position, step, row))
