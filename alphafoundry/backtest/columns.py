"""Bars with one row per instrument, and the rolling values that strategies share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from alphafoundry.backtest import rolling
from alphafoundry.compilation import CountMatrix, FloatMatrix
from alphafoundry.finance.bars import Bars
from alphafoundry.market.returns import last_known, simple_returns

BRIDGED_DAYS = 5
"""Days that the last close stands for missing ones in the windows of strategies."""

KEPT = 24
"""Rolling matrices that are kept; a grid reuses the same windows again and again."""


_OF: WeakKeyDictionary[Bars, Columns] = WeakKeyDictionary()
_making = threading.Lock()


def columns_of(bars: Bars) -> Columns:
    """Return the columns of these bars, the same for as long as the bars are in use."""
    with _making:
        found = _OF.get(bars)
        if found is None:
            found = _OF[bars] = Columns(bars.close, bars.high, bars.low)
    return found


def opens_of(bars: Bars) -> FloatMatrix:
    """Return opens, shape (n_instruments, n_days): the last close where one is missing."""

    def make() -> FloatMatrix:
        opens = np.ascontiguousarray(bars.open.T)
        return np.where(np.isnan(opens), columns_of(bars).last_close, opens)

    return columns_of(bars).kept(("opens",), make)  # type: ignore[no-any-return]


class Columns:
    """Closes, highs and lows as matrices of shape (n_instruments, n_days), one series per row.

    Parameters
    ----------
    close, high, low : float64 arrays of shape (n_days, n_instruments); NaN is missing

    Safe to share among threads. What is kept never changes a value, only the time it takes.
    """

    def __init__(self, close: FloatMatrix, high: FloatMatrix, low: FloatMatrix) -> None:
        self.close = np.ascontiguousarray(close.T)
        self._high = high
        self._low = low
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, int]:
        """(n_instruments, n_days)."""
        return self.close.shape

    @cached_property
    def bridged(self) -> FloatMatrix:
        """Closes, the last known one for up to 5 missing days; what windows of days look at.

        So a missing close costs a strategy that day, and not every window that holds it.
        """
        return rolling.bridged(self.close, BRIDGED_DAYS)

    @cached_property
    def high(self) -> FloatMatrix:
        """Highs, the bridged close where one is missing."""
        high = np.ascontiguousarray(self._high.T)
        return np.where(np.isnan(high), self.bridged, high)

    @cached_property
    def low(self) -> FloatMatrix:
        """Lows, the bridged close where one is missing."""
        low = np.ascontiguousarray(self._low.T)
        return np.where(np.isnan(low), self.bridged, low)

    @cached_property
    def last_close(self) -> FloatMatrix:
        """The latest known close; NaN before the first."""
        return np.ascontiguousarray(last_known(self.close.T).T)

    @cached_property
    def returns(self) -> FloatMatrix:
        """Return of each day over the latest known close before it.

        0 where the close is missing and on the first day; the first close after a gap carries the
        return of the whole gap, as in every simulation.
        """
        observed = self.series("returns")
        return np.where(np.isfinite(observed), observed, 0.0)

    @cached_property
    def age(self) -> CountMatrix:
        """Number of days in a row with a bridged close; 0 where today's close is missing."""
        return np.where(np.isnan(self.close), 0, rolling.ages(self.bridged)).astype(np.int32)

    @cached_property
    def sums(self) -> tuple[FloatMatrix, FloatMatrix]:
        """Cumulative sums of the bridged close in double-double arithmetic: high and low parts.

        Both have shape (n_instruments, n_days + 1) and start with 0; missing closes add nothing.
        The difference of two entries is exact to about 1e-30 of the total, so that a window's sum
        does not carry rounding from prices long gone.
        """
        return rolling.double_sums(self.bridged)

    def kept(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return what `make` gives for `key`, keeping the latest of them."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return value

    def moments(self, series: str, window: int) -> tuple[FloatMatrix, FloatMatrix]:
        """Return rolling mean and population standard deviation of a series.

        series : "close" or "returns", of the bridged closes
        """

        def make() -> tuple[FloatMatrix, FloatMatrix]:
            values = self.bridged
            if series == "returns":
                values = np.ascontiguousarray(simple_returns(values.T).T)
            return rolling.moments(values, window)

        return self.kept(("moments", series, window), make)  # type: ignore[no-any-return]

    def series(self, name: str) -> FloatMatrix:
        """Return "close", "returns" (NaN where the close is missing or first) or "log_close"."""
        if name == "close":
            return self.close
        if name == "returns":
            return self.kept(("returns",), self._observed_returns)  # type: ignore[no-any-return]
        return self.kept(("log_close",), lambda: np.log(self.close))  # type: ignore[no-any-return]

    def _observed_returns(self) -> FloatMatrix:
        return np.ascontiguousarray(simple_returns(self.close.T).T)

    def highest(self, window: int) -> FloatMatrix:
        """Return the largest high of the last `window` days, today included; NaN if one is."""
        return self.kept(("highest", window), lambda: rolling.highest(self.high, window))  # type: ignore[no-any-return]

    def lowest(self, window: int) -> FloatMatrix:
        """Return the smallest low of the last `window` days, today included; NaN if one is."""
        return self.kept(("lowest", window), lambda: -rolling.highest(-self.low, window))  # type: ignore[no-any-return]
