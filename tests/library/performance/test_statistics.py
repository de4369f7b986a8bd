"""Figures of a track record against empyrical's, pandas' and a slow calculation."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import PerformanceError
from alphafoundry.finance.statistics import under_water
from alphafoundry.performance import (
    ReturnSeries,
    by_period,
    drawdowns,
    monthly_table,
    returns_of_equity,
    rolling_beta,
    rolling_sharpe,
    rolling_volatility,
    sharpe_evidence,
    statistics_of,
)
from tests.property_tests import examples

NEAR = 1e-10
REFERENCE = Path(__file__).with_name("empyrical.json")


def series_of(seed: int, days: int, *, mean: float = 0.0004, spread: float = 0.01) -> ReturnSeries:
    draws = np.random.default_rng(seed)
    market = draws.normal(0.0003, 0.01, days)
    own = 0.4 * market + draws.standard_t(5, days) * spread * 0.7 + mean
    dates = np.asarray(pd.bdate_range("2021-03-10", periods=days), dtype="datetime64[D]")
    return ReturnSeries(dates, own.clip(-0.5), market)


def near(value: float) -> object:
    return pytest.approx(value, rel=NEAR, abs=NEAR)


@pytest.mark.parametrize(
    "wanted",
    json.loads(REFERENCE.read_text())["cases"],
    ids=lambda one: f"{one['seed']}-{one['days']}",
)
def test_figures_are_those_of_empyrical(wanted: dict[str, float]) -> None:
    """The file holds what empyrical-reloaded 0.7.1 gives; it needs an older peewee than yfinance.

    empyrical divides by n - 1, this project by n.
    """
    days = int(wanted["days"])
    series = series_of(int(wanted["seed"]), days)
    found = statistics_of(series)
    sample = math.sqrt((days - 1) / days)
    assert found.volatility == near(wanted["annual_volatility"] * sample)
    assert found.sharpe == near(wanted["sharpe_ratio"] / sample)
    for ours, theirs in {
        "total_return": "cum_returns_final",
        "annual_return": "annual_return",
        "sortino": "sortino_ratio",
        "calmar": "calmar_ratio",
        "stability": "stability_of_timeseries",
        "tail_ratio": "tail_ratio",
        "profit_factor": "omega_ratio",
        "beta": "beta",
        "alpha": "alpha",
        "up_capture": "up_capture",
        "down_capture": "down_capture",
    }.items():
        assert getattr(found, ours) == near(wanted[theirs]), ours
    assert found.max_drawdown == near(-wanted["max_drawdown"])
    assert found.value_at_risk == near(-wanted["value_at_risk"])


@settings(max_examples=examples(80), deadline=None)
@given(seed=st.integers(0, 9999), days=st.integers(70, 600))
def test_figures_are_those_of_pandas(seed: int, days: int) -> None:
    series = series_of(seed, days)
    found = statistics_of(series)
    index = pd.DatetimeIndex(series.dates)
    own, market = pd.Series(series.returns, index), pd.Series(series.benchmark, index)
    apart = own - market
    assert found.information_ratio == near(apart.mean() / apart.std(ddof=0) * math.sqrt(252))
    assert found.correlation == near(own.corr(market))
    assert found.skewness == near(own.skew() * (days - 2) / math.sqrt(days * (days - 1)))
    assert found.kurtosis == near(((own - own.mean()) ** 4).mean() / own.var(ddof=0) ** 2)


def test_months_and_years_are_those_of_pandas() -> None:
    series = series_of(5, 700)
    own = pd.Series(series.returns, pd.DatetimeIndex(series.dates))
    for unit, code in (("M", "ME"), ("Y", "YE")):
        want = own.resample(code).apply(lambda part: (1 + part).prod() - 1)
        found = by_period(series, unit)
        assert [value for _, value in found] == near(list(want))
        assert found[0][0] == ("2021-03" if unit == "M" else "2021")
    year, months = monthly_table(by_period(series, "M"))[0]
    assert year == "2021" and months[:2] == [None, None] and months[2] is not None
    figures = statistics_of(series)
    assert figures.best_month == max(value for _, value in by_period(series, "M"))


def test_rolling_figures_are_those_of_pandas() -> None:
    series = series_of(6, 200)
    assert series.benchmark is not None
    own, market = pd.Series(series.returns), pd.Series(series.benchmark)
    rolled = own.rolling(63)
    want = rolled.mean() / rolled.std(ddof=0) * math.sqrt(252)
    np.testing.assert_allclose(rolling_sharpe(series.returns), want, rtol=NEAR)
    np.testing.assert_allclose(
        rolling_volatility(series.returns), rolled.std(ddof=0) * math.sqrt(252), rtol=NEAR
    )
    beta = rolled.cov(market) / market.rolling(63).var()
    np.testing.assert_allclose(
        rolling_beta(series.returns, series.benchmark), beta, rtol=1e-8, atol=NEAR
    )
    assert np.isnan(rolling_sharpe(series.returns[:50])).all()


def test_drawdowns_have_their_days_and_the_last_one_may_last() -> None:
    dates = np.asarray(pd.bdate_range("2024-01-01", periods=7), dtype="datetime64[D]")
    series = ReturnSeries(dates, np.array([0.1, -0.1, -0.1, 0.3, -0.05, 0.01, 0.0]))
    deep, last = drawdowns(series)
    assert deep.depth == near(0.19) and deep.days == 2
    assert (deep.began, deep.deepest) == (date(2024, 1, 2), date(2024, 1, 3))
    assert deep.recovered == date(2024, 1, 4)
    assert last.recovered is None and last.days == 3
    assert under_water(series.returns).min() == near(-0.19)


def test_a_first_day_of_loss_is_a_drawdown() -> None:
    dates = np.asarray(pd.bdate_range("2024-01-01", periods=2), dtype="datetime64[D]")
    (only,) = drawdowns(ReturnSeries(dates, np.array([-0.1, 0.0])))
    assert only.began == date(2024, 1, 1) and only.depth == near(0.1)


def test_no_days_and_constant_days_give_no_ratios() -> None:
    none = statistics_of(ReturnSeries(np.array([], dtype="datetime64[D]"), np.array([])))
    assert math.isnan(none.sharpe) and math.isnan(none.best_month) and none.days == 0
    dates = np.asarray(pd.bdate_range("2024-01-01", periods=30), dtype="datetime64[D]")
    same = statistics_of(ReturnSeries(dates, np.full(30, 0.001), np.full(30, 0.001)))
    assert math.isnan(same.sharpe) and math.isnan(same.beta) and math.isnan(same.skewness)
    assert same.max_drawdown == 0.0 and same.hit_rate == 1.0


def test_a_sharpe_ratio_never_stands_alone() -> None:
    series = series_of(3, 252, mean=0.002)
    one, many = (sharpe_evidence(series, trials=trials, seed=1) for trials in (1, 200))
    assert one.value == many.value == near(statistics_of(series).sharpe)
    assert one.low < one.value < one.high
    assert one.deflated > many.deflated
    assert "200 trials" in str(many)
    few = sharpe_evidence(series_of(3, 12))
    assert math.isnan(few.value) and str(few) == "not yet: needs 20 days"


def test_what_came_in_is_no_return() -> None:
    dates = np.asarray(pd.bdate_range("2024-01-01", periods=3), dtype="datetime64[D]")
    found = returns_of_equity(
        dates, np.array([100.0, 160.0, 152.0]), transfers=np.array([0.0, 50.0, 0.0])
    )
    np.testing.assert_allclose(found, [0.1, -0.05], rtol=NEAR)
    with pytest.raises(PerformanceError, match="not above 0"):
        returns_of_equity(dates, np.array([1.0, 0.0, 1.0]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_days_that_are_no_returns_are_refused(bad: float) -> None:
    dates = np.asarray(pd.bdate_range("2024-01-01", periods=2), dtype="datetime64[D]")
    with pytest.raises(PerformanceError, match="leave such days out"):
        ReturnSeries(dates, np.array([0.0, bad]))
