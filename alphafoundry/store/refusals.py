"""Texts that generators and the miner gave and that were not simulated, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from alphafoundry.clock import utc_now
from alphafoundry.store.database import Store
from alphafoundry.store.tables import RefusalRow


def record_refusals(
    store: Store,
    run_id: int,
    refused: Iterable[tuple[str, str]],
    *,
    origin: str,
    now: datetime | None = None,
) -> None:
    """Record refused texts.

    Parameters
    ----------
    refused : pairs of the text as it was written and the reason in one line
    origin : "grammar", "ollama", "miner" or "import"
    """
    now = now or utc_now()
    rows = [
        RefusalRow(run_id=run_id, origin=origin, text=text, reason=reason, at=now)
        for text, reason in refused
    ]
    if rows:
        with store.write() as session:
            session.add_all(rows)


def read_refusals(store: Store, run_id: int) -> list[RefusalRow]:
    """Return what a run refused, in the order recorded."""
    query = select(RefusalRow).where(RefusalRow.run_id == run_id).order_by(RefusalRow.id)
    with store.session() as session:
        return list(session.scalars(query))
