"""A desk as it was at the end of a day, from the rows that it had then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, select

from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import seconds
from alphafoundry.agents.schedule import stored_schedule
from alphafoundry.errors import FoundryError
from alphafoundry.market.sessions import exchange_zone
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import (
    AgentAlertRow,
    AgentDeskRow,
    AgentTickRow,
    ControlDecisionRow,
)
from alphafoundry.store.agents import read_agent_desk
from alphafoundry.store.desk_tables import DeskRow, FillRow, OrderRow
from alphafoundry.store.performance_tables import PerformanceRow
from alphafoundry.store.strategy_tables import DeskStrategyRow
from alphafoundry.trading.money import MONEY

HEADINGS = ("agent", "health", "ran", "idle", "blocked", "missed", "failed", "last")


@dataclass(frozen=True)
class PastDesk:
    """What a desk knew at a moment.

    Attributes
    ----------
    moment : the midnight that ends the day at the exchange
    mode, reason : state of the desk then, and why
    net_asset_value : dollars of the last session that was written down by then
    counts, health, last : by agent; last is outcome, due time and reason
    alerts : key and text of those that were open
    strategies : that were live
    """

    desk: str
    moment: datetime
    mode: str
    reason: str
    net_asset_value: float | None
    sessions: int
    orders: int
    fills: int
    counts: Mapping[str, Counter[str]]
    health: Mapping[str, float]
    last: Mapping[str, str]
    alerts: tuple[str, ...]
    strategies: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        ticks = sum(sum(one.values()) for one in self.counts.values())
        yield f"desk {self.desk} at {self.moment:%Y-%m-%d %H:%M} UTC"
        yield f"state {self.mode}{f': {self.reason}' if self.reason else ''}; {ticks:,} ticks"
        worth = (
            "none written down"
            if self.net_asset_value is None
            else (f"{self.net_asset_value:,.2f} dollars")
        )
        yield f"sessions {self.sessions}, net asset value {worth}"
        yield f"orders {self.orders:,}, fills {self.fills:,}"
        yield f"strategies {', '.join(self.strategies) or 'none'}"
        for alert in self.alerts:
            yield f"alert {alert}"

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield an agent each, under `HEADINGS`."""
        for name in sorted(self.counts):
            count = self.counts[name]
            yield (
                name,
                f"{self.health[name]:.2f}",
                *(str(count[one]) for one in HEADINGS[2:7]),
                self.last[name],
            )


def desk_as_of(store: Store, name: str | None, day: date) -> PastDesk:
    """Return a desk, None is the newest, as it was when a day ended at its exchange.

    Raises FoundryError for a day before the desk began.
    """
    desk = read_agent_desk(store, name)
    schedule = stored_schedule(desk.schedule, environment=desk.settings["environment"])
    zone = exchange_zone(schedule.orchestrator.exchange)
    # No desk is there on the last days of the calendar, whose end no date can name.
    day = min(day, date.max - timedelta(days=2))
    moment = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    if moment <= desk.began_at:
        raise FoundryError(f"desk {desk.name}: began on {desk.began_at:%Y-%m-%d}, after {day}")
    intervals = {task.name: float(task.interval) for task in schedule.tasks.values()}
    counts, health, last = _agents(store, desk, moment, intervals)
    with store.session() as session:
        state = session.execute(
            select(ControlDecisionRow.after, ControlDecisionRow.reason)
            .where(
                ControlDecisionRow.desk == desk.name,
                ControlDecisionRow.subject == "desk",
                ControlDecisionRow.at <= moment,
            )
            .order_by(ControlDecisionRow.id.desc())
            .limit(1)
        ).first()
        alerts = session.execute(
            select(AgentAlertRow.key, AgentAlertRow.text)
            .where(
                AgentAlertRow.desk == desk.name,
                AgentAlertRow.at <= moment,
                AgentAlertRow.resolved_at.is_(None) | (AgentAlertRow.resolved_at > moment),
            )
            .order_by(AgentAlertRow.id)
        ).all()
        written = session.execute(
            select(PerformanceRow.net_asset_value, PerformanceRow.session)
            .where(PerformanceRow.desk == desk.name, PerformanceRow.made_at <= moment)
            .order_by(PerformanceRow.session)
        ).all()
        ledger = select(DeskRow.id).where(DeskRow.name == desk.name).scalar_subquery()
        orders = session.scalar(
            select(func.count())
            .select_from(OrderRow)
            .where(OrderRow.desk_id == ledger, OrderRow.intended_at <= moment)
        )
        fills = session.scalar(
            select(func.count())
            .select_from(FillRow)
            .where(FillRow.desk_id == ledger, FillRow.booked_at <= moment)
        )
    return PastDesk(
        desk=desk.name,
        moment=moment,
        mode=state[0] if state else "ACTIVE",
        reason=state[1] if state else "",
        net_asset_value=written[-1][0] / MONEY if written else None,
        sessions=len(written),
        orders=orders or 0,
        fills=fills or 0,
        counts=counts,
        health=health,
        last=last,
        alerts=tuple(f"{key}: {text}" for key, text in alerts),
        strategies=_live(store, desk.name, moment),
    )


