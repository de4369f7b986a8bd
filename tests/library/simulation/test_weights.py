"""From alpha values to weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphafoundry.errors import ConfigurationError
from alphafoundry.expressions.threads import at_most
from alphafoundry.market import Panel
from alphafoundry.simulation.weights import neutralization_groups, to_weights
from tests.library.simulation import reference
from tests.property_tests import examples

CLOSE = np.array([[6.0, 5.0, 2.0, 8.0, 4.0]])
MARKET = np.zeros((1, 5), np.int32)


def test_the_official_example_without_neutralization() -> None:
    np.testing.assert_allclose(to_weights(CLOSE), [[0.24, 0.20, 0.08, 0.32, 0.16]], rtol=1e-15)


def test_the_official_example_neutralized_on_the_market() -> None:
    found = to_weights(CLOSE, groups=MARKET)
    np.testing.assert_allclose(found, [[0.125, 0.0, -0.375, 0.375, -0.125]], rtol=1e-15)


def test_the_official_example_is_ten_million_on_each_side() -> None:
    dollars = 20e6 * to_weights(CLOSE, groups=MARKET)
    assert dollars[dollars > 0].sum() == pytest.approx(10e6)
    assert dollars[dollars < 0].sum() == pytest.approx(-10e6)


cells = st.one_of(
    st.integers(-192, 192).map(lambda parts: parts / 64),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 7.0]),
)


@st.composite
def alphas(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, mask and labels; some rows and columns are constant or missing."""
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 9)))
    values = draw(arrays(np.float64, shape, elements=cells))
    if draw(st.booleans()):
        values[draw(st.integers(0, shape[0] - 1))] = draw(cells)
    if draw(st.booleans()):
        values[:, draw(st.integers(0, shape[1] - 1))] = draw(cells)
    mask = draw(arrays(np.bool_, shape, elements=st.integers(0, 3).map(bool)))
    labels = draw(arrays(np.int32, shape, elements=st.integers(-1, 2)))
    return values, mask, labels


@settings(max_examples=examples(150), deadline=None)
@given(
    alphas(),
    st.booleans(),
    st.integers(0, 6),
    st.sampled_from([0.0, 0.08, 0.2, 0.3, 0.5, 1.0]),
)
def test_weights_equal_a_slow_reference(
    alpha: tuple[np.ndarray, np.ndarray, np.ndarray],
    neutralize: bool,
    days: int,
    truncation: float,
) -> None:
    values, mask, labels = alpha
    found = to_weights(
        values, mask, labels if neutralize else None, decay=days, truncation=truncation
    )
    expected = reference.pipeline(
        pd.DataFrame(values),
        pd.DataFrame(mask),
        pd.DataFrame(labels) if neutralize else None,
        days=days,
        truncation=truncation,
    )
    np.testing.assert_allclose(found, expected.to_numpy(), atol=1e-9)


@settings(max_examples=examples(100), deadline=None)
@given(alphas(), st.sampled_from([0.0, 0.1, 0.25, 0.4]))
def test_a_book_is_full_or_empty_and_keeps_to_the_truncation(
    alpha: tuple[np.ndarray, np.ndarray, np.ndarray], truncation: float
) -> None:
    values, mask, labels = alpha
    found = to_weights(values, mask, labels, truncation=truncation)
    gross = np.abs(found).sum(axis=1)
    assert np.all(np.isclose(gross, 1.0) | (gross == 0.0))
    assert not found[~mask].any()
    assert not found[~np.isfinite(values)].any()
    held = (found != 0).sum(axis=1)
    limit = np.maximum(truncation or 1.0, 1.0 / np.maximum(held, 1))
    assert np.all(np.abs(found).max(axis=1) <= limit + 1e-12)


def test_what_truncation_cuts_goes_to_the_others_in_proportion() -> None:
    found = to_weights(np.array([[100.0, 4.0, 2.0, 2.0]]), truncation=0.6)
    np.testing.assert_allclose(found, [[0.6, 0.2, 0.1, 0.1]], rtol=1e-12)


