"""Returns by month, and the benchmark of measured days."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from alphafoundry.backtest import Bars, buy_and_hold
from alphafoundry.coordinator.measured_days import benchmark_of, by_month, monthly_table


def test_buying_and_holding_is_the_mean_of_what_each_name_gained(bars: Bars) -> None:
    daily, names = buy_and_hold(bars, 100, 300)
    assert names == 4
    growth = (bars.close[99:300] / bars.close[99]).mean(axis=1)
    np.testing.assert_allclose(np.cumprod(1 + daily), growth[1:], rtol=1e-12)
    whole, _ = buy_and_hold(bars, 0, 300)
    assert whole[0] == 0.0
    assert np.prod(1 + whole) == pytest.approx((bars.close[-1] / bars.close[0]).mean(), rel=1e-12)


def test_names_without_a_price_are_not_bought() -> None:
    from tests.library.backtest.markets import bars_of

    late = np.array([[10.0, np.nan], [11.0, 5.0], [np.nan, 50.0]])
    daily, names = buy_and_hold(bars_of(late), 1, 3)
    np.testing.assert_allclose(daily, [0.1, 0.0], atol=1e-15)
    assert names == benchmark_of(bars_of(late), range(1, 3), 1.0).names == 1
    none = np.array([[np.nan], [5.0]])
    daily, names = buy_and_hold(bars_of(none), 1, 2)
    np.testing.assert_array_equal(daily, [0.0])
    assert names == 0


def test_a_benchmark_says_nothing_of_costs(bars: Bars) -> None:
    found = benchmark_of(bars, range(100, 300), 1000.0)
    assert (found.metrics["days"], found.metrics["cost"], found.names) == (200, None, 4)
    assert len(found.values) == 200


def test_months_compound_as_pandas_does(bars: Bars) -> None:
    daily = np.random.default_rng(1).normal(0, 0.01, 300)
    series = pd.Series(daily, index=pd.to_datetime(bars.days))
    expected = (1 + series).groupby(series.index.strftime("%Y-%m")).prod() - 1
    found = by_month([str(day) for day in bars.days], daily)
    assert list(found) == list(expected.index)
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-12, atol=1e-15)
    (row,) = monthly_table("later", found).rows
    assert row["year"] == "2020"
    assert row["Jan"] == f"{100 * expected.iloc[0]:.1f}"
    assert row["Dec"] == ""
    assert row["all"] == f"{100 * ((1 + series).prod() - 1):.1f}"
