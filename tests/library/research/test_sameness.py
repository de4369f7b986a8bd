"""Alphas that hold the same book are told apart from those that do not, before any simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.expressions import Evaluator, parse
from alphafoundry.research.sameness import essence
from alphafoundry.simulation.weights import to_weights

DAYS, NAMES = 40, 36
SAME = (
    ("winsorize(rank(close), std=2)", "rank(close)"),
    ("winsorize(quantile(close))", "quantile(close)"),
    ("winsorize(group_neutralize(rank(close), sector))", "group_neutralize(rank(close), sector)"),
    ("winsorize(reverse(rank(reverse(volume))), std=2)", "rank(volume)"),
    ("group_rank(volume, market)", "rank(volume)"),
    ("group_zscore(rank(volume), market)", "zscore(rank(volume))"),
    ("group_rank(zscore(volume), sector)", "group_rank(volume, sector)"),
    ("group_rank(group_zscore(volume, sector), sector)", "group_rank(volume, sector)"),
    ("group_neutralize(group_zscore(volume, sector), sector)", "group_zscore(volume, sector)"),
    ("rank(quantile(volume))", "rank(volume)"),
    ("zscore(normalize(scale(volume)))", "zscore(volume)"),
    ("subtract(1, ts_mean(rank(close), 5))", "ts_mean(rank(close), 5)"),
    ("subtract(rank(close), zscore(volume))", "add(rank(close), zscore(reverse(volume)))"),
    ("reverse(ts_zscore(reverse(close), 5))", "ts_zscore(close, 5)"),
)
OTHER = (
    ("winsorize(close)", "close"),
    ("winsorize(rank(close), std=1)", "rank(close)"),
    ("rank(winsorize(close, std=1))", "rank(close)"),
    ("group_rank(close, sector)", "rank(close)"),
    ("group_rank(group_zscore(close, sector), industry)", "group_rank(close, industry)"),
    ("multiply(rank(reverse(close)), volume)", "multiply(rank(close), volume)"),
    ("add(rank(reverse(close)), volume)", "add(rank(close), volume)"),
    ("zscore(rank(close))", "zscore(close)"),
    ("ts_rank(rank(close), 5)", "ts_rank(close, 5)"),
    (
        "scale(normalize(reverse(close)), longscale=2)",
        "scale(normalize(close), longscale=2)",
    ),
)


def of(text: str, *, neutral: bool = True) -> str:
    return essence(parse(text).canonical, neutral=neutral)


def books(texts: tuple[str, ...], seed: int, decay: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    shape = (DAYS, NAMES)
    groups = {
        "market": np.zeros(shape, np.int32),
        "sector": np.broadcast_to(np.arange(NAMES, dtype=np.int32) % 4, shape),
        "industry": np.broadcast_to(np.arange(NAMES, dtype=np.int32) % 6, shape),
    }
    fields = {name: draw.lognormal(0.0, 0.3, shape) for name in ("close", "volume")}
    evaluator = Evaluator(fields, {name: np.ascontiguousarray(g) for name, g in groups.items()})
    return [
        to_weights(evaluator.evaluate(text), None, groups["market"], decay=decay) for text in texts
    ]


@pytest.mark.parametrize(("one", "other"), SAME)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), decay=st.sampled_from([0, 4]))
def test_what_is_called_the_same_holds_the_same_book_or_the_opposite(
    one: str, other: str, seed: int, decay: int
) -> None:
    assert of(one) == of(other)
    first, second = books((one, other), seed, decay)
    same = np.allclose(first, second, atol=1e-9, equal_nan=True)
    assert same or np.allclose(first, -second, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_holds_another_book_is_not_called_the_same(one: str, other: str) -> None:
    assert of(one) != of(other)
    first, second = books((one, other), 1, 4)
    assert not np.allclose(first, second, atol=1e-6, equal_nan=True)
    assert not np.allclose(first, -second, atol=1e-6, equal_nan=True)


def test_without_neutralization_a_constant_matters() -> None:
    assert of("subtract(1, rank(close))", neutral=False) != of("rank(close)", neutral=False)
    assert of("rank(reverse(close))", neutral=False) != of("rank(close)", neutral=False)
    assert of("zscore(reverse(close))", neutral=False) == of("zscore(close)", neutral=False)


def test_the_essence_of_an_essence_is_itself() -> None:
    for text in {text for pair in (*SAME, *OTHER) for text in pair}:
        assert of(of(text)) == of(text)