def _agents(
    store: Store, desk: AgentDeskRow, moment: datetime, intervals: Mapping[str, float]
) -> tuple[dict[str, Counter[str]], dict[str, float], dict[str, str]]:
    """Return counts, health and last tick by agent, of ticks that had ended by then."""
    counts: dict[str, Counter[str]] = {}
    last: dict[str, str] = {}
    states: dict[str, AgentState] = {}
    began = seconds(desk.began_at)
    query = (
        select(
            AgentTickRow.agent,
            AgentTickRow.outcome,
            AgentTickRow.due_at,
            AgentTickRow.ended_at,
            AgentTickRow.reason,
        )
        .where(AgentTickRow.desk == desk.name, AgentTickRow.ended_at <= moment)
        .order_by(AgentTickRow.ended_at, AgentTickRow.position)
    )
    with store.session() as session:
        for agent, outcome, due_at, ended_at, reason in session.execute(query):
            assert ended_at is not None and outcome != "running"
            counts.setdefault(agent, Counter())[outcome] += 1
            last[agent] = f"{outcome} {due_at:%m-%d %H:%M}{f': {reason}' if reason else ''}"
            state = states.setdefault(agent, AgentState(intervals.get(agent, 86_400.0), began))
            state.fold(outcome, seconds(ended_at))
    now = seconds(moment)
    return counts, {name: state.health(now) for name, state in states.items()}, last


def _live(store: Store, desk: str, moment: datetime) -> tuple[str, ...]:
    """Return the strategies that were live: by the last change of each until then."""
    with store.session() as session:
        rows = session.execute(
            select(DeskStrategyRow.alpha_id, DeskStrategyRow.state, DeskStrategyRow.changed_at)
            .where(DeskStrategyRow.desk == desk)
            .order_by(DeskStrategyRow.found_on, DeskStrategyRow.alpha_id)
        ).all()
        changes = session.execute(
            select(
                ControlDecisionRow.subject,
                ControlDecisionRow.before,
                ControlDecisionRow.after,
                ControlDecisionRow.at,
            )
            .where(
                ControlDecisionRow.desk == desk, ControlDecisionRow.subject.startswith("strategy ")
            )
            .order_by(ControlDecisionRow.id)
        ).all()
    found = []
    for alpha_id, state, changed_at in rows:
        own = [one for one in changes if one[0] == f"strategy {alpha_id}"]
        past = [one for one in own if one[3] <= moment]
        then = past[-1][2] if past else own[0][1] if own else state
        known = bool(own) or changed_at <= moment
        if known and then == "live":
            found.append(alpha_id)
    return tuple(found)
