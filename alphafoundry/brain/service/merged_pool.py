"""The account's submitted alphas as one book, before and after one more alpha."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.brain.service.service_store import State
from alphafoundry.finance.statistics import sharpe
from alphafoundry.market.frequency import DAYS_A_YEAR
from alphafoundry.simulation.pnl import BOOK
from alphafoundry.simulation.record_sets import record_set
from alphafoundry.simulation.statistics import annual_returns, drawdown, fitness

Pnl = NDArray[np.float64]

_COUNTS = ("longCount", "shortCount")


def before_and_after(state: State, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the merged pool stands without and with an alpha, as BRAIN's JSON object.

    Each alpha has the same share of the book. The pool's turnover is the mean of its alphas', which
    leaves out what their trades cancel. `score` is the pool's Sharpe ratio, 0 for an empty pool;
    BRAIN does not publish its own formula.
    """
    pool = [other for other in state.alphas.submitted() if other["id"] != document["id"]]
    pool = [other for other in pool if other["type"] == document["type"]]
    days, lines = _aligned(state, [*pool, document])
    before = _stats(days, lines[:-1], pool)
    after = _stats(days, lines, [*pool, document])
    return {
        "stats": {"before": before, "after": after},
        "yearlyStats": {
            "before": _yearly(days, lines[:-1], pool),
            "after": _yearly(days, lines, [*pool, document]),
        },
        "pnl": record_set(
            "pnl",
            "PnL",
            [("date", "date"), ("before", "amount"), ("after", "amount")],
            [
                [str(day), round(one, 2), round(other, 2)]
                for day, one, other in zip(
                    days,
                    np.cumsum(_mean(lines[:-1], len(days))).tolist(),
                    np.cumsum(_mean(lines, len(days))).tolist(),
                    strict=True,
                )
            ],
        ),
        "score": {"before": before["sharpe"] or 0.0, "after": after["sharpe"] or 0.0},
        "competition": None,
    }


def _aligned(
    state: State, documents: Sequence[Mapping[str, Any]]
) -> tuple[NDArray[np.datetime64], list[Pnl]]:
    """Return the days of all alphas, and the dollars of each on them, 0 where it has none."""
    found = [state.alphas.pnl(document["id"]) for document in documents]
    days = np.unique(np.concatenate([dates for dates, _ in found]))
    lines = []
    for dates, dollars in found:
        line = np.zeros(len(days))
        line[np.searchsorted(days, dates)] = np.nan_to_num(dollars)
        lines.append(line)
    return days, lines


def _mean(lines: Sequence[Pnl], length: int) -> Pnl:
    return np.mean(lines, axis=0) if lines else np.zeros(length)


def _stats(
    days: NDArray[np.datetime64], lines: Sequence[Pnl], documents: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    daily = _mean(lines, len(days))
    total = float(daily.sum())
    ratio = sharpe(daily, DAYS_A_YEAR) if lines else math.nan
    earned = annual_returns(total, len(daily)) if lines else math.nan
    traded = _mean_of(documents, "turnover")
    turnover = math.nan if traded is None else traded
    dollars = turnover * BOOK * len(daily)
    counts = {name: _mean_of(documents, name) for name in _COUNTS}
    return {
        "pnl": round(total),
        "bookSize": round(BOOK),
        **{name: None if count is None else round(count) for name, count in counts.items()},
        "turnover": _rounded(turnover, 4),
        "returns": _rounded(earned, 4),
        "drawdown": _rounded(drawdown(daily) if lines else math.nan, 4),
        "margin": _rounded(total / dollars if dollars > 0 else math.nan, 6),
        "sharpe": _rounded(ratio, 2),
        "fitness": _rounded(fitness(ratio, earned, turnover), 2),
    }


def _yearly(
    days: NDArray[np.datetime64], lines: Sequence[Pnl], documents: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    years = days.astype("datetime64[Y]")
    rows = []
    names: list[str] = []
    for year in np.unique(years):
        inside = years == year
        found = _stats(days[inside], [line[inside] for line in lines], documents)
        names = list(found)
        rows.append([str(year), *found.values()])
    columns = [("year", "year"), *((name, "decimal") for name in names)]
    return record_set("yearly-stats", "Yearly stats", columns, rows)


def _mean_of(documents: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [document["is"].get(name) for document in documents]
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