def test_with_too_few_names_truncation_makes_all_alike() -> None:
    found = to_weights(np.array([[9.0, -1.0, 5.0, np.nan]]), truncation=0.1)
    np.testing.assert_allclose(found, [[1 / 3, -1 / 3, 1 / 3, 0.0]], rtol=1e-12)


@pytest.mark.parametrize("names", range(2, 120))
def test_a_truncation_that_all_names_together_just_fill_makes_all_alike(names: int) -> None:
    values = np.random.default_rng(names).normal(size=(3, names)) ** 3
    found = to_weights(values, truncation=1 / names)
    np.testing.assert_allclose(found, np.sign(values) / names, rtol=1e-6)


def test_decay_weighs_the_last_values_linearly() -> None:
    values = np.array([[6.0, 1.0], [8.0, 1.0], [10.0, 1.0]])
    found = to_weights(values, decay=3)
    assert found[2, 0] / found[2, 1] == pytest.approx(52 / 6)


def test_decay_leaves_todays_missing_value_missing_and_counts_earlier_ones_as_zero() -> None:
    values = np.array([[np.nan, 1.0], [3.0, 1.0], [np.nan, 1.0]])
    found = to_weights(values, decay=2)
    assert found[1, 0] / found[1, 1] == pytest.approx(2.0)
    assert found[2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 1e300, -7.7])
def test_equal_values_leave_no_position_after_neutralization(value: float) -> None:
    found = to_weights(np.full((1, 2999), value), groups=np.zeros((1, 2999), np.int32))
    assert not found.any()


def test_a_lone_giant_in_its_group_does_not_drown_the_others() -> None:
    values = np.array([[1e17, 1.0, 2.0]])
    found = to_weights(values, groups=np.array([[0, 1, 1]], np.int32))
    np.testing.assert_allclose(found, [[0.0, -0.5, 0.5]])


def test_names_without_a_known_group_are_neutralized_together() -> None:
    found = to_weights(
        np.array([[1.0, 2.0, 5.0, 7.0]]), groups=np.array([[0, 0, -1, -5]], np.int32)
    )
    np.testing.assert_allclose(found, [[-1 / 6, 1 / 6, -1 / 3, 1 / 3]])


def test_a_neutralization_that_the_market_lacks_is_refused_with_the_choices(
    panel_maker: Callable[..., Panel],
) -> None:
    bare = panel_maker(days=5, groups=False)
    with pytest.raises(ConfigurationError, match=r"'SECTOR'.*no sector groups.*NONE, MARKET$"):
        neutralization_groups(bare, "SECTOR")


@pytest.mark.parametrize("name", ["COUNTRY", "STATISTICAL", "CROWDING", "SLOW_AND_FAST", "sector"])
def test_other_neutralizations_are_refused_by_name(panel: Panel, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'.*SECTOR, INDUSTRY, SUBINDUSTRY$"):
        neutralization_groups(panel, name)


@pytest.mark.parametrize("decay", [0, 2, 5, 40])
def test_many_days_are_those_of_each_day_and_its_past_alone(decay: int) -> None:
    """However the days are cut into pieces, and on however many threads."""
    random = np.random.default_rng(6)
    values = random.normal(size=(150, 70))
    values[random.random(values.shape) < 0.1] = np.nan
    mask = random.random(values.shape) < 0.9
    groups = random.integers(-1, 6, values.shape).astype(np.int32)
    options = {"decay": decay, "truncation": 0.05}
    with at_most(1):
        alone = to_weights(values, mask, groups, **options)
    with at_most(2):
        np.testing.assert_array_equal(to_weights(values, mask, groups, **options), alone)
    for day in (0, 1, 39, 63, 64, 65, 127, 128, 149):
        past = slice(0, day + 1)
        found = to_weights(values[past], mask[past], groups[past], **options)
        np.testing.assert_array_equal(found[-1], alone[day])
