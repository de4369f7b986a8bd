"""What the agents ask of the desk's account, whoever keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from alphafoundry.agents.hours import SessionHours
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.market.panel import Panel
from alphafoundry.store.desk_tables import DeskState
from alphafoundry.trading.market_day import MarketDay
from alphafoundry.trading.portfolio import IntendedOrder
from alphafoundry.trading.risk import Stop

STATES: Mapping[DeskMode, DeskState] = {
    "ACTIVE": "active",
    "REDUCING": "reducing",
    "HALTED": "halted",
}
"""The desk's state as its ledger keeps it."""


@dataclass(frozen=True)
class Sent:
    """What one turn of execution did.

    Attributes
    ----------
    summary : one line for people; "" where nothing happened
    figures : counts by name
    broken : why nothing may be sent until a person has looked, None where all is well
    """

    summary: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    broken: str | None = None


@dataclass(frozen=True)
class Totals:
    """What an account has been through.

    Attributes
    ----------
    orders : status to how many
    fills : how many
    traded : dollars bought and sold
    costs : kind to dollars
    differences : what the broker's own book says otherwise, one line each; empty is to the cent
    compared : what was compared, for people
    """

    orders: Mapping[str, int]
    fills: int
    traded: float
    costs: Mapping[str, float]
    differences: Sequence[str]
    compared: str


class Account(Protocol):
    """Orders, positions and money of a desk.

    Attributes
    ----------
    version : changes whenever an order, a position or an amount does
    """

    @property
    def version(self) -> int: ...

    def kept(self) -> dict[str, Any]:
        """Return what no row says, as plain values."""
        ...

    def reload(self, kept: Mapping[str, Any]) -> None:
        """Go on from what another process kept."""
        ...

    def take_panel(self, panel: Panel) -> None:
        """Know the bars of a market from now on."""
        ...

    def save(self) -> None:
        """Save what is kept outside of the store, once the rows are."""
        ...

    def positions(self) -> Mapping[str, int]:
        """Return symbol to whole shares, below 0 is short; flat names are left out."""
        ...

    def equity(self) -> float:
        """Return dollars: cash and positions at their last marks."""
        ...

    def pending_orders(self) -> int:
        """Return how many orders are not final."""
        ...

    def fills(self, session: date | None = None) -> int:
        """Return how many fills there were, in a session or ever."""
        ...

    def intend(
        self, orders: Sequence[IntendedOrder], *, session: date, now: int, data_until: date
    ) -> int:
        """Store orders for a session's close, before any is sent; return how many."""
        ...

    def traded(self, session: date) -> Mapping[str, int]:
        """Return symbol to the shares that a session's orders bought, sold ones below 0."""
        ...

    def close_out(self, stops: Sequence[Stop], *, session: SessionHours, now: int) -> int:
        """Store orders that close stopped positions from a session's open on; return how many."""
        ...

    def execute(self, now: int, *, mode: DeskMode, only_reduce: bool = False) -> Sent:
        """Compare with the broker, send what the desk's state lets through, read the fills.

        only_reduce : orders that open or enlarge a position wait
        """
        ...

    def open_session(self, session: date, now: int) -> None:
        """Book what happens before a session's open, once: splits, dividends, delistings."""
        ...

    def close_session(self, session: date, now: int) -> None:
        """Value the positions at a session's closes, and book what the night costs, once."""
        ...

    def fill_quality(self, session: date, tolerance: float) -> float | None:
        """Return the share of fills of orders for the close within a fraction of it; or None."""
        ...

    def market_day(self, day: date) -> MarketDay | None:
        """Return a session as the panel tells it today, None where it is not known."""
        ...

    def totals(self, now: int) -> Totals:
        """Return what there was so far, compared with the broker's own book."""
        ...

    def lines(self) -> Iterator[str]:
        """Yield every order, fill and entry as a line, in order: what a digest holds."""
        ...
