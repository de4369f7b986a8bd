"""A desk's status as plain values, from the states of its agents: as fast with a million ticks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from alphafoundry.agents.due_times import due_times
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import ExchangeHours, seconds, utc
from alphafoundry.agents.schedule import DAY, Schedule, Task
from alphafoundry.agents.status import read_states
from alphafoundry.errors import MarketError
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentAlertRow, AgentDeskRow, AgentTickRow

MOST_ALERTS = 100


def plain_status(store: Store, desk: AgentDeskRow) -> dict[str, Any]:
    """Return what a desk and its agents are at, without counting ticks."""
    states = read_states(store, desk.name)
    now = seconds(desk.seen_until)
    health = {name: state.health(now) for name, state in states.items()}
    with store.session() as session:
        alerts = session.scalars(
            select(AgentAlertRow)
            .where(AgentAlertRow.desk == desk.name, AgentAlertRow.resolved_at.is_(None))
            .order_by(AgentAlertRow.id.desc())
            .limit(MOST_ALERTS)
        )
        told = [{"key": one.key, "text": one.text, "since": one.at.isoformat()} for one in alerts]
    return {
        "desk": desk.name,
        "market": desk.market_label,
        "clock": desk.clock,
        "state": desk.mode,
        "state_reason": desk.mode_reason,
        "state_actor": desk.mode_actor,
        "seen_until": desk.seen_until.isoformat(),
        "data_until": None if desk.data_until is None else desk.data_until.isoformat(),
        "performance_metrics": {
            "overall_health": sum(health.values()) / len(health) if health else 1.0,
            "ticks": desk.ticks,
            "paused": sorted(name for name, one in states.items() if one.paused is not None),
            "resting": sorted(name for name, one in states.items() if one.tripped_at is not None),
        },
        "agents": {
            name: plain_agent(state, last_tick(store, desk.name, name), now)
            for name, state in sorted(states.items())
        },
        "alerts": told,
    }


def plain_agent(state: AgentState, last: AgentTickRow | None, now: int) -> dict[str, Any]:
    """Return what is known of one agent."""
    return {
        "health": round(state.health(now), 6),
        "success_rate": state.success_rate,
        "score": state.score,
        "failures_in_row": state.failures_in_row,
        "seconds_a_run": state.took,
        "paused": state.paused,
        "last_success": None if state.last_success is None else utc(state.last_success).isoformat(),
        "last": None
        if last is None
        else {
            "due_at": last.due_at.isoformat(),
            "outcome": last.outcome,
            "reason": last.reason,
            "ended_at": None if last.ended_at is None else last.ended_at.isoformat(),
        },
    }


def last_tick(store: Store, desk: str, agent: str) -> AgentTickRow | None:
    """Return the tick of an agent that was due last, None before the first."""
    query = (
        select(AgentTickRow)
        .where(AgentTickRow.desk == desk, AgentTickRow.agent == agent)
        .order_by(AgentTickRow.due_at.desc())
        .limit(1)
    )
    with store.session() as session:
        return session.scalars(query).one_or_none()


def next_due(schedule: Schedule, task: Task, now: int) -> str | None:
    """Return when an agent is due next, after a moment; None within the next ten days."""
    day = utc(now).date()
    try:
        hours = ExchangeHours(schedule.orchestrator.exchange, day, utc(now + 10 * DAY).date())
        found = next(iter(due_times(task, hours, now, now + 10 * DAY)), None)
    except MarketError:
        return None
    return None if found is None else utc(found).isoformat()


_OF_AN_AGENT: Mapping[str, tuple[str, str]] = {
    "health": ("foundry_agent_health", "Health of an agent, 0 to 1."),
    "success_rate": ("foundry_agent_success_rate", "Successes in its last 20 runs, 0 to 1."),
    "failures_in_row": ("foundry_agent_failures_in_row", "Failed ticks since its last success."),
    "seconds_a_run": ("foundry_agent_run_seconds", "What its runs take, the last counting most."),
}
"""Key of a status to the name and the description of its metric; what is not known has none."""


def metrics_text(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of desks in Prometheus's text format, from the store alone."""
    lines = []
    for key, (name, told) in _OF_AN_AGENT.items():
        lines += [f"# HELP {name} {told}", f"# TYPE {name} gauge"]
        for desk, status in statuses.items():
            for agent, one in status["agents"].items():
                if one[key] is not None:
                    lines.append(f'{name}{{desk="{desk}",agent="{agent}"}} {one[key]}')
    lines += ["# HELP foundry_desk_ticks_total Ticks.", "# TYPE foundry_desk_ticks_total counter"]
    for desk, status in statuses.items():
        ticks = status["performance_metrics"]["ticks"]
        lines.append(f'foundry_desk_ticks_total{{desk="{desk}"}} {ticks}')
    lines += [
        f"# HELP foundry_desk_alerts Open alerts, {MOST_ALERTS} at most.",
        "# TYPE foundry_desk_alerts gauge",
    ]
    for desk, status in statuses.items():
        lines.append(f'foundry_desk_alerts{{desk="{desk}"}} {len(status["alerts"])}')
    lines += [
        "# HELP foundry_desk_state 0 active, 1 reducing, 2 halted.",
        "# TYPE foundry_desk_state gauge",
    ]
    for desk, status in statuses.items():
        place = ("ACTIVE", "REDUCING", "HALTED").index(status["state"])
        lines.append(f'foundry_desk_state{{desk="{desk}"}} {place}')
    return "\n".join(lines) + "\n"
