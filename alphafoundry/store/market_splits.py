"""The split of a market into search days and sealed days: made once, kept for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from alphafoundry.clock import utc_now
from alphafoundry.store.database import Store, insert
from alphafoundry.store.tables import MarketSplitRow


@dataclass(frozen=True)
class MarketSplit:
    """Where search days end and sealed days begin.

    share, embargo_days : the settings that the split was made by
    """

    search_to: date
    sealed_from: date
    share: float
    embargo_days: int


def fix_split(
    store: Store, market_id: str, planned: MarketSplit, *, now: datetime | None = None
) -> MarketSplit:
    """Return the split of a market, which is `planned` where it had none."""
    with store.write() as session:
        session.execute(
            insert(session, MarketSplitRow)
            .values(
                market_id=market_id,
                search_to=planned.search_to,
                sealed_from=planned.sealed_from,
                share=planned.share,
                embargo_days=planned.embargo_days,
                created_at=now or utc_now(),
            )
            .on_conflict_do_nothing(index_elements=["market_id"])
        )
        row = session.get_one(MarketSplitRow, market_id)
        return MarketSplit(row.search_to, row.sealed_from, row.share, row.embargo_days)
