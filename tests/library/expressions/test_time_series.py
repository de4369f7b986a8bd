"""Time-series operators against slow references, and at the edges where engines go wrong."""

from __future__ import annotations

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
PANELS = arrays(np.float64, st.tuples(st.integers(1, 25), st.integers(1, 3)), elements=VALUES)
WINDOWS = st.sampled_from([1, 2, 3, 5, 7, 24, 40])
BOUNDED = settings(max_examples=examples(50), deadline=None)

OPERATORS = {
    "ts_sum(x, {d})": lambda d: ref.rolling(lambda w: float(sum(map(ref.Fraction, w))), d),
    "ts_mean(x, {d})": lambda d: ref.rolling(lambda w: float(ref.exact_mean(w)), d),
    "ts_product(x, {d})": lambda d: ref.rolling(lambda w: float(np.prod(w)), d),
    "ts_min(x, {d})": lambda d: ref.rolling(min, d),
    "ts_max(x, {d})": lambda d: ref.rolling(max, d),
    "ts_std_dev(x, {d})": lambda d: ref.rolling(ref.std, d),
    "ts_zscore(x, {d})": lambda d: ref.rolling(ref.zscore, d),
    "ts_rank(x, {d})": lambda d: ref.rolling(ref.rank_today, d),
    "ts_quantile(x, {d})": lambda d: ref.rolling(ref.quantile_today, d),
    "ts_arg_max(x, {d})": lambda d: ref.rolling(lambda w: ref.arg_extreme(w, max), d),
    "ts_arg_min(x, {d})": lambda d: ref.rolling(lambda w: ref.arg_extreme(w, min), d),
    "ts_scale(x, {d})": lambda d: ref.rolling(ref.scaled, d),
    "ts_median(x, {d})": lambda d: ref.rolling(lambda w: float(np.median(w)), d),
    "ts_decay_linear(x, {d})": lambda d: ref.rolling_with_gaps(ref.decay, d),
    "ts_decay_linear(x, {d}, dense=true)": lambda d: ref.rolling(ref.decay, d),
    "ts_av_diff(x, {d})": lambda d: ref.rolling_with_gaps(ref.av_diff, d),
    "ts_count_nans(x, {d})": lambda d: ref.rolling_with_gaps(lambda w: np.isnan(w).sum(), d),
    "kth_element(x, {d}, 2)": lambda d: ref.growing(lambda w: ref.kth(w, 2), d),
    "ts_backfill(x, {d})": lambda d: ref.growing(lambda w: ref.kth(w, 1), d),
    "last_diff_value(x, {d})": lambda d: ref.growing(ref.last_different, d),
    "ts_delay(x, {d})": lambda d: lambda x: pd.DataFrame(x).shift(d).to_numpy(),
    "ts_delta(x, {d})": lambda d: lambda x: pd.DataFrame(x).diff(d).to_numpy(),
}


@pytest.mark.parametrize("text", OPERATORS)
@BOUNDED
@given(x=PANELS, d=WINDOWS)
def test_windows_agree_with_the_obvious_computation(text, x, d):
    found = Evaluator({"x": x}).evaluate(text.format(d=d))
    expected = OPERATORS[text](d)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


PAIRS = st.integers(2, 25).flatmap(
    lambda days: st.tuples(*[arrays(np.float64, (days, 2), elements=VALUES) for _ in range(2)])
)


@BOUNDED
@given(pair=PAIRS, d=WINDOWS)
def test_correlation_and_covariance(pair, d):
    x, y = pair
    evaluator = Evaluator({"x": x, "y": y})
    found = evaluator.evaluate(f"ts_corr(x, y, {d})")
    covariance = evaluator.evaluate(f"ts_covariance(x, y, {d})")
    for j in range(2):
        for t in range(len(x)):
            a, b = x[t - d + 1 : t + 1, j], y[t - d + 1 : t + 1, j]
            if t < d - 1 or np.isnan(a).any() or np.isnan(b).any():
                assert np.isnan(found[t, j])
                assert np.isnan(covariance[t, j])
                continue
            np.testing.assert_allclose(found[t, j], ref.correlation(a, b), atol=1e-7)
            expected = float(ref.exact_products(a, b)) / d
            np.testing.assert_allclose(covariance[t, j], expected, rtol=1e-9, atol=1e-7)


