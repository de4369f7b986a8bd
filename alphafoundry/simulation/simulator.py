"""A whole simulation: expression to values, weights, daily PnL, statistics and checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError, SimulationError
from alphafoundry.expressions import Conventions, Expression, check, parse
from alphafoundry.finance.statistics import TOO_GOOD, sharpe
from alphafoundry.market.files import load_frame
from alphafoundry.market.panel import Panel
from alphafoundry.market.screen import changes
from alphafoundry.market.suitability import LEAST_DAYS
from alphafoundry.simulation import sub_universe
from alphafoundry.simulation.breakdowns import breakdowns_of
from alphafoundry.simulation.checks import Account, SubUniverse, checks_of
from alphafoundry.simulation.evaluators import EvaluatorCache, Mask
from alphafoundry.simulation.holding import Holding, held, judged
from alphafoundry.simulation.order import Order, weights_in_order
from alphafoundry.simulation.periods import before
from alphafoundry.simulation.planted import attribute
from alphafoundry.simulation.pnl import DailyPnl, lag
from alphafoundry.simulation.result import SimulationResult
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.statistics import statistics, yearly
from alphafoundry.simulation.weights import neutralization_groups

if TYPE_CHECKING:
    import pandas as pd

MANY_UNKNOWN = 0.05
"""Share of names without a known group that is worth a note."""

__all__ = ["LEAST_DAYS", "SimulationResult", "Simulator", "simulate"]


def simulate(
    expression: str | Expression,
    panel: Panel | pd.DataFrame,
    settings: SimulationSettings | None = None,
    *,
    evaluator: EvaluatorCache | None = None,
    account: Account = "user",
    keep_positions: bool = True,
    conventions: Conventions | None = None,
    order: Order = "decay first",
) -> SimulationResult:
    """Simulate one alpha on a market.

    Parameters
    ----------
    panel : the market, or its daily bars as a DataFrame with the columns date, symbol, open,
        high, low, close, volume (see `alphafoundry.market.load_frame`)
    settings : None is BRAIN's defaults
    evaluator : shared universes and sub-expressions of `panel`; None makes its own
    account : "user" or "consultant", for the limits of the checks
    keep_positions : False leaves the positions out of the result, which may be large
    conventions : how operators are read whose definition is open; None is that of `evaluator`,
        or the usual way
    order : "decay first", or "neutralization first" as one of BRAIN's pages has it

    Raises
    ------
    ExpressionError : the expression cannot run on this market, or its lookbacks add up to more
        days than the market has
    ConfigurationError, MarketError : a setting is not possible on this market
    SimulationError : fewer than 500 days are left from the first position on
    """
    settings = settings or SimulationSettings()
    if not isinstance(panel, Panel):
        panel = load_frame(panel)
    shared = evaluator or EvaluatorCache(panel, conventions=conventions)
    require_possible(settings, panel, shared, conventions)
    parsed = parse(expression) if isinstance(expression, str) else expression
    groups = neutralization_groups(panel, settings.neutralization)
    mask, note = shared.universe(settings.universe)
    engine = shared.evaluator(
        settings.universe,
        pasteurize=settings.pasteurization == "ON",
        nan_handling=settings.nan_handling == "ON",
    )
    warnings = check(parsed, engine.infos, history=len(panel.dates), levels=not panel.synthetic)
    smaller = smaller_universe(shared, settings.universe)
    values, returns = engine.evaluate(parsed), panel.fields["returns"]
    if order == "decay first" and not asks_for_weights(settings, panel, keep_positions):
        holding = judged(
            values,
            mask,
            groups,
            returns,
            panel.dates,
            decay=settings.decay,
            truncation=settings.truncation,
            delay=settings.delay,
            inside=smaller.inside,
            n_groups=shared.group_count(settings.neutralization, groups),
        )
    else:
        weights = weights_in_order(
            values,
            mask,
            groups,
            order=order,
            decay=settings.decay,
            truncation=settings.truncation,
        )
        holding = held(weights, returns, panel.dates, delay=settings.delay, inside=smaller.inside)
    return result_of(
        holding,
        smaller,
        parsed,
        settings,
        shared,
        warnings=warnings,
        notes=tuple(
            text
            for text in (
                note,
                unknown_groups(groups, settings),
                _unused(parsed),
                _WITHOUT_TRADE_LIMIT if settings.max_trade == "ON" else None,
                _switched(shared.conventions, order),
            )
            if text
        ),
        account=account,
        keep_positions=keep_positions,
    )


def asks_for_weights(settings: SimulationSettings, panel: Panel, keep_positions: bool) -> bool:
    """Tell whether `result_of` needs the weights of all days at once."""
    return keep_positions or settings.visualization or bool(panel.truth)


def result_of(
    holding: Holding,
    smaller: Smaller,
    parsed: Expression,
    settings: SimulationSettings,
    shared: EvaluatorCache,
    *,
    warnings: tuple[str, ...],
    notes: tuple[str, ...],
    account: Account,
    keep_positions: bool,
) -> SimulationResult:
    """Return what the checks, the statistics and the breakdowns say of an alpha's life.

    Parameters
    ----------
    holding : with weights where `asks_for_weights`
    smaller : the universe of its `profit_inside`
    notes : what is known already for a person to know

    Raises SimulationError where fewer than 500 days are left from the first position on.
    """
    panel = shared.panel
    start, days = from_first_position(holding.every_day)
    cut = _test_start(days, settings.test_period)
    searched = days if cut is None else days.between(0, cut)
    found = statistics(searched)
    behind = lag(settings.delay)
    weights = holding.weights
    planted = None if weights is None else attribute(weights, panel, days, delay=settings.delay)
    return SimulationResult(
        expression=parsed,
        settings=settings,
        panel_label=panel.label,
        days=days,
        statistics=found,
        yearly=yearly(days, cut),
        checks=checks_of(
            found,
            searched,
            delay=settings.delay,
            instruments=panel.shape[1],
            sub_universe=_sub_universe(holding, smaller, days, start, start + len(searched)),
            warnings=warnings,
            account=account,
        ),
        warnings=warnings,
        notes=(*notes, *((smaller.note,) if smaller.note else ()), *_too_good(found.sharpe)),
        data=shared.once("changes of the data", lambda: changes(panel)),
        train=None if cut is None else found,
        test=None if cut is None else statistics(days.between(cut, len(days))),
        breakdowns=breakdowns_of(weights, panel, start=start, behind=behind)
        if settings.visualization and weights is not None
        else {},
        planted=planted.shares if planted else None,
        expected_sharpe=planted.expected_sharpe if planted else None,
        positions=weights[start - behind : len(weights) - behind]
        if keep_positions and weights is not None
        else None,
    )


def _too_good(sharpe: float) -> tuple[str, ...]:
    if not abs(sharpe) > TOO_GOOD:
        return ()
    return (
        f"A Sharpe ratio beyond {TOO_GOOD:g} is too good to be true: look for data that know "
        "what came later before believing it",
    )


class Simulator:
    """Simulates many alphas on one panel; safe to share among threads.

    Parameters
    ----------
    account : "user" or "consultant", for the limits of the checks
    cache_bytes : bound of the sub-expressions that each evaluator keeps
    conventions : how operators are read whose definition is open; None is the usual way
    order : "decay first", or "neutralization first" as one of BRAIN's pages has it
    """

    def __init__(
        self,
        panel: Panel,
        *,
        account: Account = "user",
        cache_bytes: int = 256 * 2**20,
        conventions: Conventions | None = None,
        order: Order = "decay first",
    ) -> None:
        self.panel = panel
        self.evaluators = EvaluatorCache(panel, cache_bytes=cache_bytes, conventions=conventions)
        self._account: Account = account
        self._order: Order = order

    def simulate(
        self,
        expression: str | Expression,
        settings: SimulationSettings | None = None,
        *,
        keep_positions: bool = False,
    ) -> SimulationResult:
        """Simulate one alpha; see `simulate`."""
        return simulate(
            expression,
            self.panel,
            settings,
            evaluator=self.evaluators,
            account=self._account,
            keep_positions=keep_positions,
            order=self._order,
        )

    def __repr__(self) -> str:
        return f"Simulator({self.panel.label!r}, account={self._account!r})"


def require_possible(
    settings: SimulationSettings,
    panel: Panel,
    shared: EvaluatorCache,
    conventions: Conventions | None = None,
) -> None:
    """Refuse by name what a local panel of US stocks cannot do."""
    if shared.panel is not panel:
        raise ConfigurationError("evaluator: made for another panel; make one for this panel")
    if conventions is not None and shared.conventions != conventions:
        raise ConfigurationError(
            "conventions: not those of the evaluator; give them to EvaluatorCache instead"
        )
    if settings.region != "USA":
        raise ConfigurationError(
            f"region {settings.region!r}: not offered on a local market; choose USA"
        )


_WITHOUT_TRADE_LIMIT = (
    "maxTrade is ON, and this simulator has no limit of trades: the numbers are those of OFF"
)


def _test_start(days: DailyPnl, period: str) -> int | None:
    """Return the index of the first day of the test period, None where it is empty."""
    last = days.dates[-1]
    cut = int(np.searchsorted(days.dates, before(last, period), side="right"))
    if cut == 0:
        raise ConfigurationError(
            f"testPeriod {period!r}: leaves no day to train on, the alpha holds positions from "
            f"{days.dates[0]} to {last}; choose a shorter one"
        )
    return cut if cut < len(days) else None


def from_first_position(every_day: DailyPnl, *, least: int = LEAST_DAYS) -> tuple[int, DailyPnl]:
    """Return the index of the first day with a position, and the days from it on.

    Raises SimulationError where these are fewer than `least`.
    """
    start = every_day.first_held
    days = every_day.between(start, len(every_day))
    if len(days) < least:
        raise SimulationError(f"Simulation length is below cutoff of {least} days")
    return start, days


def searched_days(days: DailyPnl, period: str) -> DailyPnl:
    """Return the days before the test period: those of an alpha's own numbers."""
    cut = _test_start(days, period)
    return days if cut is None else days.between(0, cut)


