"""Operators from older lists and the turnover targets, against NumPy written the obvious way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from alphafoundry.expressions import Evaluator, parse
from alphafoundry.expressions.tree import Call

DAYS, NAMES, D = 40, 6, 7


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    panels = {name: rng.standard_normal((DAYS, NAMES)) + 3 for name in "xyz"}
    panels["x"][12, 3] = math.nan
    return panels


@pytest.fixture(scope="module")
def evaluator(data: dict[str, np.ndarray]) -> Evaluator:
    groups = np.tile(np.array([0, 0, 0, 1, 1, -1], np.int32), (DAYS, 1))
    return Evaluator(data, {"g": groups})


def windows(*panels: np.ndarray):
    """Yield (day, name, the inputs' windows of D days); those with NaN are skipped."""
    for t, j in itertools.product(range(D - 1, DAYS), range(NAMES)):
        parts = [panel[t - D + 1 : t + 1, j] for panel in panels]
        if not any(np.isnan(part).any() for part in parts):
            yield t, j, parts


def standardized(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def entropy(x: np.ndarray) -> float:
    counts = np.histogram(x, bins=10)[0]
    counts = counts[counts > 0]
    return math.log(D) - float((counts * np.log(counts)).sum()) / D


def theil_sen(x: np.ndarray, y: np.ndarray) -> float:
    pairs = itertools.combinations(range(D), 2)
    return float(np.median([(y[b] - y[a]) / (x[b] - x[a]) for a, b in pairs]))


REFERENCES = {
    f"ts_entropy(x, {D})": entropy,
    f"ts_triple_corr(x, y, z, {D})": lambda x, y, z: float(
        (standardized(x) * standardized(y) * standardized(z)).mean()
    ),
    f"ts_co_skewness(x, y, {D})": lambda x, y: float(
        (standardized(x) * standardized(y) ** 2).mean()
    ),
    f"ts_co_kurtosis(x, y, {D})": lambda x, y: float(
        (standardized(x) * standardized(y) ** 3).mean()
    ),
    f"ts_theilsen(x, y, {D})": theil_sen,
    f"ts_vector_proj(x, y, {D})": lambda x, y: float(y[-1] * (x @ y) / (y @ y)),
    f"ts_vector_neut(x, y, {D})": lambda x, y: float(x[-1] - y[-1] * (x @ y) / (y @ y)),
}


@pytest.mark.parametrize("text", REFERENCES)
def test_windows(text: str, data: dict[str, np.ndarray], evaluator: Evaluator) -> None:
    root = parse(text).root
    assert isinstance(root, Call)
    names = [node.name for node in root.arguments[:-1]]
    found = evaluator.evaluate(text)
    expected = np.full_like(found, np.nan)
    for t, j, parts in windows(*(data[name] for name in names)):
        expected[t, j] = REFERENCES[text](*parts)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_log_diff(data: dict[str, np.ndarray]) -> None:
    x = np.abs(data["x"]) + 1
    found = Evaluator({"x": x}).evaluate("log_diff(x)")
    np.testing.assert_allclose(found[1:], np.diff(np.log(x), axis=0), rtol=1e-12, atol=1e-15)


def test_group_vector_neut_is_orthogonal_inside_groups(evaluator: Evaluator) -> None:
    found = evaluator.evaluate("group_sum(group_vector_neut(x, y, g) * y, g)")
    np.testing.assert_allclose(found[:, :3][~np.isnan(found[:, :3])], 0.0, atol=1e-12)
    assert np.isnan(found[:, 5]).all()


def test_group_extra_fills_with_the_group_mean(
    data: dict[str, np.ndarray], evaluator: Evaluator
) -> None:
    found = evaluator.evaluate("group_extra(x, y, g)")
    assert found[12, 3] == pytest.approx(data["x"][12, 4])


def test_rank_gmean_amean_diff(evaluator: Evaluator) -> None:
    a, b = evaluator.evaluate("rank(x)"), evaluator.evaluate("rank(y)")
    found = evaluator.evaluate("rank_gmean_amean_diff(x, y)")
    np.testing.assert_allclose(found, np.sqrt(a * b) - (a + b) / 2, atol=1e-15)


@pytest.mark.parametrize(("side", "sign"), [("long", 1), ("short", -1)])
def test_one_side(side: str, sign: int, evaluator: Evaluator) -> None:
    found = evaluator.evaluate(f'one_side(x, side="{side}")')
    assert (sign * found[~np.isnan(found)] >= 0).all()
    assert (np.nanmin(np.abs(found), axis=1) == 0).all()


@pytest.mark.parametrize(
    "text",
    [
        "ts_target_tvr_decay(x, target_tvr=0.02)",
        "ts_target_tvr_delta_limit(x, y, target_tvr=0.02)",
        "ts_target_tvr_hump(x, target_tvr=0.02)",
    ],
)
def test_turnover_meets_its_target_every_day(text: str) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((60, 50)), np.ones((60, 50))
    found = Evaluator({"x": x, "y": y}).evaluate(text)
    moved = np.abs(np.diff(found, axis=0)).sum(axis=1)
    np.testing.assert_allclose(moved / np.abs(found[:-1]).sum(axis=1), 0.02, rtol=1e-6)


def test_turnover_is_bound_by_the_strengths() -> None:
    x = np.array([[1.0, -1.0], [3.0, -3.0], [1.0, -1.0]])
    evaluator = Evaluator({"x": x})
    free = evaluator.evaluate("ts_target_tvr_decay(x, lambda_max=0, target_tvr=0)")
    np.testing.assert_array_equal(free, x)
    held = evaluator.evaluate("ts_target_tvr_decay(x, lambda_min=1)")
    np.testing.assert_array_equal(held, np.repeat(x[:1], 3, axis=0))
