"""The phase type `optimization`: a search for good parameters of each strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from alphafoundry.backtest import Bars
from alphafoundry.configuration import suggest
from alphafoundry.coordinator.checkpoints import reader_of_returns
from alphafoundry.coordinator.components import Component, store_signals
from alphafoundry.coordinator.context import PhaseContext, Trial
from alphafoundry.coordinator.document_values import Count, Text, TrialCount
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.parameter_space import ParameterSpec
from alphafoundry.coordinator.pareto import Selection, chosen_of, front_of
from alphafoundry.coordinator.phase_outputs import (
    Front,
    FrontTrial,
    OptimizationOutputs,
    SearchedTrial,
)
from alphafoundry.coordinator.phase_types import TopTrial, phase_type
from alphafoundry.coordinator.plots import front_plot, heat_maps
from alphafoundry.coordinator.pruning import Medians
from alphafoundry.coordinator.sampling import Score, grid_size, names_compared, search_for
from alphafoundry.coordinator.scoring import METRICS, score_of, scores_of, unknown_metric, within
from alphafoundry.coordinator.search_sections import (
    ConstraintSection,
    Method,
    ObjectiveKeys,
    ObjectiveSection,
    PruningSection,
)
from alphafoundry.coordinator.strategies import StrategyUse
from alphafoundry.coordinator.wording import counted, short
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import BacktestError, ConfigurationError, PhaseFailed
from alphafoundry.runs import Table

Period = Literal["train", "test", "all"]


class OptimizationConfig(ObjectiveKeys):
    """`config` of an optimization; what is left out is taken from the section `optimization`.

    strategies : names, None is all enabled ones; the trials are shared evenly among them
    period : days that the trials run on
    """

    method: Method | None = None
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


def _goal(phase: Phase, workflow: Workflow) -> ObjectiveKeys:
    """Return the section that says what the search is for: the phase's, else the global one."""
    own = _config(phase)
    return own if own.objective or own.objectives else workflow.document.optimization


def _pruning(phase: Phase, workflow: Workflow) -> PruningSection | None:
    return _config(phase).pruning or workflow.document.optimization.pruning


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
    front = outputs.front
    if front is None:
        return f"{best} ({parameters}): {outputs.objective} {outputs.best_score[best]:.3f}"
    numbers = outputs.best_metrics[best]
    values = ", ".join(f"{name} {short(numbers[name])}" for name in front.objectives)
    return (
        f"{best} ({parameters}): {values}, by the rule {front.selection!r} from a front of "
        f"{counted(len(front.trials), 'trial')}"
    )


def _plots(
    outputs: OptimizationOutputs, phase: Phase, workflow: Workflow, bars: Bars
) -> dict[str, bytes]:
    maps = heat_maps(phase.name, outputs.trial_list, outputs.objective, bars.label)
    if outputs.front is None:
        return maps
    picture = front_plot(phase.name, outputs.front, outputs.trial_list, bars.label)
    return {f"{phase.name} front": picture, **maps}


def _tables(outputs: OptimizationOutputs, phase: Phase, most: int) -> list[Table]:
    """Return the front, the chosen trial marked."""
    front = outputs.front
    if front is None:
        return []
    shown = front.trials[:most]
    if front.chosen not in [trial.number for trial in shown]:
        shown = [*shown, *(trial for trial in front.trials if trial.number == front.chosen)]
    rows = [
        {
            "trial": str(trial.number),
            **{name: short(value) for name, value in trial.values.items()},
            "chosen": "yes" if trial.number == front.chosen else "",
            "strategy": trial.strategy,
            "parameters": ", ".join(f"{k}={short(v)}" for k, v in trial.parameters.items()),
        }
        for trial in shown
    ]
    chosen = {place for place, trial in enumerate(shown) if trial.number == front.chosen}
    goals = ", ".join(f"{direction} {name}" for name, direction in front.objectives.items())
    return [
        Table(
            f"Front of {phase.name}",
            rows,
            caption=f"{len(shown)} of {counted(len(front.trials), 'trial')} that no other beats in "
            f"every objective ({goals}); trial {front.chosen} is chosen, "
            f"by the rule {front.selection!r}",
            places=frozenset({"terminal", "page"}),
            wide="parameters",
            marked=frozenset(chosen),
        )
    ]


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
    if method == "differential_evolution" and _goal(phase, workflow).objectives:
        raise ConfigurationError(
            "differential_evolution searches one objective; for several choose genetic, tpe, "
            "random, qmc or grid"
        )
    if _pruning(phase, workflow) is not None:
        if _goal(phase, workflow).objectives:
            raise ConfigurationError(
                "pruning needs one objective, and this search has several; leave pruning out"
            )
        reader = reader_of_returns(workflow, phase.name)
        if reader is not None:
            raise ConfigurationError(
                f"phase {reader!r} reads the daily returns of every trial, which pruning gives up; "
                "leave pruning out"
            )
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
    tables=_tables,
)
def optimization(context: PhaseContext) -> OptimizationOutputs:
    """Search every strategy's parameters; the strategies' generations run side by side."""
    workflow, phase = context.workflow, context.phase
    config = _config(phase)
    goal, pruning = _goal(phase, workflow), _pruning(phase, workflow)
    objective = goal.objective or "sharpe"
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
            objectives=len(goal.objectives or (objective,)),
            in_generations=pruning is not None,
        )
        for use, share in zip(uses, _shares(_asked_for(phase, workflow), len(uses)), strict=True)
    ]
    found: dict[str, list[Trial]] = {use.name: [] for use in uses}
    medians = Medians(pruning, objective, rows)
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
                    **medians.option(use.name),
                },
            )
            for use, points in zip(uses, asked, strict=True)
        ]
        kind = "trials" if pruning is None else "pruned trials"
        for use, search, trials in zip(uses, searches, context.work(kind, groups), strict=True):
            medians.take(use.name, trials)
            search.tell([_told(trial, objective, goal.objectives) for trial in trials])
            found[use.name].extend(trials)
    infeasible = sum(search.infeasible for search in searches)
    context.require_enough(trial for trials in found.values() for trial in trials)
    context.notes.extend(medians.notes(phase.name))
    outputs = _results(context, uses, found, goal, constraints, infeasible, rows)
    if workflow.document.workflow.signal_capture:
        store_signals(context, list(outputs.components.values()))
    return outputs


