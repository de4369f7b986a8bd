"""A desk's ledger held against its broker's own book, at any time and from another process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import func, select

from alphafoundry.agents.hours import ExchangeHours, seconds
from alphafoundry.agents.paper_account import broker_file
from alphafoundry.errors import FoundryError
from alphafoundry.store import RunRow, Store, is_alive
from alphafoundry.store.agents import read_agent_desk
from alphafoundry.store.desk_tables import DeskRow, MarkRow
from alphafoundry.trading import BrokerClient, MarketDays, PaperBroker, books_of, in_process
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
    differences : one line each; none is to the cent
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
        later = "" if self.equity else "; equity is compared once the session's closes are booked"
        return f"ledger of {self.desk}: {told} ({what}){later}"


def reconcile_desk(store: Store, home: Path, *, desk: str | None = None) -> Reconciliation:
    """Compare a desk's ledger with the book that its paper broker keeps in a file of its own.

    Nothing is changed. A difference of a desk that a process is at work on counts when five reads
    show it.

    Parameters
    ----------
    desk : its name, None is the newest

    Raises FoundryError where there is no such desk, or no book of its broker.
    """
    found = read_agent_desk(store, desk)
    with store.session() as session:
        run = session.get(RunRow, found.run_id) if found.run_id is not None else None
    reads = READS if run is not None and is_alive(run) else 1
    for read in range(reads):
        seen = _compare(store, home, found.name)
        if seen.agrees or read == reads - 1:
            return seen
        time.sleep(1.0)
    raise AssertionError("unreachable")


def _compare(store: Store, home: Path, name: str) -> Reconciliation:
    found = read_agent_desk(store, name)
    changes = None if found.checkpoint is None else found.checkpoint["account"]["broker"]
    path = broker_file(home, name)
    with store.session() as session:
        ledger = session.scalar(select(DeskRow).where(DeskRow.name == name))
        marked = (
            None
            if ledger is None
            else session.scalar(
                select(func.max(MarkRow.session)).where(MarkRow.desk_id == ledger.id)
            )
        )
    if ledger is None or not (path.exists() or changes):
        raise FoundryError(f"desk {name}: there is no book of its broker at {path}")
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
    return Reconciliation(name, held_names, tuple(found), equity)
