"""The sections of a workflow document on searches: methods, ranges, constraints, windows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    StringConstraints,
)

from alphafoundry.coordinator.document_values import Number, Section, TrialCount, Whole
from alphafoundry.coordinator.parameter_space import ParameterSpec


class MetricBounds(Section):
    """What a trial's metric must keep to count."""

    min: Number | None = None
    max: Number | None = None


class ConstraintSection(Section):
    """What a trial must keep to.

    parameters : comparisons of two parameters or of one with a number: "fast < slow"
    performance : metric to bounds, a trial outside them is not chosen
    """

    parameters: tuple[
        Annotated[
            str,
            StringConstraints(
                pattern=r"^\s*[A-Za-z_]\w*\s*(<|<=|>|>=|!=|==)\s*([A-Za-z_]\w*|-?[0-9]+(\.[0-9]+)?)\s*$"
            ),
        ],
        ...,
    ] = ()
    performance: dict[str, MetricBounds] = Field(default_factory=dict)


Method = Literal[
    "grid",
    "random",
    "tpe",
    "bayesian",
    "genetic",
    "differential_evolution",
    "qmc",
    "signal_replay",
]
Objective = Literal["sharpe", "sortino", "calmar", "cvar", "total_return"]


class OptimizationSection(Section):
    """Defaults of every search in the workflow.

    parameters : parameter (or "strategy.parameter") to its range: [min, max], a list of choices,
        or {min, max, step, points, log, choices}
    n_trials : needed for every method but grid, unless the phase has container_count
    """

    method: Method | None = None
    objective: Objective | None = None
    parameters: dict[str, ParameterSpec] = Field(default_factory=dict)
    n_trials: TrialCount | None = None
    constraints: ConstraintSection = ConstraintSection()


WindowType = Literal["fixed", "expanding", "percentage", "adaptive"]


class WalkForwardSection(Section):
    """Windows of a walk-forward test, in trading days."""

    train_period_days: Annotated[Whole, Field(ge=30, le=2000)] = 252
    test_period_days: Annotated[Whole, Field(ge=5, le=500)] = 63
    step_days: Annotated[Whole, Field(ge=1, le=200)] = 63
    window_type: WindowType = "fixed"
    min_train_days: Annotated[Whole, Field(ge=30, le=2000)] | None = None
    optimization: OptimizationSection = OptimizationSection()
