"""The numbers of many alphas at once: `simulate` without checks, positions and sub-universes.

Every number that is given is the one that `simulate` gives, to the last bit: values, weights and
daily PnL come from the same functions. What is saved is what a first choice does without, and the
sub-expressions that alphas of a batch share, which are calculated once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ExpressionError, FoundryError, SimulationError
from alphafoundry.expressions import Evaluator, Expression, check, parse
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.expressions.threads import at_most
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.evaluators import EvaluatorCache
from alphafoundry.simulation.pnl import DailyPnl
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.simulator import held_days, require_possible, searched_days
from alphafoundry.simulation.statistics import Statistics, statistics
from alphafoundry.simulation.weights import neutralization_groups, to_weights

_Engine = tuple[str, bool, bool]
"""Universe, pasteurization and filling of gaps: what the values of an expression depend on."""


@dataclass(frozen=True, eq=False)
class Screened:
    """What screening says of one expression.

    Attributes
    ----------
    place : of the expression in the batch, from 0
    statistics : as of `simulate`; None where there are none
    days : what they are of; None without statistics
    reason : why there are no statistics, in one line; "" where there are
    """

    place: int
    statistics: Statistics | None
    days: DailyPnl | None
    reason: str = ""


class Screener:
    """Screens batches of alphas on one panel; safe to share among threads.

    Parameters
    ----------
    panel : the market, cut to the days that a search may see
    cache_bytes : bound of the shared sub-expressions that a batch keeps
    threads : most threads of one operator; 1 where several batches are screened side by side
    """

    def __init__(
        self, panel: Panel, *, cache_bytes: int = 512 * 2**20, threads: int | None = None
    ) -> None:
        self._panel = panel
        self._shared = EvaluatorCache(panel, cache_bytes=cache_bytes)
        self._threads = threads

    def __repr__(self) -> str:
        return f"Screener({self._panel.label!r})"

    def screen(
        self, alphas: Sequence[tuple[str | Expression, SimulationSettings]]
    ) -> Iterator[Screened]:
        """Yield what is said of each alpha, related ones after each other.

        One that cannot be simulated on this market comes first and has a reason; so has one that
        compares price levels, which on adjusted prices sees the future.

        Raises ConfigurationError, MarketError where settings are not possible on this market.
        """
        sound: dict[_Engine, list[tuple[int, Expression]]] = defaultdict(list)
        for place, (text, settings) in enumerate(alphas):
            engine = self._engine(settings)
            try:
                sound[engine].append((place, self._checked(text, self._evaluator(engine))))
            except FoundryError as problem:
                yield Screened(place, None, None, str(problem))
        with at_most(self._threads):
            for engine, several in sound.items():
                evaluated = self._evaluator(engine).evaluate_many(one for _, one in several)
                for number, values in evaluated:
                    place = several[number][0]
                    yield self._said(place, values, alphas[place][1])

    def _engine(self, settings: SimulationSettings) -> _Engine:
        require_possible(settings, self._panel, self._shared)
        neutralization_groups(self._panel, settings.neutralization)
        pasteurize, fill = settings.pasteurization == "ON", settings.nan_handling == "ON"
        return settings.universe, pasteurize, fill

    def _evaluator(self, engine: _Engine) -> Evaluator:
        universe, pasteurize, fill = engine
        return self._shared.evaluator(universe, pasteurize=pasteurize, nan_handling=fill)

    def _checked(self, text: str | Expression, evaluator: Evaluator) -> Expression:
        expression = parse(text) if isinstance(text, str) else text
        panel = self._panel
        warnings = check(
            expression, evaluator.infos, history=len(panel.dates), levels=not panel.synthetic
        )
        if COMPARES_LEVELS in warnings:
            raise ExpressionError(COMPARES_LEVELS, expression=expression.text)
        return expression

    def _said(
        self, place: int, values: NDArray[np.float64], settings: SimulationSettings
    ) -> Screened:
        panel = self._panel
        weights = to_weights(
            values,
            self._shared.universe(settings.universe)[0],
            neutralization_groups(panel, settings.neutralization),
            decay=settings.decay,
            truncation=settings.truncation,
        )
        try:
            _, days = held_days(weights, panel, settings)
        except SimulationError as problem:
            return Screened(place, None, None, str(problem))
        searched = searched_days(days, settings.test_period)
        return Screened(place, statistics(searched), searched)
