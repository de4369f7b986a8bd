"""The phase type `analysis`: market regimes, and what was best in each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.backtest import Bars, RegimeModel, TrialResult, fit_regimes, regime_scores
from alphafoundry.coordinator.components import Component
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document_values import Count, Section, Whole
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.phase_outputs import (
    AnalysisOutputs,
    BestInRegime,
    OptimizationOutputs,
    RegimeDays,
    SearchedTrial,
)
from alphafoundry.coordinator.phase_types import phase_type
from alphafoundry.coordinator.plots import regimes_over_price
from alphafoundry.coordinator.returns_files import read_returns
from alphafoundry.coordinator.wording import counted
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import BacktestError, PhaseFailed

ALL = "all"
"""Key of the weights that count where a day's regime is unknown or has none of its own."""


class AnalysisConfig(Section):
    """`config` of an analysis.

    classifier : hmm (hidden Markov model) or rules; both look at volatility, trend and
        correlation of the market over `window` days and are fitted on in-sample days only
    min_samples : fewest days of a regime that has parameters of its own
    top_per_regime : trials of each regime that become components
    """

    classifier: Literal["hmm", "rules"] = "hmm"
    n_regimes: Annotated[Whole, Field(ge=2, le=10)] = 3
    window: Annotated[Whole, Field(ge=2, le=500)] = 20
    min_samples: Count = 20
    metric: Literal["sharpe", "sharpe_ratio", "sortino", "calmar", "cvar", "total_return"] = (
        "sharpe"
    )
    top_per_regime: Annotated[Whole, Field(ge=1, le=100)] = 3


def _keys(phase: Phase, _workflow: Workflow) -> Mapping[str, Shape]:
    assert isinstance(phase.config, AnalysisConfig)
    regimes: dict[str, Shape] = {str(number): None for number in range(phase.config.n_regimes)}
    return {
        **output_keys(AnalysisOutputs),
        "regimes": regimes,
        "regime_weights": regimes,
        "best_params_per_regime": regimes,
    }


def _result(outputs: AnalysisOutputs) -> str:
    return (
        f"{counted(len(outputs.regimes), 'regime')}, "
        f"{counted(len(outputs.components), 'component')}"
    )


def _plots(
    outputs: AnalysisOutputs, phase: Phase, workflow: Workflow, bars: Bars
) -> dict[str, bytes]:
    return {f"{phase.name} regimes": regimes_over_price(phase.name, outputs.labels, bars)}


def trials_with_returns(
    context: PhaseContext, searches: list[tuple[str, OptimizationOutputs]]
) -> list[tuple[str, SearchedTrial, NDArray[np.float64]]]:
    """Return (component's name, the trial, its daily returns) of every trial that may be chosen.

    The returns are mapped from disk, so that many thousand trials take no memory.
    """
    folder = Path(context.setting.returns)
    found = []
    for phase, outputs in searches:
        rows = read_returns(outputs.returns, folder)
        for trial in outputs.trial_list:
            if trial.number in rows and trial.score is not None and trial.kept:
                name = f"{trial.strategy}-{trial.number}"
                if len(searches) > 1:
                    name = f"{phase}-{name}"
                found.append((name, trial, rows[trial.number]))
    return found


def classified(context: PhaseContext, model: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the regime of each day of the whole history; each label uses earlier days only."""
    return RegimeModel.from_dict(model).classify(context.bars)


@phase_type(
    "analysis",
    config=AnalysisConfig,
    outputs=AnalysisOutputs,
    keys=_keys,
    needs=(OptimizationOutputs,),
    needs_returns=True,
    looks_at="train",
    passes="regime_weights",
    result=_result,
    plots=_plots,
)
def analysis(context: PhaseContext) -> AnalysisOutputs:
    """Fit regimes on in-sample days and rank the trials within each."""
    config = context.phase.config
    assert isinstance(config, AnalysisConfig)
    searches = context.before(OptimizationOutputs)
    rows = {outputs.rows for _, outputs in searches}
    if len(rows) > 1:
        raise PhaseFailed(
            f"phase {context.phase.name}: the searches before it ran on different days; give them "
            "the same period"
        )
    first, last = rows.pop()
    try:
        model = fit_regimes(
            context.bars,
            classifier=config.classifier,
            states=config.n_regimes,
            window=config.window,
            fitted_on=(first, last),
        )
    except BacktestError as problem:
        raise PhaseFailed(f"phase {context.phase.name}: {problem}") from None
    labels = model.classify(context.bars)
    trials = trials_with_returns(context, searches)
    metric = config.metric.removesuffix("_ratio")
    scores = regime_scores(
        [TrialResult(trial.parameters, None, daily) for _, trial, daily in trials],  # type: ignore[arg-type]
        labels[first:last],
        objective=metric,
        min_samples=config.min_samples,
    )
    sources = {use.name: use.source for use in context.workflow.strategies}
    best: dict[str, BestInRegime] = {}
    weights: dict[str, dict[str, float]] = {}
    components: dict[str, Component] = {}
    for regime, values in scores.items():
        order = np.argsort(-values, kind="stable")[: config.top_per_regime]
        chosen = [int(place) for place in order if values[place] > -math.inf]
        if not chosen:
            continue
        leader = trials[chosen[0]][1]
        best[str(regime)] = BestInRegime(
            strategy=leader.strategy,
            parameters=leader.parameters,
            score=float(values[chosen[0]]),
            trial=leader.number,
        )
        for place in chosen:
            name, trial, _ = trials[place]
            components[name] = Component(sources[trial.strategy], trial.parameters)
        weights[str(regime)] = _by_score([(trials[p][0], float(values[p])) for p in chosen])
    if not best:
        raise PhaseFailed(
            f"phase {context.phase.name}: no regime has {config.min_samples} days and a trial with "
            f"a {metric}; lower min_samples or n_regimes"
        )
    inside = labels[first:last]
    known = inside[inside >= 0]
    for number in range(config.n_regimes):
        if str(number) not in best:
            context.notes.append(
                f"{context.phase.name}: regime {number} has {int((known == number).sum())} days in "
                "sample, too few for parameters of its own"
            )
    return AnalysisOutputs(
        regimes={
            str(number): RegimeDays(
                days=int((known == number).sum()), share=float((known == number).mean())
            )
            for number in range(config.n_regimes)
        },
        regime_weights=weights,
        overall_weights=_overall(weights, known),
        best_params_per_regime=best,
        components=components,
        labels=labels.tolist(),
        regime_model=model.to_dict(),
        transitions=int(np.count_nonzero(np.diff(known))),
    )


def _by_score(scored: list[tuple[str, float]]) -> dict[str, float]:
    """Return weights in proportion to positive scores; the best alone where none is positive."""
    positive = {name: score for name, score in scored if score > 0}
    if not positive:
        return {scored[0][0]: 1.0}
    total = math.fsum(positive.values())
    return {name: score / total for name, score in positive.items()}


def _overall(
    weights: Mapping[str, Mapping[str, float]], known: NDArray[np.int64]
) -> dict[str, float]:
    """Return the regimes' weights, each by its number of days."""
    days = {regime: int((known == int(regime)).sum()) for regime in weights}
    total = sum(days.values())
    overall: dict[str, float] = {}
    for regime, own in weights.items():
        for name, weight in own.items():
            overall[name] = overall.get(name, 0.0) + weight * days[regime] / total
    return overall
