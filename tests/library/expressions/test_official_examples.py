"""The example values that BRAIN's operator articles print."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.expressions import Evaluator, parse

NAN = np.nan


def history(*values: float) -> np.ndarray:
    """One instrument, oldest value first."""
    return np.array(values, dtype=float).reshape(-1, 1)


def newest_first(*values: float) -> np.ndarray:
    return history(*reversed(values))


TIME_SERIES = [
    ("ts_backfill(x, lookback=3)", history(100, NAN, 120, NAN, NAN), 120, 1e-12),
    ("ts_rank(x, 5)", history(10, 12, 11, 15, 13), 0.75, 1e-12),
    ("ts_rank(x, 3)", newest_first(100, 0, 200), 0.5, 1e-12),
    ("ts_av_diff(x, 6)", newest_first(6, 2, 8, 5, 9, NAN), 0, 1e-12),
    ("ts_decay_linear(x, 3)", history(6, 8, 10), 52 / 6, 1e-12),
    ("ts_product(x, 5)", history(1.01, 0.99, 1.02, 1.00, 1.03), 1.0501, 5e-4),
    ("ts_scale(x, 6, constant=1)", newest_first(6, 2, 8, 5, 9, 4), 1.571, 1e-3),
    ("ts_zscore(x, 5)", history(10, 12, 11, 13, 15), 1.63, 5e-3),
    ("ts_zscore(x, 5)", newest_first(100, 0, 50, 60, 25), 1.57, 5e-3),
    ("days_from_last_change(x)", history(10, 10, 12, 12, 12), 2, 0),
    ("days_from_last_change(x)", history(10, 10, 12, 12, 12, 15), 0, 0),
    ("hump_decay(x, p=3)", newest_first(2, 4), 4, 0),
    ("hump_decay(x, p=1)", newest_first(2, 4), 2, 0),
    ("inst_tvr(x, 4)", newest_first(105, 102, 99, 101, 100), 0.022, 5e-4),
    ("jump_decay(x, 2, stddev=false)", newest_first(2, 4), 3.8, 1e-12),
    ("ts_returns(x, 1)", history(4, 9), 1.25, 1e-12),
    ("ts_returns(x, 1, mode=2)", history(4, 9), 0.769, 5e-4),
    ("ts_weighted_decay(x, k=0.25)", newest_first(6, 4), 4.5, 1e-12),
    ("signed_power(x, 2)", history(3), 9, 1e-12),
    ("signed_power(x, 0.5)", history(-9), -3, 1e-12),
]


@pytest.mark.parametrize(("text", "x", "expected", "tolerance"), TIME_SERIES)
def test_a_history_gives_the_printed_value(text, x, expected, tolerance):
    assert Evaluator({"x": x}).evaluate(text)[-1, 0] == pytest.approx(expected, abs=tolerance)


CROSS_SECTION = [
    ("rank(x)", [4, 3, 6, 10, 2], [0.5, 0.25, 0.75, 1, 0], 1e-12),
    ("scale(x)", [2, -3, 5], [0.2, -0.3, 0.5], 1e-12),
    ("scale_down(x)", [15, 7, 0, 20], [0.75, 0.35, 0, 1], 1e-12),
    ("truncate(x, maxPercent=0.5)", [3, 7, 20, 6], [3, 7, 18, 6], 1e-12),
    ("winsorize(x, std=1)", [2, 4, 5, 6, 3, 8, 10], [2.81, 4, 5, 6, 3, 8, 8.03], 1e-2),
    ("zscore(x)", [100, 0, 50, 60, 25], [1.57, -1.39, 0.09, 0.39, -0.65], 6e-3),
    ("group_zscore(x, g)", [10, 20, 30], [-1.22, 0, 1.22], 6e-3),
    ("group_neutralize(x, g)", [3, 2, 6, 5, 8], [-1.8, -2.8, 1.2, 0.2, 3.2], 1e-12),
    (
        "scale(group_neutralize(x, g))",
        [6, 5, 2, 8, 4],
        [0.125, 0, -0.375, 0.375, -0.125],
        1e-12,
    ),
    ("scale(x)", [6, 5, 2, 8, 4], [0.24, 0.20, 0.08, 0.32, 0.16], 1e-12),
]


@pytest.mark.parametrize(("text", "x", "expected", "tolerance"), CROSS_SECTION)
def test_a_day_gives_the_printed_values(text, x, expected, tolerance):
    row = np.array([x], dtype=float)
    result = Evaluator({"x": row}, {"g": np.zeros(row.shape, np.int32)}).evaluate(text)
    np.testing.assert_allclose(result[0], expected, atol=tolerance)


def test_vector_neut_takes_out_the_projection():
    x, y = np.array([[1.0, 2, 3]]), np.array([[3.0, 4, 5]])
    result = Evaluator({"x": x, "y": y}).evaluate("vector_neut(x, y)")
    np.testing.assert_allclose(result[0], [-0.56, -0.08, 0.40], atol=5e-3)


def test_quantile_shifts_ranks_before_the_inverse_distribution():
    from statistics import NormalDist

    x = np.array([[2.0, 4, 1, 5, 3]])
    result = Evaluator({"x": x}).evaluate("quantile(x)")
    shifted = [0.35, 0.65, 0.2, 0.8, 0.5]
    np.testing.assert_allclose(result[0], [NormalDist().inv_cdf(s) for s in shifted], atol=1e-12)


def test_bucket_by_range_and_by_edges():
    ranged = np.array([[0.05, 0.45, 0.9]])
    evaluator = Evaluator({"x": ranged})
    assert labels(evaluator, 'bucket(x, range="0, 1, 0.1")') == [0, 4, 8]
    edged = np.array([[0.1, 0.3, 0.6, 0.8]])
    assert labels(Evaluator({"x": edged}), 'bucket(x, buckets=".2,.5,.7")') == [0, 1, 2, 3]


def test_densify_keeps_only_labels_that_are_present():
    evaluator = Evaluator({"x": np.zeros((1, 4))}, {"g": np.array([[0, 1, 2, 99]])})
    assert labels(evaluator, "densify(g)") == [0, 1, 2, 3]


def test_group_coalesce_keeps_labels_of_different_inputs_apart():
    first = np.array([[-1, -1, -1]])
    second = np.array([[2, 1, -1]])
    third = np.array([[1, 1, 1]])
    evaluator = Evaluator({"x": np.zeros((1, 3))}, {"a": first, "b": second, "c": third})
    found = labels(evaluator, "group_coalesce(a, b, c)")
    assert len(set(found)) == 3


def test_group_backfill_averages_the_group_over_the_window():
    x = np.array([[5, 9, NAN], [5, 2, 2], [2, NAN, -4], [4, 7, NAN]], dtype=float)
    groups = {"g": np.zeros(x.shape, np.int32)}
    result = Evaluator({"x": x}, groups).evaluate("group_backfill(x, g, 4)")
    assert result[3, 2] == pytest.approx(3.56, abs=5e-3)


def test_hump_moves_by_the_limit():
    """Today 2, yesterday 5, hump 0.1 and a limit of 1.5 (the day sums to 15) gives 3.5."""
    x = np.array([[5.0, 13], [2, 13]])
    result = Evaluator({"x": x}).evaluate("hump(x, hump=0.1)")
    assert result[1, 0] == pytest.approx(3.5)


def test_bucket_groups_can_be_used_by_group_operators():
    x = np.array([[0.1, 0.2, 0.8, 0.9]])
    result = Evaluator({"x": x}).evaluate('group_rank(x, bucket(x, buckets="0.5"))')
    assert result[0].tolist() == [0, 1, 0, 1]


def labels(evaluator: Evaluator, text: str) -> list[int]:
    """The labels of the first day of a group expression."""
    form = parse(text).canonical_form
    return evaluator._run(form)[0].tolist()