@BOUNDED
@given(pair=PAIRS, d=st.sampled_from([3, 5, 10]), lag=st.sampled_from([0, 2]))
def test_regression_agrees_with_least_squares_on_the_valid_pairs(pair, d, lag):
    y, x = pair
    evaluator = Evaluator({"x": x, "y": y})
    found = [
        evaluator.evaluate(f"ts_regression(y, x, {d}, lag={lag}, rettype={kind})")
        for kind in range(10)
    ]
    lagged = pd.DataFrame(x).shift(lag).to_numpy()
    for j in range(2):
        for t in range(len(x)):
            answers = [panel[t, j] for panel in found]
            if t < d - 1 + lag:
                assert np.isnan(answers).all()
                continue
            a, b = lagged[t - d + 1 : t + 1, j], y[t - d + 1 : t + 1, j]
            valid = ~np.isnan(a) & ~np.isnan(b)
            if valid.sum() < 3 or np.ptp(a[valid]) < 1e-3:
                continue
            expected = _least_squares(a[valid], b[valid], lagged[t, j], y[t, j])
            scale = 1 + np.abs(np.nan_to_num(expected)).max()
            np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-7 * scale**2)


def _median_slope(x, y):
    later, earlier = np.tril_indices(len(x), -1)
    different = x[later] != x[earlier]
    later, earlier = later[different], earlier[different]
    with np.errstate(all="ignore"):
        slopes = (y[later] - y[earlier]) / (x[later] - x[earlier])
    return np.median(slopes) if len(slopes) else NAN


@pytest.mark.parametrize("d", [24, 25, 40])
def test_the_median_slope_of_long_windows_is_exact_day_after_day(d):
    rng = np.random.default_rng(d)
    days = 150
    time = np.arange(days, dtype=float)
    walk = rng.standard_normal(days).cumsum()
    gaps = np.where(rng.random(days) < 0.02, NAN, walk)
    steps = np.floor(time / 37)
    few = rng.integers(0, 4, days).astype(float)
    jump = np.where(time < 90, walk, 50.0 * walk - 1e4)
    pairs = [
        (time, walk),
        (rng.standard_normal(days), rng.standard_normal(days)),
        (time, gaps),
        (gaps, time),
        (time, steps),
        (few, rng.integers(0, 3, days).astype(float)),
        (time, np.round(walk)),
        (time, np.ones(days)),
        (np.ones(days), walk),
        (time, jump),
        (np.where(time < 60, 1.0, walk), walk),
    ]
    x, y = (np.column_stack(side) for side in zip(*pairs, strict=True))
    found = Evaluator({"x": x, "y": y}).evaluate(f"ts_theilsen(x, y, {d})")
    for j in range(x.shape[1]):
        for t in range(days):
            a, b = x[max(t - d + 1, 0) : t + 1, j], y[max(t - d + 1, 0) : t + 1, j]
            whole = len(a) == d and not np.isnan(a + b).any()
            assert_same(found[t, j], _median_slope(a, b) if whole else NAN)


def assert_same(found, expected):
    assert found == expected or (np.isnan(found) and np.isnan(expected))


@pytest.mark.parametrize("d", [2, 5, 16])
@pytest.mark.parametrize("lag", [0, 3])
def test_a_line_over_long_gaps_and_constants(d, lag):
    """Pairs of a window may all lie on one side of a gap that is longer than the window's half."""
    rng = np.random.default_rng(d)
    x, y = rng.standard_normal((2, 90, 40))
    for j in range(40):
        for start in range(j % 11, 90, 11):
            x[start : start + 2 + j % 8, j] = NAN
        x[45:, j] = np.where(np.isnan(x[45:, j]), NAN, x[45:, j] if j % 3 else 0.1)
    first = d - 1 + lag
    level, slope, spread = np.full((3, 90, 40), NAN)
    for t in range(first, 90):
        for j in range(40):
            a, b = x[t - d + 1 - lag : t + 1 - lag, j], y[t - d + 1 : t + 1, j]
            valid = ~np.isnan(a)
            if valid.sum() >= 2:
                spread[t, j] = b[valid].var() * valid.sum()
                if np.ptp(a[valid]) > 0.0:
                    slope[t, j], level[t, j] = np.polyfit(a[valid], b[valid], 1)
    estimate = level + slope * np.vstack((np.full((lag, 40), NAN), x[: 90 - lag]))
    evaluator = Evaluator({"x": x, "y": y})
    earlier = Evaluator({"x": x[:50], "y": y[:50]})
    for kind, expected in {
        0: y - estimate, 1: level, 2: slope, 3: estimate, 5: spread
    }.items():  # fmt: skip
        text = f"ts_regression(y, x, {d}, lag={lag}, rettype={kind})"
        found = evaluator.evaluate(text)
        np.testing.assert_array_equal(found[:50], earlier.evaluate(text))
        np.testing.assert_array_equal(np.isnan(found[first:]), np.isnan(expected[first:]))
        known = ~np.isnan(expected)
        near = 1e-9 if kind == 5 else 1e-7
        room = near * np.abs(expected) + (0.0 if kind == 5 else near * np.abs(slope))
        assert (np.abs(found - expected)[known] <= room[known]).all()


