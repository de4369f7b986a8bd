"""Alphas with their statistics: what was found, what is hopeful, what is best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from alphafoundry.clock import utc_now
from alphafoundry.store.daily_pnl import DailyPnl, put_daily_pnl
from alphafoundry.store.database import Store, in_chunks, put_rows
from alphafoundry.store.tables import AlphaRow, AlphaSource

_SOME = select(AlphaRow).where(
    AlphaRow.service == bindparam("of"), AlphaRow.alpha_id.in_(bindparam("ids", expanding=True))
)
"""Built once: each variation is compared with its parent."""

Ranking = Literal["fitness", "sharpe", "returns", "margin", "pnl"]


@dataclass(frozen=True)
class AlphaRecord:
    """An alpha as the service described it; the units are those of the table `AlphaRow`.

    Attributes
    ----------
    checks : entries of `is.checks`, each a mapping of plain values
    hopeful : whether it is worth mining, by the rule of the run
    expected_sharpe : the true Sharpe ratio, on a synthetic market
    train, test : statistics of both parts where the settings have a test period
    market_id, data_version, data_until : what it was simulated on, None where that is not known
    """

    alpha_id: str
    expression: str
    settings: Mapping[str, Any]
    sharpe: float | None = None
    fitness: float | None = None
    turnover: float | None = None
    returns: float | None = None
    drawdown: float | None = None
    margin: float | None = None
    pnl: float | None = None
    long_count: int | None = None
    short_count: int | None = None
    grade: str | None = None
    checks: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    hopeful: bool = False
    source: AlphaSource = "simulated"
    planted: Mapping[str, float] | None = None
    market_id: str | None = None
    data_version: str | None = None
    data_until: date | None = None
    expected_sharpe: float | None = None
    train: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None


_GIVEN = tuple(one.name for one in fields(AlphaRecord))
_CHANGING = tuple(name for name in _GIVEN if name != "alpha_id")


def put_alpha(session: Session, service: str, record: AlphaRecord, *, now: datetime) -> None:
    """Write an alpha; one that is there gets the new values and keeps created_at and mined_at."""
    values = {name: getattr(record, name) for name in _GIVEN}
    row = {"service": service, "created_at": now, **values}
    put_rows(session, AlphaRow, [row], "service", "alpha_id", changes=_CHANGING)


def record_alpha(
    store: Store,
    service: str,
    record: AlphaRecord,
    *,
    daily_pnl: DailyPnl | None = None,
    now: datetime | None = None,
) -> None:
    """Write an alpha that no simulation of ours made, with its daily PnL, in one transaction."""
    with store.write() as session:
        put_alpha(session, service, record, now=now or utc_now())
        if daily_pnl is not None:
            put_daily_pnl(session, service, record.alpha_id, daily_pnl)


def read_alphas(store: Store, service: str, alpha_ids: Iterable[str]) -> dict[str, AlphaRow]:
    """Return alpha id to alpha; an unknown id is left out."""
    found: dict[str, AlphaRow] = {}
    with store.session() as session:
        for some in in_chunks(alpha_ids):
            rows = session.scalars(_SOME, {"of": service, "ids": some})
            found.update((alpha.alpha_id, alpha) for alpha in rows)
    return found


def hopeful_alphas(
    store: Store, service: str, *, unmined: bool = True, limit: int | None = None
) -> list[AlphaRow]:
    """Return hopeful alphas, the highest fitness first and unknown fitness last.

    Parameters
    ----------
    unmined : only those that the miner has not looked at
    """
    query = select(AlphaRow).where(AlphaRow.service == service, AlphaRow.hopeful)
    if unmined:
        query = query.where(AlphaRow.mined_at.is_(None))
    query = query.order_by(AlphaRow.fitness.desc().nulls_last(), AlphaRow.alpha_id).limit(limit)
    with store.session() as session:
        return list(session.scalars(query))


def mark_mined(
    store: Store, service: str, alpha_ids: Iterable[str], *, now: datetime | None = None
) -> None:
    """Record that the miner has looked at these alphas."""
    at = now or utc_now()
    with store.write() as session:
        for some in in_chunks(alpha_ids):
            session.execute(
                update(AlphaRow)
                .where(AlphaRow.service == service, AlphaRow.alpha_id.in_(some))
                .values(mined_at=at)
            )


def best_alphas(
    store: Store,
    service: str,
    *,
    by: Ranking = "fitness",
    limit: int | None = 10,
    since: datetime | None = None,
) -> list[AlphaRow]:
    """Return the alphas with the highest value of a statistic; those without it are left out.

    Parameters
    ----------
    since : only alphas recorded at this time or later
    """
    column = AlphaRow.__table__.c[by]
    query = select(AlphaRow).where(AlphaRow.service == service, column.is_not(None))
    if since is not None:
        query = query.where(AlphaRow.created_at >= since)
    query = query.order_by(column.desc(), AlphaRow.alpha_id).limit(limit)
    with store.session() as session:
        return list(session.scalars(query))
