"""A desk's ledger held against its broker's own book, at any time and from another process."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from alphafoundry.agents.desk_account import broker_file
from alphafoundry.agents.hours import ExchangeHours, seconds
from alphafoundry.errors import FoundryError
from alphafoundry.store import Store
from alphafoundry.store.agents import desk_transaction, read_agent_desk, run_at_work
from alphafoundry.store.desk_tables import MarkRow
from alphafoundry.trading import (
    BrokerClient,
    MarketDays,
    PaperBroker,
    adopt,
    books_of,
    check_ledger,
    in_process,
    ledger_of,
)
from alphafoundry.trading.money import CENT, SHARE, dollars, plain

READS = 5
"""Reads of a desk that runs, a second apart: a fill is at the broker before it is in the ledger."""


@dataclass(frozen=True)
class Reconciliation:
    """What ledger and broker say of one desk.

    Attributes
    ----------
    desk : its name
    positions : how many the ledger has
    differences : one line each; none is to the cent. What is wrong in the ledger itself counts
    equity : whether equity was compared: both must value at the same auction
    """

    desk: str
    positions: int
    differences: tuple[str, ...]
    equity: bool

    @property
    def agrees(self) -> bool:
        """Whether there is no difference."""
        return not self.differences

    def __str__(self) -> str:
        what = f"cash, {'equity, ' if self.equity else ''}{self.positions} positions"
        told = "reconciled to $0.00" if self.agrees else "NOT reconciled"
        later = "" if self.equity else "; equity is compared where both value at one auction"
        return f"ledger of {self.desk}: {told} ({what}){later}"


def reconcile_desk(
    store: Store,
    home: Path,
    *,
    desk: str | None = None,
    outside: Callable[[], BrokerClient] | None = None,
) -> Reconciliation:
    """Compare a desk's ledger with its broker's own book.

    The paper broker keeps it in a file; of a desk on the true clock the account is asked. Nothing
    is changed. A difference of a desk that a process is at work on counts when five reads
    show it.

    Parameters
    ----------
    desk : its name, None is the newest
    outside : returns a client of the account that a desk on the true clock has

    Raises FoundryError where there is no such desk, or no book of its broker, and BrokerError
    where the account does not answer or is another.
    """
    found = read_agent_desk(store, desk)
    reads = READS if run_at_work(store, found) is not None else 1
    for read in range(reads):
        seen = _compare(store, home, found.name, outside)
        if seen.agrees or read == reads - 1:
            return seen
        time.sleep(1.0)
    raise AssertionError("unreachable")


def ledger_at(store: Store, name: str, client: BrokerClient) -> int:
    """Return the number of a desk's ledger.

    Raises FoundryError where it has none, or where the client's account is another's.
    """
    ledger = ledger_of(store, name)
    number = client.account().number
    if ledger is None or ledger.account_number != number:
        raise FoundryError(
            f"desk {name}: does not trade account {number} at {client.host}; correct the settings"
        )
    return ledger.id


def adopt_outside(
    store: Store,
    outside: Callable[[], BrokerClient],
    reason: str,
    *,
    desk: str | None,
    at: datetime,
) -> None:
    """Take what differs between a desk's ledger and its account outside as the broker has it.

    Parameters
    ----------
    outside : returns a client of the account
    reason : of a person, kept with what is booked
    desk : its name, None is the newest
    at : the true time

    Raises FoundryError for a desk that is not on the true clock, or that a process is at work on.
    """
    found = read_agent_desk(store, desk)
    if found.clock != "wall":
        raise FoundryError(
            f"desk {found.name}: has no account outside; its paper broker is never adopted from"
        )
    if (run := run_at_work(store, found)) is not None:
        raise FoundryError(f"desk {found.name}: process {run.pid} runs it; stop it first")
    with outside() as client:
        done = adopt(store, ledger_at(store, found.name, client), client, at, reason=reason)
    if not done.differences:
        return
    with desk_transaction(store, found.name) as rows:
        rows.decide(
            at,
            actor=getpass.getuser(),
            subject="ledger",
            before="differs",
            after="as the broker",
            reason=reason,
            evidence={name: list(pair) for name, pair in done.differences.items()},
            undo="nothing: the broker's book stands",
        )


def _compare(
    store: Store, home: Path, name: str, outside: Callable[[], BrokerClient] | None
) -> Reconciliation:
    found = read_agent_desk(store, name)
    if found.clock == "wall" and outside is not None:
        with outside() as client:
            return _differences(store, ledger_at(store, name, client), name, client, equity=False)
    changes = None if found.checkpoint is None else found.checkpoint["account"]["broker"]
    path = broker_file(home, name)
    ledger = ledger_of(store, name)
    if ledger is None or not (path.exists() or changes):
        raise FoundryError(f"desk {name}: there is no book of its broker at {path}")
    with store.session() as session:
        newest = select(func.max(MarkRow.session)).where(MarkRow.desk_id == ledger.id)
        marked = session.scalar(newest)
    nothing = MarketDays(found.market_label, ledger.synthetic, ledger.exchange, {})
    paper = PaperBroker(nothing, start=found.began_at, state=path, hold=True, changes=changes)
    try:
        with BrokerClient("http://paper", transport=in_process(paper)) as broker:
            same = _valued_together(paper, ledger.exchange, marked)
            return _differences(store, ledger.id, name, broker, equity=same)
    finally:
        paper.close()


def _valued_together(paper: PaperBroker, exchange: str, marked: date | None) -> bool:
    """Return whether the ledger's newest marks are of the auction that the broker values at."""
    closed = paper.book.closed
    if not paper.book.positions:
        return True
    if marked is None or not closed:
        return False
    today = paper.now.date()
    hours = ExchangeHours(exchange, today - timedelta(days=5), today + timedelta(days=5))
    before = [one for one in hours.sessions if one.opens <= seconds(paper.now)]
    return before[-1].day.isoformat() == closed == marked.isoformat()


def _differences(
    store: Store, ledger: int, name: str, broker: BrokerClient, *, equity: bool
) -> Reconciliation:
    account, theirs = broker.account(), broker.positions()
    books = books_of(store, ledger)
    found = []
    amounts: Mapping[str, tuple[int, int]] = {
        "cash": (books.cash, account.cash),
        **({"equity": (books.equity, account.equity)} if equity else {}),
    }
    for what, (ours, other) in amounts.items():
        if 2 * abs(ours - other) >= CENT:
            found.append(
                f"{what}: ledger {dollars(ours)}, broker {dollars(other)}, "
                f"difference {dollars(ours - other)}"
            )
    for symbol in sorted(books.holdings.keys() | theirs.keys()):
        held = books.holdings[symbol].quantity if symbol in books.holdings else 0
        other = theirs[symbol].quantity if symbol in theirs else 0
        if held != other:
            found.append(
                f"{symbol}: ledger {plain(held, SHARE)} shares, broker {plain(other, SHARE)}"
            )
    held_names = sum(1 for one in books.holdings.values() if one.quantity)
    return Reconciliation(name, held_names, (*found, *check_ledger(store, ledger)), equity)
