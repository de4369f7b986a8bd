"""Combining stored signals instead of computing strategies again."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.columns import columns_of
from alphafoundry.backtest.execution import Execution
from alphafoundry.backtest.signal_store import SignalStore
from alphafoundry.backtest.trials import Desk, Measured, chunk_of
from alphafoundry.compilation import FloatBlock, FloatMatrix, kernel
from alphafoundry.errors import BacktestError
from alphafoundry.finance.bars import Bars
from alphafoundry.finance.statistics import MEASURED, Metrics, metrics_from

BLOCK = 256
"""Days combined together: their part of twenty components stays in the second-level cache."""


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """What one weighting of the components gave.

    Attributes
    ----------
    weights : float64 array of shape (n_components,)
    metrics : of the combined signal, after the costs of the trades that are left after netting
    daily_returns : net, float64 array of shape (n_days measured,)
    """

    weights: NDArray[np.float64]
    metrics: Metrics
    daily_returns: NDArray[np.float64]


@kernel
def combine(components: FloatBlock, weights: FloatMatrix, out: FloatBlock) -> None:
    """Fill out[w] with the sum of components times weights[w], added in their order.

    components : shape (n_components, n_instruments, n_days)
    weights : shape (n_weightings, n_components)
    out : shape (n_weightings, n_instruments, n_days)
    """
    count, rows, days = components.shape
    for i in range(rows):
        for left in range(0, days, BLOCK):
            right = min(left + BLOCK, days)
            for w in range(weights.shape[0]):
                total = out[w, i, left:right]
                total[:] = 0.0
                for k in range(0, count - 3, 4):
                    one = components[k, i, left:right]
                    two = components[k + 1, i, left:right]
                    three = components[k + 2, i, left:right]
                    four = components[k + 3, i, left:right]
                    a = weights[w, k]
                    b = weights[w, k + 1]
                    c = weights[w, k + 2]
                    d = weights[w, k + 3]
                    for t in range(right - left):
                        total[t] = (
                            ((total[t] + a * one[t]) + b * two[t]) + c * three[t]
                        ) + d * four[t]
                for k in range(count - count % 4, count):
                    signal = components[k, i, left:right]
                    weight = weights[w, k]
                    for t in range(right - left):
                        total[t] += weight * signal[t]


def stacked(
    signals: SignalStore | Sequence[NDArray[np.float64]],
    bars: Bars,
    keys: Sequence[str] | None = None,
) -> FloatBlock:
    """Return components as one array of shape (n_components, n_instruments, n_days).

    Parameters
    ----------
    signals : arrays of shape (n_days, n_instruments), or a store
    keys : the components' keys in the store, in their order

    Raises BacktestError where a key's signals are absent or damaged, or a shape does not fit.
    """
    if isinstance(signals, SignalStore):
        if keys is None:
            raise BacktestError("replay from a store needs the keys of its components")
        arrays = []
        for key in keys:
            found = signals.get(key)
            if found is None:
                raise BacktestError(
                    f"{signals.folder}: no signals {key}; run the phase that stores them again"
                )
            arrays.append(found)
    else:
        arrays = list(signals)
    if not arrays:
        raise BacktestError("replay needs at least one component's signals")
    for place, array in enumerate(arrays):
        if array.shape != bars.shape:
            raise BacktestError(
                f"component {place}: signals of shape {array.shape} do not match bars of "
                f"{bars.shape}"
            )
    return np.ascontiguousarray(np.stack([array.T for array in arrays]), dtype=np.float64)


def replay(
    signals: SignalStore | Sequence[NDArray[np.float64]] | FloatBlock,
    weights: NDArray[np.float64] | Sequence[float] | Sequence[Sequence[float]],
    bars: Bars,
    execution: Execution | None = None,
    *,
    keys: Sequence[str] | None = None,
    measured: Measured | None = None,
    threads: int = 1,
) -> list[ReplayResult]:
    """Backtest weighted sums of stored signals and return a result per weighting.

    Parameters
    ----------
    signals : a store (with `keys`), arrays of shape (n_days, n_instruments), or what `stacked`
        returned, for many calls on the same components
    weights : shape (n_components,) or (n_weightings, n_components)
    measured : as in `run_trials`

    The components' positions are netted before anything is traded, so turnover and costs are
    those of one portfolio. A component with weight 1 alone gives its own backtest bit for bit.
    """
    components = signals if isinstance(signals, np.ndarray) else stacked(signals, bars, keys)
    if components.ndim != 3 or components.shape[1:] != columns_of(bars).shape:
        raise BacktestError(f"components of {components.shape} do not match bars of {bars.shape}")
    table = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if table.ndim != 2 or table.shape[1] != len(components) or not np.isfinite(table).all():
        raise BacktestError(
            f"weights of shape {table.shape} do not match {len(components)} components; "
            "give one finite number for each"
        )
    execution = execution or Execution()
    days = Desk(bars, execution, measured, trials=0).days
    daily = np.empty((len(table), days))
    found = np.empty((len(table), len(MEASURED)))
    local = threading.local()
    chunk = chunk_of(bars)

    def run(start: int) -> None:
        if not hasattr(local, "desk"):
            local.desk = Desk(bars, execution, measured, trials=chunk)
        desk: Desk = local.desk
        rows = slice(start, min(start + chunk, len(table)))
        combine(components, table[rows], desk.signals[: rows.stop - start])
        desk.trade(daily[rows], found[rows])

    starts = range(0, len(table), chunk)
    workers = min(threads, len(starts), os.cpu_count() or 1)
    if workers <= 1:
        for start in starts:
            run(start)
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="replay") as pool:
            for _ in pool.map(run, starts):
                pass
    return [
        ReplayResult(table[place], metrics_from(days, found[place]), daily[place])
        for place in range(len(table))
    ]
