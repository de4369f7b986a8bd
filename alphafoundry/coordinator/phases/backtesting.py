"""The phase types `backtest` and `validation`: what the phases before found, on other days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.backtest import (
    BacktestResult,
    Bars,
    Execution,
    SignalStore,
    backtest_signals,
)
from alphafoundry.coordinator.batches import metrics_by_name
from alphafoundry.coordinator.components import Component, store_signals
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document_values import Number, Section
from alphafoundry.coordinator.measured_days import benchmark_of, by_month, monthly_table
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.phase_outputs import (
    AnalysisOutputs,
    BacktestOutputs,
    Benchmark,
    Components,
    Equity,
    OptimizationOutputs,
    ReplayOutputs,
    Sample,
    WalkForwardOutputs,
    Weights,
    WeightsOverTime,
)
from alphafoundry.coordinator.phase_types import Measured, phase_type, type_of
from alphafoundry.coordinator.phases.analysis import ALL, classified
from alphafoundry.coordinator.phases.optimization import Period
from alphafoundry.coordinator.plots import equity_curve, stacked_weights
from alphafoundry.coordinator.scoring import METRICS
from alphafoundry.coordinator.wording import metrics_line
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import ConfigurationError, PhaseFailed


class BacktestConfig(Section):
    """`config` of a backtest or validation.

    period : days that are measured; without it, the test days where a phase comes before, else
        all. Earlier days feed the strategies' windows
    portfolio_stop_loss : everything is closed at this drawdown, as max_drawdown_pct
    regime_switching : weights of the day's regime where the ensemble has them
    regime_change_reduction : part of the positions that is cut on a day whose regime is new
    """

    period: Period | None = None
    portfolio_stop_loss: Annotated[Number, Field(ge=0.001, le=0.5)] | None = None
    regime_switching: bool = True
    regime_change_reduction: Annotated[Number, Field(ge=0, le=1)] = 0.0


def _keys(_phase: Phase, _workflow: Workflow) -> Mapping[str, Shape]:
    return {
        **output_keys(BacktestOutputs),
        "metrics": dict.fromkeys(METRICS),
        "in_sample": dict.fromkeys(METRICS),
        "equity": output_keys(Equity),
        "weights_over_time": output_keys(WeightsOverTime),
        "benchmark": {**output_keys(Benchmark), "metrics": dict.fromkeys(METRICS)},
    }


def _trials(phase: Phase, workflow: Workflow, _days: int) -> int:
    return max(1, len(workflow.strategies)) if not phase.inputs else 1


def _check(phase: Phase, workflow: Workflow) -> None:
    assert isinstance(phase.config, BacktestConfig)
    period = phase.config.period or ("test" if phase.inputs else "all")
    if period == "test" and workflow.document.data.test_fraction == 0:
        raise ConfigurationError(
            f"phase {phase.name!r} measures test days and data.test_fraction is 0; raise it, or "
            "set config.period"
        )


def components_and_weights(
    context: PhaseContext,
) -> tuple[Components, dict[str, Weights], Mapping[str, Any] | None]:
    """Return what to trade: components, {regime or "all": {component: weight}}, regime model.

    The nearest phase that gives weights counts; else the best parameters of the nearest search;
    else the strategies as the document writes them.
    """
    replays = context.before(ReplayOutputs)
    if replays:
        _, ensemble = replays[-1]
        return ensemble.components, dict(ensemble.final_weights), ensemble.regime_model
    analyses = context.before(AnalysisOutputs)
    if analyses:
        _, analysis = analyses[-1]
        weights = {ALL: analysis.overall_weights, **analysis.regime_weights}
        return analysis.components, weights, analysis.regime_model
    searches = context.before(OptimizationOutputs, WalkForwardOutputs)
    if searches:
        best = searches[-1][1].best_params
        uses = [use for use in context.workflow.strategies if use.name in best]
        if not uses:
            raise PhaseFailed(
                f"phase {context.phase.name}: {searches[-1][0]} found no parameters on days before "
                "the test days; use more days, shorter training or a smaller data.test_fraction"
            )
        parameters = {use.name: best[use.name] for use in uses}
    else:
        uses = list(context.workflow.strategies)
        parameters = {use.name: use.complete({}) for use in uses}
    total = sum(use.allocation for use in uses)
    components = {use.name: Component(use.source, parameters[use.name]) for use in uses}
    return components, {ALL: {use.name: use.allocation / total for use in uses}}, None


def combined_signal(
    context: PhaseContext,
    components: Mapping[str, Component],
    weights: Mapping[str, Weights],
    regimes: NDArray[np.int64] | None,
    *,
    reduction: float = 0.0,
) -> NDArray[np.float64]:
    """Return the weighted sum of the components' signals, shape (n_days, n_instruments).

    regimes : label of each day, known at its close; days whose label has no weights take "all"
    """
    names = list(components)
    keys = store_signals(context, [components[name] for name in names])
    store = SignalStore(context.setting.signals)
    total = np.zeros(context.bars.shape)
    table = np.array([[weights[ALL].get(name, 0.0) for name in names]])
    table = np.repeat(table, context.bars.shape[0], axis=0)
    if regimes is not None:
        for label in np.unique(regimes):
            own = weights.get(str(label))
            if own is not None:
                table[regimes == label] = [own.get(name, 0.0) for name in names]
        if reduction:
            changed = np.flatnonzero(np.diff(regimes) != 0) + 1
            table[changed] *= 1.0 - reduction
    for place, key in enumerate(keys):
        if not table[:, place].any():
            continue
        signals = store.get(key)
        assert signals is not None
        total += table[:, place, None] * signals
    return total


def _plots(
    outputs: BacktestOutputs, phase: Phase, workflow: Workflow, bars: Bars
) -> dict[str, bytes]:
    pictures = {
        f"{phase.name} equity": equity_curve(
            phase.name,
            outputs.equity,
            outputs.sample,
            bars.label,
            benchmark=outputs.benchmark,
            capital=workflow.document.portfolio.initial_capital,
            currency=workflow.document.portfolio.currency,
        )
    }
    if outputs.weights_over_time is not None:
        pictures[f"{phase.name} weights"] = stacked_weights(
            phase.name, outputs.weights_over_time, bars.label
        )
    return pictures


_backtest_type = partial(
    phase_type,
    config=BacktestConfig,
    outputs=BacktestOutputs,
    keys=_keys,
    trials=_trials,
    check=_check,
    looks_at="nothing",
    container_types=("full_backtest", "simple_backtest"),
    result=lambda outputs: metrics_line(outputs.metrics),
    measured=lambda outputs: Measured(outputs.metrics, outputs.sample, outputs.benchmark.metrics),
    plots=_plots,
    tables=lambda outputs, phase, _most: [monthly_table(phase.name, outputs.monthly)],
)


@_backtest_type("validation")
@_backtest_type("backtest")
def backtesting(context: PhaseContext) -> BacktestOutputs:
    """Backtest what the phases before chose, and show the days before beside it."""
    config = context.phase.config
    assert isinstance(config, BacktestConfig)
    period = config.period or ("test" if context.upstream else "all")
    components, weights, model = components_and_weights(context)
    regimes = None
    if model is not None and config.regime_switching:
        regimes = classified(context, model)
    signal = combined_signal(
        context, components, weights, regimes, reduction=config.regime_change_reduction
    )
    execution = _with_stop(context.execution, config.portfolio_stop_loss)
    first, last = context.rows(period)
    result = backtest_signals(context.bars, signal, execution, measured=(first, last))
    before: BacktestResult | None = None
    if first > 0:
        before = backtest_signals(context.bars, signal, execution, measured=(0, first))
    sample = _sample(context, first)
    return BacktestOutputs(
        metrics=metrics_by_name(result.statistics),
        in_sample=None if before is None else metrics_by_name(before.statistics),
        equity=_equity(before, result),
        weights={regime: dict(own) for regime, own in weights.items()},
        weights_over_time=_weights_over_time(context, components, weights, regimes, first, last),
        components=components,
        period=(str(result.days[0]), str(result.days[-1])),
        sample=sample,
        benchmark=benchmark_of(context.bars, range(first, last), execution.initial_capital),
        monthly=by_month([str(day) for day in result.days], result.daily_returns),
    )


def _sample(context: PhaseContext, first: int) -> Sample:
    """Return what the days from row `first` on are to the phases before: out_of_sample where all
    they looked at is earlier, in_sample where it is not, given where nothing was searched."""
    until = {
        name: last
        for name, outputs in context.upstream.items()
        if (last := _looked_until(context, name, outputs)) is not None
    }
    late = [name for name, last in until.items() if last > first]
    if late:
        context.notes.append(
            f"{context.phase.name}: not out of sample, {late[0]} has searched on days measured here"
        )
        return "in_sample"
    return "out_of_sample" if until else "given"


def _looked_until(context: PhaseContext, name: str, outputs: Any) -> int | None:
    kind = type_of(context.workflow.phase(name))
    return kind.looked_until(outputs, split=context.split, days=context.bars.shape[0])


def _weights_over_time(
    context: PhaseContext,
    components: Mapping[str, Component],
    weights: Mapping[str, Weights],
    regimes: NDArray[np.int64] | None,
    first: int,
    last: int,
) -> WeightsOverTime | None:
    """Return the weights in force on each measured day; None where they never change."""
    if regimes is None:
        return None
    labels = [str(label) for label in regimes[first:last]]
    used = [weights.get(label, weights[ALL]) for label in labels]
    return WeightsOverTime(
        days=[str(day) for day in context.bars.days[first:last]],
        weights={name: [own.get(name, 0.0) for own in used] for name in components},
    )


def _with_stop(execution: Execution, stop: float | None) -> Execution:
    if stop is None:
        return execution
    return replace(execution, sizing=replace(execution.sizing, max_drawdown_pct=stop))


def _equity(before: BacktestResult | None, result: BacktestResult) -> Equity:
    """Return equity over the days before and the measured ones, each from the same capital."""
    days = [str(day) for day in result.days]
    values = result.equity.tolist()
    split = 0
    if before is not None:
        split = len(before.days)
        days = [str(day) for day in before.days] + days
        values = before.equity.tolist() + values
    return Equity(days, values, split)
