"""The phase type `optimization`: a search for good parameters of each strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from alphafoundry.backtest import Bars
from alphafoundry.configuration import suggest
from alphafoundry.coordinator.batches import METRICS
from alphafoundry.coordinator.components import Component, store_signals
from alphafoundry.coordinator.context import PhaseContext, Trial
from alphafoundry.coordinator.document_values import Count, Section, Text, TrialCount
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.parameter_space import ParameterSpec
from alphafoundry.coordinator.phase_outputs import OptimizationOutputs, SearchedTrial
from alphafoundry.coordinator.phase_types import TopTrial, phase_type
from alphafoundry.coordinator.plots import heat_maps
from alphafoundry.coordinator.sampling import grid_size, names_compared, search_for
from alphafoundry.coordinator.scoring import score_of, unknown_metric, within
from alphafoundry.coordinator.search_sections import ConstraintSection, Method, Objective
from alphafoundry.coordinator.strategies import StrategyUse
from alphafoundry.coordinator.wording import short
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import BacktestError, ConfigurationError, PhaseFailed

Period = Literal["train", "test", "all"]


class OptimizationConfig(Section):
    """`config` of an optimization; what is left out is taken from the section `optimization`.

    strategies : names, None is all enabled ones; the trials are shared evenly among them
    period : days that the trials run on
    """

    method: Method | None = None
    objective: Objective | None = None
    parameters: dict[str, ParameterSpec] = Field(default_factory=dict)
    n_trials: TrialCount | None = None
    constraints: ConstraintSection | None = None
    strategies: tuple[Text, ...] | None = None
    period: Period = "train"
    top_trials: Count | None = None


def chosen_strategies(
    names: Sequence[str] | None, parameters: Mapping[str, ParameterSpec], workflow: Workflow
) -> list[StrategyUse]:
    """Return the strategies with their spaces as the phase changes them.

    Raises ConfigurationError where a strategy or a parameter is unknown or out of range.
    """
    known = [use.name for use in workflow.strategies]
    for name in names or ():
        if name not in known:
            raise ConfigurationError(f"there is no strategy {name!r}; {suggest(name, known)}")
    uses = [use for use in workflow.strategies if names is None or use.name in names]
    every = {f"{use.name}.{name}" for use in uses for name in use.strategy.parameters} | {
        name for use in uses for name in use.strategy.parameters
    }
    for name in parameters:
        if name not in every:
            raise ConfigurationError(
                f"config.parameters: no strategy has the parameter {name!r}; {suggest(name, every)}"
            )
    return [_with_space(use, parameters) for use in uses]


def _with_space(use: StrategyUse, parameters: Mapping[str, ParameterSpec]) -> StrategyUse:
    space = dict(use.space)
    params = dict(use.params)
    for name, declared in use.strategy.parameters.items():
        spec = parameters.get(f"{use.name}.{name}") or parameters.get(name)
        if spec is None:
            continue
        for value in spec.choices if spec.choices is not None else (spec.min, spec.max):
            try:
                declared.checked(use.name, name, value)
            except BacktestError as problem:
                raise ConfigurationError(f"config.parameters: {problem}") from None
        params.pop(name, None)
        space[name] = spec
    ordered = {name: space[name] for name in use.strategy.parameters if name in space}
    return StrategyUse(use.name, use.source, params, ordered, use.allocation)


def _config(phase: Phase) -> OptimizationConfig:
    assert isinstance(phase.config, OptimizationConfig)
    return phase.config


def _method(phase: Phase, workflow: Workflow) -> str:
    return _config(phase).method or workflow.document.optimization.method or "grid"


def _asked_for(phase: Phase, workflow: Workflow) -> int | None:
    config = _config(phase)
    return phase.trials or config.n_trials or workflow.document.optimization.n_trials


def _constraints(phase: Phase, workflow: Workflow) -> ConstraintSection:
    return _config(phase).constraints or workflow.document.optimization.constraints


def _shares(total: int | None, count: int) -> list[int | None]:
    """Share trials evenly; the first strategies get what is left over."""
    if total is None:
        return [None] * count
    return [total // count + (place < total % count) for place in range(count)]


def uses_of(phase: Phase, workflow: Workflow) -> list[StrategyUse]:
    """Return the strategies that the phase searches, with their spaces."""
    config = _config(phase)
    return chosen_strategies(config.strategies, config.parameters, workflow)


def _trials(phase: Phase, workflow: Workflow, _days: int) -> int:
    uses = uses_of(phase, workflow)
    shares = _shares(_asked_for(phase, workflow), len(uses))
    if _method(phase, workflow) != "grid":
        return sum(share or 0 for share in shares)
    comparisons = _constraints(phase, workflow).parameters
    return sum(grid_size(use, share, comparisons) for use, share in zip(uses, shares, strict=True))


def _keys(phase: Phase, workflow: Workflow) -> Mapping[str, Shape]:
    names = {use.name: None for use in uses_of(phase, workflow)}
    by_parameter: dict[str, Shape] = {
        use.name: dict.fromkeys(use.strategy.parameters) for use in uses_of(phase, workflow)
    }
    return {
        **output_keys(OptimizationOutputs),
        "best_params": by_parameter,
        "best_score": names,
        "best_trial": names,
        "best_metrics": {name: dict.fromkeys(METRICS) for name in names},
    }


def _result(outputs: OptimizationOutputs) -> str:
    best = outputs.best_strategy
    parameters = ", ".join(f"{k}={short(v)}" for k, v in outputs.best_params[best].items())
    return f"{best} ({parameters}): {outputs.objective} {outputs.best_score[best]:.3f}"


def _plots(
    outputs: OptimizationOutputs, phase: Phase, workflow: Workflow, bars: Bars
) -> dict[str, bytes]:
    return heat_maps(phase.name, outputs.trial_list, outputs.objective, bars.label)


def check_constraints(constraints: ConstraintSection, workflow: Workflow) -> None:
    """Refuse constraints on parameters that no strategy has, and on what is no metric.

    Raises ConfigurationError.
    """
    known = {name for use in workflow.strategies for name in use.strategy.parameters}
    for text in constraints.parameters:
        for name in names_compared(text):
            if name not in known:
                raise ConfigurationError(
                    f"constraints.parameters: {text!r}: no strategy has the parameter {name!r}; "
                    f"{suggest(name, known)}"
                )
    wrong = unknown_metric(constraints.performance)
    if wrong is not None:
        raise ConfigurationError(
            f"constraints.performance: {wrong!r} is not a metric; {suggest(wrong, METRICS)}"
        )


def _check(phase: Phase, workflow: Workflow) -> None:
    method = _method(phase, workflow)
    uses = uses_of(phase, workflow)
    asked = _asked_for(phase, workflow)
    if method == "signal_replay":
        raise ConfigurationError(
            "optimization.method signal_replay is of a phase: write method: signal_replay there"
        )
    if method != "grid" and asked is None:
        raise ConfigurationError(
            f"the method {method} needs a number of trials; add container_count or n_trials"
        )
    if asked is not None and asked < len(uses):
        raise ConfigurationError(
            f"{asked} trials for {len(uses)} strategies; ask for at least one each"
        )
    check_constraints(_constraints(phase, workflow), workflow)
    if method == "grid" and _trials(phase, workflow, 0) == 0:
        raise ConfigurationError(
            "no point of the grid keeps to the constraints and to the strategies' own rules; "
            "widen the parameters"
        )


@phase_type(
    "optimization",
    config=OptimizationConfig,
    outputs=OptimizationOutputs,
    keys=_keys,
    trials=_trials,
    takes_count=True,
    check=_check,
    looks_at=lambda outputs: outputs.rows[1],
    container_types=("full_backtest", "simple_backtest", "signal_generation"),
    searches=uses_of,
    result=_result,
    chosen=lambda outputs: outputs.best_metrics[outputs.best_strategy],
    top_trials=lambda outputs: outputs.top_trials,
    plots=_plots,
)
def optimization(context: PhaseContext) -> OptimizationOutputs:
    """Search every strategy's parameters; the strategies' generations run side by side."""
    workflow, phase = context.workflow, context.phase
    config = _config(phase)
    objective = config.objective or workflow.document.optimization.objective or "sharpe"
    constraints = _constraints(phase, workflow)
    uses = uses_of(phase, workflow)
    rows = context.rows(config.period)
    searches = [
        search_for(
            _method(phase, workflow),
            use,
            trials=share,
            seed=workflow.seed,
            name=phase.name,
            comparisons=constraints.parameters,
        )
        for use, share in zip(uses, _shares(_asked_for(phase, workflow), len(uses)), strict=True)
    ]
    found: dict[str, list[Trial]] = {use.name: [] for use in uses}
    while True:
        asked = [search.ask() for search in searches]
        if not any(asked):
            break
        groups = [
            (
                [use.complete(point) for point in points],
                {
                    "strategy": use.source.to_json(),
                    "rows": list(rows),
                    "keep_returns": context.keep_returns,
                    "seeded": use.seeded,
                },
            )
            for use, points in zip(uses, asked, strict=True)
        ]
        for use, search, trials in zip(uses, searches, context.work("trials", groups), strict=True):
            scores = [score_of(trial.numbers, objective) for trial in trials]
            search.tell(
                [
                    None if trial.numbers is None else score
                    for trial, score in zip(trials, scores, strict=True)
                ]
            )
            found[use.name].extend(trials)
    infeasible = sum(search.infeasible for search in searches)
    context.require_enough(trial for trials in found.values() for trial in trials)
    outputs = _results(context, uses, found, objective, constraints, infeasible, rows)
    if workflow.document.workflow.signal_capture:
        store_signals(context, list(outputs.components.values()))
    return outputs


def _results(
    context: PhaseContext,
    uses: list[StrategyUse],
    found: Mapping[str, list[Trial]],
    objective: str,
    constraints: ConstraintSection,
    infeasible: int,
    rows: tuple[int, int],
) -> OptimizationOutputs:
    ranked: list[tuple[float, str, Trial]] = []
    best: dict[str, tuple[float, Trial]] = {}
    for use in uses:
        for trial in found[use.name]:
            if trial.numbers is None or not within(trial.numbers, constraints.performance):
                continue
            score = score_of(trial.numbers, objective)
            if score == -math.inf:
                continue
            ranked.append((score, use.name, trial))
            if use.name not in best or score > best[use.name][0]:
                best[use.name] = (score, trial)
    if not ranked:
        raise PhaseFailed(
            f"phase {context.phase.name}: no trial has a {objective} and keeps to the constraints; "
            "widen the parameters or the constraints"
        )
    for use in uses:
        if use.name not in best:
            context.notes.append(f"{use.name}: no trial keeps to the constraints; left out")
    ranked.sort(key=lambda item: (-item[0], item[2].number))
    config = _config(context.phase)
    top = config.top_trials or context.workflow.document.reporting.top_trials
    sources = {use.name: use.source for use in uses}
    leaders = ranked[:top]
    shown = {trial.number for _, _, trial in leaders}
    # The best of each strategy is a component even where another strategy fills the top.
    leaders += [
        (score, name, trial) for name, (score, trial) in best.items() if trial.number not in shown
    ]
    return OptimizationOutputs(
        best_params={name: trial.item for name, (_, trial) in best.items()},
        best_score={name: score for name, (score, _) in best.items()},
        best_trial={name: trial.number for name, (_, trial) in best.items()},
        best_metrics={name: dict(trial.numbers or {}) for name, (_, trial) in best.items()},
        best_strategy=ranked[0][1],
        top_trials=[
            TopTrial(trial.number, name, trial.item, score, dict(trial.numbers or {}))
            for score, name, trial in leaders
        ],
        components={
            f"{name}-{trial.number}": Component(sources[name], trial.item)
            for _, name, trial in leaders
        },
        trial_list=[
            SearchedTrial(
                number=trial.number,
                strategy=use.name,
                parameters=trial.item,
                score=None
                if trial.numbers is None
                else _finite(score_of(trial.numbers, objective)),
                kept=trial.numbers is not None and within(trial.numbers, constraints.performance),
            )
            for use in uses
            for trial in found[use.name]
        ],
        returns=context.files,
        objective=objective,
        infeasible=infeasible,
        rows=rows,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
