"""Simulate a handful of expressions and keep the best: `python -m examples.use_the_library`.

No Prefect, no server and no account; the prices are synthetic, with known effects in them.
"""

from __future__ import annotations

from pathlib import Path

from alphafoundry.market import load_market
from alphafoundry.simulation import SimulationSettings, Simulator

EXPRESSIONS = (
    "rank(-ts_delta(close, 5))",
    "rank(-ts_mean(returns, 5))",
    "rank(ts_mean(returns, 250) - ts_mean(returns, 20))",
    "group_rank(-ts_std_dev(returns, 20), sector)",
)


def main() -> None:
    simulator = Simulator(load_market("calibration", cache_dir=Path(".foundry/cache")))
    settings = SimulationSettings(decay=4)
    results = [simulator.simulate(text, settings) for text in EXPRESSIONS]
    for result in sorted(results, key=lambda one: one.statistics.fitness, reverse=True):
        found = result.statistics
        print(f"fitness {found.fitness:6.2f}  sharpe {found.sharpe:6.2f}  {result.expression}")


if __name__ == "__main__":
    main()
