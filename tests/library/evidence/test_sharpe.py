"""Sharpe ratios beside luck, against published examples and independent programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence import (
    Moments,
    deflated_sharpe_ratio,
    effective_days,
    expected_maximum,
    long_run_variance_ratio,
    luck_line,
    maximum_quantile,
    minimum_backtest_years,
    minimum_track_record,
    moments,
    null_deviation,
    probabilistic_sharpe_ratio,
    published_expected_maximum,
)

BAILEY = Moments(days=1250, sharpe=2.5 / np.sqrt(250), skewness=-3.0, kurtosis=10.0)
"""The worked example of the deflated Sharpe ratio: 100 trials, variance of theirs 1/2 a year."""


def test_the_published_worked_example() -> None:
    sigma = np.sqrt(0.5 / 250)
    assert sigma * published_expected_maximum(100) == pytest.approx(0.1132, abs=5e-5)
    found = deflated_sharpe_ratio(BAILEY, trials=100, sigma=sigma, published=True)
    assert found == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_an_independent_calculation(seed: int) -> None:
    values = np.random.default_rng(seed).standard_t(4, 700) * 0.01 + 0.0004
    ratio = values.mean() / values.std()
    kurtosis = stats.kurtosis(values, fisher=False)
    inside = 1 - stats.skew(values) * ratio + (kurtosis - 1) / 4 * ratio**2
    expected = stats.norm.cdf((ratio - 0.01) * np.sqrt(len(values) - 1) / np.sqrt(inside))
    found = probabilistic_sharpe_ratio(moments(values), threshold=0.01)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_skfolio(seed: int) -> None:
    measures = pytest.importorskip("skfolio.measures")
    generator = np.random.default_rng(seed)
    values = generator.standard_t(4, 700) * 0.01 + 0.0004
    ratios = generator.normal(0, 0.04, size=37)
    spread = float(np.std(ratios, ddof=1))
    theirs = measures.probabilistic_sharpe_ratio(values, benchmark_sharpe_ratio=0.01)
    # Their deviation is the sample's, ours the population's: the ratio differs by as much.
    ours = moments(values)
    sample = Moments(ours.days, ours.sharpe * np.sqrt(699 / 700), ours.skewness, ours.kurtosis)
    exact = probabilistic_sharpe_ratio(sample, threshold=0.01)
    assert exact == pytest.approx(theirs, rel=1e-12)
    best = measures.expected_max_sharpe_ratio(37, trial_sharpe_ratio_std=spread)
    assert spread * published_expected_maximum(37) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("trials", [2, 3, 10, 100, 10_000, 1_000_000])
def test_the_expected_maximum_is_that_of_normal_draws(trials: int) -> None:
    def density(x: float) -> float:
        return x * trials * stats.norm.pdf(x) * stats.norm.cdf(x) ** (trials - 1)

    exact = integrate.quad(density, -10, 10, limit=500, points=[0, 2, 4, 5])[0]
    assert expected_maximum(trials) == pytest.approx(exact, abs=1e-6)
    assert published_expected_maximum(trials) == pytest.approx(exact, rel=0.09)


def test_one_trial_needs_no_deflation_and_two_are_known() -> None:
    assert expected_maximum(1) == 0.0 == published_expected_maximum(1)
    assert expected_maximum(2) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-9)
    found = Moments(500, 0.05, -0.2, 5.0)
    assert deflated_sharpe_ratio(found, trials=1) == probabilistic_sharpe_ratio(found)


@pytest.mark.long
def test_the_luck_line_is_what_searches_of_noise_find() -> None:
    generator = np.random.default_rng(1)
    days, trials = 400, 60
    best = [
        np.asarray(moments(generator.normal(size=(days, trials))).sharpe).max() for _ in range(400)
    ]
    line = luck_line(trials, days)
    assert line.mean == pytest.approx(np.mean(best), rel=0.03)
    assert np.mean(np.array(best) < line.quantile) == pytest.approx(0.95, abs=0.035)
    assert maximum_quantile(1, 0.95) == pytest.approx(1.6449, abs=1e-4)


@given(
    sharpe=st.floats(0.02, 0.3),
    skewness=st.floats(-2, 2),
    excess=st.floats(0.5, 12),
    trials=st.sampled_from([1, 2, 60, 1000]),
)
def test_the_minimum_track_record_is_where_the_probability_is_reached(
    sharpe: float, skewness: float, excess: float, trials: int
) -> None:
    found = Moments(1000, sharpe, skewness, skewness**2 + 1 + excess)
    days = minimum_track_record(found, trials=trials)
    there = Moments(round(days) or 1, sharpe, skewness, skewness**2 + 1 + excess)
    if there.days < 30:
        return
    assert deflated_sharpe_ratio(there, trials=trials) == pytest.approx(0.95, abs=0.02)


def test_a_losing_series_is_never_proven() -> None:
    assert minimum_track_record(Moments(500, -0.01, 0.0, 3.0)) == np.inf
    assert np.isnan(minimum_track_record(Moments(500, float("nan"), 0.0, 3.0)))
    assert minimum_backtest_years(400) == pytest.approx(8.9, abs=0.1)


def test_the_long_run_variance_of_autocorrelated_pnl() -> None:
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(4000, 2))
    series = noise.copy()
    for day in range(1, len(series)):
        series[day] += 0.3 * series[day - 1]
    ratios = np.asarray(long_run_variance_ratio(series))
    assert np.all(np.abs(ratios - 1.3 / 0.7) < 0.3)
    assert long_run_variance_ratio(-np.diff(noise[:, 0])) == 1.0
    assert null_deviation(noise[:, 0]) == pytest.approx(1 / np.sqrt(4000), rel=0.1)


def test_constant_pnl_has_no_sharpe_ratio() -> None:
    steady = np.full(300, 123.456) + np.linspace(0, 1e-11, 300)
    assert np.isnan(moments(steady).sharpe)
    assert np.isnan(probabilistic_sharpe_ratio(moments(steady)))
    both = np.column_stack([steady, np.random.default_rng(0).normal(size=300)])
    assert np.isnan(moments(both).sharpe).tolist() == [True, False]


@given(scale=st.floats(1e-150, 1e150))
def test_effective_days_do_not_depend_on_the_unit(scale: float) -> None:
    assert effective_days(np.array([1.0, -1, 1, -1]) * scale) == pytest.approx(4.0)
    assert effective_days(np.array([1.0, 0, 0, 0]) * scale) == pytest.approx(1.0)
    assert effective_days(np.zeros(5)) == 0.0


@pytest.mark.parametrize("bad", [[1.0], [1.0, float("nan")], [[[1.0]]], [np.inf, 1.0]])
def test_unusable_pnl_is_refused(bad: list[float]) -> None:
    with pytest.raises(EvidenceError):
        moments(bad)


def test_no_trials_are_refused() -> None:
    with pytest.raises(EvidenceError, match="at least one"):
        luck_line(0, 100)
