"""The selection of a SUPER alpha: a weight per stored alpha, and who is chosen by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import parse
from alphafoundry.expressions.selection import choose, evaluate_selection

NAN = math.nan
NUMBERS = {
    "turnover": np.array([0.1, 0.4, NAN, 0.2]),
    "operator_count": np.array([3.0, 8.0, 1.0, 12.0]),
    "own": np.ones(4),
    "favorite": np.array([0.0, 1.0, 0.0, 1.0]),
}
TEXTS = {
    "color": ["RED", "NONE", "GREEN", "NONE"],
    "universe": ["TOP3000", "TOP500", "TOP1000", "ILLIQUID_MINVOL1M"],
    "os_start_date": ["2020-05-01", None, "2021-01-31", None],
}
COLLECTIONS = {"tags": [["a", "b"], [], ["b"], ["c"]], "datafields": [["close"]] * 4}


def weights(text: str) -> list[float]:
    return evaluate_selection(text, NUMBERS, TEXTS, COLLECTIONS).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", [1, 1, 1, 1]),
        ("turnover < 0.30", [1, 0, NAN, 1]),
        ("operator_count < 10", [1, 1, 1, 0]),
        ('color == "GREEN"', [0, 0, 1, 0]),
        ("'NONE' != color", [1, 0, 1, 0]),
        ("not(favorite)", [1, 0, 1, 0]),
        ("own && !favorite", [1, 0, 1, 0]),
        ('in(tags, "b")', [1, 0, 1, 0]),
        ('not(in(datafields, "close"))', [0, 0, 0, 0]),
        ("universe_size(universe) >= 1000", [1, 0, 1, NAN]),
        ('universe == "TOP500" || universe == "TOP1000"', [0, 1, 1, 0]),
        ('os_start_date > "2020-12-31"', [0, NAN, 1, NAN]),
        ("w = own * (1 - turnover); w * (operator_count <= 8)", [0.9, 0.6, NAN, 0]),
        ("if_else(favorite, 1.2, 1) / operator_count", [1 / 3, 0.15, 1, 0.1]),
        ('"a" < "b"', [1, 1, 1, 1]),
        ("color == color", [1, 1, 1, 1]),
    ],
)
def test_official_and_other_selections(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(weights(text), expected, rtol=1e-12)
    canonical = parse(text).canonical
    assert parse(canonical).canonical == canonical
    np.testing.assert_array_equal(weights(canonical), weights(text))


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("tags", 1, "A collection is no value"),
        ("color", 1, "must be an expression"),
        ("color + 1", 1, "index 0, must be an expression"),
        ("tags == 'a'", 1, "index 0, must be a text"),
        ("color == 1", 10, "index 1, must be a text"),
        ("turnover == '0.1'", 1, "index 0, must be a text"),
        ("in(color, 'a')", 4, "index 0, must be a collection"),
        ("in(tags, 1)", 10, "index 1, must be a text"),
        ("in(tags)", 1, "should be exactly 2 input"),
        ("universe_size(turnover)", 15, "index 0, must be a text"),
        ("own *\n turnove", 2, "did you mean 'turnover'"),
        ("rank(turnover)", 1, "it is for a combo or regular alphas"),
        ("reduce_max(turnover)", 1, "it is for a combo"),
        ("ts_mean(turnover, 3)", 1, 'unknown operator "ts_mean"'),
    ],
)
def test_what_a_selection_refuses_with_its_place(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        weights(text)
    assert message in caught.value.message
    assert caught.value.column == column
    assert caught.value.line == 1 + text.count("\n")


def test_nothing_to_select_from_gives_no_weights() -> None:
    assert evaluate_selection("a == 'x'", {}, {"a": []}).shape == (0,)


def test_handling_and_limit() -> None:
    found = np.array([0.0, 2.0, NAN, -1.0, math.inf, 2.0, -math.inf])
    assert choose(found, "POSITIVE", 10) == [4, 1, 5]
    assert choose(found, "NON_ZERO", 10) == [4, 1, 5, 3, 6]
    assert choose(found, "NON_NAN", 10) == [4, 1, 5, 0, 3, 6]
    assert choose(found, "NON_NAN", 2) == [4, 1]


@given(st.lists(st.one_of(st.just(NAN), st.floats(allow_nan=False))), st.integers(0, 5))
def test_the_chosen_are_the_largest_in_order(values: list[float], limit: int) -> None:
    found = choose(np.array(values), "NON_NAN", limit)
    known = [(-value, place) for place, value in enumerate(values) if not math.isnan(value)]
    assert found == [place for _, place in sorted(known)][:limit]
