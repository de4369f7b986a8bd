"""A strategy of one's own, alone and in a search: `python -m examples.own_strategy`.

A workflow in YAML names it as `module: examples.own_strategy:STREAK`.
"""

from __future__ import annotations

import numpy as np

from alphafoundry.backtest import Bars, Parameter, Strategy, backtest, run_trials
from alphafoundry.backtest.strategy import Values


def _fill(bars: Bars, values: Values, out: np.ndarray) -> None:
    """Buy after `days` falls in a row, until the first rise; `out` is days x names."""
    close = bars.close
    out[:] = 0.0
    falls = np.zeros(close.shape[1], dtype=int)
    for day in range(1, len(close)):
        falls = np.where(close[day] < close[day - 1], falls + 1, 0)
        out[day] = np.where(falls >= values["days"], 1.0, 0.0)


STREAK = Strategy(
    name="streak",
    parameters={"days": Parameter("int", 3, 1, 20)},
    description="buys after so many falls in a row",
    fill=_fill,
)
