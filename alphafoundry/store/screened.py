"""Ideas that were screened in bulk, before the best of them are simulated."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import defer

from alphafoundry.clock import utc_now
from alphafoundry.store.daily_pnl import DailyPnl
from alphafoundry.store.database import Store, in_chunks, insert
from alphafoundry.store.runs import data_of, interrupt_dead_runs
from alphafoundry.store.simulations import simulation_key
from alphafoundry.store.tables import RunRow, ScreenedRow

WITNESSES = 8
"""One idea in so many is a witness: its daily PnL is kept whatever it was worth, so that witnesses
tell what such ideas are worth before any was chosen."""


@dataclass(frozen=True, eq=False)
class ScreenedIdea:
    """What became of one idea; the fields are those of `ScreenedRow`."""

    canonical: str
    expression: str
    settings: Mapping[str, Any]
    origin: str
    sharpe: float | None = None
    fitness: float | None = None
    turnover: float | None = None
    returns: float | None = None
    drawdown: float | None = None
    margin: float | None = None
    days: int | None = None
    reason: str = ""
    pnl: DailyPnl | None = None


def record_screened(
    store: Store,
    ideas: Sequence[ScreenedIdea],
    *,
    service: str,
    run_id: int,
    now: datetime | None = None,
) -> int:
    """Keep a batch in one transaction; return how many were new."""
    rows: dict[str, dict[str, Any]] = {}
    for idea in ideas:
        days, amounts = idea.pnl.to_bytes() if idea.pnl is not None else (None, None)
        key = simulation_key(idea.canonical, idea.settings)
        rows[key] = {name: value for name, value in vars(idea).items() if name != "pnl"} | {
            "service": service,
            "key": key,
            "run_id": run_id,
            "pnl_days": days,
            "pnl_amounts": amounts,
            "screened_at": now or utc_now(),
        }
    if not rows:
        return 0
    with store.write() as session:
        data = data_of(session, run_id)
        made = session.scalars(
            insert(session, ScreenedRow)
            .on_conflict_do_nothing(index_elements=["service", "key"])
            .returning(ScreenedRow.key),
            [rows[key] | data for key in sorted(rows)],
        )
        return len(made.all())


def take_over_screened(
    store: Store, service: str, *, run_id: int, now: datetime | None = None
) -> int:
    """Give the run what was screened by runs that were cut short before they chose; return how many
    ideas these are.
    """
    with store.write() as session:
        interrupt_dead_runs(session, now=now or utc_now())
        cut_short = select(RunRow.id).where(RunRow.status.in_(("interrupted", "failed")))
        chosen = select(ScreenedRow.run_id).where(ScreenedRow.chosen_at.is_not(None))
        taken = session.execute(
            update(ScreenedRow)
            .where(
                ScreenedRow.service == service,
                ScreenedRow.run_id != run_id,
                ScreenedRow.run_id.in_(cut_short),
                ScreenedRow.run_id.not_in(chosen),
            )
            .values(run_id=run_id)
            .returning(ScreenedRow.key)
        )
        return len(taken.all())


def candidates_of_screening(store: Store, service: str, *, most: int) -> list[ScreenedRow]:
    """Return the ideas that were not handed on with the largest |Sharpe ratio|, at most `most`.

    Those without daily PnL and those that were stopped early are left out. In the order of
    their keys.
    """
    query = (
        select(ScreenedRow)
        .where(
            ScreenedRow.service == service,
            ScreenedRow.chosen_at.is_(None),
            ScreenedRow.reason == "",
            ScreenedRow.pnl_days.is_not(None),
        )
        .order_by(func.abs(ScreenedRow.sharpe).desc(), ScreenedRow.key)
        .limit(most)
    )
    with store.session() as session:
        return sorted(session.scalars(query), key=lambda row: row.key)


def is_witness(canonical: str, settings: Mapping[str, Any]) -> bool:
    """Tell whether an idea is a witness, which depends on nothing but what it is."""
    return _is_witness(simulation_key(canonical, settings))


def _is_witness(key: str) -> bool:
    return zlib.crc32(key.encode()) % WITNESSES == 0


def witnesses_of_screening(
    store: Store, service: str, *, but_of: str, most: int
) -> list[ScreenedRow]:
    """Return ideas whose daily PnL was kept whatever they were worth, at most `most` of them.

    In the order of their keys, those that were handed on included. Runs that kept the PnL of strong
    ideas alone, as those of earlier versions did, have no witnesses.

    Parameters
    ----------
    but_of : an origin whose ideas are no witnesses, since they were made from those that were good
    """
    query = select(
        ScreenedRow.key,
        ScreenedRow.run_id,
        ScreenedRow.pnl_days.is_not(None) & (ScreenedRow.reason == ""),
    ).where(
        ScreenedRow.service == service,
        ScreenedRow.origin != but_of,
        ScreenedRow.sharpe.is_not(None),
        ScreenedRow.sharpe != 0.0,
    )
    with store.session() as session:
        rows = [row for row in session.execute(query) if _is_witness(row[0])]
        partial = {run_id for _, run_id, kept in rows if not kept}
        chosen = sorted(key for key, run_id, _ in rows if run_id not in partial)[:most]
        found: list[ScreenedRow] = []
        for some in in_chunks(chosen):
            found += session.scalars(
                select(ScreenedRow).where(ScreenedRow.service == service, ScreenedRow.key.in_(some))
            )
    return sorted(found, key=lambda row: row.key)


def mark_chosen(
    store: Store, service: str, keys: Iterable[str], *, now: datetime | None = None
) -> None:
    """Record that these ideas were handed on to be simulated."""
    with store.write() as session:
        for some in in_chunks(sorted(keys)):
            session.execute(
                update(ScreenedRow)
                .where(ScreenedRow.service == service, ScreenedRow.key.in_(some))
                .values(chosen_at=now or utc_now())
            )


def read_chosen(store: Store, service: str) -> list[ScreenedRow]:
    """Return the ideas that were handed on, without daily PnL, in the order of their keys."""
    query = (
        select(ScreenedRow)
        .options(defer(ScreenedRow.pnl_days), defer(ScreenedRow.pnl_amounts))
        .where(ScreenedRow.service == service, ScreenedRow.chosen_at.is_not(None))
        .order_by(ScreenedRow.key)
    )
    with store.session() as session:
        return list(session.scalars(query))


def give_back_chosen(store: Store, service: str, keys: Iterable[str]) -> None:
    """Record that these ideas are to be handed on again: nothing came of the first time."""
    with store.write() as session:
        for some in in_chunks(sorted(keys)):
            session.execute(
                update(ScreenedRow)
                .where(ScreenedRow.service == service, ScreenedRow.key.in_(some))
                .values(chosen_at=None)
            )


def screened_expressions(store: Store, service: str) -> set[str]:
    """Return the canonical forms of everything that was screened."""
    query = select(ScreenedRow.canonical).where(ScreenedRow.service == service)
    with store.session() as session:
        return set(session.scalars(query))


def read_screened(store: Store, service: str) -> list[ScreenedRow]:
    """Return what was screened, the latest first, without daily PnL."""
    query = (
        select(ScreenedRow)
        .options(defer(ScreenedRow.pnl_days), defer(ScreenedRow.pnl_amounts))
        .where(ScreenedRow.service == service)
        .order_by(ScreenedRow.screened_at.desc(), ScreenedRow.key)
    )
    with store.session() as session:
        return list(session.scalars(query))


@dataclass(frozen=True)
class ScreenedCount:
    """What a run screened.

    Attributes
    ----------
    ideas : all of them
    without : those that have no numbers
    stopped : those that have numbers of some names or the first days alone
    """

    ideas: int
    without: int
    stopped: int


def count_screened(store: Store, run_id: int) -> ScreenedCount:
    """Return how many ideas belong to a run."""
    query = select(
        func.count(),
        func.count().filter(ScreenedRow.days.is_(None)),
        func.count().filter(ScreenedRow.days.is_not(None), ScreenedRow.reason != ""),
    ).where(ScreenedRow.run_id == run_id)
    with store.session() as session:
        return ScreenedCount(*session.execute(query).one())


def pnl_of_screened(row: ScreenedRow) -> DailyPnl:
    """Return the daily PnL that was kept; ValueError where none was."""
    if row.pnl_days is None or row.pnl_amounts is None:
        raise ValueError(f"no daily PnL of {row.expression!r} was kept")
    return DailyPnl.from_bytes(row.pnl_days, row.pnl_amounts)
