"""The phase type `signal_replay`: ensemble weights, found by replaying stored signals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.backtest import (
    EnsembleConstraints,
    SignalStore,
    TrialResult,
    allowed_together,
    optimise_weights,
    regime_scores,
    replay,
    stacked,
)
from alphafoundry.coordinator.components import Component, add_component, store_signals
from alphafoundry.coordinator.context import PhaseContext, Trial
from alphafoundry.coordinator.document_values import Count, Number, Section, Whole
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.phase_outputs import (
    AnalysisOutputs,
    OptimizationOutputs,
    ReplayOutputs,
    SignalOutputs,
)
from alphafoundry.coordinator.phase_types import phase_type
from alphafoundry.coordinator.phases.analysis import ALL, classified
from alphafoundry.coordinator.returns_files import read_returns
from alphafoundry.coordinator.scoring import METRICS, score_of
from alphafoundry.coordinator.wording import counted, metrics_line
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import (
    BacktestError,
    ConfigurationError,
    InfeasibleEnsemble,
    PhaseFailed,
)
from alphafoundry.seeds import generator

DEFAULT_WEIGHTINGS = 100


class WeightConstraints(Section):
    """What the weights must keep to; they are at least 0 and sum to 1.

    max_correlation : of the daily returns of two components that both have a weight
    """

    sum: Literal[1] = 1
    max_weight: Annotated[Number, Field(gt=0, le=1)] = 1.0
    min_strategies: Count = 1
    min_weight: Annotated[Number, Field(ge=0, le=1)] = 0.01
    max_correlation: Annotated[Number, Field(ge=-1, le=1)] | None = None


class ReplayConfig(Section):
    """`config` of a signal replay.

    per_regime : weights for each regime of the analysis before it, beside those of all days
    max_components : most components, the best of the phases before
    min_samples : fewest days of a regime that has weights of its own
    """

    objective: Literal["sharpe", "sortino", "calmar", "cvar"] = "sharpe"
    constraints: WeightConstraints = WeightConstraints()
    per_regime: bool = True
    max_components: Annotated[Whole, Field(ge=1, le=200)] = 20
    min_samples: Count = 20


def _keys(_phase: Phase, _workflow: Workflow) -> Mapping[str, Shape]:
    return {**output_keys(ReplayOutputs), "metrics": dict.fromkeys(METRICS)}


def _result(outputs: ReplayOutputs) -> str:
    held = sum(weight > 0 for weight in outputs.final_weights[ALL].values())
    return f"{counted(held, 'component')} with weight; {metrics_line(outputs.metrics)}"


def _trials(phase: Phase, _workflow: Workflow, _days: int) -> int:
    return phase.trials or DEFAULT_WEIGHTINGS


def _check(phase: Phase, _workflow: Workflow) -> None:
    rules = _rules(phase)
    if rules.min_strategies * rules.min_weight > 1:
        raise ConfigurationError(
            f"config.constraints: {rules.min_strategies} strategies with at least "
            f"{rules.min_weight:g} each are more than 1"
        )


def _rules(phase: Phase) -> WeightConstraints:
    assert isinstance(phase.config, ReplayConfig)
    return phase.config.constraints


def chosen_components(context: PhaseContext, most: int) -> dict[str, Component]:
    """Return the components of the phases before: regimes' best first, then the best trials.

    Where there are several strategies, the best trial of each comes before second ones.
    """
    found: dict[str, Component] = {}
    for phase, outputs in context.before(AnalysisOutputs, SignalOutputs):
        for name, component in outputs.components.items():
            add_component(found, phase, name, component)
    later = []
    for phase, searched in context.before(OptimizationOutputs):
        leaders = {f"{strategy}-{number}" for strategy, number in searched.best_trial.items()}
        for name, component in searched.components.items():
            if name in leaders:
                add_component(found, phase, name, component)
            else:
                later.append((phase, name, component))
    for phase, name, component in later:
        add_component(found, phase, name, component)
    unique: dict[str, Component] = {}
    seen = set()
    for name, component in found.items():
        identity = repr(component.to_json())
        if identity not in seen:
            seen.add(identity)
            unique[name] = component
    return dict(list(unique.items())[:most])


@phase_type(
    "signal_replay",
    config=ReplayConfig,
    outputs=ReplayOutputs,
    keys=_keys,
    trials=_trials,
    takes_count=True,
    needs=(OptimizationOutputs, AnalysisOutputs, SignalOutputs),
    check=_check,
    looks_at="train",
    container_types=("signal_replay",),
    result=_result,
    chosen=lambda outputs: outputs.metrics,
)
def signal_replay(context: PhaseContext) -> ReplayOutputs:
    """Store each component's signals once, then try weightings by replaying them."""
    config = context.phase.config
    assert isinstance(config, ReplayConfig)
    components = chosen_components(context, config.max_components)
    names = list(components)
    keys = store_signals(context, list(components.values()))
    rows = context.rows("train")
    alone = replay(
        stacked(SignalStore(context.setting.signals), context.bars, keys),
        np.eye(len(names)),
        context.bars,
        context.execution,
        measured=rows,
    )
    returns = np.stack([result.daily_returns for result in alone], axis=1)
    labels, model = _labels(context, config, rows)
    optimised = _optimised(context, config, returns, labels)
    allowed = allowed_together(
        returns,
        objective=config.objective,
        max_correlation=config.constraints.max_correlation,
    )
    weightings = [*optimised.values()]
    weightings += _random_weightings(
        context,
        len(names),
        allowed,
        config.constraints,
        _trials(context.phase, context.workflow, context.bars.shape[0]) - len(weightings),
    )
    (trials,) = context.work(
        "replay",
        [
            (
                [row.tolist() for row in weightings],
                {"keys": keys, "measured": list(rows), "keep_returns": labels is not None},
            )
        ],
    )
    left = context.require_enough(trials)
    final = _best(context, config, left, labels, names)
    overall = np.array([final[ALL][name] for name in names])
    confirmed = next(trial for trial in left if np.array_equal(trial.item, overall))
    return ReplayOutputs(
        final_weights=final,
        components=components,
        signals=dict(zip(names, keys, strict=True)),
        metrics=dict(confirmed.numbers or {}),
        component_metrics={
            name: _plain(result.metrics.to_dict())
            for name, result in zip(names, alone, strict=True)
        },
        regime_model=model,
        objective=config.objective,
        weightings=len(weightings),
    )


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _labels(
    context: PhaseContext, config: ReplayConfig, rows: tuple[int, int]
) -> tuple[NDArray[np.int64] | None, Mapping[str, Any] | None]:
    """Return the in-sample days' regimes and the model, None without an analysis before."""
    analyses = context.before(AnalysisOutputs)
    if not analyses or not config.per_regime:
        return None, None
    model = analyses[-1][1].regime_model
    return classified(context, model)[rows[0] : rows[1]], model


