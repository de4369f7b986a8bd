"""What a book earns where something can be found and where nothing can."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.market import Panel
from alphafoundry.trading.portfolio import Limits, Rebalancer, TradingCosts
from tests.library.trading.markets import CALM, REVERSAL, TREND, market

EQUITY, FIRST, SESSIONS = 2_000_000.0, 150, 80
COSTS = TradingCosts(spread_bps=4.0, impact=0.3)


def traded(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Return daily gross PnL and cost over equity of trading session after session."""
    desk = Rebalancer(
        panel,
        [REVERSAL, TREND, CALM],
        limits=Limits(name=0.04, turnover=0.6, minimum_trade=0.0),
        costs=COSTS,
    )
    returns = np.nan_to_num(panel.fields["returns"])
    places = {str(symbol): i for i, symbol in enumerate(panel.symbols)}
    gross, paid = np.zeros(SESSIONS), np.zeros(SESSIONS)
    held: dict[str, int] = {}
    for number in range(SESSIONS):
        row = FIRST + number
        plan = desk.rebalance(panel.dates[row].item(), held, EQUITY)
        held = {symbol: shares for symbol, shares in plan.targets.items() if shares}
        close = panel.fields["close"][row]
        gross[number] = sum(
            shares * np.nan_to_num(close[places[symbol]]) * returns[row + 1, places[symbol]]
            for symbol, shares in held.items()
        )
        paid[number] = plan.answer.cost
    return gross / EQUITY, paid


@pytest.mark.parametrize("seed", [11, pytest.param(12, marks=pytest.mark.long)])
def test_where_nothing_can_be_found_the_book_earns_minus_its_costs(seed: int) -> None:
    gross, paid = traded(market(seed=seed, effect=0.0))
    net = gross - paid
    error = gross.std(ddof=1) / np.sqrt(SESSIONS)
    assert paid.mean() > 0.0
    assert abs(net.mean() + paid.mean()) < 3.0 * error


def test_where_something_is_planted_the_book_earns_it_after_costs() -> None:
    gross, paid = traded(market(seed=13, effect=0.5))
    net = gross - paid
    assert net.mean() > 3.0 * net.std(ddof=1) / np.sqrt(SESSIONS)