def _least_squares(a, b, x_today, y_today):
    design = np.column_stack([np.ones_like(a), a])
    (level, slope), *_ = np.linalg.lstsq(design, b, rcond=None)
    errors = float(((b - design @ [level, slope]) ** 2).sum())
    total = float(((b - b.mean()) ** 2).sum())
    estimate = level + slope * x_today
    spread = errors / (len(a) - 2)
    inverse = np.linalg.inv(design.T @ design)
    return [
        y_today - estimate,
        level,
        slope,
        estimate,
        errors,
        total,
        1 - errors / total if np.ptp(b) > 0 else NAN,
        spread,
        np.sqrt(spread * inverse[1, 1]),
        np.sqrt(spread * inverse[0, 0]),
    ]


STRICT = [
    "ts_sum",
    "ts_mean",
    "ts_product",
    "ts_min",
    "ts_max",
    "ts_std_dev",
    "ts_zscore",
    "ts_rank",
    "ts_quantile",
    "ts_arg_max",
    "ts_scale",
    "ts_median",
]


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("d", [1, 5])
def test_one_nan_is_felt_in_exactly_the_windows_that_hold_it(name, d):
    x = np.random.default_rng(1).normal(size=(40, 3))
    x[10, 1] = NAN
    whole = Evaluator({"x": np.nan_to_num(x)}).evaluate(f"{name}(x, {d})")
    found = Evaluator({"x": x}).evaluate(f"{name}(x, {d})")
    felt = np.isnan(found) & ~np.isnan(whole)
    if d == 1 and name in ("ts_zscore", "ts_scale"):
        return
    assert np.flatnonzero(felt[:, 1]).tolist() == list(range(10, 10 + d))
    assert not felt[:, [0, 2]].any()


@pytest.mark.parametrize("name", ["ts_sum", "ts_mean", "ts_std_dev", "ts_zscore", "ts_product"])
def test_an_infinity_is_gone_once_it_has_left_the_window(name):
    x = np.random.default_rng(1).normal(size=(40, 1)) + 2
    x[10, 0] = np.inf
    found = Evaluator({"x": x}).evaluate(f"{name}(x, 5)")
    assert not np.isfinite(found[10:15]).any()
    assert np.isfinite(found[15:]).all()
    assert np.isfinite(found[4:10]).all()


@pytest.mark.parametrize("value", [0.1, 1e5 + 0.1, -3.3, 0.0])
def test_a_window_of_constants(value):
    x = np.full((30, 2), value)
    y = np.random.default_rng(1).normal(size=x.shape)
    evaluator = Evaluator({"x": x, "y": y})
    assert (evaluator.evaluate("ts_std_dev(x, 7)")[6:] == 0).all()
    assert np.isnan(evaluator.evaluate("ts_corr(x, y, 7)")).all()
    assert np.isnan(evaluator.evaluate("ts_corr(x, x, 7)")).all()
    assert np.isnan(evaluator.evaluate("ts_zscore(x, 7)")).all()
    assert np.isnan(evaluator.evaluate("ts_scale(x, 7)")).all()
    assert np.isnan(evaluator.evaluate("ts_regression(y, x, 7, rettype=2)")).all()
    assert (evaluator.evaluate("ts_rank(x, 7)")[6:] == 0.5).all()
    assert (evaluator.evaluate("ts_arg_max(x, 7)")[6:] == 0).all()


def test_tiny_moves_at_a_high_level_keep_their_deviation():
    moves = np.random.default_rng(2).normal(scale=1e-6, size=(500, 2))
    evaluator = Evaluator({"x": 1e5 + moves, "y": moves})
    found = evaluator.evaluate("ts_std_dev(x, 20)")
    exact = ref.rolling(ref.std, 20)(1e5 + moves)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_a_spike_does_not_poison_the_rest():
    x = np.random.default_rng(3).normal(size=(200, 1))
    y = np.random.default_rng(4).normal(size=(200, 1))
    spiked = x.copy()
    spiked[50, 0] = 1e9
    for text in ("ts_std_dev(x, 20)", "ts_corr(x, y, 20)", "ts_mean(x, 20)", "ts_zscore(x, 20)"):
        clean = Evaluator({"x": x, "y": y}).evaluate(text)
        found = Evaluator({"x": spiked, "y": y}).evaluate(text)
        np.testing.assert_array_equal(found[70:], clean[70:])


