"""Ensemble weights: constraints hold, and nothing simple does better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.backtest import EnsembleConstraints, metrics_of, optimise_weights
from alphafoundry.errors import BacktestError, InfeasibleEnsemble
from tests.property_tests import examples

OBJECTIVES = ("sharpe", "sortino", "calmar", "cvar")


def made_returns(seed: int = 0, days: int = 250, count: int = 6) -> np.ndarray:
    random = np.random.default_rng(seed)
    common = random.normal(0.0, 0.005, (days, 1))
    own = random.normal(0.0, 0.01, (days, count)) * random.uniform(0.5, 1.5, count)
    return random.uniform(0.0, 0.001, count) + common + own


def value(returns: np.ndarray, weights: np.ndarray, objective: str) -> float:
    """Return the objective of summed (not compounded) returns, as the optimiser defines it."""
    daily = returns @ weights
    if objective == "sharpe":
        return float(daily.mean() / daily.std())
    if objective == "sortino":
        return float(daily.mean() / math.sqrt((np.minimum(daily, 0.0) ** 2).mean()))
    if objective == "cvar":
        return -metrics_of(daily).cvar
    wealth = np.concatenate([[0.0], np.cumsum(daily)])
    return float(daily.mean() / (np.maximum.accumulate(wealth) - wealth).max())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_random_weights_do_better(objective: str) -> None:
    returns = made_returns()
    rules = EnsembleConstraints(max_weight=0.5)
    weights = optimise_weights(returns, objective=objective, constraints=rules)  # type: ignore[arg-type]
    best = value(returns, weights, objective)
    random = np.random.default_rng(1)
    for other in random.dirichlet(np.full(6, 0.7), 2000):
        if other.max() <= 0.5:
            assert value(returns, other, objective) <= best + 1e-5 * abs(best)


@settings(max_examples=examples(50), deadline=None)
@given(
    seed=st.integers(0, 1000),
    objective=st.sampled_from(OBJECTIVES),
    max_weight=st.sampled_from([0.25, 0.4, 1.0]),
    min_strategies=st.sampled_from([1, 3, 5]),
    shift=st.sampled_from([0.0, -0.002]),
)
def test_constraints_hold(
    seed: int, objective: str, max_weight: float, min_strategies: int, shift: float
) -> None:
    returns = made_returns(seed, days=80) + shift
    rules = EnsembleConstraints(max_weight, min_strategies, min_weight=0.05)
    weights = optimise_weights(returns, objective=objective, constraints=rules)  # type: ignore[arg-type]
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights.min() >= 0.0
    assert weights.max() <= max_weight
    assert (weights >= 0.05 - 1e-6).sum() >= min_strategies
    again = optimise_weights(returns, objective=objective, constraints=rules)  # type: ignore[arg-type]
    np.testing.assert_array_equal(weights, again)


def test_of_two_alike_the_better_one_is_kept() -> None:
    returns = made_returns()
    twin = returns[:, 0] + 1e-4 + np.random.default_rng(5).normal(0.0, 1e-5, len(returns))
    rules = EnsembleConstraints(max_correlation=0.7)
    weights = optimise_weights(np.column_stack([returns, twin]), constraints=rules)
    assert weights[0] == 0.0
    assert weights[-1] > 0.0


def test_a_strategy_that_never_trades_gets_nothing() -> None:
    returns = np.column_stack([np.zeros(250), made_returns()])
    for objective in OBJECTIVES:
        assert optimise_weights(returns, objective=objective)[0] == 0.0  # type: ignore[arg-type]


def test_without_any_gain_the_weights_are_those_of_least_risk() -> None:
    returns = made_returns() - 0.01
    weights = optimise_weights(returns)
    random = np.random.default_rng(1)
    least = (returns @ weights).std()
    assert all(
        (returns @ other).std() >= least - 1e-9 for other in random.dirichlet(np.ones(6), 500)
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (EnsembleConstraints(max_weight=0.1), "max_weight 0.1 .* need 10; relax"),
        (EnsembleConstraints(min_strategies=7), "6 of 6 strategies are left .* need 7"),
        (EnsembleConstraints(0.5, 3, max_correlation=-0.9), "correlations up to -0.9"),
        (EnsembleConstraints(0.5, 5, min_weight=0.3), "add up to more than 1"),
    ],
)
def test_constraints_that_cannot_be_met_say_which(rules: EnsembleConstraints, message: str) -> None:
    with pytest.raises(InfeasibleEnsemble, match=message):
        optimise_weights(made_returns(), constraints=rules)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(BacktestError, match="max_weight: 2"):
        EnsembleConstraints(max_weight=2)
    with pytest.raises(BacktestError, match="unknown objective 'omega'"):
        optimise_weights(made_returns(), objective="omega")  # type: ignore[arg-type]
    with pytest.raises(BacktestError, match="without NaN"):
        optimise_weights(np.full((10, 2), np.nan))
