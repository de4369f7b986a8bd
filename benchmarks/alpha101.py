"""The 101 Formulaic Alphas on a real market: `docs/alpha101.md`.

python -m benchmarks.alpha101 [--market PATH] [--out docs/alpha101.md]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

from alphafoundry.errors import FoundryError
from alphafoundry.market import load_market
from alphafoundry.research.known_formulas import alpha101
from alphafoundry.simulation import SimulationSettings
from alphafoundry.simulation.simulator import Simulator

SETTINGS = SimulationSettings(neutralization="MARKET")


def main() -> None:
    """Simulate every alpha and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alpha101", description=__doc__)
    default = "../shared/data/us_top3000_2012_2017.parquet"
    parser.add_argument("--market", default=default, help=f"panel (default: {default})")
    parser.add_argument("--out", type=Path, default=Path("docs/alpha101.md"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        panel = load_market(arguments.market, cache_dir=Path(folder), progress=print)
    simulator = Simulator(panel)
    rows = []
    start = time.perf_counter()
    for number, text in alpha101().items():
        try:
            found = simulator.simulate(text, SETTINGS).statistics
            numbers = (found.sharpe, found.fitness, 100 * found.turnover, 100 * found.returns)
            cells = " | ".join("" if math.isnan(v) else f"{v:.2f}" for v in numbers)
        except FoundryError as problem:
            cells = f"{problem} | | |"
        rows.append(f"| {number} | {cells} |")
    seconds = time.perf_counter() - start
    arguments.out.write_text(
        "# The 101 Formulaic Alphas\n\n"
        "Written by `python -m benchmarks.alpha101` from `alphafoundry/research/alpha101.txt` "
        "(Kakushadze 2015).\n\n"
        f"Market: {panel.label}. Delay {SETTINGS.delay}, decay {SETTINGS.decay}, neutralization "
        f"{SETTINGS.neutralization}, truncation {SETTINGS.truncation:g}, before costs. vwap is the "
        "typical price where the source has none. Names that died before the end are missing from "
        "this file, so the figures show that the engine runs, not what can be earned. Alpha 56 "
        f"needs cap. {len(rows)} simulations took {seconds:.0f} s.\n\n"
        "| Alpha | Sharpe | Fitness | Turnover % | Returns % |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n",
        encoding="utf-8",
    )
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
