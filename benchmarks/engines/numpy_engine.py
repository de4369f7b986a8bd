"""NumPy with bottleneck's rolling and ranking functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray

Panel = NDArray[np.float64]


class NumpyVocabulary:
    """Operators on arrays of shape (n_days, n_instruments)."""

    def __init__(self, fields: Mapping[str, Panel], sector: Any) -> None:
        self._fields = dict(fields)
        self._sector = sector
        self._members = [
            np.flatnonzero(sector[0] == label) for label in np.unique(sector[0]) if label >= 0
        ]

    def __getattr__(self, name: str) -> Panel:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def rank(self, x: Panel) -> Panel:
        ranks = bn.nanrankdata(x, axis=1)
        ranks -= 1
        ranks /= np.sum(~np.isnan(x), axis=1, keepdims=True) - 1
        return ranks

    def scale(self, x: Panel) -> Panel:
        return x / bn.nansum(np.abs(x), axis=1)[:, None]

    def neutralize(self, x: Panel) -> Panel:
        out = np.full(x.shape, np.nan)
        for members in self._members:
            part = x[:, members]
            out[:, members] = part - bn.nanmean(part, axis=1)[:, None]
        return out

    def delay(self, x: Panel, d: int) -> Panel:
        out = np.empty_like(x)
        out[:d] = np.nan
        out[d:] = x[:-d]
        return out

    def delta(self, x: Panel, d: int) -> Panel:
        out = np.empty_like(x)
        out[:d] = np.nan
        np.subtract(x[d:], x[:-d], out=out[d:])
        return out

    def mean(self, x: Panel, d: int) -> Panel:
        return bn.move_mean(x, d, axis=0)

    def sum(self, x: Panel, d: int) -> Panel:
        return bn.move_sum(x, d, axis=0)

    def std(self, x: Panel, d: int) -> Panel:
        return bn.move_std(x, d, axis=0)

    def min(self, x: Panel, d: int) -> Panel:
        return bn.move_min(x, d, axis=0)

    def max(self, x: Panel, d: int) -> Panel:
        return bn.move_max(x, d, axis=0)

    def corr(self, x: Panel, y: Panel, d: int) -> Panel:
        spread = bn.move_std(x, d, axis=0)
        spread *= bn.move_std(y, d, axis=0)
        found = self.cov(x, y, d)
        found /= spread
        return found

    def cov(self, x: Panel, y: Panel, d: int) -> Panel:
        product = bn.move_mean(x, d, axis=0)
        product *= bn.move_mean(y, d, axis=0)
        both = bn.move_mean(x * y, d, axis=0)
        both -= product
        return both

    def ts_rank(self, x: Panel, d: int) -> Panel:
        ranks = bn.move_rank(x, d, axis=0)
        ranks += 1
        ranks *= 0.5
        return ranks

    def decay(self, x: Panel, d: int) -> Panel:
        values = np.nan_to_num(x)
        total = np.full(x.shape, np.nan)
        inner = values[d - 1 :] * d
        for age in range(1, d):
            inner += values[d - 1 - age : len(values) - age] * (d - age)
        np.divide(inner, d * (d + 1) / 2, out=total[d - 1 :])
        return total

    def arg_max(self, x: Panel, d: int) -> Panel:
        return bn.move_argmax(x, d, axis=0)

    def arg_min(self, x: Panel, d: int) -> Panel:
        return bn.move_argmin(x, d, axis=0)

    def log(self, x: Panel) -> Panel:
        return np.log(x)

    def abs(self, x: Panel) -> Panel:
        return np.abs(x)

    def sign(self, x: Panel) -> Panel:
        return np.sign(x)

    def signed_square(self, x: Panel) -> Panel:
        return x * np.abs(x)

    def power(self, x: Panel, y: Panel) -> Panel:
        return x**y

    def larger(self, x: Panel, y: Panel) -> Panel:
        return np.maximum(x, y)

    def where(self, condition: Any, x: Any, y: Any, known: Panel) -> Panel:
        chosen = np.where(condition, x, y)
        chosen[np.isnan(known)] = np.nan
        return chosen
