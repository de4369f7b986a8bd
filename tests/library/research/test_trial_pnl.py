"""Daily PnL of trials side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.research.trial_pnl import TrialPnl
from tests.property_tests import examples


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10_000), trials=st.integers(1, 6), scale=st.floats(1e-3, 1e7))
def test_each_pair_is_compared_on_the_days_that_both_have(
    seed: int, trials: int, scale: float
) -> None:
    draw = np.random.default_rng(seed)
    pnl = scale * (draw.standard_normal((300, trials)) + draw.standard_normal((300, 1)) + 3.0)
    for column in range(trials):
        pnl[: int(draw.integers(0, 200)), column] = np.nan
        pnl[300 - int(draw.integers(0, 50)) :, column] = np.nan
    dates = np.arange(300).astype("datetime64[D]")
    found = TrialPnl(tuple(map(str, range(trials))), dates, pnl).correlation()
    np.testing.assert_allclose(found, pd.DataFrame(pnl).corr().to_numpy(), atol=1e-9)


def test_a_pnl_that_never_changes_is_like_none() -> None:
    pnl = np.column_stack([np.arange(50.0), np.full(50, 3.0), -np.arange(50.0)])
    found = TrialPnl(("a", "b", "c"), np.arange(50).astype("datetime64[D]"), pnl).correlation()
    assert found[0, 2] == pytest.approx(-1.0)
    assert found[1].tolist() == [0.0, 1.0, 0.0]
