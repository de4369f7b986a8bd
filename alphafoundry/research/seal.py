"""Search days and sealed days of a local market: the last ones are kept from every search.

The panel is cut before the simulator sees it, so nothing that answers a search can look into the
sealed days. The split of a market is made at its first use and never moves; days that are added
later are sealed too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from alphafoundry.market.suitability import LEAST_DAYS
from alphafoundry.settings import HoldoutSettings
from alphafoundry.store import MarketSplit, Store, fix_split

if TYPE_CHECKING:
    from alphafoundry.market import Panel

WARM_UP_DAYS = 252
"""Search days, besides the 500 that a simulation needs, for the lookbacks of its alpha."""


@dataclass(frozen=True)
class Seal:
    """The split of one market.

    Attributes
    ----------
    search_from, search_to : first and last day that a search may see
    sealed_from, sealed_to : first and last sealed day
    search_days, sealed_days : bars in each part
    panel : the whole market; for the opening of the sealed days alone
    """

    search_from: date
    search_to: date
    sealed_from: date
    sealed_to: date
    search_days: int
    sealed_days: int
    panel: Panel = field(repr=False, compare=False)

    def searched(self) -> Panel:
        """Return the market as it was known at the end of the last search day."""
        return self.panel.until(self.search_to)


def planned_split(panel: Panel, holdout: HoldoutSettings) -> MarketSplit | str:
    """Return the split of a market that had none, or why there can be none, in one sentence.

    `share` of the days are sealed, fewer where the search would have less than 752 days, but at
    least `least_days`; the `embargo_days` before them belong to neither part.
    """
    days = len(panel.dates)
    needed = LEAST_DAYS + WARM_UP_DAYS
    most = days - needed - holdout.embargo_days
    if most < holdout.least_days:
        return (
            f"{days} days are too few to keep any apart: a search needs {needed} days (the warm-up "
            f"of its alphas included), sealed days are at least {holdout.least_days}"
        )
    sealed = min(max(round(holdout.share * days), holdout.least_days), most)
    searched = days - sealed - holdout.embargo_days
    search_to, sealed_from = panel.dates[[searched - 1, days - sealed]].tolist()
    return MarketSplit(
        search_to=search_to,
        sealed_from=sealed_from,
        share=holdout.share,
        embargo_days=holdout.embargo_days,
    )


def seal_of(panel: Panel, holdout: HoldoutSettings, store: Store) -> Seal | str:
    """Return the seal of a market, fixed in the store at its first use, or why there is none."""
    if holdout.share == 0.0:
        return "no days are kept apart (holdout is 0)"
    planned = planned_split(panel, holdout)
    if isinstance(planned, str):
        return planned
    fixed = fix_split(store, panel.market_id, planned)
    searched = int(np.searchsorted(panel.dates, np.datetime64(fixed.search_to), side="right"))
    sealed = len(panel.dates) - int(np.searchsorted(panel.dates, np.datetime64(fixed.sealed_from)))
    if searched < LEAST_DAYS or sealed < 1:
        return (
            f"the days of this market's split (searched to {fixed.search_to}, sealed from "
            f"{fixed.sealed_from}) are not in these data"
        )
    first, last = panel.dates[[0, -1]].tolist()
    return Seal(first, fixed.search_to, fixed.sealed_from, last, searched, sealed, panel)
