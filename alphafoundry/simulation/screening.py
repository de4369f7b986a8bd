"""The numbers of many alphas at once: `simulate` without checks, positions and sub-universes.

Every number that is given is the one that `simulate` gives, to the last bit: values, weights and
daily PnL come from the same functions. What is saved is what a first choice does without, and the
sub-expressions that alphas of a batch share, which are calculated once.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ExpressionError, FoundryError, SimulationError
from alphafoundry.expressions import Evaluator, Expression, check, parse
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.expressions.threads import at_most
from alphafoundry.market.panel import Panel
from alphafoundry.market.revisions import Revisions
from alphafoundry.market.universe import universe_mask
from alphafoundry.simulation.evaluators import EvaluatorCache, Mask, UniverseOf
from alphafoundry.simulation.holding import judged
from alphafoundry.simulation.periods import before
from alphafoundry.simulation.pnl import DailyPnl
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.simulator import (
    LEAST_DAYS,
    from_first_position,
    require_possible,
    searched_days,
)
from alphafoundry.simulation.statistics import Statistics, statistics
from alphafoundry.simulation.weights import neutralization_groups

_Engine = tuple[str, bool, bool]
"""Universe, pasteurization and filling of gaps: what the values of an expression depend on."""

Alphas = Sequence[tuple[str | Expression, SimulationSettings]]

FEWEST_FIRST_DAYS = 126
"""Days with a position below which an alpha is not stopped: half a year says nothing."""


@dataclass(frozen=True, eq=False)
class Screened:
    """What screening says of one expression.

    Attributes
    ----------
    place : of the expression in the batch, from 0
    statistics : as of `simulate`; None where there are none
    days : what they are of; None without statistics
    reason : why there are no statistics of all days, in one line; "" where there are
    """

    place: int
    statistics: Statistics | None
    days: DailyPnl | None
    reason: str = ""

    @property
    def stopped_early(self) -> bool:
        """Whether the statistics are of the first days or of some names alone."""
        return self.statistics is not None and bool(self.reason)


class Screener:
    """Screens batches of alphas on one panel; safe to share among threads.

    Parameters
    ----------
    panel : the market, cut to the days that a search may see
    cache_bytes : bound of the shared sub-expressions that a batch keeps
    threads : most threads of one operator; 1 where several batches are screened side by side
    first : share of the days that each alpha is judged on first; 1 is all of them
    names : names that each alpha is judged on first, evenly spaced among the columns, on a market
        with at least twice as many; 0 is all of them
    keep : share of a batch that is then judged on all days and names, the largest |Sharpe ratio|
        first; 1 judges all at once
    least_days : days from the first position on below which an alpha has no statistics
    universe_of : who is in a universe of that name; None is `universe_mask` of the panel
    """

    def __init__(
        self,
        panel: Panel,
        *,
        cache_bytes: int = 512 * 2**20,
        threads: int | None = None,
        first: float = 1.0,
        names: int = 0,
        keep: float = 1.0,
        least_days: int = LEAST_DAYS,
        universe_of: UniverseOf | None = None,
    ) -> None:
        self._panel = panel
        self._shared = EvaluatorCache(panel, cache_bytes=cache_bytes, universe_of=universe_of)
        self._threads = threads
        self._keep = keep
        self._least_days = least_days
        self._first: Screener | None = None
        rows = math.floor(first * len(panel.dates))
        in_part = FEWEST_FIRST_DAYS <= rows < len(panel.dates)
        every = max(panel.shape[1] // names, 1) if names else 1
        if keep < 1.0 and (in_part or every > 1):
            seen = panel.until(panel.dates[rows - 1]) if in_part else panel
            self._first = Screener(
                _thinned(seen, every) if every > 1 else seen,
                cache_bytes=cache_bytes,
                threads=threads,
                least_days=FEWEST_FIRST_DAYS if in_part else least_days,
                universe_of=lambda name: _thinned_universe(seen, name, every),
            )

    def __repr__(self) -> str:
        return f"Screener({self._panel.label!r})"

    def screen(self, alphas: Alphas, *, spared: Collection[int] = ()) -> Iterator[Screened]:
        """Yield what is said of each alpha, related ones after each other.

        Those that are stopped early come first, with the statistics of the first days or of some
        names. Then comes what cannot be simulated on this market and has a reason; so has what
        compares price levels, which on adjusted prices sees the future.

        spared : places of alphas that are judged whole at once, besides the share of the rest

        Raises ConfigurationError, MarketError where settings are not possible on this market.
        """
        stopped = {one.place: one for one in self._stopped(alphas, spared)}
        yield from stopped.values()
        yield from self._judged(alphas, [p for p in range(len(alphas)) if p not in stopped])

    def _stopped(self, alphas: Alphas, spared: Collection[int]) -> list[Screened]:
        """Return what is said of the alphas that a first look was enough for.

        One that the first look cannot judge goes on: its lookbacks are longer, it holds nothing
        for most of the days, or its test period begins among the first days.
        """
        if self._first is None:
            return []
        places = [place for place in range(len(alphas)) if place not in spared]
        looked_at = [alphas[place] for place in places]
        last, of_all = self._first._panel.dates[-1], self._panel.dates[-1]
        if last < of_all:
            whole = {"test_period": SimulationSettings().test_period}
            places = [p for p in places if before(of_all, alphas[p][1].test_period) >= last]
            looked_at = [(alphas[p][0], alphas[p][1].model_copy(update=whole)) for p in places]
        judged_first = sorted(
            (-abs(one.statistics.sharpe), places[one.place], one)
            for one in self._first.screen(looked_at)
            if one.statistics is not None and math.isfinite(one.statistics.sharpe)
        )
        reason = f"stopped early: judged on {self._looked_at_first()} alone"
        return [
            replace(one, place=place, reason=reason)
            for _, place, one in judged_first[math.ceil(self._keep * len(judged_first)) :]
        ]

    def _looked_at_first(self) -> str:
        assert self._first is not None
        some, whole = self._first._panel, self._panel
        parts = []
        if some.shape[1] < whole.shape[1]:
            parts.append(f"{some.shape[1]:,} of the {whole.shape[1]:,} names")
        if some.shape[0] < whole.shape[0]:
            parts.append(f"the days up to {some.dates[-1]}")
        return " and ".join(parts)

    def _judged(self, alphas: Alphas, places: Sequence[int]) -> Iterator[Screened]:
        """Yield what all days say of the alphas at these places."""
        sound: dict[_Engine, list[tuple[int, Expression]]] = defaultdict(list)
        for place in places:
            text, settings = alphas[place]
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
        groups = neutralization_groups(panel, settings.neutralization)
        every_day = judged(
            values,
            self._shared.universe(settings.universe)[0],
            groups,
            panel.fields["returns"],
            panel.dates,
            decay=settings.decay,
            truncation=settings.truncation,
            delay=settings.delay,
            n_groups=self._shared.group_count(settings.neutralization, groups),
        ).every_day
        try:
            _, days = from_first_position(every_day, least=self._least_days)
        except SimulationError as problem:
            return Screened(place, None, None, str(problem))
        searched = searched_days(days, settings.test_period)
        return Screened(place, statistics(searched), searched)


def _thinned(panel: Panel, every: int) -> Panel:
    """Return a market of one in so many names of this one."""
    columns = _columns(every)

    def cut(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(array[:, columns])

    some = {name: cut(array) for name, array in panel.fields.items()}
    label = f"{panel.label}, one in {every} names"
    return replace(
        panel,
        symbols=panel.symbols[columns],
        fields=some,
        groups={name: cut(array) for name, array in panel.groups.items()},
        truth={name: cut(array) for name, array in panel.truth.items()},
        raw={name: cut(array) for name, array in panel.raw.items()},
        members=None if panel.members is None else cut(panel.members),
        revisions=Revisions(),
        issues=(),
        label=label,
        fingerprint=hashlib.blake2b(
            f"{panel.fingerprint} one in {every}".encode(), digest_size=8
        ).hexdigest(),
    )


def _thinned_universe(panel: Panel, name: str, every: int) -> tuple[Mask, str | None]:
    """Return who of the thinned market is in a universe of the whole one."""
    mask, note = universe_mask(panel, name)
    return np.ascontiguousarray(mask[:, _columns(every)]), note


def _columns(every: int) -> slice:
    """Return the columns in the middle of so many each."""
    return slice(every // 2, None, every)
