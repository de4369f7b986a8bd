"""What a desk's sessions earned, and what was told about them: written and read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import func, select

from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.database import Store, insert, put_rows
from alphafoundry.store.performance_tables import ExplanationRow, PerformanceRow


def record_performance(store: Store, desk: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write sessions of a desk; one that is there already stays as it is."""
    if not rows:
        return
    with store.write() as session:
        once = insert(session, PerformanceRow).on_conflict_do_nothing(
            index_elements=["desk", "session"]
        )
        session.execute(once, [{"desk": desk, **row} for row in rows])


def read_performance(store: Store, desk: str, *, after: date | None = None) -> list[PerformanceRow]:
    """Return the sessions of a desk, the oldest first; with `after` those of later days alone."""
    query = select(PerformanceRow).where(PerformanceRow.desk == desk)
    if after is not None:
        query = query.where(PerformanceRow.session > after)
    with store.session() as session:
        return list(session.scalars(query.order_by(PerformanceRow.session)))


def newest_performance(store: Store, desk: str) -> PerformanceRow | None:
    """Return the last session of a desk that was looked at, None before the first."""
    query = (
        select(PerformanceRow)
        .where(PerformanceRow.desk == desk)
        .order_by(PerformanceRow.session.desc())
        .limit(1)
    )
    with store.session() as session:
        return session.scalars(query).one_or_none()


def count_desks_like(store: Store, desk: str) -> int:
    """Return how many desks have traded the same market on days of this one, itself included.

    Each of them is a trial: whoever keeps the best of them has chosen.
    """
    with store.session() as session:
        own = session.get_one(AgentDeskRow, desk)
        query = (
            select(func.count())
            .select_from(AgentDeskRow)
            .where(
                AgentDeskRow.market_label == own.market_label,
                AgentDeskRow.began_at <= own.seen_until,
                AgentDeskRow.seen_until >= own.began_at,
            )
        )
        return session.scalar(query) or 1


def record_explanations(store: Store, desk: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what is told about a session of a desk, in place of what was told before."""
    key = ("desk", "session", "kind")
    changes = tuple(name for name in (rows[0] if rows else ()) if name not in key)
    with store.write() as session:
        given = [{"desk": desk, **row} for row in rows]
        put_rows(session, ExplanationRow, given, *key, changes=changes)


def read_explanations(store: Store, desk: str, *, day: date | None = None) -> list[ExplanationRow]:
    """Return what was told about a session of a desk, None is the last one that has any."""
    with store.session() as session:
        if day is None:
            day = session.scalar(
                select(func.max(ExplanationRow.session)).where(ExplanationRow.desk == desk)
            )
        query = (
            select(ExplanationRow)
            .where(ExplanationRow.desk == desk, ExplanationRow.session == day)
            .order_by(ExplanationRow.kind)
        )
        return list(session.scalars(query))
