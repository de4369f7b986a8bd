"""Operators across a day and inside groups, against slow references."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphafoundry.expressions import Evaluator
from tests.library.expressions import reference as ref
from tests.property_tests import examples

NAN = np.nan
VALUES = st.one_of(
    st.just(NAN),
    st.integers(-3, 3).map(float),
    st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda value: round(value, 6)),
)
DAYS = st.integers(1, 12).flatmap(
    lambda names: st.tuples(
        arrays(np.float64, (3, names), elements=VALUES),
        arrays(np.int32, (3, names), elements=st.integers(-1, 3)),
        arrays(np.float64, (3, names), elements=VALUES),
    )
)
BOUNDED = settings(max_examples=examples(80), deadline=None)


@BOUNDED
@given(DAYS)
def test_rank_and_zscore(days):
    x, _, _ = days
    evaluator = Evaluator({"x": x})
    np.testing.assert_allclose(
        evaluator.evaluate("rank(x)"), [ref.day_rank(row) for row in x], atol=1e-12
    )
    np.testing.assert_allclose(
        evaluator.evaluate("zscore(x)"), [ref.day_zscore(row) for row in x], rtol=1e-6, atol=1e-9
    )


@BOUNDED
@given(DAYS)
def test_inside_groups(days):
    x, g, weight = days
    evaluator = Evaluator({"x": x, "w": weight}, {"g": g})

    def expect(text, function):
        expected = [ref.by_group(function, row, labels) for row, labels in zip(x, g, strict=True)]
        np.testing.assert_allclose(evaluator.evaluate(text), expected, rtol=1e-6, atol=1e-7)

    expect("group_rank(x, g)", ref.day_rank)
    expect("group_zscore(x, g)", ref.day_zscore)
    expect("group_neutralize(x, g)", lambda row: [value - np.mean(row) for value in row])
    expect("group_scale(x, g)", lambda row: [ref.scaled([*row, value]) for value in row])
    expect("group_max(x, g)", lambda row: [max(row)] * len(row))
    expect("group_min(x, g)", lambda row: [min(row)] * len(row))
    expect("group_median(x, g)", lambda row: [np.median(row)] * len(row))
    expect("group_sum(x, g)", lambda row: [sum(row)] * len(row))
    expect("group_count(x, g)", lambda row: [len(row)] * len(row))
    expect("group_std_dev(x, g)", lambda row: [np.std(row)] * len(row))
    expect("group_mean(x, 1, g)", lambda row: [np.mean(row)] * len(row))


def test_group_mean_weighs_its_members():
    x = np.array([[1.0, 2, 3, NAN, 5]])
    w = np.array([[1.0, 3, NAN, 7, 2]])
    g = np.array([[0, 0, 0, 0, 1]])
    found = Evaluator({"x": x, "w": w}, {"g": g}).evaluate("group_mean(x, w, g)")
    np.testing.assert_allclose(found[0], [1.75, 1.75, 1.75, NAN, 5])


def test_nan_handling_gives_a_groups_value_to_members_without_one():
    x = np.array([[1.0, 3, NAN, NAN]])
    g = np.array([[0, 0, 0, 1]])
    found = Evaluator({"x": x}, {"g": g}, nan_handling=True).evaluate("group_mean(x, 1, g)")
    np.testing.assert_allclose(found[0], [2, 2, 2, NAN])


def test_a_single_valid_name_ranks_in_the_middle():
    x = np.array([[NAN, 7, NAN]])
    np.testing.assert_array_equal(Evaluator({"x": x}).evaluate("rank(x)")[0], [NAN, 0.5, NAN])


def test_wide_days_rank_like_pandas():
    random = np.random.default_rng(1)
    x = random.normal(size=(5, 3000))
    x[:, ::7] = np.round(x[:, ::7], 1)
    x[:, ::11] = NAN
    x[0, 5], x[0, 6] = np.inf, -np.inf
    expected = [ref.day_rank(row) for row in x]
    np.testing.assert_allclose(Evaluator({"x": x}).evaluate("rank(x)"), expected, atol=1e-12)


@pytest.mark.parametrize("step", [0.0, 1e-6, 0.001, 0.01, 0.3, 3.0])
@pytest.mark.parametrize("names", [700, 3000])
def test_many_equal_values_rank_like_pandas(step, names):
    """Like changes of prices, which are whole cents: some rows are nothing but ties."""
    random = np.random.default_rng(4)
    x = random.standard_cauchy((5, names))
    x = np.round(x / step) * step if step else x
    x[:, ::13] = NAN
    x[1, 3:40:5], x[2, 5:80:9] = np.inf, -np.inf
    x[3] = np.where(random.random(names) < 0.01, 1e30, 1.0 + 1e-3 * np.round(x[3]))
    g = random.integers(-4, 9, x.shape).astype(np.int32)
    engine = Evaluator({"x": x}, {"g": g})
    frame = pd.DataFrame(np.where(np.isfinite(x), np.round(x, 9), x))
    ranks = frame.rank(axis=1).sub(1).div(frame.notna().sum(axis=1) - 1, axis=0)
    np.testing.assert_allclose(engine.evaluate("rank(x)"), ranks, atol=1e-12)
    for day in range(len(x)):
        known = pd.Series(x[day])[g[day] >= 0].round(9)
        inside = known.groupby(g[day][g[day] >= 0])
        expected = ((inside.rank() - 1) / (inside.transform("count") - 1)).reindex(range(names))
        np.testing.assert_allclose(engine.evaluate("group_rank(x, g)")[day], expected, atol=1e-12)


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1e-5, 1.0, 1e8, 1e300])
def test_ranks_do_not_depend_on_the_size_of_the_values(size):
    x = np.random.default_rng(2).normal(size=(4, 500))
    expected = Evaluator({"x": x}).evaluate("rank(x)")
    np.testing.assert_allclose(Evaluator({"x": x * size}).evaluate("rank(x)"), expected, atol=1e-12)


def test_rounding_noise_makes_no_order():
    """Correlations of three ranks have few exact values; noise must not split them."""
    random = np.random.default_rng(3)
    x, y = random.normal(size=(2, 60, 200))
    found = Evaluator({"x": x, "y": y}).evaluate("rank(ts_corr(rank(x), rank(y), 3))")
    ranks_x = pd.DataFrame(x).rank(axis=1, pct=False)
    ranks_y = pd.DataFrame(y).rank(axis=1, pct=False)
    correlation = ranks_x.rolling(3).corr(ranks_y).round(9)
    expected = correlation.rank(axis=1).sub(1).div(correlation.notna().sum(axis=1) - 1, axis=0)
    np.testing.assert_allclose(found[2:], expected.to_numpy()[2:], atol=1e-12)


def test_constant_days():
    x = np.full((2, 5), 0.1)
    evaluator = Evaluator({"x": x}, {"g": np.zeros(x.shape, np.int32)})
    assert (evaluator.evaluate("rank(x)") == 0.5).all()
    assert (evaluator.evaluate("normalize(x)") == 0).all()
    assert (evaluator.evaluate("group_neutralize(x, g)") == 0).all()
    for text in ("zscore(x)", "group_zscore(x, g)", "group_scale(x, g)", "scale_down(x)"):
        assert np.isnan(evaluator.evaluate(text)).all(), text


def test_normalize_and_its_parameters():
    x = np.array([[3.0, 5, 6, 2, NAN]])
    evaluator = Evaluator({"x": x})
    np.testing.assert_allclose(evaluator.evaluate("normalize(x)")[0], [-1, 1, 2, -2, NAN])
    np.testing.assert_allclose(
        evaluator.evaluate("normalize(x, useStd=true)"), evaluator.evaluate("zscore(x)")
    )
    np.testing.assert_allclose(
        evaluator.evaluate("normalize(x, limit=1.5)")[0], [-1, 1, 1.5, -1.5, NAN]
    )


def test_scale_can_treat_the_sides_apart():
    evaluator = Evaluator({"x": np.array([[2.0, -3, 6, 0, NAN]])})
    np.testing.assert_allclose(
        evaluator.evaluate("scale(x, longscale=4, shortscale=3)")[0], [1, -3, 3, 0, NAN]
    )
    np.testing.assert_allclose(np.nansum(np.abs(evaluator.evaluate("scale(x, scale=2)"))), 2)


def test_quantile_drivers():
    x = np.random.default_rng(4).normal(size=(2, 50))
    evaluator = Evaluator({"x": x})
    share = 1 / 50 + evaluator.evaluate("rank(x)") * (1 - 2 / 50)
    gaussian = np.vectorize(NormalDist().inv_cdf)(share)
    np.testing.assert_allclose(evaluator.evaluate("quantile(x, sigma=2)"), 2 * gaussian, atol=1e-9)
    np.testing.assert_allclose(
        evaluator.evaluate("quantile(x, driver=uniform)"), share - 0.5, atol=1e-12
    )


def test_regression_neut_leaves_nothing_that_x_explains():
    y, x = np.random.default_rng(5).normal(size=(2, 3, 40))
    residual = Evaluator({"x": x, "y": y}).evaluate("regression_neut(y, x)")
    np.testing.assert_allclose(residual.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose((residual * x).sum(axis=1), 0, atol=1e-10)


def test_bucket_ends_can_be_left_out():
    evaluator = Evaluator({"x": np.array([[-1.0, 0.2, 0.6, 2, NAN]])})
    counted = evaluator.evaluate('group_count(1, bucket(x, range="0, 1, 0.5"))')
    np.testing.assert_array_equal(counted[0], [1, 1, 1, 1, NAN])
    without = evaluator.evaluate('group_count(1, bucket(x, range="0, 1, 0.5", skipBoth=true))')
    np.testing.assert_array_equal(without[0], [NAN, 1, 1, NAN, NAN])
    begin = evaluator.evaluate('group_count(1, bucket(x, range="0, 1, 0.5", skipBegin=true))')
    np.testing.assert_array_equal(begin[0], [NAN, 1, 1, 1, NAN])
    missing = evaluator.evaluate('group_count(1, bucket(x, range="0, 1, 0.5", NaNGroup=true))')
    np.testing.assert_array_equal(missing[0], [1, 1, 1, 1, 1])


def test_cartesian_product_has_a_group_for_each_pair():
    a = np.array([[0, 0, 1, 1, -1]])
    b = np.array([[0, 1, 0, 0, 0]])
    evaluator = Evaluator({"x": np.ones((1, 5))}, {"a": a, "b": b})
    found = evaluator.evaluate("group_count(x, group_cartesian_product(a, b))")
    np.testing.assert_array_equal(found[0], [1, 1, 2, 2, NAN])


def test_labels_may_be_large():
    g = np.array([[7, 7, 2_000_000_000, -5]])
    found = Evaluator({"x": np.ones((1, 4))}, {"g": g}).evaluate("group_sum(x, g)")
    np.testing.assert_array_equal(found[0], [2, 2, 1, NAN])
