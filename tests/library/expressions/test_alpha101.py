"""The 101 Formulaic Alphas evaluate: all but number 56, which needs market capitalization."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.expressions import Evaluator
from alphafoundry.research.known_formulas import alpha101

FORMULAS = alpha101()


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    rng = np.random.default_rng(3)
    days, names = 420, 40
    close = 50 * np.exp(0.02 * rng.standard_normal((days, names)).cumsum(axis=0))
    spread = 0.01 * close * rng.random((days, names))
    fields = {
        "close": close,
        "open": close + spread * (rng.random((days, names)) - 0.5),
        "high": close + spread,
        "low": close - spread * rng.random((days, names)),
        "vwap": close + 0.3 * spread * (rng.random((days, names)) - 0.5),
        "volume": np.exp(10 + rng.standard_normal((days, names))),
        "returns": np.vstack([np.full((1, names), np.nan), close[1:] / close[:-1] - 1]),
    }
    label = np.tile(np.arange(names, dtype=np.int32) % 4, (days, 1))
    return Evaluator(fields, {"sector": label, "industry": label, "subindustry": label})


def test_all_but_one_are_there() -> None:
    assert sorted(FORMULAS) == [number for number in range(1, 102) if number != 56]


@pytest.mark.parametrize("number", FORMULAS)
def test_has_a_value_on_the_last_day(number: int, evaluator: Evaluator) -> None:
    assert not np.isnan(evaluator.evaluate(FORMULAS[number])[-1]).all()
