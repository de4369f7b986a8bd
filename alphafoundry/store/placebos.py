"""What a search found on mirrored prices, beside what it found on the real ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select

from alphafoundry.clock import utc_now
from alphafoundry.store.database import Store
from alphafoundry.store.tables import PlaceboRow


@dataclass(frozen=True)
class PlaceboRecord:
    """One search; the units are those of `PlaceboRow`. number 0 is the search on real prices."""

    number: int
    mirror: str
    trials: int
    hopeful: int
    best_fitness: float | None
    best_sharpe: float | None
    top_sharpe: float | None


def record_placebo(
    store: Store, run_id: int, record: PlaceboRecord, *, now: datetime | None = None
) -> None:
    """Write what one search of a placebo run found."""
    with store.write() as session:
        session.add(PlaceboRow(run_id=run_id, at=now or utc_now(), **asdict(record)))


def read_placebos(store: Store, run_id: int) -> list[PlaceboRow]:
    """Return the searches of a placebo run, the one on real prices first."""
    query = select(PlaceboRow).where(PlaceboRow.run_id == run_id).order_by(PlaceboRow.number)
    with store.session() as session:
        return list(session.scalars(query))
