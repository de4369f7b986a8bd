"""The sessions of a desk that have closed, each written down once with where its PnL came from."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from sqlalchemy import select

from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import utc
from alphafoundry.errors import PerformanceError
from alphafoundry.performance.attribution import Attribution, attribute
from alphafoundry.performance.beside_market import beside_market
from alphafoundry.performance.desk_books import SessionFacts, read_session_facts
from alphafoundry.store.desk_tables import DeskRow
from alphafoundry.store.performance import newest_performance, record_performance
from alphafoundry.trading.money import MONEY, dollars


def record_sessions(floor: TradingFloor, now: int) -> list[Attribution]:
    """Write down every closed session that has no row yet; return what they earned.

    Raises PerformanceError where the parts of a session do not lead from one evening's net asset
    value to the next to the last unit: then the ledger was not read as it was written.
    """
    newest = newest_performance(floor.store, floor.desk)
    days = [one.day for one in floor.evenings if newest is None or one.day > newest.session]
    if not days:
        return []
    opens = {one.day: utc(one.opens) for one in floor.hours.between(days[0], days[-1])}
    with floor.store.session() as transaction:
        desk_id = transaction.scalars(select(DeskRow.id).where(DeskRow.name == floor.desk)).one()
    facts = read_session_facts(
        floor.store,
        desk_id,
        [(day, opens[day]) for day in days],
        floor.panel.until(days[-1]),
        entries_from=0 if newest is None else newest.entries_to,
    )
    before = None if newest is None else newest.net_asset_value
    rows, found = [], []
    for one in facts:
        told = attribute(one.books)
        came = one.books.transfers
        if before is None:
            # What the account was opened with is no transfer into it.
            before, came = came, 0
        _check(one, told, before, came)
        rows.append(_row(floor, now, one, told, before, came))
        found.append(told)
        before = one.net_asset_value
    record_performance(floor.store, floor.desk, rows)
    return found


def _check(facts: SessionFacts, told: Attribution, before: int, came: int) -> None:
    if before + told.pnl + came != facts.net_asset_value:
        raise PerformanceError(
            f"{told.session}: {dollars(before)} and a PnL of {dollars(told.pnl)} are not the "
            f"{dollars(facts.net_asset_value)} of the evening; see `check_ledger`"
        )


def _row(
    floor: TradingFloor, now: int, facts: SessionFacts, told: Attribution, before: int, came: int
) -> dict[str, Any]:
    beside = beside_market(
        floor.panel,
        told.session,
        {name: value / MONEY for name, value in facts.books.before.items()},
        {name: amount / MONEY for name, amount in told.held.items()},
        before / MONEY,
    )
    return {
        "session": told.session,
        "made_at": utc(now),
        "synthetic": floor.panel.synthetic,
        "data_version": floor.panel.fingerprint,
        "before": before,
        "net_asset_value": facts.net_asset_value,
        "pnl": told.pnl,
        "transfers": came,
        "traded": facts.traded,
        "gross": sum(abs(value) for value in facts.positions.values()),
        "net": sum(facts.positions.values()),
        "benchmark": beside.benchmark,
        "parts": dict(told.parts),
        "drift": {name: dict(columns) for name, columns in told.drift.items()},
        "sectors": {name: list(astuple(effect)) for name, effect in beside.sectors.items()},
        "factors": dict(beside.factors),
        "entries_to": facts.entries_to,
    }
