"""What the gate sees: the desk at one moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Literal, NamedTuple

from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import MarketMoment

DeskMode = Literal["ACTIVE", "REDUCING", "HALTED"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the desk's rows say; None where nobody knows.

    Attributes
    ----------
    version : changes whenever a row behind a fact changes
    positions : names with shares
    pending_orders : orders that are not final
    fills : fills of the desk so far
    trades_today : fills of the session
    data_until : last day of the bars that the desk has
    volatility : place of 20-day volatility in the past year: low, normal, high, extreme
    severe_news : whether there was a severe event within four hours
    host : share of the host's measures within their thresholds; None without a fresh sample
    """

    version: int = 0
    positions: int | None = None
    pending_orders: int | None = None
    fills: int | None = None
    trades_today: int | None = None
    data_until: date | None = None
    volatility: str | None = None
    severe_news: bool | None = None
    host: float | None = None

    @property
    def low_activity(self) -> bool | None:
        """Whether nothing is under way: no order waits for its end."""
        return None if self.pending_orders is None else self.pending_orders == 0


class Snapshot(NamedTuple):
    """The desk as one agent's gate sees it.

    Attributes
    ----------
    now : seconds since 1970
    moment : where that lies in the sessions
    mode : state of the desk
    facts : of positions, orders, data and host
    agents : state of every agent
    own : name of the agent
    closure : agents that it depends on, directly or through others, itself left out
    """

    now: int
    moment: MarketMoment
    own: str
    mode: DeskMode = "ACTIVE"
    facts: Facts = Facts()
    agents: Mapping[str, AgentState] = MappingProxyType({})
    closure: tuple[str, ...] = ()

    @property
    def health(self) -> float:
        """Mean health of the agents depended on, at most the host's; 1 where there are none.

        The agent's own failures are left out, or one bad hour would lock it for ever.
        """
        health = 1.0
        if self.closure:
            known = [self.agents[name].health(self.now) for name in self.closure]
            health = sum(known) / len(known)
        return health if self.facts.host is None else min(health, self.facts.host)

    @property
    def new_trades(self) -> int | None:
        """Fills since the agent's last success."""
        if self.facts.fills is None:
            return None
        return self.facts.fills - self.agents[self.own].fills_seen

    @property
    def data_is_current(self) -> bool:
        """Whether the bars reach the last session whose bar can be had."""
        until = self.facts.data_until
        return until is not None and until >= self.moment.last_closed
