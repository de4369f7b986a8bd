"""What a report shows of measured days: returns by month, beside those of buying and holding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest import Bars, buy_and_hold, metrics_of
from alphafoundry.coordinator.batches import metrics_by_name
from alphafoundry.coordinator.phase_outputs import Benchmark
from alphafoundry.runs import Table

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def metrics_of_days(bars: Bars, daily: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the metrics of returns alone, which say nothing of trading: its numbers are None."""
    found = metrics_by_name(metrics_of(daily, bars_a_year=bars.bars_a_year))
    return {**found, "trades": None}


def benchmark_of(bars: Bars, rows: Sequence[int] | NDArray[np.int64], capital: float) -> Benchmark:
    """Return what buying and holding all names gave on these rows, ascending."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    held, names = buy_and_hold(bars, first, last)
    daily = held[np.asarray(rows) - first]
    return Benchmark(
        metrics=metrics_of_days(bars, daily),
        values=(capital * np.cumprod(1.0 + daily)).tolist(),
        names=names,
    )


def by_month(days: Sequence[str], daily: NDArray[np.float64]) -> dict[str, float]:
    """Return month, as 2020-01, to its compounded return."""
    months = np.array([day[:7] for day in days])
    found, starts = np.unique(months, return_index=True)
    growth = np.multiply.reduceat(1.0 + daily, starts)
    return dict(zip(found.tolist(), (growth - 1.0).tolist(), strict=True))


def monthly_table(phase: str, monthly: Mapping[str, float]) -> Table:
    """Return a row per year and a column per month; months without a measured day are empty."""
    rows = []
    for year in dict.fromkeys(month[:4] for month in monthly):
        own = {month[5:]: value for month, value in monthly.items() if month[:4] == year}
        total = float(np.prod([1.0 + value for value in own.values()])) - 1.0
        cells = {name: _shown(own.get(f"{place:02d}")) for place, name in enumerate(MONTHS, 1)}
        rows.append({"year": year, **cells, "all": _shown(total)})
    return Table(f"Returns by month of {phase}, %", rows, places=frozenset({"terminal", "page"}))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{round(100.0 * value, 1) + 0.0:.1f}"
