"""What becomes of a value on its way into a JSON column."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.store.column_types import from_json, to_json


class Bar(NamedTuple):
    day: date
    close: float


class Days(tuple[int, ...]):
    """A tuple that says what it holds."""


class Dollars(float):
    """A float that says what it is."""

    def __str__(self) -> str:
        return f"${self:.2f}"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_plain_values_come_back_as_they_were(value):
    assert json.loads(to_json(value)) == value


@given(VALUES | st.integers(-(2**70), 2**70))
def test_what_was_written_is_read_as_it_is_by_the_standard_library(value):
    for text in (to_json(value), json.dumps(value), to_json(value).encode()):
        # As text, since 1, 1.0 and True are equal.
        assert repr(from_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"a": math.nan, "b": [math.inf, -math.inf, 1.5]}, {"a": None, "b": [None, None, 1.5]}),
        ((1, 2), [1, 2]),
        ({"only"}, ["only"]),
        ([np.float64(0.1), np.int64(7), np.bool_(True), np.float32(0.5)], [0.1, 7, True, 0.5]),
        ([np.float64(math.nan), np.datetime64("2024-01-02")], [None, "2024-01-02"]),
        ([Bar(date(2024, 1, 2), np.float64(1.5)), Days((1, 2))], [["2024-01-02", 1.5], [1, 2]]),
        ({"paid": Dollars(0.5), "owed": Dollars(math.nan)}, {"paid": 0.5, "owed": None}),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, 3, 4, tzinfo=UTC), "2024-01-02 03:04:00+00:00"),
        ({1: "one", None: 2}, {"1": "one", "None": 2}),
        ({"large": 2**80, "odd": {3: math.nan}}, {"large": 2**80, "odd": {"3": None}}),
    ],
)
def test_other_values_have_one_meaning_each(value, wanted):
    assert json.loads(to_json(value)) == wanted
