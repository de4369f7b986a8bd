"""Pictures of a workflow, as PNG bytes: parameters, equity, regimes, weights."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.phase_outputs import (
    Benchmark,
    Equity,
    Front,
    Sample,
    SearchedTrial,
    WeightsOverTime,
)
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.finance.statistics import under_water

MEASURED = {
    "out_of_sample": "out of sample",
    "in_sample": "in sample, searched on",
    "given": "given parameters",
}
"""What the measured days of a backtest are, for the legend."""

COLORS = ("#4c9f70", "#e0a030", "#c8503c", "#7050a0", "#3070b0", "#909090")

LINE = 160
"""Characters of a picture's title that fit on one line."""


def plots_of(
    workflow: Workflow, bars: Bars, results: Mapping[str, PhaseResult]
) -> dict[str, bytes]:
    """Return title to picture for every phase that has something to show, the last phase first:
    what came out is above what was searched."""
    pictures: dict[str, bytes] = {}
    for phase in reversed(workflow.phases):
        pictures.update(type_of(phase).plots(results[phase.name].outputs, phase, workflow, bars))
    return pictures


def _figure(title: str, label: str, *, below: bool = False) -> tuple[Any, Any]:
    """Return a figure and its axes; with `below`, a second, lower one under them, too."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5 if below else 5), dpi=100, layout="constrained")
    if below:
        figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    else:
        figure.add_subplot()
    axes = figure.axes[0]
    axes.set_title("\n".join((title, *textwrap.wrap(label, LINE))), fontsize=9)
    return figure, axes


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def heat_maps(
    phase: str, listed: Sequence[SearchedTrial], objective: str, label: str
) -> dict[str, bytes]:
    """Return a picture per strategy over the two parameters that take most values."""
    pictures = {}
    by_strategy: dict[str, list[SearchedTrial]] = {}
    for trial in listed:
        by_strategy.setdefault(trial.strategy, []).append(trial)
    for strategy, trials in by_strategy.items():
        numeric: dict[str, set[float]] = {}
        for trial in trials:
            for name, value in trial.parameters.items():
                if isinstance(value, int | float):
                    numeric.setdefault(name, set()).add(float(value))
        names = sorted(numeric, key=lambda name: (-len(numeric[name]), name))[:2]
        names = [name for name in names if len(numeric[name]) > 1]
        if names:
            pictures[f"{phase} {strategy} parameters"] = _heat_map(
                f"{phase}: {strategy}", trials, sorted(names), objective, label
            )
    return pictures


def _heat_map(
    title: str,
    trials: Sequence[SearchedTrial],
    names: Sequence[str],
    objective: str,
    label: str,
) -> bytes:
    figure, axes = _figure(title, label)
    scores = np.array([np.nan if t.score is None else t.score for t in trials])
    first = np.array([float(t.parameters[names[0]]) for t in trials])
    axes.set_xlabel(names[0])
    if len(names) == 1:
        axes.plot(first, scores, ".", markersize=4)
        axes.set_ylabel(objective)
        return _png(figure)
    second = np.array([float(t.parameters[names[1]]) for t in trials])
    columns, rows = np.unique(first), np.unique(second)
    if len(columns) * len(rows) <= 4 * len(trials):
        table = np.full((len(rows), len(columns)), np.nan)
        for x, y, value in zip(first, second, scores, strict=True):
            place = np.searchsorted(rows, y), np.searchsorted(columns, x)
            table[place] = np.nanmax([table[place], value]) if not np.isnan(value) else table[place]
        drawn = axes.pcolormesh(columns, rows, table, cmap="viridis", shading="nearest")
    else:
        drawn = axes.scatter(first, second, c=scores, cmap="viridis", s=14)
    axes.set_ylabel(names[1])
    figure.colorbar(drawn, ax=axes, label=objective)
    return _png(figure)


def front_plot(phase: str, front: Front, listed: Sequence[SearchedTrial], label: str) -> bytes:
    """Return all trials and the front in the plane of the first two objectives."""
    (x, x_goal), (y, y_goal), *_ = front.objectives.items()
    signs = [1.0 if goal == "maximize" else -1.0 for goal in (x_goal, y_goal)]
    others = np.array([trial.scores[:2] for trial in listed if trial.scores and trial.kept])
    figure, axes = _figure(f"{phase}: {len(front.trials)} trials that no other beats", label)
    others = others.reshape(-1, 2) * signs
    axes.plot(others[:, 0], others[:, 1], ".", color=COLORS[5], markersize=4, label="trials")
    points = sorted((trial.values[x], trial.values[y]) for trial in front.trials)
    style = {"color": COLORS[4], "label": "front", "markersize": 5}
    # Of more than two objectives the front is no line in this plane.
    axes.plot(*zip(*points, strict=True), "o-" if len(front.objectives) == 2 else "o", **style)
    chosen = next(trial for trial in front.trials if trial.number == front.chosen)
    axes.plot(
        chosen.values[x], chosen.values[y], "o", color=COLORS[2], markersize=9,
        label=f"chosen by the rule {front.selection!r}",
    )  # fmt: skip
    axes.set_xlabel(f"{x}, {x_goal}")
    axes.set_ylabel(f"{y}, {y_goal}")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return _png(figure)


def equity_curve(
    phase: str,
    equity: Equity,
    sample: Sample,
    label: str,
    *,
    benchmark: Benchmark,
    capital: float,
    currency: str,
) -> bytes:
    """Return equity in and out of sample, and that of buying and holding, each with its drawdown.

    capital : what each part begins with
    """
    again = ", each part from the same capital" if equity.split else ""
    figure, axes = _figure(f"{phase}: equity{again}", label, below=True)
    days = np.array(equity.days, dtype="datetime64[D]")
    values = np.array(equity.values, dtype=float)
    split = equity.split
    if split:
        before = "in sample" if sample == "out_of_sample" else "before"
        axes.plot(days[:split], values[:split], color=COLORS[5], label=before)
        axes.axvline(days[split], color="black", linewidth=0.7, linestyle="--")
    axes.plot(days[split:], values[split:], color=COLORS[4], label=MEASURED[sample])
    axes.plot(
        days[split:], benchmark.values, color=COLORS[1], linewidth=0.9,
        label=f"buy and hold of {benchmark.names} names",
    )  # fmt: skip
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel(f"equity, {currency}")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    under = figure.axes[1]
    for part, color in ((slice(None, split), COLORS[5]), (slice(split, None), COLORS[4])):
        if len(days[part]):
            fallen = _below_peak(values[part], capital)
            under.fill_between(days[part], fallen, 0.0, color=color, alpha=0.35, linewidth=0.8)
    held = _below_peak(np.array(benchmark.values, dtype=float), capital)
    under.plot(days[split:], held, color=COLORS[1], linewidth=0.7)
    under.set_ylabel("drawdown, %")
    under.grid(alpha=0.25)
    return _png(figure)


def _below_peak(values: NDArray[np.float64], capital: float) -> NDArray[np.float64]:
    """Return how far equity is below its peak, in percent; after ruin it stays there."""
    before = np.concatenate(([capital], values[:-1]))
    daily = np.divide(values - before, before, out=np.zeros(len(values)), where=before > 0.0)
    return 100.0 * under_water(daily)


def regimes_over_price(phase: str, regimes: Sequence[int], bars: Bars) -> bytes:
    """Return the regime of each day over the mean of prices."""
    figure, axes = _figure(f"{phase}: regimes over the mean price", bars.label)
    labels = np.array(regimes)
    start = bars.close[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = bars.close / start
    known = np.isfinite(relative)
    counts = np.maximum(known.sum(axis=1), 1)
    price = np.where(known, relative, 0.0).sum(axis=1) / counts
    axes.plot(bars.days, price, color="black", linewidth=0.8)
    low, high = axes.get_ylim()
    for regime in sorted(set(labels.tolist()) - {-1}):
        axes.fill_between(
            bars.days[: len(labels)],
            low,
            high,
            where=labels == regime,
            color=COLORS[regime % len(COLORS)],
            alpha=0.25,
            linewidth=0,
            label=f"regime {regime}",
        )
    axes.set_ylim(low, high)
    axes.set_ylabel("mean of prices over their first")
    axes.legend(fontsize=8, loc="upper left")
    return _png(figure)


def stacked_weights(phase: str, over_time: WeightsOverTime, label: str) -> bytes:
    """Return the weights of the components over time."""
    figure, axes = _figure(f"{phase}: weights over time", label)
    days = np.array(over_time.days, dtype="datetime64[D]")
    series = {name: np.array(values) for name, values in over_time.weights.items() if any(values)}
    axes.stackplot(days, *series.values(), labels=list(series), step="post")
    axes.set_xlim(days[0], days[-1])
    axes.set_ylim(0, 1)
    axes.set_ylabel("weight")
    figure.legend(fontsize=7, loc="outside lower center", ncols=5)
    return _png(figure)
