"""Whether a market can carry research on alphas, told before a budget is spent on it."""

from __future__ import annotations

import numpy as np

from alphafoundry.errors import MarketError
from alphafoundry.market.panel import Panel
from alphafoundry.market.universe import UNIVERSE_SIZES, universe_mask

LEAST_DAYS = 500
"""Days from the first position on that a simulation must have."""
LEAST_NAMES = 2
_ALTERNATIVES = "choose a wider market, such as calibration or a file of many names"


def require_suitable(
    panel: Panel, *, universe: str, least_days: int = LEAST_DAYS, least_names: int = LEAST_NAMES
) -> None:
    """Raise MarketError where alphas cannot be simulated on a market.

    Parameters
    ----------
    universe : of the simulations: TOP3000, TOP1000, TOP500 or TOP200
    least_days : days with positions that a simulation must have
    least_names : names that a day must have for a ranking or a neutralization to say anything

    Refused are: fewer names than `least_names`; no volume where the universe takes the most
    traded of more names than it holds; a universe in which fewer than `least_days` days have as
    many names with a price, or whose days have so few.
    """
    days, names = panel.shape
    if names < least_names:
        only = f" ({panel.symbols[0]})" if names == 1 else ""
        raise MarketError(
            f"{panel.label}: {names} name{'s' if names != 1 else ''}{only} cannot be ranked "
            f"against others; alphas need at least {least_names}: {_ALTERNATIVES}, or test one "
            "series with a strategy (docs/coordinator.md)"
        )
    if days < least_days:
        raise MarketError(
            f"{panel.label}: {days} days are too few, a simulation needs {least_days} days from "
            "its first position on; give a longer history"
        )
    size = UNIVERSE_SIZES.get(universe)
    if size is not None and names > size and "volume" not in panel.fields:
        wider = [name for name, limit in UNIVERSE_SIZES.items() if limit >= names]
        choice = f"choose universe {wider[-1]}, which takes all names" if wider else _ALTERNATIVES
        raise MarketError(
            f"{panel.label}: there is no volume to find the {size} most traded of {names} names "
            f"by ({universe}); {choice}, or give a file with volume"
        )
    mask, _ = universe_mask(panel, universe)
    priced = mask & ~np.isnan(panel.fields["close"])
    wide = int(np.count_nonzero(priced.sum(axis=1) >= least_names))
    if wide < least_days:
        raise MarketError(
            f"{panel.label}: only {wide} days have {least_names} or more names of {universe} with "
            f"a price, a simulation needs {least_days}; {_ALTERNATIVES}"
        )
