"""Searches over a parameter space: they ask for trials in generations and are told the scores.

What a search asks for depends on its seed and on the scores of whole generations, never on which
trial ended first. So a search gives the same trials with any number of workers, and repeats them
when it is started again from checkpoints.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from alphafoundry.coordinator.parameter_space import (
    ParameterSpec,
    Value,
    grid_of,
    grid_points,
    is_whole,
)
from alphafoundry.coordinator.strategies import StrategyUse
from alphafoundry.errors import WrongParameter
from alphafoundry.seeds import generator, seed_number

GENERATION = 25
"""Trials that a model-based search asks for before it is told their scores."""

MOST_REDRAWS = 100
"""Draws for one trial after which a space counts as holding nothing that is allowed."""

Values = dict[str, Value]
Score = float | tuple[float, ...]
"""One number, or one per objective; higher is better."""

Feasible = Callable[[Mapping[str, Any]], bool]

_COMPARISON = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|!=|==|<|>)\s*([A-Za-z_]\w*|-?[0-9.]+)\s*")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


class Search(Protocol):
    """A search for good parameters of one strategy."""

    infeasible: int
    """Points left out because their parameters do not go together."""

    def ask(self) -> list[Values]:
        """Return the next generation; empty when the search is over."""
        ...

    def tell(self, scores: Sequence[Score | None]) -> None:
        """Take the scores of the generation; None for a trial left out."""
        ...


def feasibility(use: StrategyUse, comparisons: Sequence[str]) -> Feasible:
    """Return whether values keep to the strategy's own rules and to "fast < slow"."""
    strategy = use.strategy
    known = strategy.parameters
    rules = []
    for text in comparisons:
        found = _COMPARISON.fullmatch(text)
        # A rule counts for the strategies that have every parameter it names.
        if found is not None and all(name in known for name in names_compared(text)):
            rules.append((found[1], _COMPARE[found[2]], found[3]))

    def feasible(values: Mapping[str, Any]) -> bool:
        try:
            complete = strategy.complete({**use.params, **values})
        except WrongParameter:
            return False
        for left, compare, right in rules:
            other = complete[right] if right in complete else _number(right)
            if other is None or not compare(complete[left], other):
                return False
        return True

    return feasible


def names_compared(text: str) -> list[str]:
    """Return the parameters that a comparison such as "fast < slow" or "fast < 10" names."""
    found = _COMPARISON.fullmatch(text)
    if found is None:
        return []
    return [name for name in (found[1], found[3]) if _number(name) is None]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def search_for(
    method: str,
    use: StrategyUse,
    *,
    trials: int | None,
    seed: int,
    name: str,
    comparisons: Sequence[str] = (),
    objectives: int = 1,
    in_generations: bool = False,
) -> Search:
    """Return the search of that method over the strategy's space.

    Parameters
    ----------
    method : grid, random, tpe or bayesian, genetic, differential_evolution, qmc
    trials : how many; None is the whole grid
    seed, name : the draws come from the master seed and this name
    objectives : how many numbers a score is
    in_generations : methods whose trials are all known from the start ask for them one generation
        after another, too
    """
    generation = GENERATION if in_generations else None
    feasible = feasibility(use, comparisons)
    if method == "grid":
        return _Listed(_grid(use, trials, feasible), generation)
    if trials is None:
        raise ValueError(f"the method {method} needs a number of trials")
    if method == "random":
        drawn = _random(use, trials, feasible, generator(seed, name, use.name))
        return _Listed(drawn, generation)
    if method == "differential_evolution":
        return _DifferentialEvolution(use, trials, feasible, generator(seed, name, use.name))
    return _OptunaSearch(
        method, use, trials, feasible, seed_number(seed, name, use.name), objectives
    )


def grid_size(use: StrategyUse, trials: int | None, comparisons: Sequence[str] = ()) -> int:
    """Return how many trials a grid has."""
    return len(_grid(use, trials, feasibility(use, comparisons))[0])


@dataclass
class _Listed:
    """A search whose trials are all known from the start."""

    points: list[Values]
    infeasible: int
    generation: int | None

    def __init__(self, given: tuple[list[Values], int], generation: int | None) -> None:
        self.points, self.infeasible = given
        self.generation = generation

    def ask(self) -> list[Values]:
        count = self.generation or len(self.points)
        points, self.points = self.points[:count], self.points[count:]
        return points

    def tell(self, scores: Sequence[Score | None]) -> None:
        return None


def _grid(use: StrategyUse, trials: int | None, feasible: Feasible) -> tuple[list[Values], int]:
    names = list(use.space)
    axes = grid_of(use.strategy, use.space, trials)
    points = list(grid_points(axes, names))
    kept = [point for point in points if feasible(point)]
    infeasible = len(points) - len(kept)
    if trials is not None and len(kept) > trials:
        # Evenly spaced over the grid, so that no corner of it is left out.
        places = np.linspace(0, len(kept) - 1, trials).round().astype(int)
        kept = [kept[place] for place in places]
    return kept, infeasible


def _random(
    use: StrategyUse, trials: int, feasible: Feasible, draws: np.random.Generator
) -> tuple[list[Values], int]:
    points: list[Values] = []
    infeasible = 0
    while len(points) < trials and infeasible < MOST_REDRAWS * trials:
        point = _draw(use, draws)
        if feasible(point):
            points.append(point)
        else:
            infeasible += 1
    return points, infeasible


