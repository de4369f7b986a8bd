"""Costs, impact, capacity and regimes, against loops and hand-made books."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.finance.statistics import sharpe
from alphafoundry.market import Panel
from alphafoundry.simulation import SimulationSettings, simulate
from alphafoundry.simulation.pnl import BOOK
from alphafoundry.simulation.trading_costs import IMPACTS, after_costs, regimes, tradability
from tests.library.research.searches import make_market

SETTINGS = SimulationSettings(neutralization="MARKET", decay=3)
RATE, BORROW = 5e-4, 50e-4


@pytest.fixture(scope="module")
def market() -> Panel:
    panel = make_market(4, days=800)
    volume = panel.fields["volume"]
    adv20 = np.full_like(volume, np.nan)
    for day in range(19, len(volume)):
        adv20[day] = volume[day - 19 : day + 1].mean(axis=0)
    return Panel(**{**vars(panel), "fields": {**panel.fields, "adv20": adv20}})


def test_costs_are_those_of_the_dollars_traded_and_of_the_shorts(market: Panel) -> None:
    days = simulate("rank(ts_delta(close, 5))", market, SETTINGS).days
    found = after_costs(days, rate=RATE, borrow=BORROW)
    for day in (0, 7, 300):
        paid = RATE * days.traded[day] + BORROW / days.bars_a_year * BOOK / 2
        assert found[day] == pytest.approx(days.pnl[day] - paid)
    assert after_costs(days, rate=0.0, borrow=0.0).tolist() == days.pnl.tolist()


def test_impact_and_capacity_are_those_of_a_plain_loop(market: Panel) -> None:
    result = simulate("rank(ts_delta(close, 5))", market, SETTINGS, keep_positions=True)
    assert result.positions is not None
    days, held = result.days, np.nan_to_num(result.positions)
    found = tradability(held, market, days, rate=RATE, borrow=BORROW)
    start = len(market.dates) - len(days)
    returns = np.nan_to_num(market.fields["returns"])
    cost, mean_share = np.zeros(len(days)), []
    for t in range(1, len(days)):
        row = start + t - 1
        total = weighted = 0.0
        for name in range(held.shape[1]):
            dollars = abs(held[t, name] - held[t - 1, name]) * BOOK
            if dollars == 0.0:
                continue
            volume = market.fields["close"][row, name] * market.fields["adv20"][row, name]
            share = dollars / volume if volume > 0 else 1.0
            deviation = returns[max(0, row - 19) : row + 1, name].std()
            cost[t] += dollars * deviation * min(share, 1.0) ** 0.5
            total += dollars
            weighted += dollars * share
        if weighted:
            mean_share.append(weighted / total)
    assert found.capacity == pytest.approx(0.01 * BOOK / np.median(mean_share))
    net = after_costs(days, rate=RATE, borrow=BORROW)
    for coefficient, ratio in zip(IMPACTS, found.impact, strict=True):
        assert ratio == pytest.approx(sharpe(net - coefficient * cost, days.bars_a_year))


def test_without_volume_there_is_no_capacity(market: Panel) -> None:
    fields = {name: array for name, array in market.fields.items() if name != "adv20"}
    poor = Panel(**{**vars(market), "fields": fields})
    result = simulate("rank(ts_delta(close, 5))", poor, SETTINGS, keep_positions=True)
    assert result.positions is not None
    found = tradability(result.positions, poor, result.days, rate=RATE, borrow=BORROW)
    assert (found.capacity, found.impact) == (None, (None, None, None))


def test_regimes_are_years_and_halves_by_volatility(market: Panel) -> None:
    days = simulate("rank(ts_delta(close, 5))", market, SETTINGS).days
    found = regimes(days, market)
    years = days.dates.astype("datetime64[Y]").astype(int)
    sums = {year: days.pnl[years == year].sum() for year in set(years.tolist())}
    assert found.years == len(sums)
    assert found.years_up == sum(total > 0 for total in sums.values())
    returns = np.nan_to_num(market.fields["returns"]).mean(axis=1)
    spread = np.array([returns[max(0, d - 19) : d + 1].std() for d in range(len(returns))])
    spread = spread[-len(days) :]
    calm = spread <= np.median(spread)
    assert found.calm == pytest.approx(sharpe(days.pnl[calm], days.bars_a_year))
    assert found.wild == pytest.approx(sharpe(days.pnl[~calm], days.bars_a_year))
    assert found.worst_year is not None
    assert found.worst_year <= min(found.calm or 0.0, found.wild or 0.0) + 3.0
