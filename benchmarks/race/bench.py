"""A market with a budget of simulations, and what a rival spent it on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ExpressionError, SimulationError
from alphafoundry.evidence import shrunk_sharpe_ratios
from alphafoundry.expressions import (
    DEFAULT_FIELDS,
    OPERATORS,
    Expression,
    FieldInfo,
    check,
    parse,
)
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.market import Panel
from alphafoundry.market.frequency import bars_a_year
from alphafoundry.research.finalists import MOST_FINALISTS, UNLIKE
from alphafoundry.research.proposals import Proposer
from alphafoundry.research.trial_pnl import first_unlike
from alphafoundry.settings import FoundrySettings
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.simulator import Simulator

SETTINGS = FoundrySettings().alpha
NAMES = OPERATORS.names("REGULAR")

Array = NDArray[np.float64]
Key = tuple[str, SimulationSettings]


class Spent(Exception):
    """The budget is spent."""


@dataclass(frozen=True, eq=False)
class Tried:
    """One simulated alpha.

    Attributes
    ----------
    pnl : daily dollars on the days of the market, shape (n_days,); 0 before the first position
    days : from the first position on
    sharpe : annual
    true_sharpe : what is planted gives, NaN on a market whose truth is not known
    """

    expression: Expression
    settings: SimulationSettings
    pnl: Array
    days: int
    sharpe: float
    turnover: float
    true_sharpe: float


class Market:
    """A panel with all that was ever simulated on it, so that no rival pays twice."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.periods = bars_a_year(panel.dates)
        self.fields = {
            **{
                name: DEFAULT_FIELDS.get(name) or FieldInfo(name, "MATRIX") for name in panel.fields
            },
            **{name: DEFAULT_FIELDS.get(name) or FieldInfo(name, "GROUP") for name in panel.groups},
        }
        self._simulator = Simulator(panel)
        self._known: dict[Key, Tried | None] = {}

    def simulate(self, expression: Expression, settings: SimulationSettings) -> Tried | None:
        """Return what came of it, None where it cannot run or never trades."""
        key = (expression.canonical, settings)
        if key not in self._known:
            self._known[key] = self._simulated(expression, settings)
        return self._known[key]

    def _simulated(self, expression: Expression, settings: SimulationSettings) -> Tried | None:
        try:
            found = self._simulator.simulate(expression, settings)
        except (ExpressionError, SimulationError):
            return None
        sharpe = float(found.statistics.sharpe)
        if math.isnan(sharpe):
            return None
        pnl = np.zeros(len(self.panel.dates))
        pnl[len(pnl) - len(found.daily_pnl) :] = found.daily_pnl
        truth = found.expected_sharpe
        return Tried(
            expression,
            settings,
            pnl,
            len(found.daily_pnl),
            sharpe,
            float(found.statistics.turnover),
            math.nan if truth is None else truth,
        )


class Bench:
    """The place of one rival: it may try `budget` different alphas.

    An alpha that compares price levels is refused on real prices and costs nothing; on synthetic
    ones levels know no future. What cannot run costs a simulation.
    """

    def __init__(self, market: Market, budget: int) -> None:
        self.market = market
        self.fields = market.fields
        self.budget = budget
        self.tried: dict[Key, Tried | None] = {}
        self.built: set[Key] = set()

    @property
    def left(self) -> int:
        """Simulations that may still be spent."""
        return self.budget - len(self.tried)

    @property
    def found(self) -> list[Tried]:
        """What could be simulated, in the order in which it was tried."""
        return [one for one in self.tried.values() if one is not None]

    def try_text(self, text: str) -> Tried | None:
        """Simulate a text with the usual settings; None for one that is no valid alpha."""
        try:
            expression = parse(text)
            check(expression, self.fields, operators=NAMES)
        except ExpressionError:
            return None
        return self.try_one(expression)

    def try_one(
        self,
        expression: Expression,
        settings: SimulationSettings = SETTINGS,
        *,
        built: bool = False,
    ) -> Tried | None:
        """Simulate an alpha; Spent where the budget is spent and it is a new one.

        built : whether it was made from others that were tried, because these were good
        """
        key = (expression.canonical, settings)
        if key in self.tried:
            return self.tried[key]
        if not self.market.panel.synthetic and COMPARES_LEVELS in check(
            expression, self.fields, levels=True
        ):
            return None
        if self.left <= 0:
            raise Spent
        self.tried[key] = self.market.simulate(expression, settings)
        if built:
            self.built.add(key)
        return self.tried[key]

    def try_ideas(self, proposer: Proposer, count: int) -> None:
        """Simulate what a generator proposes."""
        for proposal in asyncio.run(proposer.propose(count)).kept:
            self.try_one(parse(proposal.expression), proposal.settings)


@dataclass(frozen=True, eq=False)
class Finalist:
    """What a rival stands for: an alpha, the sign to hold it with, and what it is said to be worth.

    expected : annual Sharpe ratio, not negative
    """

    tried: Tried
    sign: float
    expected: float


def finalists(
    found: Sequence[Tried], periods: float, *, built: Collection[Key] = ()
) -> list[Finalist]:
    """Return at most ten alphas unlike each other with the sign to hold them with, best first.

    By the Sharpe ratio that is to be expected of them after what all trials of the rival say, save
    those that it built from others because these were good. Each is at most 0.7 correlated with
    those before it; an alpha that loses is turned for nothing. The same rule for every rival.
    """
    found = [one for one in found if one.pnl.std() > 0]
    if not found:
        return []
    correlation = np.atleast_2d(np.corrcoef([one.pnl for one in found]))
    expected = shrunk_sharpe_ratios(
        [one.sharpe for one in found],
        [one.days for one in found],
        correlation,
        periods=periods,
        built=[(one.expression.canonical, one.settings) in built for one in found],
    ).sharpe
    order = sorted(
        range(len(found)),
        key=lambda number: (-abs(expected[number]), found[number].expression.canonical),
    )
    chosen = first_unlike(order, np.abs(correlation), most=MOST_FINALISTS, limit=UNLIKE)
    return [
        Finalist(found[number], math.copysign(1.0, expected[number]), float(abs(expected[number])))
        for number in chosen
    ]


def mutual(chosen: list[Finalist]) -> float:
    """Return the mean |correlation| between finalists, NaN for fewer than two."""
    if len(chosen) < 2:
        return math.nan
    matrix = np.corrcoef([one.tried.pnl for one in chosen])
    return float(np.abs(matrix[np.triu_indices(len(chosen), 1)]).mean())
