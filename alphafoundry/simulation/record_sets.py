"""Tables of a simulation, in the form of GET /alphas/{id}/recordsets/{name}."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from alphafoundry.finance.statistics import sharpe
from alphafoundry.simulation.breakdowns import Breakdown
from alphafoundry.simulation.pnl import BOOK, DailyPnl
from alphafoundry.simulation.statistics import YearStatistics, yearly

RecordSet = dict[str, object]


class Simulated(Protocol):
    """What the tables are made of: a `SimulationResult`."""

    @property
    def days(self) -> DailyPnl: ...
    @property
    def yearly(self) -> tuple[YearStatistics, ...]: ...
    @property
    def breakdowns(self) -> Mapping[str, Breakdown]: ...
    @property
    def planted(self) -> Mapping[str, float] | None: ...


_YEARLY = (
    ("pnl", "amount"),
    ("bookSize", "amount"),
    ("longCount", "integer"),
    ("shortCount", "integer"),
    ("turnover", "percent"),
    ("sharpe", "decimal"),
    ("returns", "percent"),
    ("drawdown", "percent"),
    ("margin", "permyriad"),
    ("fitness", "decimal"),
)


def record_set(
    name: str, title: str, columns: Sequence[tuple[str, str]], rows: object
) -> RecordSet:
    """Return BRAIN's object: a schema with (name, type) per column, and the records."""
    properties = [
        {
            "name": column,
            "title": _title(column),
            "type": kind,
        }
        for column, kind in columns
    ]
    return {"schema": {"name": name, "title": title, "properties": properties}, "records": rows}


def _title(column: str) -> str:
    return "PnL" if column == "pnl" else re.sub(r"(?=[A-Z])", " ", column).capitalize()


def _clean(value: float, digits: int = 4) -> float | None:
    return None if math.isnan(value) else round(float(value), digits)


def _pnl(result: Simulated) -> RecordSet:
    total = np.cumsum(result.days.pnl)
    rows = [[str(day), round(float(v), 2)] for day, v in zip(result.days.dates, total, strict=True)]
    return record_set("pnl", "PnL", [("date", "date"), ("pnl", "amount")], rows)


def _daily(result: Simulated) -> RecordSet:
    rows = [[str(day), float(v)] for day, v in zip(result.days.dates, result.days.pnl, strict=True)]
    return record_set("daily-pnl", "Daily PnL", [("date", "date"), ("pnl", "amount")], rows)


def _turnover(result: Simulated) -> RecordSet:
    rows = [
        [str(day), round(float(v) / BOOK, 6)]
        for day, v in zip(result.days.dates, result.days.traded, strict=True)
    ]
    return record_set("turnover", "Turnover", [("date", "date"), ("turnover", "percent")], rows)


def _sharpe(result: Simulated) -> RecordSet:
    rows = [[year.year, _clean(year.statistics.sharpe, 2)] for year in yearly(result.days)]
    return record_set("sharpe", "Sharpe", [("year", "year"), ("sharpe", "decimal")], rows)


def _yearly(result: Simulated) -> RecordSet:
    rows = []
    for year in result.yearly:
        shown = year.statistics.to_brain()
        rows.append([year.year, *(shown[name] for name, _ in _YEARLY), year.stage])
    columns = [("year", "year"), *_YEARLY, ("stage", "string")]
    return record_set("yearly-stats", "Yearly stats", columns, rows)


def _coverage(result: Simulated) -> RecordSet:
    held = result.days.longs + result.days.shorts
    rows = [[str(day), int(v)] for day, v in zip(result.days.dates, held, strict=True)]
    return record_set("coverage", "Coverage", [("date", "date"), ("coverage", "integer")], rows)


def _by_part(result: Simulated, name: str) -> RecordSet:
    """Return a table such as pnl-by-sector."""
    what, _, level = name.partition("-by-")
    title, column, kind, values = _PARTS[what]
    parts = result.breakdowns[level]
    rows = [
        list(row) for row in zip(parts.names, values(parts, result.days.bars_a_year), strict=True)
    ]
    return record_set(name, f"{title} by {level}", [(level, "string"), (column, kind)], rows)


_PARTS: Mapping[str, tuple[str, str, str, Callable[[Breakdown, float], list[float | None]]]] = {
    "pnl": (
        "PnL",
        "pnl",
        "amount",
        lambda parts, _: [round(float(x.sum()), 2) for x in parts.pnl.T],
    ),
    "sharpe": (
        "Sharpe",
        "sharpe",
        "decimal",
        lambda parts, year: [_clean(sharpe(pnl, year), 2) for pnl in parts.pnl.T],
    ),
    "average-size": (
        "Average size",
        "averageSize",
        "amount",
        lambda parts, _: [_clean(value, 2) for value in parts.size.tolist()],
    ),
    "coverage": (
        "Coverage",
        "coverage",
        "decimal",
        lambda parts, _: [_clean(value, 2) for value in parts.held.tolist()],
    ),
}
"""What a table by parts shows to its title, column, type and values, from the parts and the bars
of a year."""


def _planted(result: Simulated) -> RecordSet:
    rows = [[effect, _clean(share)] for effect, share in (result.planted or {}).items()]
    columns = [("effect", "string"), ("share", "percent")]
    return record_set("planted-effects", "Share of PnL by planted effect", columns, rows)


_TABLES: dict[str, Callable[[Simulated], RecordSet]] = {
    "pnl": _pnl,
    "daily-pnl": _daily,
    "sharpe": _sharpe,
    "turnover": _turnover,
    "yearly-stats": _yearly,
    "coverage": _coverage,
    "planted-effects": _planted,
}


def record_set_names(result: Simulated) -> tuple[str, ...]:
    """Return the names of the tables that this simulation has."""
    own = tuple(name for name in _TABLES if name != "planted-effects")
    planted = () if result.planted is None else ("planted-effects",)
    by_part = (
        f"{what}-by-{level}"
        for level in result.breakdowns
        for what in _PARTS
        # The service has no coverage by capitalization.
        if (what, level) != ("coverage", "capitalization")
    )
    return (*own, *by_part, *planted)


def make_record_set(result: Simulated, name: str) -> RecordSet:
    """Return one table; KeyError where the simulation does not have it."""
    if name not in record_set_names(result):
        raise KeyError(name)
    return _TABLES[name](result) if name in _TABLES else _by_part(result, name)
