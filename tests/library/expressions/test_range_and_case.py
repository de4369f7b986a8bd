"""Names in any case, one zero, ties that rounding made, and numbers of any level and size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import DEFAULT_FIELDS, Conventions, Evaluator, check, parse

DAYS, NAMES = 90, 80
DRAW = np.random.default_rng(5)
X = DRAW.standard_normal((DAYS, NAMES))
Y = DRAW.standard_normal((DAYS, NAMES))


def value(text: str, **fields: np.ndarray) -> np.ndarray:
    return Evaluator(fields or {"x": X, "y": Y}).evaluate(text)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("RANK(VOLUME)", "rank(volume)"),
        ("Ts_Mean(Close, D=5)", "ts_mean(close, 5)"),
        ("TSMEAN(CLOSE, 5)", "ts_mean(close, 5)"),
        ("Winsorize(close, STD=3)", "winsorize(close, std=3)"),
        ("normalize(close, USESTD=True)", "normalize(close, useStd=true)"),
        ("Quantile(close, Driver=GAUSSIAN)", "quantile(close)"),
        ("Move = ts_delta(close, 5); -MOVE", "-ts_delta(close, 5)"),
        ("INDNEUTRALIZE(close, Sector)", "group_neutralize(close, sector)"),
    ],
)
def test_names_may_be_written_in_any_case(written: str, plain: str) -> None:
    assert parse(written).canonical == parse(plain).canonical
    check(written, DEFAULT_FIELDS)


def test_two_names_that_differ_in_case_are_one() -> None:
    with pytest.raises(ExpressionError, match='Re-assignment of variable "A"'):
        parse("a = close; A = open; a")
    with pytest.raises(ExpressionError, match='"Std" is given twice'):
        parse("winsorize(close, std=3, Std=4)")
    with pytest.raises(ValueError, match="has the name of another"):
        Evaluator({"x": X, "X": Y})


def test_fields_of_a_frame_may_have_capitals() -> None:
    np.testing.assert_array_equal(value("Price + PRICE", Price=X), 2 * X)


@pytest.mark.parametrize("text", ["-0", "1 / -0", "1 / reverse(0)", "1 / (-0.0)", "-true", "--0"])
def test_a_canonical_text_has_one_value(text: str) -> None:
    canonical = parse(text).canonical
    assert parse(canonical).canonical == canonical
    alone = value(text)
    np.testing.assert_array_equal(alone, value(canonical))
    np.testing.assert_array_equal(np.signbit(alone), np.signbit(value(canonical)))


def test_a_batch_gives_what_each_gives_alone() -> None:
    texts = ["1 / -0 + x", "1 / 0 + x", "x * -0", "x * 0"]
    for place, found in Evaluator({"x": X}).evaluate_many(texts):
        np.testing.assert_array_equal(np.signbit(found), np.signbit(value(texts[place], x=X)))
        np.testing.assert_array_equal(found, value(texts[place], x=X))


@pytest.mark.parametrize("operator", ["rank({})", "ts_rank({}, 20)", "ts_rank({}, 3)"])
def test_a_level_and_a_factor_leave_ranks_alone(operator: str) -> None:
    plain = value(operator.format("x"))
    moved = value(operator.format("1000 + x * 0.00000001"))
    different = np.abs(moved - plain)[20:] > 1e-9
    assert different.mean() < 0.03
    np.testing.assert_allclose(moved, plain, atol=0.51 if "3)" in operator else 0.06)
    np.testing.assert_array_equal(value(operator.format("x * 1e9")), plain)
    np.testing.assert_array_equal(value(operator.format("x * 1e-30")), plain)


@pytest.mark.parametrize("names", [4, 80])
def test_ranks_of_few_names_far_apart_do_not_depend_on_the_level(names: int) -> None:
    x = np.full((DAYS, 400), np.nan)
    x[:, 3 : 3 + 4 * names : 4] = DRAW.standard_normal((DAYS, names))
    np.testing.assert_array_equal(value("rank(1e6 + x)", x=x), value("rank(x)", x=x))


@pytest.mark.parametrize(("ties", "expected"), [("average", 0.5), ("lowest", 0.0), ("highest", 1)])
def test_ts_rank_takes_rounding_noise_for_ties(ties: str, expected: float) -> None:
    noise = np.tile([[0.1 + 0.2], [0.3], [0.15 * 2], [0.6 / 2]], (5, 3))
    spread = np.vstack([noise, X[:40, :3]])
    convention = Conventions(rank_ties=ties)
    found = Evaluator({"x": noise}, conventions=convention).evaluate("ts_rank(x, 5)")
    np.testing.assert_array_equal(found[4:], expected)
    exact = Evaluator({"x": spread}, conventions=convention).evaluate("ts_rank(x, 10)")
    rounded = Evaluator({"x": spread.round(12)}, conventions=convention).evaluate("ts_rank(x, 10)")
    np.testing.assert_array_equal(exact, rounded)


def test_one_large_value_takes_no_order_from_the_others() -> None:
    x = X.copy()
    x[30, :] = 1e12
    for text in ("ts_rank(x, 20)", "rank(x)"):
        found = value(text, x=x)
        plain = value(text, x=np.where(x == 1e12, 10.0, x))
        np.testing.assert_array_equal(found[31:], plain[31:])
    x = X.copy()
    x[:, 7] = 1e12
    np.testing.assert_array_equal(
        value("rank(x)", x=x), value("rank(x)", x=np.where(x == 1e12, 10.0, x))
    )


def test_correlations_that_are_zero_are_zero() -> None:
    a = np.tile([[1 / 3], [2 / 3], [1.0], [4 / 3]], (6, 2))
    b = np.tile([[0.1], [-0.1], [-0.1], [0.1]], (6, 2))
    found = value("ts_corr(a, b, 4)", a=a, b=b)[3::4]
    np.testing.assert_array_equal(found, 0.0)


def exact_moment(window: np.ndarray, order: int, standard: bool) -> float:
    values = [Fraction(float(v)) for v in window]
    mean = sum(values) / len(values)
    moment = sum((v - mean) ** order for v in values) / len(values)
    if not standard:
        return float(moment)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    return float(moment) / float(variance) ** (order / 2)


@pytest.mark.parametrize("level", [0.0, 1e6, 1e9])
@pytest.mark.parametrize(
    ("text", "order", "standard"),
    [
        ("ts_skewness(x, 20)", 3, True),
        ("ts_kurtosis(x, 20)", 4, True),
        ("ts_moment(x, 20, k=3)", 3, False),
        ("ts_moment(x, 20, k=4)", 4, False),
    ],
)
def test_moments_are_right_at_any_level(
    text: str, order: int, standard: bool, level: float
) -> None:
    x = X[:30, :5] + level
    found = value(text, x=x)
    excess = 3.0 if text.startswith("ts_kurtosis") else 0.0
    for t in (19, 25, 29):
        for j in range(5):
            expected = exact_moment(x[t - 19 : t + 1, j], order, standard)
            np.testing.assert_allclose(found[t, j] + excess, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("level", [1e6, 1e9])
@pytest.mark.parametrize(
    "text",
    [
        "ts_regression(y, x, 20)",
        "regression_neut(y, x)",
        "zscore(x)",
        "normalize(x)",
        "ts_zscore(x, 20)",
    ],
)
def test_what_a_level_does_not_change_keeps_its_digits(text: str, level: float) -> None:
    x, y = X + level, Y + level
    np.testing.assert_allclose(
        value(text, x=x, y=y), value(text, x=x - level, y=y - level), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("power", [512, -664])
@pytest.mark.parametrize(
    ("text", "degree"),
    [
        ("ts_skewness(x, 9)", 0),
        ("ts_kurtosis(x, 9)", 0),
        ("ts_zscore(x, 9)", 0),
        ("ts_corr(x, y, 9)", 0),
        ("ts_covariance(x, y, 9)", 2),
        ("ts_regression(y, x, 9)", 1),
        ("ts_regression(y, x, 9, rettype=2)", 0),
        ("regression_neut(y, x)", 1),
        ("vector_neut(y, x)", 1),
        ("ts_vector_neut(y, x, 9)", 1),
        ("zscore(x)", 0),
        ("winsorize(x)", 1),
        ("group_zscore(x, g)", 0),
        ("group_std_dev(x, g)", 1),
    ],
)
def test_huge_and_tiny_numbers_are_right_or_nan(text: str, degree: int, power: int) -> None:
    groups = {"g": np.tile(np.arange(NAMES, dtype=np.int32) % 4, (DAYS, 1))}
    size = 2.0**power
    found = Evaluator({"x": X * size, "y": Y * size}, groups).evaluate(text)
    plain = Evaluator({"x": X, "y": Y}, groups).evaluate(text)
    known = ~np.isnan(found)
    back = found[known] / size**degree if degree < 2 else found[known] / size / size
    tiny = degree == 2 and power < 0
    np.testing.assert_allclose(back, 0.0 if tiny else plain[known], rtol=1e-9, atol=1e-12)
