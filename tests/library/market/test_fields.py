from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphafoundry.market.fields import derive_fields, trailing_mean
from alphafoundry.market.returns import simple_returns
from tests.property_tests import examples

NUMBERS = arrays(
    np.float64,
    st.tuples(st.integers(1, 60), st.integers(1, 3)),
    elements=st.one_of(st.floats(0.0, 1e9), st.just(np.nan)),
)


@settings(max_examples=examples(150), deadline=None)
@given(NUMBERS, st.integers(1, 25))
def test_trailing_mean_is_the_full_window_mean_of_pandas(values: np.ndarray, days: int) -> None:
    expected = pd.DataFrame(values).rolling(days).apply(np.mean, raw=True).to_numpy()
    np.testing.assert_allclose(trailing_mean(values, days), expected, rtol=1e-12, atol=1e-300)


def test_a_huge_volume_leaves_no_trace_after_its_window() -> None:
    volume = np.ones((60, 1))
    volume[10] = 1e25
    assert (trailing_mean(volume, 20)[30:] == 1.0).all()


@given(NUMBERS)
def test_a_return_is_the_close_over_the_last_known_close(close: np.ndarray) -> None:
    close = close + 1.0
    frame = pd.DataFrame(close)
    expected = (frame / frame.ffill().shift() - 1.0).to_numpy()
    np.testing.assert_allclose(simple_returns(close), expected, rtol=1e-12, atol=1e-15)


@settings(deadline=None)
@given(NUMBERS)
def test_no_gap_loses_a_return(close: np.ndarray) -> None:
    close = close + 1.0
    growth = np.nanprod(1.0 + simple_returns(close), axis=0)
    for column, series in enumerate(close.T):
        known = series[~np.isnan(series)]
        if len(known):
            assert growth[column] == pytest.approx(known[-1] / known[0], rel=1e-5)


def test_prices_are_adjusted_by_the_adjusted_close() -> None:
    values = {
        "open": np.array([[100.0], [51.0]]),
        "high": np.array([[102.0], [52.0]]),
        "low": np.array([[98.0], [49.0]]),
        "close": np.array([[100.0], [50.0]]),
        "adj_close": np.array([[50.0], [50.0]]),
        "volume": np.array([[10.0], [20.0]]),
    }
    fields, descriptions = derive_fields(values)
    assert fields["open"][:, 0].tolist() == [50.0, 51.0]
    assert fields["high"][:, 0].tolist() == [51.0, 52.0]
    assert fields["low"][:, 0].tolist() == [49.0, 49.0]
    assert fields["returns"][1, 0] == 0.0
    assert fields["volume"][:, 0].tolist() == [10.0, 20.0]
    assert "adjusted" in descriptions["close"]


def test_vwap_says_where_it_is_from() -> None:
    ones = np.ones((2, 1))
    bars = {"high": 3 * ones, "low": ones, "close": 2 * ones}
    fields, descriptions = derive_fields(bars)
    assert fields["vwap"][0, 0] == pytest.approx(2.0)
    assert "Typical price" in descriptions["vwap"]
    fields, descriptions = derive_fields({**bars, "vwap": 2.5 * ones})
    assert fields["vwap"][0, 0] == 2.5
    assert "from the source" in descriptions["vwap"]


def test_a_field_without_its_inputs_is_not_invented() -> None:
    fields, _ = derive_fields({"close": np.ones((30, 2))})
    assert set(fields) == {"close", "returns"}
