"""The broker on the other side of a desk's ledger: the paper broker in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Protocol

from alphafoundry.trading import BrokerClient, PaperBroker, in_process


class BrokerSide(Protocol):
    """A broker, as the account of a desk uses it.

    Attributes
    ----------
    client : asks it
    values_with_us : whether it values positions at the closes that the ledger marks them at
    borrow_rate, interest_rate : a year, by which the ledger accrues what a night costs; 0 where
        it is only known once the broker tells it among its activities
    """

    @property
    def client(self) -> BrokerClient: ...
    @property
    def values_with_us(self) -> bool: ...
    @property
    def borrow_rate(self) -> float: ...
    @property
    def interest_rate(self) -> float: ...

    def advance(self, now: datetime) -> None:
        """Let time pass for a broker that has no clock of its own."""
        ...

    def seen(self) -> tuple[int, ...] | None:
        """Return what changes with every event at the broker; None where only asking tells."""
        ...

    def check_session(self, day: date) -> None:
        """Raise FoundryError where the broker does not trade in the hours of a session."""
        ...

    def kept(self) -> Any:
        """Return what the broker's own file does not have yet."""
        ...

    def reopen(self, kept: Any) -> None:
        """Go on from what another process kept."""
        ...

    def save(self) -> None:
        """Save the broker's book."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class PaperSide:
    """The paper broker in this process."""

    values_with_us = True

    def __init__(self, make: Callable[..., PaperBroker], number: str, kept: Any) -> None:
        """Open it.

        Parameters
        ----------
        make : returns the broker, given `changes`
        number : of the account
        kept : of an earlier process; None is none
        """
        self._make = make
        self._number = number
        self._open(kept)

    @property
    def client(self) -> BrokerClient:
        """Asks the broker without a network."""
        return self._client

    @property
    def borrow_rate(self) -> float:
        """Of the broker's rules."""
        return self.paper.rules.borrow_rate

    @property
    def interest_rate(self) -> float:
        """Of the broker's rules."""
        return self.paper.rules.interest_rate

    def advance(self, now: datetime) -> None:
        """Let time pass for the broker."""
        self.paper.advance(now)

    def seen(self) -> tuple[int, ...]:
        """Return how many activities, orders and open orders it has."""
        paper = self.paper
        return len(paper.activities), len(paper.orders), len(paper.open_orders)

    def check_session(self, day: date) -> None:
        """Agree: it trades on the sessions that it was given."""

    def kept(self) -> Mapping[str, Any]:
        """Return what the broker's own file does not have yet."""
        return self.paper.changes()

    def reopen(self, kept: Any) -> None:
        """Go on from what another process kept, and from the file that it left."""
        self.close()
        self._open(kept)

    def save(self) -> None:
        """Save the broker's book in its file."""
        self.paper.save()

    def close(self) -> None:
        """Close the client and the broker's file."""
        self._client.close()
        self.paper.close()

    def _open(self, kept: Any) -> None:
        self.paper = self._make(changes=kept)
        self.paper.account_number = self._number
        self._client = BrokerClient("http://paper", transport=in_process(self.paper))
