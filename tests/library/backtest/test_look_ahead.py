"""The check that a strategy's signals do not know the future."""

from __future__ import annotations

import pytest

from alphafoundry.backtest import STRATEGIES, look_ahead
from tests.library.backtest.markets import made_bars
from tests.own_strategies import CHEAT
from tests.some_cases import one_in


@pytest.mark.parametrize("name", one_in(3, STRATEGIES))
def test_no_embedded_strategy_looks_ahead(name: str) -> None:
    strategy = STRATEGIES[name]
    assert look_ahead(made_bars(3, days=400, gaps=0.02), strategy, {}) is None


def test_a_strategy_that_knows_tomorrow_is_found() -> None:
    found = look_ahead(made_bars(3, days=100), CHEAT, {"lookback": 5})
    assert found is not None and found.startswith("the signal of S0 on 2020-03-")
