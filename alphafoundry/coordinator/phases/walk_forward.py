"""The phase type `walk_forward`: search on past days, trade the days after, move on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.backtest import Bars, Window, walk_forward_windows
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document_values import Text, Whole
from alphafoundry.coordinator.measured_days import (
    benchmark_of,
    by_month,
    metrics_of_days,
    monthly_table,
)
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.phase_outputs import Equity, WalkForwardOutputs, WindowOutputs
from alphafoundry.coordinator.phase_types import Measured, phase_type
from alphafoundry.coordinator.phases.optimization import check_constraints, chosen_strategies
from alphafoundry.coordinator.plots import equity_curve
from alphafoundry.coordinator.returns_files import read_returns
from alphafoundry.coordinator.sampling import grid_size, search_for
from alphafoundry.coordinator.scoring import METRICS, score_of, within
from alphafoundry.coordinator.search_sections import (
    ConstraintSection,
    OptimizationSection,
    WalkForwardSection,
    WindowType,
)
from alphafoundry.coordinator.strategies import StrategyUse
from alphafoundry.coordinator.wording import metrics_line
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import BacktestError, ConfigurationError, PhaseFailed


class WalkForwardConfig(WalkForwardSection):
    """`config` of a walk-forward; what is left out is taken from the section `walk_forward`.

    With window_type percentage, the periods are percent of all days times ten: 252 is 25.2 %.
    """

    train_period_days: Annotated[Whole, Field(ge=30, le=2000)] | None = None  # type: ignore[assignment]
    test_period_days: Annotated[Whole, Field(ge=5, le=500)] | None = None  # type: ignore[assignment]
    step_days: Annotated[Whole, Field(ge=1, le=200)] | None = None  # type: ignore[assignment]
    window_type: WindowType | None = None  # type: ignore[assignment]
    optimization: OptimizationSection | None = None  # type: ignore[assignment]
    strategies: tuple[Text, ...] | None = None


def _settings(phase: Phase, workflow: Workflow) -> WalkForwardSection:
    """Return the section with what the phase's config changes."""
    config = phase.config
    assert isinstance(config, WalkForwardConfig)
    given = {
        name: getattr(config, name)
        for name in WalkForwardSection.model_fields
        if getattr(config, name) is not None
    }
    base = workflow.document.walk_forward
    values = {name: getattr(base, name) for name in WalkForwardSection.model_fields} | given
    return WalkForwardSection.model_validate(
        {
            name: value.model_dump() if isinstance(value, OptimizationSection) else value
            for name, value in values.items()
        }
    )


def _search(phase: Phase, workflow: Workflow) -> OptimizationSection:
    """Return what is searched in each window: the phase's, else walk_forward's, else the global."""
    own = _settings(phase, workflow).optimization
    base = workflow.document.optimization
    return OptimizationSection(
        method=own.method or base.method or "grid",
        objective=own.objective or base.objective or "sharpe",
        parameters={**base.parameters, **own.parameters},
        n_trials=phase.trials or own.n_trials or base.n_trials,
        constraints=ConstraintSection(
            parameters=own.constraints.parameters or base.constraints.parameters,
            performance=own.constraints.performance or base.constraints.performance,
        ),
    )


def _uses(phase: Phase, workflow: Workflow) -> list[StrategyUse]:
    config = phase.config
    assert isinstance(config, WalkForwardConfig)
    own = _settings(phase, workflow).optimization
    return chosen_strategies(config.strategies, own.parameters, workflow)


def _keys(phase: Phase, workflow: Workflow) -> Mapping[str, Shape]:
    by_parameter: dict[str, Shape] = {
        use.name: dict.fromkeys(use.strategy.parameters) for use in _uses(phase, workflow)
    }
    return {
        **output_keys(WalkForwardOutputs),
        "metrics": dict.fromkeys(METRICS),
        "best_params": by_parameter,
        "equity": output_keys(Equity),
    }


