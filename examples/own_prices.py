"""Simulate an expression on prices of one's own: `python -m examples.own_prices [FILE]`.

Any DataFrame with date, symbol and close does; what else is known (open, high, low, volume, cap)
makes more fields. Without a file, prices are made up here, and the report says so.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from alphafoundry.expressions import evaluate
from alphafoundry.simulation import SimulationSettings, simulate


def made_up(days: int = 600, names: int = 60) -> pd.DataFrame:
    """Return random walks in long format: a row for each day and name."""
    random = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, (days, names)), axis=0))
    table = pd.DataFrame(
        close,
        index=pd.bdate_range("2022-01-03", periods=days, name="date"),
        columns=pd.Index([f"N{number:03}" for number in range(names)], name="symbol"),
    )
    long = table.reset_index().melt(id_vars="date", var_name="symbol", value_name="close")
    return long.assign(volume=random.integers(10_000, 1_000_000, len(long)))


def main() -> None:
    bars = pd.read_parquet(sys.argv[1]) if len(sys.argv) > 1 else made_up()
    close = bars.pivot(index="date", columns="symbol", values="close")
    values = evaluate("rank(-ts_delta(close, 5))", {"close": close})
    print(pd.DataFrame(values, close.index, close.columns).iloc[-3:, :5].round(3))
    if len(sys.argv) == 1:
        print("\nSYNTHETIC random walks: nothing is to be found in them")
    print(simulate("rank(-ts_delta(close, 5))", bars, SimulationSettings(neutralization="MARKET")))


if __name__ == "__main__":
    main()
