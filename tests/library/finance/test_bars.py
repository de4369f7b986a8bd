"""Bars from a market: chosen names and days, and an identity that is their content's."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from alphafoundry.backtest import Bars
from alphafoundry.backtest.columns import columns_of
from alphafoundry.errors import BacktestError
from alphafoundry.market import Panel
from tests.library.backtest.markets import bars_of, made_bars


def made_panel() -> Panel:
    close = np.arange(1.0, 41.0).reshape(10, 4)
    return Panel(
        dates=np.datetime64("2024-01-01") + np.arange(10),
        symbols=np.array(["A", "B", "C", "D"]),
        fields={"close": close, "returns": close * 0.0, "high": close + 1.0},
        groups={"market": np.zeros((10, 4), np.int32)},
        source="test",
        label="SYNTHETIC test",
        synthetic=True,
        fingerprint="0" * 16,
    )


def test_symbols_dates_and_the_number_of_bars_are_chosen() -> None:
    bars = Bars.from_panel(
        made_panel(), ["C", "A"], start="2024-01-03", end="2024-01-08", max_bars=4
    )
    assert bars.symbols == ("C", "A")
    assert (str(bars.days[0]), str(bars.days[-1])) == ("2024-01-05", "2024-01-08")
    np.testing.assert_array_equal(bars.close, made_panel().fields["close"][4:8][:, [2, 0]])
    assert bars.has("high")
    assert not bars.has("volume")
    assert bars.synthetic
    assert repr(bars).startswith("Bars('SYNTHETIC test', 4 days x 2 instruments")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"symbols": ["A", "X"]}, "unknown symbol 'X'; the market holds A, B, C, D"),
        ({"symbols": ["A", "A"]}, "listed twice"),
        ({"start": "2025-01-01"}, "leave nothing to backtest"),
        ({"start": "soon"}, "'soon' is not a day"),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused(choice: dict[str, object], message: str) -> None:
    with pytest.raises(BacktestError, match=message):
        Bars.from_panel(made_panel(), **choice)  # type: ignore[arg-type]


def test_the_fingerprint_is_that_of_the_content() -> None:
    bars = made_bars()
    assert bars.fingerprint == made_bars().fingerprint
    assert bars.fingerprint == pickle.loads(pickle.dumps(bars)).fingerprint
    changed = bars.close.copy()
    changed[-1, -1] = np.nextafter(changed[-1, -1], np.inf)
    shifted = bars_of(bars.close)
    other = [bars_of(changed), shifted, bars.between(0, 119), bars.between(1, 120)]
    assert len({bars.fingerprint, *(item.fingerprint for item in other)}) == 5


def test_bars_sent_elsewhere_leave_behind_what_is_derived_from_them() -> None:
    bars = made_bars()
    before = len(pickle.dumps(bars))
    assert columns_of(bars).sums[0].shape == (5, 121)
    assert len(pickle.dumps(bars)) == before


def test_arrays_of_another_shape_or_type_are_refused() -> None:
    bars = made_bars()
    with pytest.raises(BacktestError, match=r"volume is float32\(120, 5\), give float64"):
        bars_of(bars.close, volume=bars.volume.astype(np.float32))  # type: ignore[arg-type]