def _plots(
    outputs: WalkForwardOutputs, phase: Phase, workflow: Workflow, bars: Bars
) -> dict[str, bytes]:
    return {
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


def _share(search: OptimizationSection, uses: Sequence[StrategyUse]) -> int | None:
    """Return the trials of one strategy in one window; None is its whole grid."""
    return None if search.n_trials is None else max(1, search.n_trials // len(uses))


def _searched(phase: Phase, workflow: Workflow) -> int:
    """Return the trials of the search in one window."""
    search = _search(phase, workflow)
    uses = _uses(phase, workflow)
    share = _share(search, uses)
    if search.method != "grid":
        return (share or 0) * len(uses)
    return sum(grid_size(use, share, search.constraints.parameters) for use in uses)


def _trials(phase: Phase, workflow: Workflow, days: int) -> int:
    """Return the searches of all windows and one test of each."""
    # How long an adaptive window is depends on returns; how many there are does not.
    windows = len(_windows(_settings(phase, workflow), days, np.zeros(days)))
    return windows * (_searched(phase, workflow) + 1)


def _check(phase: Phase, workflow: Workflow) -> None:
    search = _search(phase, workflow)
    if search.method == "signal_replay":
        raise ConfigurationError("a walk_forward searches parameters; signal_replay has none")
    own = _settings(phase, workflow).optimization
    if own.objectives or (workflow.document.optimization.objectives and not own.objective):
        raise ConfigurationError(
            "a walk_forward searches one objective, as nobody chooses from a front in each window; "
            "write walk_forward.optimization.objective"
        )
    if search.method != "grid" and search.n_trials is None:
        raise ConfigurationError(
            f"the method {search.method} needs a number of trials; add container_count or n_trials"
        )
    check_constraints(search.constraints, workflow)
    if _searched(phase, workflow) < 1:
        raise ConfigurationError("no parameters keep to the constraints; widen them")


def _unused(phase: Phase, workflow: Workflow) -> list[str]:
    settings, lines = _settings(phase, workflow), []
    if settings.optimization.pruning or workflow.document.optimization.pruning:
        lines.append("pruning changes nothing in a walk_forward; it is for a phase optimization")
    if settings.min_train_days is not None and settings.window_type in ("fixed", "percentage"):
        lines.append(
            f"min_train_days changes nothing with window_type {settings.window_type}; it is for "
            "expanding and adaptive windows"
        )
    return lines


@phase_type(
    "walk_forward",
    config=WalkForwardConfig,
    outputs=WalkForwardOutputs,
    keys=_keys,
    trials=_trials,
    takes_count=True,
    check=_check,
    unused=_unused,
    looks_at="train",
    passes="best_params",
    container_types=("full_backtest", "simple_backtest"),
    result=lambda outputs: metrics_line(outputs.metrics),
    measured=lambda outputs: Measured(outputs.metrics, outputs.sample, outputs.benchmark.metrics),
    tables=lambda outputs, phase, _most: [monthly_table(phase.name, outputs.monthly)],
    plots=_plots,
)
def walk_forward(context: PhaseContext) -> WalkForwardOutputs:
    """Search in each window's training days and trade its test days with what was best there.

    The windows are independent, so each generation of all their searches runs side by side.
    """
    phase, workflow = context.phase, context.workflow
    settings, search = _settings(phase, workflow), _search(phase, workflow)
    uses = _uses(phase, workflow)
    try:
        windows = _windows(settings, context.bars.shape[0], _market_returns(context.bars))
    except BacktestError as problem:
        raise PhaseFailed(f"phase {phase.name}: {problem}") from None
    share = _share(search, uses)
    jobs = [
        (
            place,
            use,
            search_for(
                search.method or "grid",
                use,
                trials=share,
                seed=workflow.seed,
                name=f"{phase.name}/{place}",
                comparisons=search.constraints.parameters,
            ),
        )
        for place in range(len(windows))
        for use in uses
    ]
    objective = search.objective or "sharpe"
    best: dict[int, tuple[float, StrategyUse, Any, Any]] = {}
    every = []
    while True:
        asked = [job[2].ask() for job in jobs]
        if not any(asked):
            break
        groups = []
        for (place, use, _), points in zip(jobs, asked, strict=True):
            train = windows[place].train
            groups.append(
                (
                    [use.complete(point) for point in points],
                    {
                        "strategy": use.source.to_json(),
                        # Days before the window feed the strategy's averages, as they would live.
                        "rows": [0, train.stop],
                        "measured": [train.start, train.stop],
                        "seeded": use.seeded,
                    },
                )
            )
        for (place, use, one), trials in zip(jobs, context.work("trials", groups), strict=True):
            scores = [score_of(trial.numbers, objective) for trial in trials]
            one.tell(
                [None if t.numbers is None else s for t, s in zip(trials, scores, strict=True)]
            )
            every.extend(trials)
            for trial, score in zip(trials, scores, strict=True):
                if trial.numbers is None or not within(
                    trial.numbers, search.constraints.performance
                ):
                    continue
                if score > -math.inf and (place not in best or score > best[place][0]):
                    best[place] = (score, use, trial.item, trial.numbers)
    context.require_enough(every)
    return _results(context, windows, best, objective)


def _market_returns(bars: Bars) -> NDArray[np.float64]:
    """Return the mean daily return of all instruments, shape (n_days,); 0 where none is known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = bars.close[1:] / bars.close[:-1] - 1
    known = np.isfinite(moves)
    return np.concatenate(
        [[0.0], np.where(known, moves, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)]
    )


def _windows(settings: WalkForwardSection, days: int, market: NDArray[np.float64]) -> list[Window]:
    """Return the windows; raises BacktestError where the days are too few."""
    scale = 0.1 if settings.window_type == "percentage" else 1
    return walk_forward_windows(
        days,
        settings.train_period_days * scale,
        settings.test_period_days * scale,
        settings.step_days * scale,
        window_type=settings.window_type,
        min_train=settings.min_train_days,
        market_returns=market,
    )


def _results(
    context: PhaseContext,
    windows: list[Window],
    best: Mapping[int, tuple[float, StrategyUse, Any, Any]],
    objective: str,
) -> WalkForwardOutputs:
    """Trade each test window with its best parameters and join the days."""
    places = [place for place in range(len(windows)) if place in best]
    if not places:
        raise PhaseFailed(f"phase {context.phase.name}: no window has a trial with a {objective}")
    for place in range(len(windows)):
        if place not in best:
            context.notes.append(
                f"{context.phase.name}: window {place} has no trial with a {objective} that keeps "
                "to the constraints; its days are left out"
            )
    groups = [
        (
            [best[place][2]],
            {
                "strategy": best[place][1].source.to_json(),
                "rows": [0, windows[place].test.stop],
                "measured": [windows[place].test.start, windows[place].test.stop],
                "keep_returns": True,
            },
        )
        for place in places
    ]
    tested = context.work("trials", groups)
    returns = read_returns(context.files, Path(context.setting.returns))
    listed = []
    daily: list[NDArray[np.float64]] = []
    rows: list[int] = []
    until = 0
    for place, (trial,) in zip(places, tested, strict=True):
        window = windows[place]
        score, use, parameters, numbers = best[place]
        if trial.numbers is None:
            context.notes.append(f"{context.phase.name}: window {place} has no test; left out")
            continue
        # Where steps are shorter than tests, a day belongs to the window that tests it first.
        start = max(window.test.start, until)
        daily.append(returns[trial.number][start - window.test.start :])
        rows += range(start, window.test.stop)
        until = max(until, window.test.stop)
        listed.append(
            WindowOutputs(
                window=place,
                train=_ends(context.bars, window.train),
                test=_ends(context.bars, window.test),
                strategy=use.name,
                parameters=parameters,
                score=score,
                in_sample=dict(numbers),
                out_of_sample=dict(trial.numbers),
            )
        )
    if not listed:
        raise PhaseFailed(f"phase {context.phase.name}: no window could be tested")
    joined = np.concatenate(daily)
    days = [str(day) for day in context.bars.days[rows]]
    # What a later phase trades out of sample must have been found before its first day.
    before = [line for line in listed if windows[line.window].train.stop <= context.split]
    return WalkForwardOutputs(
        metrics=metrics_of_days(context.bars, joined),
        windows=listed,
        best_params={line.strategy: line.parameters for line in before[-1:]},
        equity=Equity(
            days=days,
            values=(context.execution.initial_capital * np.cumprod(1 + joined)).tolist(),
            split=0,
        ),
        objective=objective,
        efficiency=_efficiency(listed),
        sample="out_of_sample",
        benchmark=benchmark_of(context.bars, rows, context.execution.initial_capital),
        monthly=by_month(days, joined),
    )


def _ends(bars: Bars, rows: slice) -> tuple[str, str]:
    """Return the first and the last day of the rows."""
    return str(bars.days[rows.start]), str(bars.days[rows.stop - 1])


def _efficiency(windows: list[WindowOutputs]) -> float | None:
    """Return mean annual return out of sample over in sample; None where the latter is not > 0."""
    inside = [window.in_sample["annual_return"] for window in windows]
    outside = [window.out_of_sample["annual_return"] for window in windows]
    known = [value for value in (*inside, *outside) if value is not None]
    if len(known) < 2 * len(windows):
        return None
    mean = float(np.mean(known[: len(windows)]))
    return float(np.mean(known[len(windows) :])) / mean if mean > 0 else None
