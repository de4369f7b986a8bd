"""Closing every position of a desk that runs, by a person's word."""

from __future__ import annotations

import getpass
from collections import Counter
from datetime import datetime, timedelta

from alphafoundry.agents.bodies.meta_control import OWN as META_CONTROL
from alphafoundry.agents.control import change_desk, desk_time
from alphafoundry.agents.hours import ExchangeHours, SessionHours, seconds, utc
from alphafoundry.errors import FoundryError
from alphafoundry.store import Store
from alphafoundry.store.agents import desk_transaction, read_agent_desk, run_at_work
from alphafoundry.trading import (
    books_of,
    intend_orders,
    ledger_of,
    pending_orders,
    read_orders,
    request_cancel,
)
from alphafoundry.trading.desks import limits_in
from alphafoundry.trading.orders import CLOSING_CUTOFF, closing_orders

BATCH = "flatten"


def flatten_desk(store: Store, reason: str, *, desk: str | None, at: datetime) -> str:
    """Cancel a desk's open orders and write reduce-only orders to zero; return a line about it.

    The desk only reduces from then on, until it is resumed. What an earlier call has written and
    what is not over is taken off, so that a second call orders nothing twice. The desk's execution
    sends them, each once the cancelled orders of its name are over: at once in a session, else
    from the next open on.

    Parameters
    ----------
    desk : its name, None is the newest
    at : the true time

    Raises FoundryError for a simulation, for a desk that nobody runs, and where the ledger has
    halted the desk: its positions are then not known.
    """
    found = read_agent_desk(store, desk)
    ledger = ledger_of(store, found.name)
    if found.clock == "simulated":
        raise FoundryError(
            f"desk {found.name}: is a simulation, which nobody gives orders to; flatten a desk "
            "that runs (python -m flows.desk run)"
        )
    if ledger is None or run_at_work(store, found) is None:
        raise FoundryError(
            f"desk {found.name}: no process runs it, so nobody would send the orders; start it "
            "first (python -m flows.desk run)"
        )
    # A ledger that is halted although nobody has halted the desk has done so by itself, and
    # meta_control passes that on.
    by_itself = found.mode != "HALTED" or found.mode_actor == META_CONTROL
    if ledger.state == "halted" and by_itself:
        raise FoundryError(
            f"desk {found.name}: its ledger is halted ({ledger.state_reason}), so its positions "
            "are not certain; see python -m flows.desk reconcile, then resume, then flatten"
        )
    now = desk_time(store, found, at)
    hours = ExchangeHours(ledger.exchange, now.date(), now.date() + timedelta(days=10))
    with store.together():
        cancelled, orders = _write(store, ledger.id, _session(hours, now), now, reason)
        # What is halted and has nothing to close stays halted.
        if found.mode != "HALTED" or orders:
            change_desk(store, "REDUCING", f"{BATCH}: {reason}", desk=found.name, at=now)
        if not cancelled and not orders:
            return f"desk {found.name}: nothing to do, every position is closed or being closed"
        with desk_transaction(store, found.name) as rows:
            rows.decide(
                now,
                actor=getpass.getuser(),
                subject="positions",
                before="held",
                after="flat",
                reason=reason,
                evidence={"cancelled": cancelled, "orders": orders},
                undo="resume",
            )
    return (
        f"desk {found.name}: {cancelled} open orders cancelled, {orders} orders to close every "
        "position; it only reduces until it is resumed"
    )


def _write(
    store: Store, ledger: int, session: SessionHours, now: datetime, reason: str
) -> tuple[int, int]:
    """Return how many orders were cancelled and how many written."""
    closing: Counter[str] = Counter()
    others = []
    for order in pending_orders(store, ledger):
        if order.cancel_requested_at is not None:
            continue
        if not order.batch.startswith(BATCH):
            others.append(order.id)
        else:
            closing[order.symbol] += order.quantity - order.filled
    cancelled = request_cancel(store, ledger, others, now=now, reason=BATCH)
    with store.session() as transaction:
        limits = limits_in(transaction, ledger)
    held = dict(sorted(books_of(store, ledger).holdings.items()))
    rest = {name: max(abs(one.quantity) - closing[name], 0) for name, one in held.items()}
    requests = closing_orders(
        {name: rest[name] if one.quantity > 0 else -rest[name] for name, one in held.items()},
        session.day,
        limits=limits,
        marks={name: one.mark for name, one in held.items()},
        send_from=max(now, utc(session.opens)),
        reasons=dict.fromkeys(held, f"{BATCH}: {reason}"),
    )
    number = len({one.batch for one in read_orders(store, ledger) if one.batch.startswith(BATCH)})
    if requests:
        intend_orders(store, ledger, requests, batch=f"{BATCH} {number + 1}", now=now)
    return cancelled, len(requests)


def _session(hours: ExchangeHours, now: datetime) -> SessionHours:
    """Return the session at hand, or the next one where little of it is left."""
    last = seconds(now) + round(CLOSING_CUTOFF.total_seconds())
    return next(one for one in hours.sessions if one.closes > last)
