"""A phase type of one's own: is the best of a search a plateau, or a lone peak?

Each number of the best parameters is moved a little down and up, and the neighbours are tried on
the days of the search. Where they do much worse, the best was luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from alphafoundry.backtest import Parameter
from alphafoundry.coordinator import PhaseContext, phase_type
from alphafoundry.coordinator.document_values import Section
from alphafoundry.coordinator.phase_outputs import OptimizationOutputs
from alphafoundry.coordinator.scoring import score_of
from alphafoundry.coordinator.strategies import StrategyUse
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import WrongParameter


class NeighboursConfig(Section):
    """`config` of the phase.

    shift : how far each number is moved, as a fraction of itself; whole numbers by 1 or more
    """

    shift: Annotated[float, Field(gt=0, lt=1)] = 0.1


@dataclass(frozen=True)
class Neighbourhood:
    """The best score of a strategy, those of its neighbours, and the lowest of these."""

    best: float
    neighbours: list[float]
    lowest: float


@dataclass(frozen=True)
class NeighboursOutputs:
    """What the phase gives: strategy to its neighbourhood, and the objective of the search."""

    strategies: Mapping[str, Neighbourhood]
    objective: str


def planned(_phase: Phase, workflow: Workflow, _days: int) -> int:
    """Return the most trials: two neighbours for each number of each strategy."""
    return sum(
        2 * sum(declared.kind != "choice" for declared in use.strategy.parameters.values())
        for use in workflow.strategies
    )


def result(outputs: NeighboursOutputs) -> str:
    """Return the line of the report."""
    return "; ".join(
        f"{name}: {outputs.objective} {found.best:.2f}, neighbours {found.lowest:.2f} or more"
        for name, found in outputs.strategies.items()
    )


@phase_type(
    "neighbours",
    outputs=NeighboursOutputs,
    config=NeighboursConfig,
    needs=(OptimizationOutputs,),
    trials=planned,
    looks_at="train",
    result=result,
)
def neighbours(context: PhaseContext) -> NeighboursOutputs:
    """Try the neighbours of the best parameters of the nearest search."""
    config = context.phase.config
    assert isinstance(config, NeighboursConfig)
    _, search = context.before(OptimizationOutputs)[-1]
    uses = [use for use in context.strategies() if use.name in search.best_params]
    groups = [
        (
            around(use, search.best_params[use.name], config.shift),
            {"strategy": use.source.to_json(), "rows": list(search.rows)},
        )
        for use in uses
    ]
    found: dict[str, Neighbourhood] = {}
    for use, trials in zip(uses, context.work("trials", groups), strict=True):
        scores = [
            score_of(trial.numbers, search.objective) for trial in context.require_enough(trials)
        ]
        found[use.name] = Neighbourhood(search.best_score[use.name], scores, min(scores))
    return NeighboursOutputs(found, search.objective)


def around(use: StrategyUse, best: Mapping[str, Any], shift: float) -> list[dict[str, Any]]:
    """Return the parameters with one number moved at a time, where the strategy takes them."""
    moved: list[dict[str, Any]] = []
    for name, declared in use.strategy.parameters.items():
        if declared.kind == "choice":
            continue
        for sign in (-1, 1):
            try:
                moved.append(
                    use.complete({**best, name: _step(declared, best[name], sign * shift)})
                )
            except WrongParameter:
                continue
    return moved


def _step(declared: Parameter, value: float, shift: float) -> float:
    step = value * shift
    if declared.kind == "float":
        return value + step
    return value + (max(1, round(abs(step))) if shift > 0 else -max(1, round(abs(step))))
