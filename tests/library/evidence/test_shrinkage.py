"""Sharpe ratios to be expected of many trials, against truths that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.evidence import shrunk_sharpe_ratios
from alphafoundry.evidence.shrinkage import SPREADS
from tests.property_tests import examples
from tests.some_cases import one_in

PERIODS = 252.0


def drawn(
    seed: int, *, trials: int, days: int, strength: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observed and true annual Sharpe ratios, and the correlation that was observed.

    Three common factors are paid in proportion to `strength`; what is a trial's own is not.
    """
    draw = np.random.default_rng(seed)
    loading = draw.standard_normal((3, trials)) * np.array([[1.0], [0.7], [0.5]])
    paid = draw.standard_normal(3) * strength / math.sqrt(PERIODS)
    common = draw.standard_normal((days, 3)) + paid
    pnl = common @ loading + draw.standard_normal((days, trials))
    deviation = np.sqrt((loading**2).sum(axis=0) + 1.0)
    true = paid @ loading / deviation * math.sqrt(PERIODS)
    observed = pnl.mean(axis=0) / pnl.std(axis=0) * math.sqrt(PERIODS)
    return observed, true, np.corrcoef(pnl, rowvar=False)


@pytest.mark.parametrize("strength", one_in(2, [0.25, 1.0]))
def test_what_is_expected_is_nearer_to_the_truth_and_of_its_size(strength: float) -> None:
    raw, shrunk, sizes = [], [], []
    for seed in range(40):
        observed, true, correlation = drawn(seed, trials=60, days=756, strength=strength)
        found = shrunk_sharpe_ratios(observed, [756] * 60, correlation, periods=PERIODS)
        raw.append(np.mean((observed - true) ** 2))
        shrunk.append(np.mean((found.sharpe - true) ** 2))
        best = int(np.argmax(np.abs(found.sharpe)))
        sizes.append(
            (abs(found.sharpe[best]), math.copysign(true[best], found.sharpe[best] * true[best]))
        )
    assert np.mean(shrunk) < 0.8 * np.mean(raw)
    # The best of sixty is worth what is said of it, within what forty draws can tell.
    said, worth = np.mean(sizes, axis=0)
    assert said == pytest.approx(worth, abs=0.3)


def test_of_luck_alone_next_to_nothing_is_left() -> None:
    kept = []
    for seed in range(20):
        observed, _, correlation = drawn(seed, trials=60, days=756, strength=0.0)
        found = shrunk_sharpe_ratios(observed, [756] * 60, correlation, periods=PERIODS)
        kept.append(np.abs(found.sharpe).max() / np.abs(observed).max())
    assert np.median(kept) < 0.25


def test_it_is_the_posterior_mean_that_linear_algebra_gives() -> None:
    """The same prior and likelihood without components: mean = k R R (k R R + R)^-1 z."""
    observed, _, correlation = drawn(3, trials=12, days=500, strength=1.0)
    found = shrunk_sharpe_ratios(observed, [500] * 12, correlation, periods=PERIODS)
    years = 500 / PERIODS
    prior = found.spread * correlation @ correlation
    reference = prior @ np.linalg.solve(prior + correlation, observed * math.sqrt(years))
    np.testing.assert_allclose(found.sharpe, reference / math.sqrt(years), rtol=1e-8, atol=1e-10)


def test_the_spread_is_the_likeliest_one() -> None:
    observed, _, correlation = drawn(5, trials=12, days=500, strength=2.0)
    z = observed * math.sqrt(500 / PERIODS)

    def likelihood(spread: float) -> float:
        total = spread * correlation @ correlation + correlation
        _, size = np.linalg.slogdet(total)
        return float(-0.5 * (size + z @ np.linalg.solve(total, z)))

    best = SPREADS[int(np.argmax([likelihood(one) for one in SPREADS]))]
    found = shrunk_sharpe_ratios(observed, [500] * 12, correlation, periods=PERIODS)
    assert found.spread == best


