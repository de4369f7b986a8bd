"""What the store says of a desk: its state now, and why something did not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from alphafoundry.agents import failure_forecast
from alphafoundry.agents.failure_forecast import failure_chances
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import seconds, utc
from alphafoundry.agents.report import ONLY_SAFE
from alphafoundry.configuration import suggest
from alphafoundry.errors import NotInStore, WrongText
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentAlertRow, AgentDeskRow, AgentTickRow
from alphafoundry.store.agents import (
    count_ticks,
    read_agent_alerts,
    read_agent_desk,
    read_agent_states,
    read_ticks,
)
from alphafoundry.store.desk_tables import DeskRow, FillRow, OrderRow
from alphafoundry.trading.money import PRICE, SHARE

LAST = 200
"""Ticks that `why` looks back at."""


@dataclass(frozen=True)
class DeskStatus:
    """A desk at its newest tick.

    Attributes
    ----------
    states : agent to what its ticks add up to
    counts : agent to outcome to how many
    last : agent to its newest tick
    alerts : open ones
    chances : agent to the chance that its next tick fails or is missed, as its ticks foretell it;
        empty while there are too few ticks or failures
    """

    desk: AgentDeskRow
    states: Mapping[str, AgentState]
    counts: Mapping[str, Counter[str]]
    last: Mapping[str, AgentTickRow]
    alerts: Sequence[AgentAlertRow]
    chances: Mapping[str, float] = field(default_factory=dict)

    @property
    def overall_health(self) -> float:
        """Mean health of all agents; 1 without any."""
        now = seconds(self.desk.seen_until)
        known = [state.health(now) for state in self.states.values()]
        return sum(known) / len(known) if known else 1.0

    def lines(self) -> Iterator[str]:
        """Yield the desk for people."""
        found = self.desk
        reason = f": {found.mode_reason} ({found.mode_actor})" if found.mode_reason else ""
        yield f"desk {found.name}, {found.clock} clock, {found.market_label}"
        if left_out := found.settings.get("without"):
            yield f"a counterfactual: {found.settings['like']} without {' and '.join(left_out)}"
        health = f"health {self.overall_health:.2f}"
        yield f"state {found.mode}{reason}; {health}; bars to {found.data_until}"
        yield f"{found.ticks:,} ticks to {found.seen_until:%Y-%m-%d %H:%M} UTC of the desk"
        if likely := failure_forecast.told(self.chances):
            yield likely
        for alert in self.alerts:
            since = f"alert since {alert.at:%Y-%m-%d %H:%M}"
            yield f"{since}: {alert.key}: {alert.text} ({alert.count}x)"

    def headings(self) -> tuple[str, ...]:
        """Return the headings of `rows`."""
        counts = ("ran", "idle", "blocked", "missed", "failed")
        return ("agent", "health", "success", "fails next", *counts, "last")

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield an agent each."""
        now = seconds(self.desk.seen_until)
        for name, state in sorted(self.states.items()):
            rate = state.success_rate
            count = self.counts.get(name, Counter())
            last = self.last.get(name)
            told = "no tick yet" if last is None else _tick_line(last)
            yield (
                name,
                "new" if state.is_new else f"{state.health(now):.2f}",
                "" if rate is None else f"{rate:.2f}",
                f"{self.chances[name]:.0%}" if name in self.chances else "",
                *(str(count[one]) for one in ("ran", "idle", "blocked", "missed", "failed")),
                f"paused: {state.paused}" if state.paused else told,
            )


def desk_status(store: Store, name: str | None = None) -> DeskStatus:
    """Return the state of a desk, None is the newest.

    Raises NotInStore where there is none.
    """
    desk = read_agent_desk(store, name)
    counts: dict[str, Counter[str]] = {}
    for agent, outcome, count in count_ticks(store, desk.name):
        counts.setdefault(agent, Counter())[outcome] = count
    states = read_states(store, desk.name)
    last = {
        agent: found[0]
        for agent in states
        if (found := read_ticks(store, desk.name, agent=agent, limit=1))
    }
    alerts = [one for one in read_agent_alerts(store, desk.name) if one.resolved_at is None]
    chances = failure_chances(store, desk, seconds(desk.seen_until))
    return DeskStatus(desk, states, counts, last, alerts, chances)


def read_states(store: Store, desk: str) -> dict[str, AgentState]:
    """Return agent to what its ticks add up to."""
    return {
        name: AgentState(**{key: value for key, value in state.items() if key != "seen_until"})
        for name, state in read_agent_states(store, desk).items()
    }


