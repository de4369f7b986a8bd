"""Regimes: found where they are, by past days only."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hmmlearn.hmm import GaussianHMM
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.backtest import (
    Bars,
    RegimeModel,
    TrialResult,
    best_per_regime,
    fit_regimes,
    market_features,
    market_returns,
    metrics_of,
    regime_scores,
    switched,
)
from alphafoundry.errors import BacktestError
from tests.library.backtest.markets import bars_of, made_bars, with_other_future
from tests.property_tests import examples

CALM, WILD = 0.005, 0.03


def changing_bars(seed: int = 0, instruments: int = 6) -> tuple[Bars, np.ndarray]:
    """Return bars whose volatility changes every 100 days, and which regime each day is."""
    random = np.random.default_rng(seed)
    regimes = np.repeat([0, 1, 0, 1, 0, 1], 100)
    spread = np.where(regimes == 0, CALM, WILD)
    steps = spread[:, None] * random.normal(size=(600, instruments))
    return bars_of(100.0 * np.exp(np.cumsum(steps, axis=0))), regimes


def trial(name: str, returns: np.ndarray) -> TrialResult:
    return TrialResult({"name": name}, metrics_of(returns), returns)


def test_features_are_those_of_pandas() -> None:
    bars = made_bars(4, days=120, instruments=5)
    frame = pd.DataFrame(bars.close).pct_change(fill_method=None)
    market = frame.mean(axis=1)
    np.testing.assert_allclose(market_returns(bars), market, atol=1e-14)
    found = market_features(bars, 20)
    rolling = market.rolling(20)
    np.testing.assert_allclose(found[:, 0], rolling.std(ddof=0) * np.sqrt(252), atol=1e-12)
    trend = rolling.sum() / (rolling.std(ddof=0) * np.sqrt(20))
    np.testing.assert_allclose(found[:, 1], trend, atol=1e-9)
    for day in (20, 60, 119):
        matrix = frame.iloc[day - 19 : day + 1].corr().to_numpy()
        assert found[day, 2] == pytest.approx(matrix[np.triu_indices(5, 1)].mean(), abs=1e-10)
    assert np.isnan(found[:20]).all()


@pytest.mark.parametrize("classifier", ["hmm", "rules"])
def test_a_market_of_two_volatilities_is_told_apart(classifier: str) -> None:
    bars, truth = changing_bars()
    model = fit_regimes(bars, classifier=classifier, states=2, window=10, fitted_on=(0, 400))  # type: ignore[arg-type]
    labels = model.classify(bars)
    # The window needs some days to see a change.
    settled = np.concatenate([np.arange(start + 10, start + 100) for start in range(0, 600, 100)])
    assert (labels[settled] == truth[settled]).mean() > 0.85
    assert model.fitted_until == str(bars.days[399])


@pytest.mark.parametrize("classifier", ["hmm", "rules"])
@settings(max_examples=examples(34), deadline=None)
@given(last_known=st.integers(330, 580), seed=st.integers(0, 100))
def test_another_future_changes_neither_the_fit_nor_a_label(
    classifier: str, last_known: int, seed: int
) -> None:
    bars, _ = changing_bars(seed)
    other = with_other_future(bars, last_known)
    models = [
        fit_regimes(given, classifier=classifier, window=10, fitted_on=(0, 300))  # type: ignore[arg-type]
        for given in (bars, other)
    ]
    assert models[0].to_dict() == models[1].to_dict()
    now = slice(0, last_known + 1)
    np.testing.assert_array_equal(models[0].classify(bars)[now], models[1].classify(other)[now])


def test_a_label_is_the_filtered_state_that_hmmlearn_gives_for_the_last_day() -> None:
    bars, _ = changing_bars(3)
    model = fit_regimes(bars, states=3, window=10)
    labels = model.classify(bars)
    numbers = model.numbers
    reference = GaussianHMM(n_components=3, covariance_type="diag", init_params="")
    reference.startprob_ = numbers["start"]
    reference.transmat_ = numbers["transition"]
    reference.means_ = numbers["means"]
    reference.covars_ = numbers["variances"]
    scaled = (market_features(bars, 10) - numbers["center"]) / numbers["spread"]
    for day in range(10, 600, 37):
        # Smoothing adds nothing on the last day that a sequence has.
        beliefs = reference.predict_proba(scaled[10 : day + 1])[-1]
        assert labels[day] == np.argmax(beliefs)
    assert set(labels[:10]) == {-1}


@pytest.mark.parametrize("classifier", ["hmm", "rules"])
def test_regimes_are_ordered_by_volatility_and_the_fit_is_repeatable(classifier: str) -> None:
    bars, _ = changing_bars(5)
    model = fit_regimes(bars, classifier=classifier, states=3)  # type: ignore[arg-type]
    labels = model.classify(bars)
    volatility = market_features(bars, model.window)[:, 0]
    means = [volatility[labels == regime].mean() for regime in range(3)]
    assert means == sorted(means)
    again = fit_regimes(bars, classifier=classifier, states=3)  # type: ignore[arg-type]
    assert model.to_dict() == again.to_dict()
    read = RegimeModel.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_array_equal(read.classify(bars), labels)
    assert "3 regimes by volatility, trend, correlation" in repr(model)


def test_a_falling_crowd_is_the_most_volatile_regime_by_rule() -> None:
    bars, _ = changing_bars(6)
    model = fit_regimes(bars, classifier="rules", states=3, window=10)
    drop = np.concatenate([bars.close, bars.close[-1] * 0.999 ** np.arange(1, 31)[:, None]])
    fall = drop.copy()
    fall[600:] *= 1.0 + 1e-4 * np.sin(np.arange(30))[:, None]
    assert (model.classify(bars_of(fall))[-15:] == 2).all()


def test_too_few_days_and_wrong_choices_are_refused() -> None:
    bars = made_bars(days=60)
    with pytest.raises(BacktestError, match="39 days with 20-day features are too few"):
        fit_regimes(bars, fitted_on=(0, 59))
    with pytest.raises(BacktestError, match="choose one of hmm, rules"):
        fit_regimes(bars, classifier="forest")  # type: ignore[arg-type]
    with pytest.raises(BacktestError, match="1 regimes"):
        fit_regimes(bars, states=1)


def test_the_best_parameters_of_a_regime_earn_on_the_day_after_it() -> None:
    regimes = np.tile([0, 0, 1, 1], 50)
    noise = np.random.default_rng(0).normal(0.0, 1e-4, 200)
    yesterday = np.concatenate([[-1], regimes[:-1]])
    calm = trial("calm", noise + np.where(yesterday == 0, 0.01, -0.01))
    wild = trial("wild", noise + np.where(yesterday == 1, 0.01, -0.01))
    best = best_per_regime([calm, wild], regimes)
    assert best == {0: {"name": "calm"}, 1: {"name": "wild"}}
    scores = regime_scores([calm, wild], regimes)
    assert scores[0][0] == pytest.approx(metrics_of(calm.daily_returns[yesterday == 0]).sharpe)


def test_regimes_with_few_days_or_without_a_score_are_left_out() -> None:
    regimes = np.array([-1] * 10 + [0] * 80 + [1] * 10)
    random = np.random.default_rng(0)
    trials = [trial("a", random.normal(0.0, 0.01, 100))]
    assert set(best_per_regime(trials, regimes, min_samples=20)) == {0}
    assert set(best_per_regime(trials, regimes, min_samples=9)) == {0, 1}
    assert best_per_regime([trial("idle", np.zeros(100))], regimes) == {}
    with pytest.raises(BacktestError, match="does not match 50 days of regimes"):
        best_per_regime(trials, regimes[:50])


def test_switching_takes_each_row_from_its_regime() -> None:
    ones = np.ones((4, 2))
    found = switched({0: ones, 1: 2 * ones}, np.array([-1, 0, 1, 2]), otherwise=-ones)
    np.testing.assert_array_equal(found[:, 0], [-1.0, 1.0, 2.0, -1.0])
    np.testing.assert_array_equal(switched({0: ones}, np.array([-1, 0, 1, 0]))[:, 0], [0, 1, 0, 1])
    with pytest.raises(BacktestError, match="do not match"):
        switched({0: ones}, np.array([0, 1]))