def test_a_trial_that_is_told_twice_counts_as_one() -> None:
    observed, _, correlation = drawn(7, trials=10, days=500, strength=1.0)
    twice = np.arange(11) % 10
    one = shrunk_sharpe_ratios(observed, [500] * 10, correlation, periods=PERIODS)
    two = shrunk_sharpe_ratios(
        observed[twice], [500] * 11, correlation[np.ix_(twice, twice)], periods=PERIODS
    )
    assert two.sharpe[0] == pytest.approx(two.sharpe[10])
    assert two.sharpe[:10] == pytest.approx(one.sharpe, abs=0.25 * np.abs(one.sharpe).max())


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10_000), trials=st.integers(1, 30))
def test_turning_and_reordering_trials_turns_and_reorders_what_is_expected(
    seed: int, trials: int
) -> None:
    observed, _, correlation = drawn(seed, trials=trials, days=300, strength=1.0)
    correlation = np.atleast_2d(correlation)
    draw = np.random.default_rng(seed)
    order, sign = draw.permutation(trials), draw.choice([-1.0, 1.0], trials)
    days = draw.integers(200, 300, trials)
    plain = shrunk_sharpe_ratios(observed, days, correlation, periods=PERIODS)
    other = shrunk_sharpe_ratios(
        (observed * sign)[order],
        days[order],
        (correlation * np.outer(sign, sign))[np.ix_(order, order)],
        periods=PERIODS,
    )
    np.testing.assert_allclose(other.sharpe, (plain.sharpe * sign)[order], rtol=1e-6, atol=1e-9)


def test_trials_that_move_alike_are_expected_to_earn_alike_whatever_their_days() -> None:
    likeness = np.array([[1.0, 0.9999], [0.9999, 1.0]])
    found = shrunk_sharpe_ratios([1.5, 1.5], [1200, 400], likeness, periods=PERIODS)
    assert found.sharpe[0] > 0.3
    assert found.sharpe[1] == pytest.approx(found.sharpe[0], rel=1e-3)


def test_with_other_days_it_stays_near_to_the_posterior_mean_of_linear_algebra() -> None:
    """The luck of two trials is shared on the days that both have, here the last ones."""
    observed, _, correlation = drawn(3, trials=12, days=900, strength=2.0)
    days = np.random.default_rng(3).integers(500, 900, 12)
    years = days / PERIODS
    found = shrunk_sharpe_ratios(observed, days, correlation, periods=PERIODS)
    prior = found.spread / years.mean() * correlation @ correlation
    luck = correlation / np.maximum.outer(years, years)
    reference = prior @ np.linalg.solve(prior + luck, observed)
    error = np.linalg.norm(found.sharpe - reference) / np.linalg.norm(reference)
    assert error < 0.1


def test_a_correlation_that_no_trials_can_have_makes_no_large_number_of_a_small_one() -> None:
    """Pairs of different days: one trial is like the first and unlike its twin, the second."""
    likeness = np.eye(13)
    likeness[0, 1] = likeness[1, 0] = 0.998
    likeness[0, 12] = likeness[12, 0] = 1.0
    likeness[1, 12] = likeness[12, 1] = -1.0
    observed = [0.2, 0.1, *[3.0] * 10, 0.2]
    built = np.arange(13) == 12
    found = shrunk_sharpe_ratios(observed, [1008] * 13, likeness, periods=PERIODS, built=built)
    assert found.sharpe[2] > 2.5
    assert abs(found.sharpe[12]) < 0.3


def test_no_trials_and_no_numbers() -> None:
    none = shrunk_sharpe_ratios([], [], np.empty((0, 0)), periods=PERIODS)
    assert none.sharpe.shape == (0,)
    with pytest.raises(ValueError, match="not a finite number"):
        shrunk_sharpe_ratios([math.nan], [10], np.eye(1), periods=PERIODS)
