"""A whole simulation: expression to values, weights, daily PnL, statistics and checks."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.expressions import Evaluator, Expression, check, parse
from alphafoundry.market.panel import Panel
from alphafoundry.market.universe import UNIVERSE_SIZES, universe_mask
from alphafoundry.simulation.checks import Account, Check, checks_of
from alphafoundry.simulation.pnl import BOOK, DailyPnl, daily_pnl
from alphafoundry.simulation.record_sets import RecordSet, make_record_set, record_set_names
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.statistics import (
    Statistics,
    YearStatistics,
    sharpe,
    statistics,
    yearly,
)
from alphafoundry.simulation.weights import neutralization_groups, to_weights

LEAST_DAYS = 500
"""Days after the first position that a simulation must have."""

Mask = NDArray[np.bool_]


class SimulationError(FoundryError):
    """The simulation cannot give a result; the message is BRAIN's text where it has one."""


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What a simulation found.

    Attributes
    ----------
    expression, settings : what was simulated
    panel_label : the market, in one line
    days : dates, daily PnL and positions from the first position on
    statistics : of the whole period; train, test : of its parts, None without a test period
    yearly : by calendar year
    checks : BRAIN's checks
    warnings : texts of the unit check
    notes : what a person should know of the data, such as a universe that is smaller
    sector_pnl : sector to daily dollars, shape (n_days,); None without sectors
    planted : planted effect to the share of the PnL that its expected return explains; None on
        a market whose truth is not known
    positions : weights of shape (n_days of the panel, n_instruments); None unless asked for
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
    train: Statistics | None = None
    test: Statistics | None = None
    sector_pnl: Mapping[str, NDArray[np.float64]] | None = None
    planted: Mapping[str, float] | None = None
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
    def record_set_names(self) -> tuple[str, ...]:
        """Names that `record_set` knows."""
        return record_set_names(self)

    def record_set(self, name: str) -> RecordSet:
        """Return one table in BRAIN's form; KeyError where there is none of that name."""
        return make_record_set(self, name)

    def __repr__(self) -> str:
        found = self.statistics
        failed = [one.name for one in self.checks if one.result == "FAIL"]
        lines = [
            f"{self.expression.text}",
            f"  {self.panel_label}",
            f"  {found.start_date} to {found.end_date}",
            f"  sharpe {found.sharpe:8.2f}   fitness  {found.fitness:8.2f}   "
            f"turnover {found.turnover:8.1%}",
            f"  returns {found.returns:7.1%}   drawdown {found.drawdown:8.1%}   "
            f"margin {found.margin * 1e4:7.2f} bp",
            f"  pnl {found.pnl:15,.0f}   long {found.long_count:.0f}, short {found.short_count:.0f}",
            f"  failed: {', '.join(failed) if failed else 'none'}",
        ]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


