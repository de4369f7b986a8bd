"""Statistics against skfolio's and pandas'."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.measures import cvar as skfolio_cvar

from alphafoundry.backtest import OBJECTIVES, Metrics, metrics_of, score
from alphafoundry.errors import BacktestError
from alphafoundry.finance.statistics import sharpe
from tests.property_tests import examples


@settings(max_examples=examples(120), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    days=st.integers(2, 400),
    spread=st.sampled_from([1e-4, 0.02, 0.2]),
)
def test_every_statistic_is_that_of_an_independent_calculation(
    seed: int, days: int, spread: float
) -> None:
    daily = np.random.default_rng(seed).normal(0.0005, spread, days).clip(-0.9)
    found = metrics_of(daily)
    wealth = pd.Series(np.concatenate([[1.0], 1.0 + daily])).cumprod()
    total = wealth.iloc[-1] - 1.0
    annual = (1.0 + total) ** (252 / days) - 1.0
    drawdown = (1.0 - wealth / wealth.cummax()).max()
    downside = math.sqrt((np.minimum(daily, 0.0) ** 2).mean())
    assert found.days == days
    assert found.sharpe == pytest.approx(sharpe(daily), rel=1e-9)
    assert found.volatility == pytest.approx(daily.std() * math.sqrt(252), rel=1e-9)
    assert found.total_return == pytest.approx(total, rel=1e-9, abs=1e-14)
    assert found.annual_return == pytest.approx(annual, rel=1e-9, abs=1e-14)
    assert found.max_drawdown == pytest.approx(drawdown, rel=1e-9, abs=1e-14)
    if downside:
        expected = math.sqrt(252) * daily.mean() / downside
        assert found.sortino == pytest.approx(expected, rel=1e-9)
    if drawdown:
        assert found.calmar == pytest.approx(annual / drawdown, rel=1e-9)
    assert found.win_rate == pytest.approx((daily > 0).mean())
    if days >= 20:
        assert found.cvar == pytest.approx(float(skfolio_cvar(daily, beta=0.95)), rel=1e-9)
    else:
        assert found.cvar == -daily.min()


def test_returns_that_never_change_have_no_ratio() -> None:
    nothing = metrics_of(np.zeros(50))
    assert [nothing.total_return, nothing.volatility, nothing.max_drawdown] == [0.0, 0.0, 0.0]
    assert all(math.isnan(getattr(nothing, name)) for name in ("sharpe", "sortino", "calmar"))
    # The mean of 0.1 has rounding; its deviation must not.
    assert math.isnan(metrics_of(np.full(50, 0.1)).sharpe)
    assert math.isnan(metrics_of(np.empty(0)).total_return)


def test_a_total_loss_is_minus_one() -> None:
    lost = metrics_of(np.array([0.1, -1.0, 0.0]))
    assert (lost.total_return, lost.annual_return, lost.max_drawdown) == (-1.0, -1.0, 1.0)


def test_objectives_are_higher_for_what_is_better() -> None:
    random = np.random.default_rng(0)
    poor = random.normal(0.0, 0.02, 500)
    better = poor * 0.5 + 0.001
    for name in OBJECTIVES:
        assert score(metrics_of(better), name) > score(metrics_of(poor), name)
        assert score(metrics_of(poor), name) > -math.inf
    assert score(metrics_of(np.zeros(9)), "sharpe") == -math.inf


def test_an_unknown_objective_and_returns_with_holes_are_refused() -> None:
    with pytest.raises(BacktestError, match="unknown objective 'sharp'; choose one of sharpe"):
        score(metrics_of(np.zeros(9)), "sharp")
    with pytest.raises(BacktestError, match="NaN"):
        metrics_of(np.array([0.1, np.nan]))


def test_metrics_read_as_a_sentence_and_as_a_dictionary() -> None:
    metrics = metrics_of(np.array([0.1, -0.05, 0.02]))
    assert "drawdown 5.0%" in str(metrics)
    assert list(metrics.to_dict()) == list(Metrics.__dataclass_fields__)
