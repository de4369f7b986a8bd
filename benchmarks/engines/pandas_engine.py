"""pandas, written well: no Python loop over cells, `rolling.rank` instead of `rolling.apply`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

Frame = pd.DataFrame


class PandasVocabulary:
    """Operators on DataFrames of shape (n_days, n_instruments)."""

    def __init__(self, fields: Mapping[str, Any], sector: Any) -> None:
        self._frames = {name: Frame(values) for name, values in fields.items()}
        self._sector = sector

    def __getattr__(self, name: str) -> Frame:
        try:
            return self._frames[name]
        except KeyError:
            raise AttributeError(name) from None

    def rank(self, x: Frame) -> Frame:
        count = x.count(axis=1)
        return (x.rank(axis=1).sub(1)).div(count - 1, axis=0)

    def scale(self, x: Frame) -> Frame:
        return x.div(x.abs().sum(axis=1), axis=0)

    def neutralize(self, x: Frame) -> Frame:
        values = x.to_numpy(copy=True)
        for label in np.unique(self._sector[0]):
            inside = self._sector[0] == label
            part = values[:, inside]
            values[:, inside] = (
                part - np.nanmean(part, axis=1, keepdims=True) if label >= 0 else (np.nan)
            )
        return Frame(values)

    def delay(self, x: Frame, d: int) -> Frame:
        return x.shift(d)

    def delta(self, x: Frame, d: int) -> Frame:
        return x.diff(d)

    def mean(self, x: Frame, d: int) -> Frame:
        return x.rolling(d).mean()

    def sum(self, x: Frame, d: int) -> Frame:
        return x.rolling(d).sum()

    def std(self, x: Frame, d: int) -> Frame:
        return x.rolling(d).std(ddof=0)

    def min(self, x: Frame, d: int) -> Frame:
        return x.rolling(d).min()

    def max(self, x: Frame, d: int) -> Frame:
        return x.rolling(d).max()

    def corr(self, x: Frame, y: Frame, d: int) -> Frame:
        both = (x * y).rolling(d).mean() - x.rolling(d).mean() * y.rolling(d).mean()
        return both / (x.rolling(d).std(ddof=0) * y.rolling(d).std(ddof=0))

    def cov(self, x: Frame, y: Frame, d: int) -> Frame:
        return (x * y).rolling(d).mean() - x.rolling(d).mean() * y.rolling(d).mean()

    def ts_rank(self, x: Frame, d: int) -> Frame:
        return (x.rolling(d).rank() - 1) / (d - 1)

    def decay(self, x: Frame, d: int) -> Frame:
        values = x.fillna(0.0)
        total = values * d
        for age in range(1, d):
            total += values.shift(age) * (d - age)
        return total / (d * (d + 1) / 2)

    def arg_max(self, x: Frame, d: int) -> Frame:
        windows = sliding_window_view(x.to_numpy(), d, axis=0)[..., ::-1]
        found = np.full(x.shape, np.nan)
        found[d - 1 :] = np.where(np.isnan(windows).any(axis=-1), np.nan, windows.argmax(axis=-1))
        return Frame(found)

    def arg_min(self, x: Frame, d: int) -> Frame:
        return self.arg_max(-x, d)

    def log(self, x: Frame) -> Frame:
        return np.log(x)

    def abs(self, x: Frame) -> Frame:
        return x.abs()

    def sign(self, x: Frame) -> Frame:
        return np.sign(x)

    def signed_square(self, x: Frame) -> Frame:
        return x * x.abs()

    def power(self, x: Frame, y: Frame) -> Frame:
        return x**y

    def larger(self, x: Frame, y: Frame) -> Frame:
        return Frame(np.maximum(x.to_numpy(), y.to_numpy()))

    def where(self, condition: Frame, x: Any, y: Any, known: Frame) -> Frame:
        chosen = x.where(condition, y)
        return chosen.where(known.notna())