class Simulator:
    """Simulates alphas on one panel; safe to share among threads.

    Universes and evaluators are made once per setting that they depend on and kept.

    Parameters
    ----------
    account : "user" or "consultant", for the limits of the checks
    cache_bytes : bound of the sub-expressions that each evaluator keeps
    """

    def __init__(
        self, panel: Panel, *, account: Account = "user", cache_bytes: int = 256 * 2**20
    ) -> None:
        self.panel = panel
        self._account: Account = account
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._universes: dict[str, tuple[Mask, str | None]] = {}
        self._evaluators: dict[tuple[str, bool, bool], Evaluator] = {}

    def universe(self, name: str) -> tuple[Mask, str | None]:
        """Return who is in, shape (n_days, n_instruments), and a note; MarketError if unknown."""
        with self._lock:
            if name not in self._universes:
                self._universes[name] = universe_mask(self.panel, name)
            return self._universes[name]

    def _evaluator(self, settings: SimulationSettings) -> Evaluator:
        pasteurize = settings.pasteurization == "ON"
        key = (settings.universe if pasteurize else "", pasteurize, settings.nan_handling == "ON")
        mask = self.universe(settings.universe)[0] if pasteurize else None
        with self._lock:
            if key not in self._evaluators:
                self._evaluators[key] = Evaluator(
                    self.panel.fields,
                    self.panel.groups,
                    mask=mask,
                    nan_handling=key[2],
                    cache_bytes=self._cache_bytes,
                )
            return self._evaluators[key]

    def simulate(
        self,
        expression: str | Expression,
        settings: SimulationSettings | None = None,
        *,
        keep_positions: bool = False,
    ) -> SimulationResult:
        """Simulate one alpha.

        Raises
        ------
        ExpressionError : the expression cannot run on this market
        ConfigurationError, MarketError : a setting is not possible on this market
        SimulationError : the alpha holds positions on fewer than 500 days
        """
        settings = settings or SimulationSettings()
        _require_possible(settings)
        parsed = parse(expression) if isinstance(expression, str) else expression
        groups = neutralization_groups(self.panel, settings.neutralization)
        mask, note = self.universe(settings.universe)
        evaluator = self._evaluator(settings)
        warnings = check(parsed, evaluator.infos)
        weights = to_weights(
            evaluator.evaluate(parsed),
            mask,
            groups,
            decay=settings.decay,
            truncation=settings.truncation,
        )
        every_day = self._held(weights, settings)
        start = every_day.first_held
        days = every_day.between(start, len(every_day.pnl))
        if len(days.pnl) < LEAST_DAYS:
            raise SimulationError(f"Simulation length is below cutoff of {LEAST_DAYS} days")
        found = statistics(days)
        cut = _test_start(days, settings.test_period)
        sub_universe, sub_note = self._sub_universe(weights, mask, settings, start)
        return SimulationResult(
            expression=parsed,
            settings=settings,
            panel_label=self.panel.label,
            days=days,
            statistics=found,
            yearly=yearly(days, cut),
            checks=checks_of(
                found,
                days,
                delay=settings.delay,
                sub_universe=sub_universe,
                warnings=warnings,
                account=self._account,
            ),
            warnings=warnings,
            notes=tuple(text for text in (note, sub_note) if text),
            train=None if cut is None else statistics(days.between(0, cut)),
            test=None if cut is None else statistics(days.between(cut, len(days.pnl))),
            sector_pnl=self._sector_pnl(weights, settings, start),
            planted=self._planted(weights, settings, found.pnl),
            positions=weights if keep_positions else None,
        )

    def _held(self, weights: NDArray[np.float64], settings: SimulationSettings) -> DailyPnl:
        return daily_pnl(
            weights, self.panel.fields["returns"], self.panel.dates, delay=settings.delay
        )

    def _sub_universe(
        self, weights: NDArray[np.float64], mask: Mask, settings: SimulationSettings, start: int
    ) -> tuple[tuple[float, float] | None, str | None]:
        """Return (Sharpe in the next smaller universe, share of names), and a note.

        The next smaller universe is the largest TOP universe with at most 80 % of the names
        that were held on average; the alpha is cut to it, neutralized on its market and scaled.
        """
        names = _average_size(mask)
        for name, size in UNIVERSE_SIZES.items():
            if size >= UNIVERSE_SIZES[settings.universe] or size > 0.8 * names:
                continue
            inside, missing = self.universe(name)
            if missing is not None:
                continue
            inside = inside & mask
            values = np.where(inside & (weights != 0.0), weights, np.nan)
            market = np.zeros(weights.shape, np.int32)
            days = self._held(to_weights(values, inside, market), settings)
            part = sharpe(days.pnl[start:])
            return (part, _average_size(inside) / names), None
        return None, (
            f"LOW_SUB_UNIVERSE_SHARPE was not checked: the market has {names:.0f} names on "
            "average, too few for a smaller universe"
        )

    def _sector_pnl(
        self, weights: NDArray[np.float64], settings: SimulationSettings, start: int
    ) -> dict[str, NDArray[np.float64]] | None:
        if not settings.visualization or "sector" not in self.panel.groups:
            return None
        labels = self.panel.groups["sector"]
        names = self.panel.group_names.get("sector", ())
        lag = 1 + settings.delay
        earned = np.zeros_like(weights)
        earned[lag:] = weights[:-lag] * np.nan_to_num(self.panel.fields["returns"][lag:]) * BOOK
        held_as = np.full(labels.shape, -1, np.int32)
        held_as[lag:] = labels[:-lag]
        return {
            name: np.where(held_as == label, earned, 0.0).sum(axis=1)[start:]
            for label, name in enumerate(names)
        }

    def _planted(
        self, weights: NDArray[np.float64], settings: SimulationSettings, pnl: float
    ) -> dict[str, float] | None:
        """Return effect to the share of the PnL that its expected return explains."""
        if not self.panel.truth:
            return None
        lag = 1 + settings.delay
        return {
            effect: float((weights[:-lag] * np.nan_to_num(truth[lag:])).sum()) * BOOK / pnl
            if pnl
            else 0.0
            for effect, truth in self.panel.truth.items()
        }


def simulate(
    expression: str | Expression, panel: Panel, settings: SimulationSettings | None = None
) -> SimulationResult:
    """Simulate one alpha on `panel`; for many alphas keep a `Simulator`. Raises as it does."""
    return Simulator(panel).simulate(expression, settings, keep_positions=True)


def _require_possible(settings: SimulationSettings) -> None:
    """Refuse by name what a local panel of US stocks cannot do."""
    if settings.region != "USA":
        raise ConfigurationError(f"region {settings.region!r}: the local simulator has USA only")
    if settings.max_trade == "ON":
        raise ConfigurationError("maxTrade 'ON': not possible on this market; choose OFF")


def _average_size(mask: Mask) -> float:
    counts = mask.sum(axis=1)
    return float(counts[counts > 0].mean()) if counts.any() else 0.0


def _test_start(days: DailyPnl, period: str) -> int | None:
    """Return the index of the first day of the test period, None where it is empty."""
    match = re.fullmatch(r"P(\d)Y(\d+)M(?:(\d+)D)?", period)
    if match is None:
        raise ConfigurationError(f"testPeriod {period!r}: write P0Y0M to P6Y0M0D")
    years, months, extra = (int(part or 0) for part in match.groups())
    if not (years or months or extra):
        return None
    last = days.dates[-1]
    month = last.astype("datetime64[M]") - np.timedelta64(12 * years + months, "M")
    day = (last - last.astype("datetime64[M]").astype("datetime64[D]")).astype(int)
    begin = month.astype("datetime64[D]") + np.timedelta64(int(day), "D")
    begin = begin - np.timedelta64(extra, "D")
    cut = int(np.searchsorted(days.dates, begin, side="right"))
    return cut if cut < len(days.dates) else None
