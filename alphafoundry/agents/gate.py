"""Whether a tick runs: a pure function of the tick and a snapshot of the desk.

    missed    too late to begin
    blocked   something is wrong, or not its time
    idle      nothing to do; dependants may go on as after a success
    run       goes; `only_safe` where only what lessens risk may be done

Cancels, reconciliation, reading fills and orders that reduce a position pass the conditions of
health and the dependencies always: an agent that is `safe` runs even so, in that way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import utc
from alphafoundry.agents.schedule import Task
from alphafoundry.agents.snapshot import Snapshot

Verdict = Literal["run", "idle", "blocked", "missed"]

_MARKET = ("market_hours", "after_open", "before_close")


class Tick(NamedTuple):
    """One due time of an agent.

    Attributes
    ----------
    agent, due_at : its key
    latest : whether no later due time of the agent has come
    forced : asked for by a person, who skips conditions, never limits
    """

    agent: str
    due_at: int
    latest: bool = True
    forced: bool = False


class Decision(NamedTuple):
    """What becomes of a tick.

    Attributes
    ----------
    reason : why; "" for a plain run
    only_safe : the run may only lessen risk; `reason` says why
    eligible : False where its own market condition does not hold, so nobody misses it
    """

    verdict: Verdict
    reason: str = ""
    only_safe: bool = False
    eligible: bool = True


_RUN = Decision("run")


def decide(
    task: Task, tick: Tick, seen: Snapshot, *, safe: bool = False, on: bool = True
) -> Decision:
    """Return what becomes of a tick.

    Parameters
    ----------
    task : the agent's part of the schedule
    seen : the desk at the moment
    safe : whether the agent has a way to run that only lessens risk
    on : `orchestrator.enabled`
    """
    own = seen.agents[task.name]
    if own.stretch > 1 and not tick.forced and not is_kept(task, tick.due_at, own.stretch):
        told = f"runs every {own.stretch} intervals only, while the desk is late"
        return Decision("blocked", told, eligible=False)
    late = seen.now - tick.due_at
    if late >= task.window and not tick.forced:
        caught_up = task.catch_up == "all" or (task.catch_up == "latest" and tick.latest)
        if not caught_up:
            return Decision("missed", f"{_length(late)} late")
    if not on:
        return Decision("blocked", "orchestrator.enabled is false")
    rests = _rests(own, seen.now)
    if rests is not None:
        return Decision("blocked", rests)
    if tick.forced:
        return _RUN
    return _by_conditions(task, seen, own, safe=safe)


def _rests(own: AgentState, now: int) -> str | None:
    """Return why an agent rests whoever asks, None where it does not."""
    if own.paused is not None:
        return f"paused: {own.paused}"
    probe_at = own.probe_at()
    if probe_at is None or now >= probe_at:
        return None
    return (
        f"rests after {own.failures_in_row} failures in a row, "
        f"until a probe at {utc(int(probe_at)):%Y-%m-%d %H:%M} UTC"
    )


def is_kept(task: Task, due_at: int, stretch: int) -> bool:
    """Return whether a due time is among those that are left of a stretched interval."""
    return (due_at - task.offset) // task.interval % stretch == 0


def _by_conditions(task: Task, seen: Snapshot, own: AgentState, *, safe: bool) -> Decision:
    failed = [
        (condition, failure)
        for condition in task.conditions
        if (failure := condition.failure(seen)) is not None
    ]
    for condition, failure in failed:
        if condition.name in _MARKET:
            return Decision("blocked", failure, eligible=False)
    for condition, failure in failed:
        if condition.what.idle and not failure.endswith("not known"):
            return Decision("idle", failure)
    others = [failure for _, failure in failed]
    waits = [why for name in task.dependencies if (why := _waits_for(name, task, seen)) is not None]
    in_the_way = [*others, *waits]
    if not in_the_way:
        return _RUN
    passes = safe and all(condition.name == "system_health" for condition, _ in failed)
    if passes:
        return Decision("run", "; ".join(in_the_way), only_safe=True)
    return Decision("blocked", "; ".join(in_the_way))


def _waits_for(name: str, task: Task, seen: Snapshot) -> str | None:
    """Return why a dependency does not hold, None where it does."""
    other, rule = seen.agents[name], task.dependencies[name]
    if other.last_ok is None:
        if other.ticks == 0:
            return None
        return f"{name} has not succeeded yet"
    if other.missed_since_ok >= rule.missed:
        return f"{name} missed {other.missed_since_ok} ticks since its last success"
    age = seen.now - other.last_ok
    if rule.max_age is not None and age > rule.max_age * 60:
        return f"{name} succeeded {_length(age)} ago, more than {rule.max_age:g} min"
    return None


def _length(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds / 3600:.1f} h"
