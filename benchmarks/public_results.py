"""Statistics of BRAIN beside ours: formulas on published numbers, turnover simulated here.

    python -m benchmarks.public_results [--results FILE] [--market FILE] [--sectors FILE]

The results are those that users of WorldQuant BRAIN published; the file is no part of this
project. The market is real daily bars of US stocks, of other years than BRAIN's and without the
names that died. So formulas can be held to the last digit, turnover, which hardly depends on the
years, to some per cent, and Sharpe ratios not at all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.results_file import write_result

DATA = Path(os.environ.get("FOUNDRY_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
RESULTS = DATA.parent / "brain" / "public_results.json"
MARKET = DATA / "us_top3000_2012_2017.parquet"
SECTORS = DATA / "us_top3000_sectors.csv"

Row = Mapping[str, Any]

DIGITS = {"sharpe": 2, "fitness": 2, "turnover": 4, "returns": 4, "margin": 6}
"""Decimals that BRAIN shows."""


def read_results(path: Path) -> list[Row]:
    """Return the published alphas: expression, settings and statistics."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def fits(found: Iterable[float], shown: float, decimals: int) -> bool:
    """Whether a number that rounds to the shown one lies between those found."""
    half = 0.5 * 10.0**-decimals
    values = list(found)
    return min(values) - half <= shown + 1e-12 and shown - 1e-12 <= max(values) + half


def between(row: Row, *names: str) -> Iterable[tuple[float, ...]]:
    """Yield the corners of what the shown numbers were before they were rounded."""
    halves = (0.5 * 10.0 ** -DIGITS[name] for name in names)
    ends = [(row[name] - half, row[name] + half) for name, half in zip(names, halves, strict=True)]
    return product(*ends)


def fitness_fits(row: Row) -> bool:
    """Whether our formula gives the published fitness, up to rounding."""
    from alphafoundry.simulation.statistics import fitness

    found = [fitness(*corner) for corner in between(row, "sharpe", "returns", "turnover")]
    return fits(found, row["fitness"], DIGITS["fitness"])


def margin_fits(row: Row, days_a_year: float) -> bool:
    """Whether the published margin is that of returns annualised by so many days."""
    corners = between(row, "returns", "turnover")
    found = [returns / (2.0 * days_a_year * turnover) for returns, turnover in corners]
    return fits(found, row["margin"], DIGITS["margin"])


def simulated_turnovers(rows: Iterable[Row], market: Path, sectors: Path) -> list[float]:
    """Return our turnover of each alpha, NaN where this market cannot simulate it."""
    from alphafoundry.errors import FoundryError
    from alphafoundry.market import load_market
    from alphafoundry.simulation import EvaluatorCache, SimulationSettings, simulate

    found = []
    with tempfile.TemporaryDirectory() as folder:
        panel = load_market(str(market), cache_dir=Path(folder), sectors=sectors)
        shared = EvaluatorCache(panel)
        for row in rows:
            settings = SimulationSettings(**row["settings"])
            try:
                result = simulate(
                    row["expression"], panel, settings, evaluator=shared, keep_positions=False
                )
                found.append(result.statistics.turnover)
            except FoundryError:
                found.append(math.nan)
    return found


def log_correlation(ours: list[float], theirs: list[float]) -> float:
    """Return the correlation of the logarithms."""
    return statistics.correlation([math.log(x) for x in ours], [math.log(x) for x in theirs])


def table(rows: list[Row], turnovers: list[float]) -> list[dict[str, Any]]:
    """Return one row per fact: what is compared, on how many alphas, and how near it is."""
    pairs = [
        (ours, row["turnover"])
        for ours, row in zip(turnovers, rows, strict=True)
        if ours > 0.0 and row["turnover"] > 0.0
    ]
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    earning = [row for row in rows if row["returns"] and row["turnover"]]
    found: list[dict[str, Any]] = [
        {
            "what": "fitness by our formula, within rounding",
            "alphas": len(rows),
            "found": sum(map(fitness_fits, rows)),
        },
        *(
            {
                "what": f"margin, returns of a year of {days} days, within rounding",
                "alphas": len(earning),
                "found": sum(margin_fits(row, days) for row in earning),
            }
            for days in (250, 252)
        ),
    ]
    if ratios:
        ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
        for what, value in (
            ("turnover here over BRAIN's, median", statistics.median(ratios)),
            ("the same, least", ratios[0]),
            ("the same, most", ratios[-1]),
            ("correlation of the logarithms of both", log_correlation(ours, theirs)),
        ):
            found.append({"what": what, "alphas": len(pairs), "found": round(value, 3)})
    return found


def main() -> None:
    """Print the table and write `benchmarks/results/public.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.public_results", allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--market", type=Path, default=MARKET)
    parser.add_argument("--sectors", type=Path, default=SECTORS)
    given = parser.parse_args()
    for path in (given.results, given.market, given.sectors):
        if not path.is_file():
            parser.exit(2, f"{path}: no such file; give it with --results, --market, --sectors\n")
    rows = read_results(given.results)
    found = table(rows, simulated_turnovers(rows, given.market, given.sectors))
    width = max(len(row["what"]) for row in found)
    for row in found:
        sys.stdout.write(f"{row['what']:{width}}  {row['alphas']:4}  {row['found']}\n")
    sys.stdout.write(f"{write_result('public', found, ['numpy', 'numba'])}\n")


if __name__ == "__main__":
    main()