def _draw(use: StrategyUse, draws: np.random.Generator) -> Values:
    return {
        name: spec.draw(draws, whole=is_whole(use.strategy, name))
        for name, spec in use.space.items()
    }


class _DifferentialEvolution:
    """Storn and Price (1997), rand/1/bin, with F 0.8 and CR 0.9, in the unit cube."""

    def __init__(
        self, use: StrategyUse, trials: int, feasible: Feasible, draws: np.random.Generator
    ) -> None:
        self.infeasible = 0
        self._use = use
        self._left = trials
        self._feasible = feasible
        self._draws = draws
        self._size = max(4, min(10 * max(len(use.space), 1), trials // 4 or 4))
        self._population = np.empty((0, len(use.space)))
        self._scores = np.empty(0)
        self._candidates = np.empty((0, len(use.space)))

    def ask(self) -> list[Values]:
        count = min(self._size, self._left)
        if not count:
            return []
        self._left -= count
        first = len(self._population) < self._size
        candidates = []
        points: list[Values] = []
        for place in range(count):
            for _ in range(MOST_REDRAWS):
                position = self._new() if first else self._crossed(place)
                point = self._point(position)
                if self._feasible(point):
                    candidates.append(position)
                    points.append(point)
                    break
                self.infeasible += 1
        self._candidates = np.array(candidates).reshape(-1, len(self._use.space))
        if not points:
            self._left = 0
        return points

    def tell(self, scores: Sequence[Score | None]) -> None:
        told = np.array([score if isinstance(score, float) else -math.inf for score in scores])
        if len(self._population) < self._size:
            self._population = np.concatenate([self._population, self._candidates])
            self._scores = np.concatenate([self._scores, told])
            return
        for place, value in enumerate(told):
            if value >= self._scores[place]:
                self._population[place] = self._candidates[place]
                self._scores[place] = value

    def _new(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return self._draws.random(len(self._use.space))

    def _crossed(self, place: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        others = [other for other in range(len(self._population)) if other != place]
        a, b, c = (self._population[i] for i in self._draws.choice(others, 3, replace=False))
        mutant = a + 0.8 * (b - c)
        mutant = np.where((mutant < 0) | (mutant >= 1), self._new(), mutant)
        crossed = self._draws.random(len(mutant)) < 0.9
        if len(mutant):
            crossed[int(self._draws.integers(len(mutant)))] = True
        return np.where(crossed, mutant, self._population[place])

    def _point(self, position: np.ndarray[Any, np.dtype[np.float64]]) -> Values:
        return {
            name: spec.at(float(value), whole=is_whole(self._use.strategy, name))
            for (name, spec), value in zip(self._use.space.items(), position, strict=True)
        }


class _OptunaSearch:
    """A sampler of Optuna, asked for fixed generations."""

    def __init__(
        self,
        method: str,
        use: StrategyUse,
        trials: int,
        feasible: Feasible,
        seed: int,
        objectives: int,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.infeasible = 0
        self._use = use
        self._left = trials
        self._feasible = feasible
        self._failed = optuna.trial.TrialState.FAIL
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(
                directions=["maximize"] * objectives, sampler=_sampler(method, seed, trials)
            )
        self._space = distributions(use)
        self._asked: list[Any] = []

    def ask(self) -> list[Values]:
        self._asked = []
        points: list[Values] = []
        redraws = 0
        wanted = min(GENERATION, self._left)
        while len(points) < wanted and redraws < MOST_REDRAWS * wanted:
            trial = self._study.ask(self._space)
            point = dict(trial.params)
            if self._feasible(point):
                self._asked.append(trial)
                points.append(point)
            else:
                self._study.tell(trial, state=self._failed)
                self.infeasible += 1
                redraws += 1
        self._left = 0 if not points else self._left - len(points)
        return points

    def tell(self, scores: Sequence[Score | None]) -> None:
        for trial, score in zip(self._asked, scores, strict=True):
            if score is None or not np.isfinite(score).all():
                self._study.tell(trial, state=self._failed)
            else:
                self._study.tell(trial, score)


def distributions(use: StrategyUse) -> dict[str, Any]:
    """Return the strategy's space as Optuna's distributions."""
    return {
        name: _distribution(spec, whole=is_whole(use.strategy, name))
        for name, spec in use.space.items()
    }


def _distribution(spec: ParameterSpec, *, whole: bool) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if spec.choices is not None:
        return CategoricalDistribution(list(spec.choices))
    assert spec.min is not None and spec.max is not None
    if whole and spec.step is not None and not spec.step.is_integer():
        # A grid rounds such steps; Optuna's whole numbers know steps of one size only.
        return CategoricalDistribution(spec.grid(whole=True, points=0))
    if whole:
        step = 1 if spec.step is None else int(spec.step)
        return IntDistribution(int(spec.min), int(spec.max), step=step, log=spec.log)
    return FloatDistribution(spec.min, spec.max, step=spec.step, log=spec.log)


def _sampler(method: str, seed: int, trials: int) -> Any:
    from optuna.samplers import NSGAIISampler, QMCSampler, TPESampler

    if method in ("tpe", "bayesian"):
        return TPESampler(
            seed=seed, multivariate=True, n_startup_trials=min(2 * GENERATION, trials)
        )
    if method == "genetic":
        return NSGAIISampler(seed=seed, population_size=GENERATION)
    if method == "qmc":
        return QMCSampler(seed=seed, scramble=True)
    raise ValueError(f"there is no search method {method!r}")