def _optimised(
    context: PhaseContext,
    config: ReplayConfig,
    returns: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
) -> dict[str, NDArray[np.float64]]:
    """Return convex optima from the components' own returns: of all days, and of each regime.

    They ignore the netting of trades; the replay that follows decides.
    """
    given = config.constraints
    rules = EnsembleConstraints(
        max_weight=given.max_weight,
        min_strategies=given.min_strategies,
        min_weight=min(given.min_weight, given.max_weight),
        max_correlation=given.max_correlation,
    )
    try:
        found = {ALL: optimise_weights(returns, objective=config.objective, constraints=rules)}
    except BacktestError as problem:
        raise PhaseFailed(f"phase {context.phase.name}: {problem}") from None
    if labels is None:
        return found
    for regime in sorted(set(labels.tolist()) - {-1}):
        days = np.flatnonzero(labels[:-1] == regime) + 1
        if len(days) < config.min_samples:
            continue
        try:
            found[str(regime)] = optimise_weights(
                returns[days], objective=config.objective, constraints=rules
            )
        except InfeasibleEnsemble as problem:
            context.notes.append(f"{context.phase.name}: regime {regime}: {problem}")
    return found


def _random_weightings(
    context: PhaseContext,
    count: int,
    allowed: Sequence[int],
    rules: WeightConstraints,
    wanted: int,
) -> list[NDArray[np.float64]]:
    """Return weightings that keep to the constraints: equal ones, then uniform draws."""
    needed = max(rules.min_strategies, math.ceil(1 / rules.max_weight - 1e-9))
    if len(allowed) < needed or wanted < 1:
        return []
    draws = generator(context.workflow.seed, context.phase.name, "weightings")
    least = min(rules.min_weight, rules.max_weight)
    found = []
    if 1 / len(allowed) >= least:
        equal = np.zeros(count)
        equal[list(allowed)] = 1 / len(allowed)
        found.append(equal)
    while len(found) < wanted:
        size = int(draws.integers(needed, len(allowed) + 1))
        chosen = draws.choice(np.array(allowed), size, replace=False)
        shares = draws.dirichlet(np.ones(size))
        floors = np.zeros(size)
        floors[: size if size * least <= 1 else rules.min_strategies] = least
        weights = np.zeros(count)
        weights[chosen] = bounded_shares(shares, floors, rules.max_weight)
        found.append(weights)
    return found


def bounded_shares(
    shares: NDArray[np.float64], floors: NDArray[np.float64], most: float
) -> NDArray[np.float64]:
    """Return weights from `floors` to `most` with sum 1: what is above the floors, in proportion.

    Parameters
    ----------
    shares : above 0; floors : of the same shape, their sum at most 1; most : with len(shares)
        times most at least 1
    """
    above = np.zeros(len(shares))
    room = most - floors
    free = np.ones(len(shares), dtype=bool)
    while free.any():
        left = max(1.0 - floors.sum() - above[~free].sum(), 0.0)
        above[free] = left * shares[free] / shares[free].sum()
        over = free & (above > room)
        if not over.any():
            break
        above[over] = room[over]
        free &= ~over
    return np.asarray(np.minimum(floors + above, most), dtype=np.float64)


def _best(
    context: PhaseContext,
    config: ReplayConfig,
    trials: Sequence[Trial],
    labels: NDArray[np.int64] | None,
    names: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return the weights of the best replay over all days, and within each regime."""
    scores = [score_of(trial.numbers, config.objective) for trial in trials]
    best = trials[int(np.argmax(scores))]
    final = {ALL: dict(zip(names, best.item, strict=True))}
    if labels is None:
        return final
    daily = read_returns(context.files, Path(context.setting.returns))
    within = regime_scores(
        [TrialResult({}, None, daily[trial.number]) for trial in trials],  # type: ignore[arg-type]
        labels,
        objective=config.objective,
        min_samples=config.min_samples,
    )
    for regime, values in within.items():
        if values.max() > -math.inf:
            own = trials[int(np.argmax(values))]
            final[str(regime)] = dict(zip(names, own.item, strict=True))
    return final
