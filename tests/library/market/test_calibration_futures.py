"""Futures of the calibration market: the same search days, other days after them."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.market.calibration import PLANTED, generate_market
from tests.some_cases import one_in


@pytest.mark.parametrize("planted", one_in(2, [False, True]))
def test_a_future_changes_the_days_from_its_row_on_and_no_other(planted: bool) -> None:
    effects = PLANTED if planted else ()
    row = 900
    one, other, plain = (
        generate_market(5, progress=lambda _: None, effects=effects, continuation=future)
        for future in ((row, 0), (row, 1), None)
    )
    for name in ("open", "high", "low", "close", "volume", "vwap", "returns", "adv20", "cap"):
        np.testing.assert_array_equal(one.fields[name][:row], plain.fields[name][:row])
        np.testing.assert_array_equal(one.fields[name][:row], other.fields[name][:row])
    after = [panel.fields["returns"][row:].ravel() for panel in (one, other, plain)]
    known = ~np.isnan(after).any(axis=0)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        likeness = np.corrcoef(after[a][known], after[b][known])[0, 1]
        assert abs(likeness) < 0.05
    assert bool(one.truth) is planted
    assert len({one.fingerprint, other.fingerprint, plain.fingerprint}) == 3
    assert "future 1" in other.label
