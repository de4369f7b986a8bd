"""Twenty of the 101 Formulaic Alphas against pandas, cell by cell.

The pandas formulas are those of the benchmark, with four rules of ours put in: ranks are made of
values rounded to 1e-9 of what is usual between them, a window of equal values has no correlation,
1 to the power NaN is NaN, and linear decay of nothing but NaN is NaN. Two alphas put values in
order that are equal in mathematics and not in floating point (71 by ts_rank, 98 by ts_arg_min);
there both sides round before they compare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from alphafoundry.expressions import Evaluator
from benchmarks.engines.formulas import FORMULAS, OURS
from benchmarks.engines.pandas_engine import PandasVocabulary
from tests.some_cases import one_in

DAYS, NAMES = 300, 200

TEXTS = {
    **OURS,
    71: "trend = ts_corr(ts_rank(close, 3), ts_rank(ts_mean(volume, 180), 12), 18);"
    "place = signed_power(rank((low + open) - (vwap + vwap)), 2);"
    "max(ts_rank(round(1e9 * ts_decay_linear(trend, 4)), 15),"
    " ts_rank(round(1e9 * ts_decay_linear(place, 16)), 4))",
    98: "together = ts_corr(rank(open), rank(ts_mean(volume, 15)), 20);"
    "price = ts_decay_linear(ts_corr(vwap, ts_sum(ts_mean(volume, 5), 26), 4), 7);"
    "order = ts_rank(ts_arg_min(round(1e9 * together), 8), 6);"
    "rank(price) - rank(ts_decay_linear(order, 8))",
}


class CarefulPandas(PandasVocabulary):
    """pandas with our rules for ties and constants, and without running sums."""

    def rank(self, x: pd.DataFrame) -> pd.DataFrame:
        x = x.mul(one_over_step(x.to_numpy()), axis=0).round()
        count = x.count(axis=1)
        ranks = x.rank(axis=1).sub(1).div(count - 1, axis=0)
        return ranks.where(count > 1, 0.5).where(x.notna())

    def ts_rank(self, x: pd.DataFrame, d: int) -> pd.DataFrame:
        return super().ts_rank(x.round(9), d)

    def std(self, x: pd.DataFrame, d: int) -> pd.DataFrame:
        return over_windows(lambda w: np.where(np.ptp(w, -1) == 0, 0.0, w.std(-1)), d, x)

    def cov(self, x: pd.DataFrame, y: pd.DataFrame, d: int) -> pd.DataFrame:
        return over_windows(lambda a, b: (centred(a) * centred(b)).mean(-1), d, x, y)

    def corr(self, x: pd.DataFrame, y: pd.DataFrame, d: int) -> pd.DataFrame:
        return over_windows(correlations, d, x, y)

    def decay(self, x: pd.DataFrame, d: int) -> pd.DataFrame:
        return super().decay(x, d).where(x.notna().rolling(d).sum() > 0)

    def power(self, x: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
        return (x**y).where(x.notna() & y.notna())


def one_over_step(days: np.ndarray) -> np.ndarray:
    """One over what rank rounds to: 2^-30 of the typical distance of neighbours of a day."""
    steps = np.ones(len(days))
    for place, row in enumerate(days):
        known = row[np.isfinite(row)]
        sizes = np.log2(np.abs(known[known != 0]))
        if not len(sizes):
            continue
        apart = np.abs(np.diff(known))
        apart = apart[apart > 2.0 ** (np.floor(sizes.mean()) - 40)]
        finest = 50 - sizes.mean()
        if len(apart):
            finest = min(finest, 30 - np.log2(apart).mean())
        steps[place] = 2.0 ** np.floor(finest)
    return steps


class Rounding71(CarefulPandas):
    def decay(self, x: pd.DataFrame, d: int) -> pd.DataFrame:
        return super().decay(x, d).mul(1e9).round()


class Rounding98(CarefulPandas):
    def arg_min(self, x: pd.DataFrame, d: int) -> pd.DataFrame:
        return super().arg_min(x.mul(1e9).round(), d)


VOCABULARIES = {71: Rounding71, 98: Rounding98}


def over_windows(function, d: int, *frames: pd.DataFrame) -> pd.DataFrame:
    out = np.full(frames[0].shape, np.nan)
    views = [sliding_window_view(frame.to_numpy(), d, axis=0) for frame in frames]
    with np.errstate(all="ignore"):
        out[d - 1 :] = function(*views)
    return pd.DataFrame(out)


def centred(windows: np.ndarray) -> np.ndarray:
    return windows - windows.mean(-1, keepdims=True)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x, y = centred(a), centred(b)
    found = (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.where((np.ptp(a, -1) == 0) | (np.ptp(b, -1) == 0), np.nan, found)


def with_averages(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    close = fields["close"]
    fields["vwap"] = (fields["high"] + fields["low"] + close) / 3
    fields["returns"] = np.vstack([np.full(NAMES, np.nan), close[1:] / close[:-1] - 1])
    return fields


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Prices in whole cents, volumes in hundreds, gaps and quiet names: full of ties."""
    random = np.random.default_rng(11)
    shape = (DAYS, NAMES)
    quiet = random.random(NAMES) < 0.1
    steps = 0.02 * random.normal(size=shape) * ~quiet
    close = np.round(20 * np.exp(steps.cumsum(axis=0)), 2)
    spread = np.round(close * 0.02 * random.random(shape), 2)
    fields = {
        "close": close,
        "open": close - np.round(spread * random.random(shape), 2),
        "high": close + spread,
        "low": close - spread,
        "volume": np.round(np.exp(8 + random.normal(size=shape))) * 100,
    }
    gone = (random.random(shape) < 0.02) & (random.random(NAMES) < 0.2)
    return with_averages({name: np.where(gone, np.nan, panel) for name, panel in fields.items()})


@pytest.fixture(scope="module")
def real(market_data: Path) -> dict[str, np.ndarray]:
    """The last days of some of 3000 stocks, as they stand in the file."""
    bars = pd.read_parquet(
        market_data / "us_top3000_2012_2017.parquet",
        filters=[("date", ">=", pd.Timestamp("2016-08-15").date())],
    )
    symbols = sorted(bars["symbol"].unique())[:: len(bars["symbol"].unique()) // NAMES][:NAMES]
    wide = bars[bars["symbol"].isin(symbols)].pivot(index="date", columns="symbol")
    names = ("close", "open", "high", "low", "volume")
    return with_averages({name: wide[name].to_numpy(float)[-DAYS:] for name in names})


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("market", one_in(4, ["drawn", "real"]))
@pytest.mark.parametrize("number", OURS)
def test_every_cell_equals_pandas(number: int, market: str, request: pytest.FixtureRequest) -> None:
    fields = request.getfixturevalue(market)
    sector = np.tile(np.arange(NAMES, dtype=np.int32) % 12 - 1, (DAYS, 1))
    found = Evaluator(fields, {"sector": sector}, cache_bytes=0).evaluate(TEXTS[number])
    vocabulary = VOCABULARIES.get(number, CarefulPandas)(fields, sector)
    with np.errstate(all="ignore"):
        expected = np.asarray(FORMULAS[number](vocabulary))
    assert np.isfinite(found[-1]).mean() > 0.3
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
