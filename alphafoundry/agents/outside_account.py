"""A desk's account at a broker outside, such as Alpaca: the ledger follows what the broker tells.

Splits, dividends, fees and interest are the broker's: they reach the ledger as activities, or show
as a difference and halt the desk. Nothing of them is accrued here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from alphafoundry.agents.desk_account import DeskAccount
from alphafoundry.clock import EASTERN
from alphafoundry.errors import BrokerError, FoundryError
from alphafoundry.market.panel import Panel
from alphafoundry.store import Store
from alphafoundry.store.desk_tables import DeskRow
from alphafoundry.trading import (
    BrokerClient,
    MarketDays,
    OrderLimits,
    create_desk,
    ledger_of,
    set_limits,
)
from alphafoundry.trading.desks import limits_in
from alphafoundry.trading.market_day import session_of

MOST_SKEW = timedelta(seconds=30)
"""More than the broker's clock and ours may differ by."""


class OutsideSide:
    """A broker that is asked over the network, and does what it does by its own clock."""

    values_with_us = False
    borrow_rate = 0.0
    interest_rate = 0.0

    def __init__(self, client: BrokerClient, exchange: str) -> None:
        """Take a client, which is closed with it."""
        self.client = client
        self._exchange = exchange
        self._agreed: date | None = None

    def advance(self, now: datetime) -> None:
        """Do nothing: its time passes by itself."""

    def seen(self) -> None:
        """Return None: only asking tells."""

    def check_session(self, day: date) -> None:
        """Compare the broker's calendar with the exchange's, once for a session.

        Raises BrokerError where they differ: a broker keeps orders for a day on which it does not
        trade, and sends them on another.
        """
        if self._agreed == day:
            return
        hours = session_of(self._exchange, day)
        ours = tuple(f"{one.astimezone(EASTERN):%H:%M}" for one in (hours.opens, hours.closes))
        theirs = self.client.hours(day)
        if theirs != ours:
            told = "is closed" if theirs is None else f"trades {theirs[0]} to {theirs[1]}"
            raise BrokerError(
                f"{day}: {self.client.host} {told} in New York, the calendar of {self._exchange} "
                f"says {ours[0]} to {ours[1]}; no order is sent while they differ"
            )
        self._agreed = day

    def kept(self) -> None:
        """Return None: the broker keeps its own book."""

    def reopen(self, kept: Any) -> None:
        """Go on: nothing is kept here."""

    def save(self) -> None:
        """Do nothing: the broker keeps its own book."""

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def begin_outside_desk(
    store: Store,
    client: BrokerClient,
    *,
    name: str,
    exchange: str,
    limits: OrderLimits,
    now: datetime,
) -> DeskRow:
    """Return the ledger of a desk at the client's account, made where there is none yet.

    A ledger begins with the account's cash. Raises FoundryError for an account that is blocked,
    whose broker's clock differs by more than 30 s from `now`, or that holds positions or open
    orders of others when the ledger begins.
    """
    account = client.account()
    if account.blocked:
        raise FoundryError(f"account {account.number} at {client.host}: is blocked; ask the broker")
    skew = abs(client.now() - now)
    if skew > MOST_SKEW:
        raise FoundryError(
            f"{client.host}: its clock and this machine's differ by {skew.total_seconds():.0f} s; "
            "set this one"
        )
    if ledger_of(store, name) is None:
        held = [*client.positions(), *(one.symbol for one in client.open_orders())]
        if held:
            raise FoundryError(
                f"account {account.number} at {client.host}: has positions or open orders of no "
                f"desk ({', '.join(sorted(set(held))[:5])}); close them first"
            )
    desk = create_desk(
        store,
        name=name,
        broker=client.host,
        account_number=account.number,
        cash=account.cash,
        synthetic=False,
        now=now,
        exchange=exchange,
        limits=limits,
    )
    with store.session() as transaction:
        earlier = limits_in(transaction, desk.id)
    if earlier != limits:
        set_limits(store, desk.id, limits, actor="schedule", now=now)
    return desk


def open_outside_account(
    store: Store,
    client: BrokerClient,
    *,
    name: str,
    panel: Panel,
    kept: Mapping[str, Any] | None,
) -> DeskAccount:
    """Return the account of a desk that `begin_outside_desk` has made; the broker is not asked.

    Parameters
    ----------
    client : is closed with the account
    kept : of an earlier process, which this one goes on from

    Raises FoundryError where the desk has no ledger.
    """
    ledger = ledger_of(store, name)
    if ledger is None:
        raise FoundryError(f"desk {name}: has no ledger; start it with python -m flows.desk run")
    return DeskAccount(
        store,
        ledger.id,
        OutsideSide(client, ledger.exchange),
        panel=panel,
        days_of=partial(_days, first=ledger.created_at.date(), exchange=ledger.exchange),
        kept=kept,
        every_session=True,
    )


def _days(panel: Panel, *, first: date, exchange: str) -> MarketDays:
    """Return the bars since a ledger's first day, without what the broker does to shares."""
    found = MarketDays.from_panel(panel, first, panel.dates[-1].item(), exchange=exchange)
    bare = {
        day: replace(one, splits=(), dividends=(), delistings=()) for day, one in found.days.items()
    }
    return replace(found, days=bare)
