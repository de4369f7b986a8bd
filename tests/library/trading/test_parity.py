"""The plain book against the simulator and against arithmetic written out day by day."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.errors import PortfolioError
from alphafoundry.simulation import SimulationSettings, Simulator
from alphafoundry.simulation.pnl import BOOK, daily_pnl
from alphafoundry.trading.portfolio import parity_pnl, trade_to_weights
from alphafoundry.trading.portfolio.signals import strategy_weights
from tests.library.trading.markets import CALM, REVERSAL, TREND, market


@pytest.mark.parametrize("alpha", [REVERSAL, TREND, CALM], ids=lambda one: one.alpha_id)
@pytest.mark.parametrize("delay", [0, 1])
def test_an_alpha_held_alone_earns_what_its_simulation_does(alpha: object, delay: int) -> None:
    panel = market(days=600)
    weights = strategy_weights(panel, alpha)  # type: ignore[list-item]
    expected = daily_pnl(weights, panel.fields["returns"], panel.dates, delay=delay)
    found = parity_pnl(weights, panel, delay=delay)
    np.testing.assert_allclose(found.pnl / BOOK, expected.pnl / BOOK, atol=1e-9, rtol=0.0)
    np.testing.assert_allclose(found.traded / BOOK, expected.traded / BOOK, atol=1e-9, rtol=0.0)


def test_parity_is_with_the_whole_simulator_too() -> None:
    panel = market(days=600)
    result = Simulator(panel).simulate(REVERSAL.expression, SimulationSettings())
    weights = strategy_weights(panel, REVERSAL)
    found = parity_pnl(weights, panel).pnl[-len(result.days) :]
    assert np.abs(found - result.days.pnl).max() < 1e-9 * BOOK
    assert np.abs(result.days.pnl).max() > 1e-4 * BOOK


def test_dividends_are_earned_where_the_close_is_not_adjusted_for_them() -> None:
    panel = market(days=60)
    dividend = np.zeros(panel.shape)
    dividend[30, 0] = 2.0
    weights = np.zeros(panel.shape)
    weights[:, 0], weights[:, 1] = 0.5, -0.5
    plain = parity_pnl(weights, panel, book=1000.0)
    paid = parity_pnl(weights, panel, book=1000.0, dividend=dividend)
    extra = paid.pnl - plain.pnl
    assert extra[30] == pytest.approx(500.0 / panel.fields["close"][29, 0] * 2.0)
    assert np.abs(np.delete(extra, 30)).max() == 0.0


def test_trading_to_weights_is_the_arithmetic_written_out() -> None:
    draw = np.random.default_rng(3)
    days, names = 40, 7
    weights = draw.normal(0.0, 0.3, (days, names))
    returns = draw.normal(0.0, 0.02, (days, names))
    found = trade_to_weights(weights, returns, cost_bps=7.0, opening=1e6)
    cash, held = 1e6, np.zeros(names)
    for t in range(days):
        worth = cash + held.sum()
        assert found.value[t] == pytest.approx(worth, rel=1e-12)
        trades = weights[t] * worth - held
        fee = 7e-4 * np.abs(trades).sum()
        assert found.cost[t] == pytest.approx(fee, rel=1e-12)
        assert found.traded[t] == pytest.approx(np.abs(trades).sum(), rel=1e-12)
        cash -= trades.sum() + fee
        held = (held + trades) * (1.0 + returns[t])
    assert found.value[-1] == pytest.approx(cash + held.sum(), rel=1e-12)


def test_what_is_not_held_may_have_no_return_and_what_is_held_may_not() -> None:
    weights, returns = np.zeros((3, 2)), np.full((3, 2), np.nan)
    assert trade_to_weights(weights, returns).value.tolist() == [1.0] * 4
    weights[0, 0] = 0.5
    assert np.isnan(trade_to_weights(weights, returns).value[1:]).all()
    with pytest.raises(PortfolioError, match="days x names"):
        trade_to_weights(weights, returns[:2])
    with pytest.raises(PortfolioError, match="row for each of its days"):
        parity_pnl(weights, market(days=60))
