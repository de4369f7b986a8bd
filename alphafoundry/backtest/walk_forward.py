"""Windows of trading days for walk-forward tests: train, then test on the days right after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import BacktestError

WindowType = Literal["fixed", "expanding", "percentage", "adaptive"]
RECENT = 63
"""Days whose volatility an adaptive window compares with that of its longest window."""


@dataclass(frozen=True)
class Window:
    """Rows to train on and rows to test on; every training row is before every test row."""

    train: slice
    test: slice


def walk_forward_windows(
    n_days: int,
    train: float,
    test: float,
    step: float | None = None,
    *,
    window_type: WindowType = "fixed",
    min_train: int | None = None,
    market_returns: NDArray[np.float64] | None = None,
) -> list[Window]:
    """Return the windows in order; the last test may be cut short by the end of the data.

    Parameters
    ----------
    n_days : rows of the bars
    train, test, step : trading days; in percent of n_days where window_type is "percentage".
        step is how far the next test begins after this one; None is `test`
    window_type : "fixed" trains on the `train` days before the test; "expanding" on all days
        before it, from min_train days on; "percentage" as fixed with lengths in percent;
        "adaptive" on `train` days in calm markets, on fewer where the last 63 days were more
        volatile than the `train` days before the test: train times the ratio of the two, and at
        least min_train
    min_train : fewest training days of expanding (None: train) and adaptive (None: a quarter of
        train) windows
    market_returns : daily returns, shape (n_days,), that adaptive windows need; NaN is left out.
        A window looks at those before its test only

    Raises BacktestError where a length makes no sense or no window fits.
    """
    if window_type not in get_args(WindowType):
        raise BacktestError(
            f"unknown window_type {window_type!r}; choose one of {', '.join(get_args(WindowType))}"
        )
    lengths = {"train": train, "test": test, "step": test if step is None else step}
    for name, length in lengths.items():
        if not math.isfinite(length) or length <= 0:
            raise BacktestError(f"walk-forward {name} {length:g} must be above 0")
        if window_type == "percentage" and length > 100:
            raise BacktestError(f"walk-forward {name} {length:g} % is more than 100 %")
        if window_type != "percentage" and length != int(length):
            raise BacktestError(f"walk-forward {name} {length:g} must be whole trading days")
    scale = n_days / 100.0 if window_type == "percentage" else 1.0
    train_days, test_days, step_days = (max(int(length * scale), 1) for length in lengths.values())
    shortest = _shortest(window_type, train_days, min_train)
    if window_type == "adaptive" and (market_returns is None or len(market_returns) != n_days):
        raise BacktestError("adaptive windows need market_returns, one for each day")
    windows = []
    start = shortest if window_type == "expanding" else train_days
    for begin in range(start, n_days, step_days):
        length = train_days
        if window_type == "expanding":
            length = begin
        elif window_type == "adaptive" and market_returns is not None:
            length = _adapted(market_returns[begin - train_days : begin], shortest)
        windows.append(
            Window(slice(begin - length, begin), slice(begin, min(begin + test_days, n_days)))
        )
    if not windows:
        raise BacktestError(
            f"{n_days} days are too few for {start} days of training and a test; "
            "shorten train or use more days"
        )
    return windows


def _shortest(window_type: WindowType, train_days: int, min_train: int | None) -> int:
    if min_train is None:
        return max(train_days // 4, 2) if window_type == "adaptive" else train_days
    if min_train < 1 or (window_type == "adaptive" and min_train > train_days):
        raise BacktestError(
            f"walk-forward min_train {min_train} must be at least 1"
            f"{f' and at most train {train_days}' if window_type == 'adaptive' else ''}"
        )
    return min_train


def _adapted(returns: NDArray[np.float64], shortest: int) -> int:
    recent, whole = (_deviation(part) for part in (returns[-RECENT:], returns))
    share = min(whole / recent, 1.0) if recent > 0.0 else 1.0
    return max(int(len(returns) * share), shortest)


def _deviation(returns: NDArray[np.float64]) -> float:
    known = returns[np.isfinite(returns)]
    return float(known.std()) if len(known) else 0.0
