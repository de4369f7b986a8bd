"""A strategy of one's own, alone and in a search: `python -m examples.own_strategy`.

A workflow in YAML names it as `type: examples.own_strategy:STREAK`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alphafoundry.backtest import Bars, Parameter, Strategy, backtest, run_trials
from alphafoundry.backtest.strategy import Values
from alphafoundry.market import load_market


def _fill(bars: Bars, values: Values, out: np.ndarray) -> None:
    """Hold a name after `days` falls in a row, until its first rise; `out` is names x days."""
    close = bars.close
    days = int(values["days"])
    falls = np.zeros(close.shape[1], dtype=int)
    out[:] = 0.0
    for day in range(1, len(close)):
        falls = np.where(close[day] < close[day - 1], falls + 1, 0)
        out[:, day] = falls >= days


STREAK = Strategy(
    name="streak",
    parameters={"days": Parameter("int", 3, 1, 20)},
    description="buys after so many falls in a row",
    fill=_fill,
)


def main() -> None:
    bars = Bars.from_panel(load_market("calibration", cache_dir=Path(".foundry/cache")))
    print(bars.label)
    print(backtest(bars, STREAK, {"days": 3}).statistics)
    tried = run_trials(bars, STREAK, [{"days": days} for days in range(1, 11)])
    for trial in sorted(tried, key=lambda one: one.metrics.sharpe, reverse=True)[:3]:
        print(f"{trial.parameters}  sharpe {trial.metrics.sharpe:.2f}")


if __name__ == "__main__":
    main()