def test_nothing_drifts_over_ten_thousand_days():
    random = np.random.default_rng(5)
    x = random.normal(loc=1e9, scale=1e3, size=(10_000, 1))
    x[5_000:] = random.normal(scale=1e-3, size=(5_000, 1))
    evaluator = Evaluator({"x": x, "y": random.normal(size=x.shape)})
    late = slice(9_900, None)
    mean = evaluator.evaluate("ts_mean(x, 20)")[late, 0]
    deviation = evaluator.evaluate("ts_std_dev(x, 20)")[late, 0]
    correlation = evaluator.evaluate("ts_corr(x, y, 20)")[late, 0]
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], 20)[-100:]
    others = np.lib.stride_tricks.sliding_window_view(evaluator.evaluate("y + 0")[:, 0], 20)[-100:]
    np.testing.assert_allclose(mean, windows.mean(axis=1), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(deviation, windows.std(axis=1), rtol=1e-9)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(windows, others, strict=True)]
    np.testing.assert_allclose(correlation, expected, atol=1e-9)


def test_correlation_stays_between_minus_one_and_one():
    x = np.random.default_rng(6).normal(size=(300, 20))
    evaluator = Evaluator({"x": x, "y": -3 * x + 7})
    found = evaluator.evaluate("ts_corr(x, y, 3)")[2:]
    assert (np.abs(found) <= 1).all()
    np.testing.assert_allclose(found, -1, atol=1e-9)


@pytest.mark.parametrize("name", [*STRICT, "ts_av_diff", "ts_decay_linear", "ts_count_nans"])
def test_a_window_longer_than_the_history_is_nan(name):
    x = np.random.default_rng(7).normal(size=(10, 2))
    assert np.isnan(Evaluator({"x": x}).evaluate(f"{name}(x, 1000000)")).all()


def test_backfill_looks_back_as_far_as_there_is_history():
    x = np.array([[1.0], [NAN], [NAN]])
    assert Evaluator({"x": x}).evaluate("ts_backfill(x, 1000)")[:, 0].tolist() == [1, 1, 1]


def test_the_most_recent_of_equal_extremes_counts():
    x = np.array([[5.0], [1], [5], [1]])
    evaluator = Evaluator({"x": x})
    assert evaluator.evaluate("ts_arg_max(x, 4)")[-1, 0] == 1
    assert evaluator.evaluate("ts_arg_min(x, 4)")[-1, 0] == 0


def test_trade_when_holds_until_exit_and_exit_comes_first():
    trigger = np.array([[0.0], [1], [0], [1], [0], [NAN], [1]])
    leave = np.array([[-1.0], [-1], [-1], [1], [-1], [-1], [NAN]])
    alpha = np.arange(7.0).reshape(-1, 1)
    found = Evaluator({"t": trigger, "a": alpha, "e": leave}).evaluate("trade_when(t, a, e)")
    np.testing.assert_array_equal(found[:, 0], [NAN, 1, 1, NAN, NAN, NAN, 6])


def test_hump_follows_only_large_changes():
    x = np.array([[10.0, 10], [10.1, 10], [20, 10], [NAN, 10], [5, 10]])
    found = Evaluator({"x": x}).evaluate("hump(x, hump=0.1)")
    np.testing.assert_allclose(found[:, 0], [10, 10, 13, NAN, 5])


def test_ts_step_counts_days():
    found = Evaluator({"x": np.zeros((3, 2))}).evaluate("ts_step(1)")
    assert found.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_ts_quantile_has_three_drivers():
    x = np.random.default_rng(8).normal(size=(30, 2))
    evaluator = Evaluator({"x": x})
    share = 1 / 10 + evaluator.evaluate("ts_rank(x, 10)") * (1 - 2 / 10)
    np.testing.assert_allclose(
        evaluator.evaluate("ts_quantile(x, 10, driver=uniform)"), share - 0.5
    )
    np.testing.assert_allclose(
        evaluator.evaluate('ts_quantile(x, 10, driver="cauchy")'), np.tan(np.pi * (share - 0.5))
    )
