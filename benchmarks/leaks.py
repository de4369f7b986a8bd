"""What a market would give to somebody who sees the future, by alphas that look at it on purpose.

Levels of adjusted prices and volumes know later splits and dividends; who has bars to the end knows
who survives; tomorrow's return is what no alpha may know. An honest market of many names gives the
first two nothing; on one of survivors, or of prices adjusted afterwards, they look like skill.

    python -m benchmarks.leaks [--market PATH] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import FoundryError
from alphafoundry.expressions import DEFAULT_FIELDS, check
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.market import Panel, load_market
from alphafoundry.simulation import SimulationSettings, Simulator
from alphafoundry.simulation.pnl import daily_pnl
from alphafoundry.simulation.statistics import Statistics, statistics
from alphafoundry.simulation.weights import to_weights

LEVELS = ("inverse(close)", "rank(close)", "-rank(close)", "rank(volume)", "inverse(adv20)")
SETTINGS = SimulationSettings(universe="TOP3000", neutralization="MARKET", truncation=0.05)
ALIVE_DAYS = 5


@dataclass(frozen=True)
class Leak:
    """What one way to see the future gives.

    Attributes
    ----------
    name : the expression, or what is seen
    sharpe, fitness : dimensionless; returns, turnover : fractions
    warned : whether the check of an expression warns of it; None for what no expression can see
    """

    name: str
    sharpe: float
    fitness: float
    returns: float
    turnover: float
    warned: bool | None


def find_leaks(panel: Panel) -> list[Leak]:
    """Return what each way to see the future gives on this market, levels first."""
    simulator = Simulator(panel)
    found = []
    for expression in LEVELS:
        if ("volume" in expression or "adv20" in expression) and "volume" not in panel.fields:
            continue
        result = simulator.simulate(expression, SETTINGS)
        found.append(_leak(expression, result.statistics, _warned(expression)))
    known = ~np.isnan(panel.fields["close"])
    days, names = known.shape
    first = np.where(known.any(axis=0), known.argmax(axis=0), days)
    last = days - 1 - known[::-1].argmax(axis=0)
    seen = {
        "has bars to the end": (last >= days - ALIVE_DAYS).astype(float),
        "listed late": first.astype(float),
    }
    for name, signal in seen.items():
        if len(np.unique(signal)) > 1:
            values = np.where(known, np.broadcast_to(signal, (days, names)), np.nan)
            found.append(_leak(name, _held(panel, values), None))
    ahead = np.full_like(panel.fields["returns"], np.nan)
    ahead[:-2] = panel.fields["returns"][2:]
    found.append(_leak("the return to be earned", _held(panel, ahead), None))
    return found


def _warned(expression: str) -> bool:
    return COMPARES_LEVELS in check(expression, DEFAULT_FIELDS, levels=True)


def _held(panel: Panel, values: NDArray[np.float64]) -> Statistics:
    weights = to_weights(values, groups=panel.groups["market"], truncation=SETTINGS.truncation)
    days = daily_pnl(weights, panel.fields["returns"], panel.dates, delay=SETTINGS.delay)
    return statistics(days.between(days.first_held, len(days)))


def _leak(name: str, found: Statistics, warned: bool | None) -> Leak:
    return Leak(name, found.sharpe, found.fitness, found.returns, found.turnover, warned)


def main() -> int:
    """Print the table; return 0, or 2 after a mistake."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__)
    parser.add_argument("--market", default="calibration", help="a name or a file's path")
    parser.add_argument("--cache", type=Path, default=Path(".foundry"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        panel = load_market(options.market, cache_dir=options.cache)
        leaks = find_leaks(panel)
    except FoundryError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 2
    screen = panel.screen()
    if options.json:
        alive = {"alive": screen.alive, "names": screen.names}
        print(json.dumps({"market": panel.label, **alive, "leaks": [asdict(x) for x in leaks]}))
        return 0
    print(panel.label)
    print(f"{screen.alive} of {screen.names} names have bars to the end\n")
    print(f"{'what is seen':26}{'sharpe':>8}{'fitness':>9}{'returns':>9}{'turnover':>10}  warned")
    for one in leaks:
        warned = "" if one.warned is None else "yes" if one.warned else "no"
        print(
            f"{one.name:26}{one.sharpe:8.2f}{one.fitness:9.2f}{one.returns:9.1%}"
            f"{one.turnover:10.1%}  {warned}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
