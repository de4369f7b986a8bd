"""What a simulation found, and how it prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import Expression
from alphafoundry.simulation.breakdowns import Breakdown
from alphafoundry.simulation.checks import Check
from alphafoundry.simulation.pnl import DailyPnl
from alphafoundry.simulation.record_sets import RecordSet, make_record_set, record_set_names
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.statistics import Statistics, YearStatistics, grade


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What a simulation found.

    Attributes
    ----------
    expression, settings : what was simulated
    panel_label : the market, in one line
    data : what was changed in its bars or left out of them, a sentence each
    days : dates, daily PnL and sizes of the book from the first position on
    statistics : of the days before the test period, which are all days where there is none
    train, test : of both parts, None without a test period
    yearly : by calendar year
    checks : BRAIN's checks
    warnings : texts of the unit check
    notes : what a person should know of the data, such as a universe that is smaller
    breakdowns : sector, industry and capitalization to the parts of the book, those that the
        market knows; empty where the setting visualization is off
    planted : planted effect to the share of the PnL that its expected return explains; None on
        a market whose truth is not known
    expected_sharpe : Sharpe that the planted effects lead one to expect; None as `planted`
    positions : weights, shape (n_days, n_instruments); row t earns the returns of dates[t].
        None where they were not kept
    """

    expression: Expression
    settings: SimulationSettings
    panel_label: str
    days: DailyPnl
    statistics: Statistics
    yearly: tuple[YearStatistics, ...]
    checks: tuple[Check, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    train: Statistics | None = None
    test: Statistics | None = None
    breakdowns: Mapping[str, Breakdown] = field(default_factory=dict)
    planted: Mapping[str, float] | None = None
    expected_sharpe: float | None = None
    positions: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """Days from the first position on, datetime64[D] of shape (n_days,)."""
        return self.days.dates

    @property
    def daily_pnl(self) -> NDArray[np.float64]:
        """Dollars earned on each day, shape (n_days,)."""
        return self.days.pnl

    @property
    def grade(self) -> str:
        """BRAIN's rating by fitness."""
        return grade(self.statistics.fitness, self.settings.delay)

    @property
    def record_set_names(self) -> tuple[str, ...]:
        """Names that `record_set` knows."""
        return record_set_names(self)

    def record_set(self, name: str) -> RecordSet:
        """Return one table in BRAIN's form; KeyError where there is none of that name."""
        return make_record_set(self, name)

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def _lines(result: SimulationResult) -> list[str]:
    periods = [("all", result.statistics)]
    periods += [("train", result.train)] if result.train else []
    periods += [("test", result.test)] if result.test else []
    by_year = [(str(year.year), year.statistics) for year in result.yearly]
    failed = [check.name for check in result.checks if check.result == "FAIL"]
    settings = result.settings
    lines = [
        result.expression.text,
        result.panel_label,
        f"{settings.universe}, delay {settings.delay}, decay {settings.decay}, "
        f"{settings.neutralization}, truncation {settings.truncation:g}",
        f"{'':8}{'sharpe':>8}{'fitness':>9}{'turnover':>10}{'returns':>9}{'drawdown':>10}"
        f"{'margin':>9}{'long':>6}{'short':>7}{'pnl':>14}",
        *(_row(name, found) for name, found in [*periods, *by_year]),
        f"grade {result.grade}, failed checks: {', '.join(failed) if failed else 'none'}",
    ]
    if result.planted is not None:
        shares = ", ".join(f"{effect} {share:.0%}" for effect, share in result.planted.items())
        lines.append(f"planted effects explain {shares} of the pnl")
    lines += [f"data: {text}" for text in result.data]
    lines += [f"warning: {text}" for text in result.warnings]
    return lines + [f"note: {text}" for text in result.notes]


def _row(name: str, found: Statistics) -> str:
    return (
        f"{name:8}{found.sharpe:8.2f}{found.fitness:9.2f}{found.turnover:10.1%}"
        f"{found.returns:9.1%}{found.drawdown:10.1%}{found.margin * 1e4:6.1f} bp"
        f"{found.long_count:6.0f}{found.short_count:7.0f}{found.pnl:14,.0f}"
    )
