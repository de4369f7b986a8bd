"""polars: expressions over a long table, `over("symbol")` along time and `over("day")` across."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl


class Values:
    """One column of the long table, sorted by symbol and day, with arithmetic."""

    def __init__(self, table: pl.DataFrame, values: pl.Series) -> None:
        self.table = table
        self.values = values

    def made(self, values: Any) -> Values:
        return Values(self.table, values)

    def through(self, expression: pl.Expr, **more: Values) -> Values:
        columns = {"x": self.values, **{name: other.values for name, other in more.items()}}
        found = self.table.with_columns(**columns).select(expression.alias("found"))
        return self.made(found.to_series())

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> Values:
        return self.made(operation(self.values, getattr(other, "values", other)))

    def __add__(self, other: Any) -> Values:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Values:
        return self._with(other, lambda a, b: a - b)

    def __mul__(self, other: Any) -> Values:
        return self._with(other, lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Values:
        return self._with(other, lambda a, b: a / b)

    def __lt__(self, other: Any) -> Values:
        return self._with(other, lambda a, b: a < b)

    def __neg__(self) -> Values:
        return self.made(-self.values)


class PolarsVocabulary:
    """Operators on one column of n_days * n_instruments values; missing values are null."""

    def __init__(self, fields: Mapping[str, np.ndarray], sector: np.ndarray) -> None:
        days, names = sector.shape
        table = pl.DataFrame(
            {
                "symbol": np.repeat(np.arange(names, dtype=np.int32), days),
                "day": np.tile(np.arange(days, dtype=np.int32), names),
                "sector": sector.T.ravel(),
            }
        )
        for name, values in fields.items():
            column = pl.Series(np.ascontiguousarray(values.T).ravel()).fill_nan(None)
            setattr(self, name, Values(table, column))

    def _over_time(self, x: Values, expression: pl.Expr, **more: Values) -> Values:
        return x.through(expression.over("symbol"), **more)

    def rank(self, x: Values) -> Values:
        column = pl.col("x")
        return x.through(((column.rank() - 1) / (column.count() - 1)).over("day"))

    def scale(self, x: Values) -> Values:
        return x.through((pl.col("x") / pl.col("x").abs().sum()).over("day"))

    def neutralize(self, x: Values) -> Values:
        centred = (pl.col("x") - pl.col("x").mean()).over("day", "sector")
        return x.through(pl.when(pl.col("sector") >= 0).then(centred))

    def delay(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").shift(d))

    def delta(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").diff(d))

    def mean(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").rolling_mean(d))

    def sum(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").rolling_sum(d))

    def std(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").rolling_std(d, ddof=0))

    def min(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").rolling_min(d))

    def max(self, x: Values, d: int) -> Values:
        return self._over_time(x, pl.col("x").rolling_max(d))

    def corr(self, x: Values, y: Values, d: int) -> Values:
        return self._over_time(x, pl.rolling_corr("x", "y", window_size=d), y=y)

    def cov(self, x: Values, y: Values, d: int) -> Values:
        return self._over_time(x, pl.rolling_cov("x", "y", window_size=d, ddof=0), y=y)

    def ts_rank(self, x: Values, d: int) -> Values:
        return self._over_time(x, (pl.col("x").rolling_rank(d) - 1) / (d - 1))

    def decay(self, x: Values, d: int) -> Values:
        weights = np.arange(1.0, d + 1) / (d * (d + 1) / 2)
        return self._over_time(x, pl.col("x").fill_null(0.0).rolling_mean(d, weights=weights))

    def arg_max(self, x: Values, d: int) -> Values:
        best = pl.col("x").rolling_max(d)
        age: Any = None
        for back in range(d - 1, -1, -1):
            age = pl.when(pl.col("x").shift(back) == best).then(float(back)).otherwise(age)
        return self._over_time(x, age)

    def arg_min(self, x: Values, d: int) -> Values:
        return self.arg_max(-x, d)

    def log(self, x: Values) -> Values:
        return x.made(x.values.log())

    def abs(self, x: Values) -> Values:
        return x.made(x.values.abs())

    def sign(self, x: Values) -> Values:
        return x.made(x.values.sign())

    def signed_square(self, x: Values) -> Values:
        return x.made(x.values * x.values.abs())

    def power(self, x: Values, y: Values) -> Values:
        return x.through(pl.col("x").pow(pl.col("y")), y=y)

    def larger(self, x: Values, y: Values) -> Values:
        return x.through(pl.max_horizontal("x", "y"), y=y)

    def where(self, condition: Values, x: Any, y: Any, known: Values) -> Values:
        other = y if isinstance(y, Values) else x.made(pl.repeat(y, len(x.values), eager=True))
        chosen = pl.when(pl.col("condition")).then(pl.col("x")).otherwise(pl.col("y"))
        return x.through(
            pl.when(pl.col("known").is_not_null()).then(chosen),
            y=other,
            condition=condition,
            known=known,
        )
