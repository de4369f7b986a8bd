"""Risk measures against skfolio, empyrical, scikit-learn, quadrature and published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from alphafoundry.errors import PortfolioError
from alphafoundry.finance.statistics import beta, under_water
from alphafoundry.trading.risk import (
    christoffersen,
    judge_exceptions,
    kupiec,
    shrunk_correlation,
    tail_risk,
)
from alphafoundry.trading.risk.backtesting import zone
from alphafoundry.trading.risk.measures import filtered
from tests.property_tests import examples


def fat_tails(days: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(4, days) * 0.01


@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize("days", [100, 250, 333, 500])
def test_historical_tail_equals_skfolio(days: int, level: float) -> None:
    measures = pytest.importorskip("skfolio.measures")
    x = fat_tails(days)
    found = tail_risk(x, level, "historical")
    assert found.value_at_risk == pytest.approx(measures.value_at_risk(x, beta=level), abs=1e-10)
    assert found.shortfall == pytest.approx(measures.cvar(x, beta=level), abs=1e-10)


def test_drawdown_equals_skfolio() -> None:
    measures = pytest.importorskip("skfolio.measures")
    x = fat_tails(400)
    expected = measures.get_drawdowns(x, compounded=True)
    np.testing.assert_allclose(under_water(x), expected, atol=1e-10)


def test_beta_is_the_slope_of_the_regression() -> None:
    x, market = fat_tails(400), fat_tails(400, seed=8)
    x = x + 0.6 * market
    assert beta(x, market) == pytest.approx(np.polyfit(market, x, 1)[0], abs=1e-10)
    x[3], market[9] = np.nan, np.nan
    both = np.isfinite(x) & np.isfinite(market)
    assert beta(x, market) == pytest.approx(np.polyfit(market[both], x[both], 1)[0], abs=1e-10)
    assert math.isnan(beta(x, np.zeros(400)))


def test_filtered_scales_by_the_ratio_of_volatilities() -> None:
    x = fat_tails(300)
    variance = [np.mean(x**2)]
    for value in x:
        variance.append(0.94 * variance[-1] + 0.06 * value**2)
    expected = [
        value * math.sqrt(variance[-1] / before)
        for value, before in zip(x, variance[:-1], strict=True)
    ]
    np.testing.assert_allclose(filtered(x), expected, rtol=1e-12)


def test_filtered_tail_follows_the_last_weeks() -> None:
    calm, wild = fat_tails(470), 4.0 * fat_tails(30, seed=9)
    after = tail_risk(np.concatenate([calm, wild]), 0.99, "filtered historical")
    before = tail_risk(np.concatenate([wild, calm]), 0.99, "filtered historical")
    assert after.value_at_risk > 2.0 * before.value_at_risk


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_cornish_fisher_equals_its_formula_and_the_mean_of_its_tail(level: float) -> None:
    x = fat_tails(500)
    mean, deviation = x.mean(), x.std()
    z = (x - mean) / deviation
    s, k = (z**3).mean(), (z**4).mean() - 3.0
    found = tail_risk(x, level, "Cornish-Fisher")
    assert found.value_at_risk == pytest.approx(-_expanded(1 - level, mean, deviation, s, k))
    # The mean over the tail, in the variable of the normal distribution.
    area = quad(
        lambda v: _expanded(norm.cdf(v), mean, deviation, s, k) * norm.pdf(v),
        -12.0,
        norm.ppf(1 - level),
    )[0]
    assert found.shortfall == pytest.approx(-area / (1 - level), rel=1e-8)


def _expanded(p: float, mean: float, deviation: float, s: float, k: float) -> float:
    z = norm.ppf(p)
    w = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    return float(mean + deviation * w)


def test_cornish_fisher_of_normal_returns_is_the_normal_tail() -> None:
    # Quantiles of the normal law have neither skewness nor, nearly, excess kurtosis.
    x = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    found = tail_risk(x, 0.99, "Cornish-Fisher")
    assert found.value_at_risk == pytest.approx(2.3263, abs=0.01)
    assert found.shortfall == pytest.approx(2.6652, abs=0.01)


@given(
    st.lists(st.floats(-0.5, 0.5), min_size=100, max_size=160),
    st.sampled_from(["historical", "filtered historical"]),
)
@settings(max_examples=examples(120), deadline=None)
def test_shortfall_is_never_below_value_at_risk(values: list[float], method: str) -> None:
    x = np.array(values)
    at_95 = tail_risk(x, 0.95, method)
    at_99 = tail_risk(x, 0.99, method)
    for one in (at_95, at_99):
        assert one.shortfall >= one.value_at_risk - 1e-12
    assert at_99.value_at_risk >= at_95.value_at_risk - 1e-12


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(PortfolioError, match="at least 100"):
        tail_risk(fat_tails(99), 0.99, "historical")
    with pytest.raises(PortfolioError, match="no number"):
        tail_risk(np.append(fat_tails(200), np.nan), 0.99, "historical")
    with pytest.raises(PortfolioError, match="choose one of historical"):
        tail_risk(fat_tails(200), 0.99, "parametric")
    with pytest.raises(PortfolioError, match=r"0\.5 to 1"):
        tail_risk(fat_tails(200), 99.0, "historical")


def test_the_designated_measure_is_passed_as_often_as_it_says() -> None:
    """Through calm and wild weeks, whose length no method is told: 1 % of 1,500 days or so."""
    draw = np.random.default_rng(6)
    volatility = np.exp(0.5 * np.sin(np.arange(2000) / 40.0))
    x = 0.01 * volatility * draw.standard_normal(2000)
    passed = [
        x[t] < -tail_risk(x[t - 500 : t], 0.99, "filtered historical").value_at_risk
        for t in range(500, 2000, 3)
    ]
    assert kupiec(len(passed), sum(passed), 0.99).p > 0.05


def test_kupiec_equals_published_example() -> None:
    """P. Jorion, "Value at Risk", third edition: 20 exceptions in 252 days at 95 % give 3.91."""
    found = kupiec(252, 20, 0.95)
    assert found.statistic == pytest.approx(3.91, abs=0.005)
    assert found.p < 0.05


@pytest.mark.parametrize(
    ("level", "days", "least", "most"),
    [
        (0.99, 255, None, 6),
        (0.99, 510, 2, 10),
        (0.99, 1000, 5, 16),
        (0.95, 255, 7, 20),
        (0.95, 510, 17, 35),
        (0.95, 1000, 38, 64),
    ],
)
def test_kupiec_accepts_the_published_regions(
    level: float, days: int, least: int | None, most: int
) -> None:
    """Kupiec 1995: fewer than 7 of 255 at 99 %, 1 < N < 11 of 510, 4 < N < 17 of 1000, ..."""
    accepted = [n for n in range(days // 4) if kupiec(days, n, level).statistic < 3.841]
    assert accepted[-1] == most
    if least is not None:
        assert accepted[0] == least


def test_christoffersen_equals_its_transition_counts() -> None:
    passed = np.zeros(250, dtype=bool)
    passed[[10, 11, 12, 100, 200]] = True
    n00, n01, n10, n11 = 241, 3, 3, 2
    p, p0, p1 = 5 / 249, 3 / 244, 2 / 5
    expected = 2 * (
        n00 * math.log(1 - p0)
        + n01 * math.log(p0)
        + n10 * math.log(1 - p1)
        + n11 * math.log(p1)
        - (n00 + n10) * math.log(1 - p)
        - (n01 + n11) * math.log(p)
    )
    found = christoffersen(passed)
    assert found.statistic == pytest.approx(expected)
    assert found.p < 0.01
    assert math.isnan(christoffersen(np.zeros(250, dtype=bool)).p)


def test_zones_are_basels() -> None:
    colours = [zone(n, 250, 0.99) for n in range(12)]
    assert colours == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 2


def test_a_short_record_has_no_zone_and_says_how_short() -> None:
    found = judge_exceptions(np.full(5, -0.03), np.full(5, 0.02))
    assert found.zone is None
    assert found.exceptions == 5
    assert "5 of 250 days" in str(found)


def test_days_without_a_forecast_are_not_judged() -> None:
    returns = np.full(300, -0.03)
    foretold = np.full(300, 0.05)
    foretold[-260:] = np.nan
    found = judge_exceptions(returns, foretold)
    assert (found.days, found.exceptions) == (40, 0)


def test_correct_measure_is_rarely_red() -> None:
    """250 days at 99 %: ten exceptions or more have a probability of 3 in 10,000."""
    draws = np.random.default_rng(5).binomial(250, 0.01, 20_000)
    red = np.mean([zone(int(n), 250, 0.99) == "red" for n in draws[:4000]])
    assert red < 0.003


def test_shrinkage_equals_scikit_learn() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 40)) @ rng.normal(size=(40, 40)) * 0.01
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected, intensity = covariance.ledoit_wolf(z, assume_centered=True)
    found = shrunk_correlation(x)
    assert found.intensity == pytest.approx(intensity, abs=1e-10)
    np.testing.assert_allclose(found.matrix, expected, atol=1e-10)


def test_few_days_are_believed_less() -> None:
    rng = np.random.default_rng(4)
    common = rng.normal(size=(1000, 1))
    x = common + rng.normal(size=(1000, 20))
    assert shrunk_correlation(x[:30]).intensity > 3 * shrunk_correlation(x).intensity
    assert np.linalg.eigvalsh(shrunk_correlation(x[:15]).matrix).min() > 0.0
