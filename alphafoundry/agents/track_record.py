"""The sessions of a desk that have closed, each written down once with where its PnL came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import date, time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import utc
from alphafoundry.errors import PerformanceError
from alphafoundry.performance.attribution import Attribution, attribute
from alphafoundry.performance.beside_market import beside_market
from alphafoundry.performance.desk_books import SessionFacts, read_session_facts
from alphafoundry.performance.page import sheet_page
from alphafoundry.performance.sheet import TearSheet
from alphafoundry.store.desk_tables import DeskRow
from alphafoundry.store.performance import (
    newest_performance,
    read_explanations,
    record_performance,
)
from alphafoundry.store.performance_tables import ExplanationRow
from alphafoundry.trading.market_day import MarketDay, MarketDays
from alphafoundry.trading.money import MONEY, dollars
from alphafoundry.whole_file import replace_file


def record_sessions(floor: TradingFloor, now: int) -> list[Attribution]:
    """Write down every closed session that has no row yet; return what they earned.

    Raises PerformanceError where the parts of a session do not lead from one evening's net asset
    value to the next to the last unit: then the ledger was not read as it was written.
    """
    newest = newest_performance(floor.store, floor.desk)
    days = [one.day for one in floor.evenings if newest is None or one.day > newest.session]
    if not days:
        return []
    with floor.store.session() as transaction:
        desk_id = transaction.scalars(select(DeskRow.id).where(DeskRow.name == floor.desk)).one()
    facts = read_session_facts(
        floor.store,
        desk_id,
        [(day, utc(floor.hours.local_moment(day, time()))) for day in days],
        _market(floor, days[0], days[-1]),
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


def _market(floor: TradingFloor, first: date, last: date) -> Mapping[date, MarketDay]:
    """Return these sessions and the one before, as the panel tells them today."""
    dates = floor.panel.dates
    row, end = (floor.days_to(one) for one in (first, last))
    days = dates[max(row - 2, 0) : end].tolist()
    known = {day: found for day in days if (found := floor.account.market_day(day)) is not None}
    if len(known) == len(days) and not len(floor.panel.revisions.pending(end - 1)):
        # No bar of them looks otherwise today.
        return known
    panel, begins = floor.panel.until(last), days[0]
    return MarketDays.from_panel(panel, begins, last, exchange=floor.hours.exchange).days


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


def sheet_folder(home: Path, desk: str) -> Path:
    """Return where the files of a desk are."""
    return home / "desks" / desk


def write_tear_sheet(floor: TradingFloor, sheet: TearSheet) -> Path:
    """Write the tear sheet of a desk, with what was told of its last session; return the file.

    Raises PerformanceError where it cannot be written.
    """
    path = sheet_folder(floor.home, floor.desk) / "report.html"
    told = told_passages(read_explanations(floor.store, floor.desk))
    write_file(path, sheet_page(sheet, passages=told).encode("utf-8"))
    return path


def told_passages(rows: Sequence[ExplanationRow]) -> list[tuple[str, Sequence[str]]]:
    """Return (heading, lines) of what was told about a session, with who wrote it."""
    found: list[tuple[str, Sequence[str]]] = []
    for row in rows:
        lines = list(row.facts) if row.written_by == "template" else [row.text]
        if row.refused is not None:
            lines.append(f"A model's text was not taken: {row.refused}")
        elif row.written_by != "template":
            lines.append(f"Rephrased by {row.written_by}.")
        found.append((f"{row.kind.replace('_', ' ').capitalize()}, {row.session}", lines))
    return found


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises PerformanceError where it cannot be written."""
    try:
        replace_file(path, content)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise PerformanceError(f"{path}: {reason}; choose a place that can be written") from None