@dataclass(frozen=True, eq=False)
class Smaller:
    """The universe that the check of the sub-universe compares with.

    Attributes
    ----------
    inside : who is in it, shape (n_days, n_instruments); None without one
    note : where it is not BRAIN's
    share : its average number of names over that of the universe
    """

    inside: Mask | None
    note: str | None
    share: float


def smaller_universe(shared: EvaluatorCache, universe: str) -> Smaller:
    """Return the next smaller universe; see `sub_universe.next_smaller`."""

    def make() -> Smaller:
        inside, note = sub_universe.next_smaller(shared, universe)
        if inside is None:
            return Smaller(None, note, 0.0)
        whole = sub_universe.average_size(shared.universe(universe)[0])
        return Smaller(inside, note, sub_universe.average_size(inside) / whole)

    return shared.once(f"smaller than {universe}", make)


def _sub_universe(
    holding: Holding, smaller: Smaller, days: DailyPnl, start: int, end: int
) -> SubUniverse | None:
    if holding.profit_inside is None:
        return None
    return SubUniverse(sharpe(holding.profit_inside[start:end], days.bars_a_year), smaller.share)


def unknown_groups(groups: NDArray[np.int32] | None, settings: SimulationSettings) -> str | None:
    """Return a note where many names have no known group, since they are neutralized as one."""
    if groups is None:
        return None
    share = float((groups[-1] < 0).mean())
    if share < MANY_UNKNOWN:
        return None
    return (
        f"{share:.0%} of the names have no known {settings.neutralization.lower()}; they are "
        "neutralized as one group"
    )


def _unused(expression: Expression) -> str | None:
    """Return a note where the alpha does without what it assigns: BRAIN submits no such alpha."""
    if not expression.unused:
        return None
    return f"Found unused variables {', '.join(expression.unused)}; BRAIN would refuse to submit"


def _switched(conventions: Conventions, order: Order) -> str | None:
    """Return a note of what was read otherwise than usual."""
    switched = [
        f"{name} is {getattr(conventions, name)}"
        for name, choices in Conventions.choices().items()
        if getattr(conventions, name) != choices[0]
    ]
    if order == "neutralization first":
        switched.append("neutralization comes before decay")
    return f"Read otherwise than usual: {', '.join(switched)}" if switched else None
