"""Whether a strategy's signals know the future."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alphafoundry.backtest.strategy import Strategy
from alphafoundry.backtest.trials import signals_of
from alphafoundry.finance.bars import Bars

CUTS = (0.5, 0.8)
"""Shares of the days after which the data is cut."""

SAME = 1e-9
"""Signals that differ by less are the same; sums over more days may round otherwise."""


def look_ahead(bars: Bars, strategy: Strategy, parameters: Mapping[str, object]) -> str | None:
    """Return what shows that the strategy looks ahead, None where nothing does.

    The data is cut after several days; a signal of a day before the cut must be what it is with
    all days. A strategy that draws random numbers without a seed is found, too. What the strategy
    raises is raised.
    """
    whole = signals_of(bars, strategy, parameters)
    for share in CUTS:
        days = int(share * len(bars.days))
        if days < 2:
            continue
        cut = signals_of(bars.between(0, days), strategy, parameters)
        changed = np.abs(np.nan_to_num(cut) - np.nan_to_num(whole[:days])) > SAME
        if changed.any():
            day, name = np.argwhere(changed)[0]
            return (
                f"the signal of {bars.symbols[name]} on {bars.days[day]} is "
                f"{whole[day, name]:g} with all days and {cut[day, name]:g} with the days to "
                f"{bars.days[days - 1]}"
            )
    return None
