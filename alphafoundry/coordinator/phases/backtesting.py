"""The phase types `backtest` and `validation`: what the phases before found, on other days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.backtest import (
    BacktestResult,
    Execution,
    Metrics,
    SignalStore,
    backtest_signals,
)
from alphafoundry.coordinator.batches import METRICS, metrics_to_json
from alphafoundry.coordinator.components import Component, store_signals
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document import Number, Section
from alphafoundry.coordinator.phase_types import Shape, phase_type
from alphafoundry.coordinator.phases.optimization import Period
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import ConfigurationError, PhaseFailed

OUT_OF_SAMPLE, IN_SAMPLE, GIVEN = "out_of_sample", "in_sample", "given"
"""What measured days are: kept from every search before, searched on, or there was no search."""


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


def _outputs(_phase: Phase, _workflow: Workflow) -> Mapping[str, Shape]:
    return {
        "metrics": dict.fromkeys(METRICS),
        "in_sample": dict.fromkeys(METRICS),
        "equity": {"days": None, "values": None, "split": None},
        "weights": None,
        "weights_over_time": {"days": None, "weights": None},
        "components": None,
        "period": None,
        "sample": None,
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


def numbers_of(metrics: Metrics) -> dict[str, float | None]:
    """Return metric to value, None where it is not defined."""
    return dict(zip(METRICS, metrics_to_json(metrics), strict=True))


def components_and_weights(
    context: PhaseContext,
) -> tuple[dict[str, Component], dict[str, dict[str, float]], Mapping[str, Any] | None]:
    """Return what to trade: components, {regime or "all": {component: weight}}, regime model.

    The nearest phase that gives weights counts; else the best parameters of the nearest search;
    else the strategies as the document writes them.
    """
    replays = context.of_kind("signal_replay")
    if replays:
        _, outputs = replays[-1]
        components = {
            name: Component.from_json(given) for name, given in outputs["components"].items()
        }
        return components, dict(outputs["final_weights"]), outputs.get("regime_model")
    analyses = context.of_kind("analysis")
    if analyses:
        _, outputs = analyses[-1]
        components = {
            name: Component.from_json(given) for name, given in outputs["components"].items()
        }
        weights = {"all": outputs["overall_weights"], **outputs["regime_weights"]}
        return components, weights, outputs["regime_model"]
    searches = context.of_kind("optimization", "walk_forward")
    if searches:
        _, outputs = searches[-1]
        best = outputs["best_params"]
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
    return components, {"all": {use.name: use.allocation / total for use in uses}}, None


def combined_signal(
    context: PhaseContext,
    components: Mapping[str, Component],
    weights: Mapping[str, Mapping[str, float]],
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
    table = np.array([[weights["all"].get(name, 0.0) for name in names]])
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


@phase_type("validation", config=BacktestConfig, outputs=_outputs, trials=_trials, check=_check)
@phase_type("backtest", config=BacktestConfig, outputs=_outputs, trials=_trials, check=_check)
def backtesting(context: PhaseContext) -> dict[str, Any]:
    """Backtest what the phases before chose, and show the days before beside it."""
    config = context.phase.config
    assert isinstance(config, BacktestConfig)
    period = config.period or ("test" if context.upstream else "all")
    components, weights, model = components_and_weights(context)
    regimes = None
    if model is not None and config.regime_switching:
        from alphafoundry.coordinator.phases.analysis import classified

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
    return {
        "metrics": numbers_of(result.statistics),
        "in_sample": None if before is None else numbers_of(before.statistics),
        "equity": _equity(before, result),
        "weights": {regime: dict(own) for regime, own in weights.items()},
        "weights_over_time": _weights_over_time(context, components, weights, regimes, first, last),
        "components": {name: component.to_json() for name, component in components.items()},
        "period": [str(result.days[0]), str(result.days[-1])],
        "sample": sample,
    }


def _sample(context: PhaseContext, first: int) -> str:
    """Return what the days from row `first` on are to the phases before: out_of_sample where all
    they looked at is earlier, in_sample where it is not, given where nothing was searched."""
    until = {name: outputs["rows"][1] for name, outputs in context.of_kind("optimization")}
    others = context.of_kind("analysis", "signal_replay", "walk_forward")
    until |= {name: context.split for name, _ in others}
    late = [name for name, last in until.items() if last > first]
    if late:
        context.notes.append(
            f"{context.phase.name}: not out of sample, {late[0]} has searched on days measured here"
        )
        return IN_SAMPLE
    return OUT_OF_SAMPLE if until else GIVEN


def _weights_over_time(
    context: PhaseContext,
    components: Mapping[str, Component],
    weights: Mapping[str, Mapping[str, float]],
    regimes: NDArray[np.int64] | None,
    first: int,
    last: int,
) -> dict[str, Any] | None:
    """Return the weights in force on each measured day; None where they never change."""
    if regimes is None:
        return None
    labels = [str(label) for label in regimes[first:last]]
    used = [weights.get(label, weights["all"]) for label in labels]
    return {
        "days": [str(day) for day in context.bars.days[first:last]],
        "weights": {name: [own.get(name, 0.0) for own in used] for name in components},
    }


def _with_stop(execution: Execution, stop: float | None) -> Execution:
    if stop is None:
        return execution
    return replace(execution, sizing=replace(execution.sizing, max_drawdown_pct=stop))


def _equity(before: BacktestResult | None, result: BacktestResult) -> dict[str, Any]:
    """Return equity over the days before and the measured ones, each from the same capital."""
    days = [str(day) for day in result.days]
    values = result.equity.tolist()
    split = 0
    if before is not None:
        split = len(before.days)
        days = [str(day) for day in before.days] + days
        values = before.equity.tolist() + values
    return {"days": days, "values": values, "split": split}
