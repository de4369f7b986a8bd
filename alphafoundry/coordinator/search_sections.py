"""The sections of a workflow document on searches: methods, ranges, constraints, windows."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from alphafoundry.coordinator.document_values import Number, Section, TrialCount, Whole
from alphafoundry.coordinator.parameter_space import ParameterSpec
from alphafoundry.coordinator.pareto import Selection


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
_SPELLINGS = {"sharpe_ratio": "sharpe", "sortino_ratio": "sortino", "calmar_ratio": "calmar"}


def _spelled(value: object) -> object:
    return _SPELLINGS.get(value, value) if isinstance(value, str) else value


Objective = Annotated[
    Literal["sharpe", "sortino", "calmar", "cvar", "total_return"], BeforeValidator(_spelled)
]
Metric = Annotated[
    Literal[
        "sharpe",
        "sortino",
        "calmar",
        "total_return",
        "annual_return",
        "win_rate",
        "volatility",
        "max_drawdown",
        "cvar",
        "turnover",
        "cost",
        "trades",
    ],
    BeforeValidator(_spelled),
]
Direction = Literal["maximize", "minimize"]
MINIMIZED = ("volatility", "max_drawdown", "cvar", "turnover", "cost", "trades")
"""Metrics of which less is better where no direction is given."""


class ObjectiveSection(Section):
    """One of several objectives.

    direction : left out, less of what is lost, risked or paid, and more of the rest
    """

    metric: Metric
    direction: Direction | None = None

    @property
    def sign(self) -> float:
        """1 where more is better, else -1."""
        least = "minimize" if self.metric in MINIMIZED else "maximize"
        return -1.0 if (self.direction or least) == "minimize" else 1.0


Objectives = Annotated[tuple[ObjectiveSection, ...], Field(min_length=2, max_length=4)]


class PruningSection(Section):
    """Trials that are given up early.

    at : share of the days after which a trial is measured first; one whose score there is below
        the median of all trials of earlier generations is measured no further
    """

    at: Annotated[Number, Field(ge=0.05, le=0.95)]


class ObjectiveKeys(Section):
    """What a search is for: one objective, or several with a rule that chooses from their front.

    selection : the trial of the front that following phases take: "knee", nearest to the best of
        every objective, or "first", the best of the first objective
    """

    objective: Objective | None = None
    objectives: Objectives | None = None
    selection: Selection | None = None
    pruning: PruningSection | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.objectives is None:
            if self.selection is not None:
                raise ValueError("has a selection and no objectives; leave it out, or add them")
            return self
        if self.objective is not None:
            raise ValueError("has both objective and objectives; leave one out")
        metrics = [item.metric for item in self.objectives]
        if len(set(metrics)) < len(metrics):
            raise ValueError("has a metric twice in objectives; name each once")
        if self.pruning is not None:
            raise ValueError("has pruning, which needs one objective; leave out one of the two")
        return self


class OptimizationSection(ObjectiveKeys):
    """Defaults of every search in the workflow.

    parameters : parameter (or "strategy.parameter") to its range: [min, max], a list of choices,
        or {min, max, step, points, log, choices}
    n_trials : needed for every method but grid, unless the phase has container_count
    """

    method: Method | None = None
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
