"""What a book earns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphafoundry.simulation.pnl import DailyPnl, daily_pnl
from alphafoundry.simulation.statistics import statistics
from tests.library.simulation import reference
from tests.property_tests import examples

DATES = np.busday_offset("2020-01-01", np.arange(30))


def earned(weights: list[list[float]], returns: list[list[float]], delay: int) -> DailyPnl:
    return daily_pnl(np.array(weights), np.array(returns), DATES[: len(weights)], delay=delay)


@pytest.mark.parametrize(("delay", "day"), [(0, 1), (1, 2)])
def test_delay_decides_which_return_a_weight_earns(delay: int, day: int) -> None:
    weights = [[1.0], [0.0], [0.0], [0.0]]
    found = earned(weights, [[0.01], [0.02], [0.03], [0.04]], delay)
    assert np.flatnonzero(found.pnl).tolist() == [day]
    assert found.pnl[day] == pytest.approx(20e6 * [0.01, 0.02, 0.03, 0.04][day])


def test_a_missing_return_earns_nothing() -> None:
    found = earned([[0.5, -0.5]] * 3, [[0.0, 0.0], [np.nan, 0.01], [0.01, np.inf]], 0)
    assert found.pnl.tolist() == [0.0, -100_000.0, 100_000.0]


def test_traded_counts_the_first_book_and_every_change() -> None:
    found = earned([[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0]] * 4, 0)
    assert found.traded.tolist() == [0.0, 20e6, 40e6, 20e6]
    assert found.first_held == 1
    assert found.longs.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert found.largest.tolist() == [0.0, 0.5, 0.5, 0.0]


def test_a_book_that_never_holds_has_no_first_day() -> None:
    assert earned([[0.0]] * 4, [[0.1]] * 4, 1).first_held == 4


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("days", [1, 2, 64, 65, 66, 200])
def test_long_lives_equal_the_same_reference(days: int, delay: int) -> None:
    random = np.random.default_rng(2)
    weights = random.normal(size=(days, 7))
    weights /= np.abs(weights).sum(axis=1, keepdims=True)
    returns = random.normal(scale=0.02, size=weights.shape)
    returns[random.random(returns.shape) < 0.05] = np.nan
    dates = np.busday_offset("2020-01-01", np.arange(days))
    found = daily_pnl(weights, returns, dates, delay=delay)
    expected = reference.profit(pd.DataFrame(weights), pd.DataFrame(returns), delay)
    np.testing.assert_allclose(found.pnl, expected["pnl"], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.traded, expected["traded"], rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(found.longs, expected["longs"])
    np.testing.assert_array_equal(found.shorts, expected["shorts"])


matrices = st.tuples(st.integers(4, 20), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape, elements=st.floats(-1, 1)),
        arrays(np.float64, shape, elements=st.one_of(st.just(np.nan), st.floats(-0.5, 0.5))),
    )
)


@settings(max_examples=examples(100), deadline=None)
@given(matrices, st.sampled_from([0, 1]))
def test_days_and_statistics_equal_a_slow_reference(
    drawn: tuple[np.ndarray, np.ndarray], delay: int
) -> None:
    raw, returns = drawn
    gross = np.abs(raw).sum(axis=1, keepdims=True)
    weights = np.divide(raw, gross, out=np.zeros_like(raw), where=gross > 1e-6)
    found = daily_pnl(weights, returns, DATES[: len(raw)], delay=delay)
    expected = reference.profit(pd.DataFrame(weights), pd.DataFrame(returns), delay)
    np.testing.assert_allclose(found.pnl, expected["pnl"], rtol=1e-9, atol=1e-2)
    np.testing.assert_allclose(found.traded, expected["traded"], rtol=1e-9, atol=1e-2)
    np.testing.assert_array_equal(found.longs, expected["longs"])
    np.testing.assert_array_equal(found.shorts, expected["shorts"])
    if expected["pnl"].std() > 1.0 and expected["traded"].sum() > 1.0:
        numbers = statistics(found)
        for name, value in reference.numbers(expected).items():
            assert getattr(numbers, name) == pytest.approx(value, rel=1e-7, abs=1e-7), name
