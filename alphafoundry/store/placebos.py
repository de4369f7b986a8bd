"""Placebos: what the same search gives on prices in which there is nothing to find."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select

from alphafoundry.clock import utc_now
from alphafoundry.store.database import Store, insert
from alphafoundry.store.tables import MirrorName, PlaceboRow


@dataclass(frozen=True)
class WholeSearch:
    """What one whole search gave; see `PlaceboRow`."""

    trials: int
    hopeful: int
    unlike: int
    best_sharpe: float | None
    best_dsr: float | None
    best_fitness: float | None
    unlike_sharpe: float | None


def record_placebo(
    store: Store,
    found: WholeSearch,
    *,
    key: str,
    mirror: MirrorName,
    number: int,
    run_id: int,
    market_id: str,
    seed: int,
    budget: int,
    now: datetime | None = None,
) -> None:
    """Keep what a search gave; one that is there already stays as it is."""
    with store.write() as session:
        session.execute(
            insert(session, PlaceboRow)
            .values(
                key=key,
                mirror=mirror,
                number=number,
                run_id=run_id,
                market_id=market_id,
                seed=seed,
                budget=budget,
                made_at=now or utc_now(),
                **asdict(found),
            )
            .on_conflict_do_nothing(index_elements=["key", "mirror", "number"])
        )


def read_placebos(store: Store, key: str, mirror: MirrorName) -> list[PlaceboRow]:
    """Return the search of the true prices, where it was made, and those of mirrored ones."""
    query = (
        select(PlaceboRow)
        .where(PlaceboRow.key == key, PlaceboRow.mirror.in_(("none", mirror)))
        .order_by(PlaceboRow.number)
    )
    with store.session() as session:
        return list(session.scalars(query))


def latest_placebos(store: Store, market_id: str, mirror: MirrorName) -> list[PlaceboRow]:
    """Return the searches that were compared last on a market; empty without any."""
    query = (
        select(PlaceboRow.key)
        .where(PlaceboRow.market_id == market_id, PlaceboRow.mirror == mirror)
        .order_by(PlaceboRow.made_at.desc())
        .limit(1)
    )
    with store.session() as session:
        key = session.scalar(query)
    return [] if key is None else read_placebos(store, key, mirror)
