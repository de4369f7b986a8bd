"""Openings of sealed days: the plan is written first, then the results, and every look wears."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store.daily_pnl import DailyPnl
from alphafoundry.store.database import Store, in_chunks, lock_subject
from alphafoundry.store.tables import OpeningRow, VerdictName, VerdictRow


@dataclass(frozen=True)
class Finalist:
    """An alpha as it is frozen before the sealed days are looked at; see `VerdictRow`."""

    alpha_id: str
    expression: str
    settings: Mapping[str, Any]
    key: str
    search_days: int
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    dsr: float
    shrunk_sharpe: float


@dataclass(frozen=True)
class SealedResult:
    """What the sealed days said of a finalist; see `VerdictRow`."""

    verdict: VerdictName
    reason: str
    sealed_days: int
    sealed_sharpe: float | None = None
    sealed_low: float | None = None
    sealed_high: float | None = None
    settled_sharpe: float | None = None
    net_sharpe: float | None = None
    capacity: float | None = None
    impact_small: float | None = None
    impact_middle: float | None = None
    impact_large: float | None = None
    years: int | None = None
    years_up: int | None = None
    worst_year: float | None = None
    calm_sharpe: float | None = None
    wild_sharpe: float | None = None
    p: float | None = None
    upper: float | None = None
    days_needed: float | None = None
    pnl: DailyPnl | None = None


def plan_opening(
    store: Store,
    service: str,
    finalists: Sequence[Finalist],
    *,
    run_id: int,
    market_id: str,
    sealed_from: date,
    sealed_to: date,
    trials: int,
    level_of: Callable[[int], float],
    now: datetime | None = None,
) -> OpeningRow:
    """Freeze the finalists and record that the sealed days are going to be looked at.

    The opening is number k + 1 where the most worn of its days was in k openings; one that was
    planned and never done counts, since its days may have been seen. The same finalists get the
    opening that they had, whatever days were added since, done or not.

    Parameters
    ----------
    trials : all that were ever made on the search days; frozen with the finalists
    level_of : number of an opening to the level of its test
    """
    now = now or utc_now()
    digest = hashlib.sha256("\n".join(sorted(one.key for one in finalists)).encode()).hexdigest()
    with store.write() as session:
        lock_subject(session, f"openings:{market_id}")
        known = session.scalar(
            select(OpeningRow)
            .where(
                OpeningRow.service == service,
                OpeningRow.market_id == market_id,
                OpeningRow.finalists == digest,
            )
            .order_by(OpeningRow.id.desc())
            .limit(1)
        )
        if known is not None:
            return known
        # Every opening of a market begins on the same day, so that day is the most worn.
        worn = session.scalar(
            select(func.count())
            .select_from(OpeningRow)
            .where(
                OpeningRow.market_id == market_id,
                OpeningRow.sealed_from <= sealed_to,
                OpeningRow.sealed_to >= sealed_from,
            )
        )
        number = int(worn or 0) + 1
        opening = OpeningRow(
            run_id=run_id,
            service=service,
            market_id=market_id,
            sealed_from=sealed_from,
            sealed_to=sealed_to,
            number=number,
            level=level_of(number),
            trials=trials,
            finalists=digest,
            planned_at=now,
        )
        session.add(opening)
        session.flush()
        session.add_all(
            VerdictRow(
                opening_id=opening.id,
                position=position,
                service=service,
                frozen_on=now.date(),
                **{**asdict(one), "settings": dict(one.settings)},
            )
            for position, one in enumerate(finalists)
        )
    return opening


def finish_opening(
    store: Store,
    opening_id: int,
    results: Sequence[SealedResult],
    *,
    now: datetime | None = None,
) -> None:
    """Write what the sealed days said of each finalist, in their order: all of it or nothing.

    An opening that is done stays as it is. Raises StoreError where there is none of this id.
    """
    with store.write() as session:
        opening = session.get(OpeningRow, opening_id, with_for_update=True)
        if opening is None:
            raise StoreError(f"{store.label}: there is no opening {opening_id}")
        if opening.opened_at is not None:
            return
        rows = session.scalars(_finalists(opening_id))
        for row, result in zip(rows, results, strict=True):
            for one in fields(result):
                if one.name != "pnl":
                    setattr(row, one.name, getattr(result, one.name))
            if result.pnl is not None:
                row.pnl_days, row.pnl_amounts = result.pnl.to_bytes()
        opening.opened_at = now or utc_now()


def read_openings(store: Store, market_id: str) -> list[OpeningRow]:
    """Return the openings of a market's sealed days, the first one first."""
    query = select(OpeningRow).where(OpeningRow.market_id == market_id).order_by(OpeningRow.id)
    with store.session() as session:
        return list(session.scalars(query))


def read_opening(store: Store, opening_id: int) -> tuple[OpeningRow, list[VerdictRow]]:
    """Return an opening and its finalists in order; StoreError where there is none."""
    with store.session() as session:
        opening = session.get(OpeningRow, opening_id)
        rows = list(session.scalars(_finalists(opening_id)))
    if opening is None:
        raise StoreError(f"{store.label}: there is no opening {opening_id}")
    return opening, rows


def read_verdicts(store: Store, service: str, alpha_ids: Sequence[str]) -> dict[str, VerdictRow]:
    """Return alpha id to its verdict; an alpha that was never a finalist is left out.

    What was once found stays found, since its test held its level; otherwise the last one counts.
    """
    found: dict[str, VerdictRow] = {}
    with store.session() as session:
        for some in in_chunks(alpha_ids):
            query = (
                select(VerdictRow)
                .where(
                    VerdictRow.service == service,
                    VerdictRow.alpha_id.in_(some),
                    VerdictRow.verdict.is_not(None),
                )
                .order_by(VerdictRow.opening_id)
            )
            for row in session.scalars(query):
                before = found.get(row.alpha_id)
                if before is None or before.verdict != "found":
                    found[row.alpha_id] = row
    return found


def judged_pnl(row: VerdictRow) -> DailyPnl | None:
    """Return the daily PnL of a finalist over search days and sealed days, None where not kept."""
    if row.pnl_days is None or row.pnl_amounts is None:
        return None
    return DailyPnl.from_bytes(row.pnl_days, row.pnl_amounts)


def _finalists(opening_id: int) -> Any:
    return (
        select(VerdictRow).where(VerdictRow.opening_id == opening_id).order_by(VerdictRow.position)
    )
