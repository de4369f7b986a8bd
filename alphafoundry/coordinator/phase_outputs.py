"""What the phase types of this library give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from alphafoundry.coordinator.components import Component
from alphafoundry.coordinator.pareto import Selection
from alphafoundry.coordinator.phase_types import TopTrial
from alphafoundry.coordinator.search_sections import Direction

Numbers = Mapping[str, int | float | None]
"""Metric to value, None where it is not defined."""

Weights = Mapping[str, float]
"""Component to its weight."""

Sample = Literal["out_of_sample", "in_sample", "given"]
"""What measured days are: kept from every search before, searched on, or there was no search."""


def _component(given: object) -> object:
    return Component.from_json(given) if isinstance(given, Mapping) else given


Components = Mapping[str, Annotated[Component, BeforeValidator(_component)]]
"""Components by name."""


@dataclass(frozen=True)
class SearchedTrial:
    """One trial of a search.

    score : None where it is not defined; of several objectives that of the first
    kept : whether it keeps to the constraints
    scores : of several objectives each one's, higher is better; None where one is not defined
    pruned : whether it was given up early; then its score is that of the first days
    """

    number: int
    strategy: str
    parameters: Mapping[str, Any]
    score: float | None
    kept: bool
    scores: Sequence[float] | None = None
    pruned: bool = False


@dataclass(frozen=True)
class FrontTrial:
    """One trial that no other beats in every objective.

    values : metric to value, in the order of the objectives
    """

    number: int
    strategy: str
    parameters: Mapping[str, Any]
    values: Mapping[str, int | float | None]


@dataclass(frozen=True)
class Front:
    """What several objectives leave to choose from.

    Attributes
    ----------
    objectives : metric to its direction
    selection : the rule that chose; chosen : the number of the trial
    trials : the best of the first objective first
    """

    objectives: Mapping[str, Direction]
    selection: Selection
    chosen: int
    trials: Sequence[FrontTrial]


@dataclass(frozen=True)
class OptimizationOutputs:
    """What a search found; by strategy where nothing else is said.

    Attributes
    ----------
    top_trials : the best, and the best of each strategy
    components : strategies with the parameters of `top_trials`, as STRATEGY-NUMBER
    trial_list : every trial
    returns : files of the trials' daily returns, empty unless a later phase needs them
    infeasible : points left out because their parameters do not go together
    rows : first row and row after the last of the days that were searched on
    front : of several objectives, None of one
    """

    best_params: Mapping[str, Mapping[str, Any]]
    best_score: Mapping[str, float]
    best_trial: Mapping[str, int]
    best_metrics: Mapping[str, Numbers]
    best_strategy: str
    top_trials: Sequence[TopTrial]
    components: Components
    trial_list: Sequence[SearchedTrial]
    returns: Sequence[Mapping[str, Any]]
    objective: str
    infeasible: int
    rows: tuple[int, int]
    front: Front | None = None


@dataclass(frozen=True)
class RegimeDays:
    """In-sample days of a regime, and their share."""

    days: int
    share: float


@dataclass(frozen=True)
class BestInRegime:
    """The best trial of a regime."""

    strategy: str
    parameters: Mapping[str, Any]
    score: float
    trial: int


@dataclass(frozen=True)
class AnalysisOutputs:
    """Regimes by number, and what was best in each.

    Attributes
    ----------
    overall_weights : weights for days whose regime is unknown or has none of its own
    labels : regime of each day of the history, -1 where it is unknown
    regime_model : the fitted model, plain values
    transitions : changes of the regime within the in-sample days
    """

    regimes: Mapping[str, RegimeDays]
    regime_weights: Mapping[str, Weights]
    overall_weights: Weights
    best_params_per_regime: Mapping[str, BestInRegime]
    components: Components
    labels: Sequence[int]
    regime_model: Mapping[str, Any]
    transitions: int


@dataclass(frozen=True)
class SignalOutputs:
    """Components whose signals are stored, and their keys in the store."""

    components: Components
    signals: Mapping[str, str]


@dataclass(frozen=True)
class ReplayOutputs:
    """Weights of an ensemble.

    Attributes
    ----------
    final_weights : regime, or "all" for days without one of their own, to weights
    metrics : of the weights of "all", in sample
    component_metrics : of each component alone, in sample
    weightings : how many were tried
    """

    final_weights: Mapping[str, Weights]
    components: Components
    signals: Mapping[str, str]
    metrics: Numbers
    component_metrics: Mapping[str, Numbers]
    regime_model: Mapping[str, Any] | None
    objective: str
    weightings: int


@dataclass(frozen=True)
class Equity:
    """Equity at the close of each day; `split` is the first measured one."""

    days: Sequence[str]
    values: Sequence[float]
    split: int


@dataclass(frozen=True)
class WeightsOverTime:
    """Component to its weight on each of the days."""

    days: Sequence[str]
    weights: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Benchmark:
    """Equal parts of every name with a price before the measured days, held, without costs.

    values : equity at the close of each measured day, from the same capital
    names : how many were bought; one without a price by then is left out
    """

    metrics: Numbers
    values: Sequence[float]
    names: int


@dataclass(frozen=True)
class BacktestOutputs:
    """What a backtest measured.

    Attributes
    ----------
    in_sample : metrics of the days before the measured ones, None where there are none
    weights : regime, or "all", to the weights that were traded
    weights_over_time : None where they never change
    period : first and last measured day
    monthly : month, as 2020-01, to its return
    """

    metrics: Numbers
    in_sample: Numbers | None
    equity: Equity
    weights: Mapping[str, Weights]
    weights_over_time: WeightsOverTime | None
    components: Components
    period: tuple[str, str]
    sample: Sample
    benchmark: Benchmark
    monthly: Mapping[str, float]


@dataclass(frozen=True)
class WindowOutputs:
    """One window of a walk-forward: days of training and test, what was best and how it did."""

    window: int
    train: tuple[str, str]
    test: tuple[str, str]
    strategy: str
    parameters: Mapping[str, Any]
    score: float
    in_sample: Numbers
    out_of_sample: Numbers


@dataclass(frozen=True)
class WalkForwardOutputs:
    """The test days of all windows, joined.

    Attributes
    ----------
    best_params : of the last window that trained before the out-of-sample days
    efficiency : mean annual return out of sample over in sample, None where the latter is not > 0
    """

    metrics: Numbers
    windows: Sequence[WindowOutputs]
    best_params: Mapping[str, Mapping[str, Any]]
    equity: Equity
    objective: str
    efficiency: float | None
    sample: Sample
    benchmark: Benchmark
    monthly: Mapping[str, float]