def why(store: Store, what: str, desk: str | None = None) -> Iterator[str]:
    """Yield lines on an agent's newest ticks, on one tick, or on an order.

    Parameters
    ----------
    what : AGENT, AGENT@2024-01-05T15:40 in UTC, or an order's number

    Raises
    ------
    NotInStore : there is no such desk, agent, tick or order
    WrongText : the time of a tick is none
    """
    found = read_agent_desk(store, desk)
    if what.isdecimal():
        yield from _one_order(store, found, int(what))
        return
    agent, _, moment = what.partition("@")
    states = read_states(store, found.name)
    if agent not in states:
        raise NotInStore(f"desk {found.name}: no agent {agent!r}; {suggest(agent, states)}")
    if moment:
        yield from _one_tick(store, found, agent, moment)
        return
    state = states[agent]
    ticks = read_ticks(store, found.name, agent=agent, limit=LAST)
    last = (
        "never" if state.last_success is None else f"{utc(state.last_success):%Y-%m-%d %H:%M} UTC"
    )
    failures = f"{state.failures_in_row} failures since"
    yield f"{agent} of desk {found.name}: last success {last}, {failures}"
    yield f"of its last {len(ticks)} ticks {sum(one.outcome == 'ran' for one in ticks)} ran"
    yield from _in_the_way(ticks)


def _in_the_way(ticks: Sequence[AgentTickRow]) -> Iterator[str]:
    """Yield how many ticks did not run, or only to lessen risk, and why."""
    reasons = Counter(
        (ONLY_SAFE if one.only_safe else one.outcome, one.reason)
        for one in ticks
        if one.only_safe or one.outcome != "ran"
    )
    for (outcome, reason), count in reasons.most_common():
        yield f"  {count} {outcome}: {reason}"


def _one_tick(store: Store, found: AgentDeskRow, agent: str, moment: str) -> Iterator[str]:
    try:
        due_at = datetime.fromisoformat(moment)
        due_at = due_at.replace(tzinfo=UTC) if due_at.tzinfo is None else due_at.astimezone(UTC)
        due = (due_at, due_at + timedelta(minutes=1))
    except (ValueError, OverflowError):  # such as the year 1 in a zone to the east
        raise WrongText(f"{moment!r} is no time; write it as 2024-01-05T15:40") from None
    near = read_ticks(store, found.name, agent=agent, due=due)
    if not near:
        raise NotInStore(
            f"desk {found.name}: {agent} has no tick due at {due_at:%Y-%m-%d %H:%M} UTC"
        )
    for one in near:
        yield f"{agent}: due {one.due_at:%Y-%m-%d %H:%M:%S} UTC, {_tick_line(one)}"
        ended = "still running" if one.ended_at is None else f"ended {one.ended_at:%H:%M:%S}"
        yield f"  claimed {one.claimed_at:%H:%M:%S}, {ended}, {one.attempts} attempts"
        given: Mapping[str, Any] = one.result or {}
        for key, value in given.items():
            yield f"  {key}: {value}"


def _one_order(store: Store, found: AgentDeskRow, number: int) -> Iterator[str]:
    """Yield what an order is made of; the parts add to its quantity, in millionths of a share."""
    query = (
        select(OrderRow)
        .join(DeskRow, DeskRow.id == OrderRow.desk_id)
        .where(DeskRow.name == found.name, OrderRow.sequence == number)
    )
    with store.session() as session:
        order = session.scalars(query).one_or_none() if number < 2**31 else None
        if order is None:
            raise NotInStore(f"desk {found.name}: there is no order {number}")
        fills = list(session.scalars(select(FillRow).where(FillRow.order_id == order.id)))
    why_so = f" ({order.reason})" if order.reason else ""
    when = "on the close of" if order.time_in_force == "cls" else "in the session of"
    yield (
        f"order {number} of desk {found.name}: {order.side} {order.quantity / SHARE:g} "
        f"{order.symbol} {when} {order.session}, {order.status}{why_so}"
    )
    facts: Mapping[str, Any] = order.facts
    if "reason" in facts:
        yield f"  {facts['reason']}"
    if order.status == "expired" and order.sent_at is None:
        due = (order.send_from, order.cutoff)
        ticks = read_ticks(store, found.name, agent="execution", due=due)
        yield (
            f"  never sent: execution had {len(ticks)} ticks from {order.send_from:%H:%M} to the "
            f"cut-off at {order.cutoff:%H:%M} UTC"
        )
        yield from _in_the_way(ticks)
    if order.data_until is not None:
        yield f"  from bars to {order.data_until} of market {order.market_id}, {order.data_version}"
    if "parts" in facts:
        yield f"  held {facts['held']:+,d}, target {facts['target']:+,d}, at {facts['price']:,.4f}"
        parts: Mapping[str, int] = facts["parts"]
        for reason, amount in parts.items():
            yield f"  {reason}: {amount / SHARE:+,.6f}"
        signed = order.quantity if order.side == "buy" else -order.quantity
        total = sum(parts.values())
        agrees = "" if total == signed else f"NOT ({signed / SHARE:+g}) "
        yield f"  sum: {total / SHARE:+,.6f}, {agrees}the order's quantity"
    for fill in fills:
        price = f"{fill.price / PRICE:,.4f}"
        yield f"  filled {fill.quantity / SHARE:g} at {price}, {fill.at:%H:%M} UTC"


def _tick_line(tick: AgentTickRow) -> str:
    safe = " (only what lessens risk)" if tick.only_safe else ""
    reason = f": {tick.reason}" if tick.reason else ""
    return f"{tick.outcome}{safe} {tick.due_at:%m-%d %H:%M}{reason}"