def _told(
    trial: Trial, objective: str, objectives: Sequence[ObjectiveSection] | None
) -> Score | None:
    """Return what the search is told of a trial."""
    if trial.numbers is None:
        return None
    if objectives is not None:
        return scores_of(trial.numbers, objectives)
    return score_of(trial.numbers, objective)


def _results(
    context: PhaseContext,
    uses: list[StrategyUse],
    found: Mapping[str, list[Trial]],
    goal: ObjectiveKeys,
    constraints: ConstraintSection,
    infeasible: int,
    rows: tuple[int, int],
) -> OptimizationOutputs:
    several = goal.objectives
    objective = several[0].metric if several else goal.objective or "sharpe"
    every = [(use.name, trial) for use in uses for trial in found[use.name]]
    scores = {
        trial.number: scores_of(trial.numbers, several)
        if several
        else (score_of(trial.numbers, objective),)
        for _, trial in every
    }
    allowed = {
        trial.number
        for _, trial in every
        if trial.numbers is not None
        and not trial.numbers.get("pruned")
        and within(trial.numbers, constraints.performance)
    }
    ranked = [
        (values, name, trial)
        for name, trial in every
        if trial.number in allowed
        and (values := scores[trial.number]) is not None
        and all(map(math.isfinite, values))
    ]
    if not ranked:
        wanted = " and a ".join(item.metric for item in several) if several else objective
        raise PhaseFailed(
            f"phase {context.phase.name}: no trial has a {wanted} and keeps to the constraints; "
            "widen the parameters or the constraints"
        )
    ranked.sort(key=lambda item: (*(-value for value in item[0]), item[2].number))
    rule = goal.selection or "knee"
    front: Front | None = None
    if several:
        on_front = _front(ranked)
        chosen = _best(on_front, rule)
        front = Front(
            objectives={
                item.metric: "maximize" if item.sign > 0 else "minimize" for item in several
            },
            selection=rule,
            chosen=chosen[2].number,
            trials=[
                FrontTrial(
                    trial.number,
                    name,
                    trial.item,
                    {item.metric: (trial.numbers or {})[item.metric] for item in several},
                )
                for _, name, trial in on_front
            ],
        )
        ranked = [*on_front, *(item for item in ranked if item not in on_front)]
    else:
        chosen = ranked[0]
    best: dict[str, _Ranked] = {}
    for use in uses:
        own = [item for item in ranked if item[1] == use.name]
        if own:
            best[use.name] = _best(_front(own), rule) if several else own[0]
        else:
            context.notes.append(f"{use.name}: no trial keeps to the constraints; left out")
    best[chosen[1]] = chosen
    config = _config(context.phase)
    top = config.top_trials or context.workflow.document.reporting.top_trials
    sources = {use.name: use.source for use in uses}
    leaders = ranked[:top]
    shown = {trial.number for _, _, trial in leaders}
    # The best of each strategy is a component even where another strategy fills the top.
    leaders += [item for item in best.values() if item[2].number not in shown]
    return OptimizationOutputs(
        best_params={name: trial.item for name, (_, _, trial) in best.items()},
        best_score={name: values[0] for name, (values, _, _) in best.items()},
        best_trial={name: trial.number for name, (_, _, trial) in best.items()},
        best_metrics={name: _metrics(trial) for name, (_, _, trial) in best.items()},
        best_strategy=chosen[1],
        top_trials=[
            TopTrial(trial.number, name, trial.item, values[0], _metrics(trial))
            for values, name, trial in leaders
        ],
        components={
            f"{name}-{trial.number}": Component(sources[name], trial.item)
            for _, name, trial in leaders
        },
        trial_list=[
            SearchedTrial(
                number=trial.number,
                strategy=name,
                parameters=trial.item,
                score=_first(scores[trial.number]),
                kept=trial.number in allowed,
                scores=scores[trial.number] if several else None,
                pruned=bool((trial.numbers or {}).get("pruned")),
            )
            for name, trial in every
        ],
        returns=context.files,
        objective=objective,
        infeasible=infeasible,
        rows=rows,
        front=front,
    )


_Ranked = tuple[tuple[float, ...], str, Trial]


def _front(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    return [ranked[row] for row in front_of(np.array([values for values, _, _ in ranked]))]


def _best(front: Sequence[_Ranked], rule: Selection) -> _Ranked:
    return front[chosen_of(np.array([values for values, _, _ in front]), rule)]


def _metrics(trial: Trial) -> dict[str, float | None]:
    return {name: (trial.numbers or {})[name] for name in METRICS}


def _first(scores: Sequence[float] | None) -> float | None:
    return scores[0] if scores and math.isfinite(scores[0]) else None
