"""The strategies that a desk found by itself: written and read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from alphafoundry.store.database import Store, insert
from alphafoundry.store.strategy_tables import DeskStrategyRow, StrategyState


def propose_strategies(store: Store, desk: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write new strategies of a desk; one that is there already stays as it is."""
    if not rows:
        return
    with store.write() as session:
        once = insert(session, DeskStrategyRow).on_conflict_do_nothing(
            index_elements=["desk", "alpha_id"]
        )
        session.execute(once, [{"desk": desk, **row} for row in rows])


def read_strategies(
    store: Store, desk: str, *, state: StrategyState | None = None
) -> list[DeskStrategyRow]:
    """Return the strategies that a desk found, the oldest first; None is of every state."""
    query = (
        select(DeskStrategyRow)
        .where(DeskStrategyRow.desk == desk)
        .order_by(DeskStrategyRow.found_on, DeskStrategyRow.alpha_id)
    )
    if state is not None:
        query = query.where(DeskStrategyRow.state == state)
    with store.session() as session:
        return list(session.scalars(query))
