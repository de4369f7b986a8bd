"""From live alphas to orders: no look-ahead, whole shares, reasons that add up."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import PortfolioError
from alphafoundry.market import Panel
from alphafoundry.market.revisions import Revisions
from alphafoundry.trading.portfolio import (
    CorporateAction,
    IntendedOrder,
    Limits,
    Rebalancer,
    Rebalancing,
)
from alphafoundry.trading.portfolio.shares import MICRO, whole_shares
from alphafoundry.trading.portfolio.signals import combine, signal_history, strategy_weights
from tests.library.trading.markets import CALM, REVERSAL, TREND, fields_of, market, strategy
from tests.property_tests import examples

EQUITY = 5_000_000.0
PANEL = market()
ROOM = Limits(gross=1.0, net=0.05, name=0.05, sector=0.1, turnover=0.5, participation=0.05)


@pytest.fixture(scope="module")
def desk() -> Rebalancer:
    return Rebalancer(PANEL, [REVERSAL, TREND, CALM], limits=ROOM)


def day(row: int) -> date:
    found: date = PANEL.dates[row].astype(date)
    return found


def signed(order: IntendedOrder) -> int:
    return order.quantity if order.side == "buy" else -order.quantity


def test_orders_lead_from_holdings_to_targets_and_their_reasons_add_up(desk: Rebalancer) -> None:
    held: dict[str, int] = {}
    for row in range(300, 306):
        plan = desk.rebalance(day(row), held, EQUITY)
        assert plan.orders
        after = dict(held)
        for order in plan.orders:
            assert sum(order.parts.values()) == signed(order) * MICRO
            assert {"strategy reversal", "strategy trend"} & set(order.parts)
            assert order.why()[-1] == f"order: {signed(order):+,d} shares"
            after[order.symbol] = after.get(order.symbol, 0) + signed(order)
        assert {symbol: n for symbol, n in after.items() if n} == {
            symbol: n for symbol, n in plan.targets.items() if n
        }
        assert plan.data_until < plan.session
        held = {symbol: n for symbol, n in after.items() if n}


def test_why_leads_back_to_alphas_bars_and_data_version(desk: Rebalancer) -> None:
    plan = desk.rebalance(day(300), {"S01": 500}, EQUITY)
    order = plan.orders[0]
    text = "\n".join(plan.why(order.symbol))
    for part in (
        f"{order.side} {order.quantity:,d} {order.symbol} on the close of {day(300)}",
        f"order: {signed(order):+,d} shares",
        f"{1e4 * plan.forecast[int(order.symbol[1:])]:+.2f} bp a day",
        f"data until 2020-06-01: {REVERSAL.expression}",
        f"bars until {day(299)}, data version {PANEL.until(day(299)).fingerprint}",
    ):
        assert part in text
    with pytest.raises(PortfolioError, match="no order"):
        plan.why("XYZ")


def test_nothing_of_the_session_or_later_is_looked_at(desk: Rebalancer) -> None:
    row = 320
    draw = np.random.default_rng(1)
    close = PANEL.fields["close"].copy()
    volume = PANEL.fields["volume"].copy()
    close[row:] = draw.uniform(1.0, 90.0, close[row:].shape)
    volume[row:] = draw.uniform(1.0, 1e7, volume[row:].shape)
    other = Rebalancer(
        market(fields=fields_of(close, volume)), [REVERSAL, TREND, CALM], limits=ROOM
    )
    short = Rebalancer(PANEL.until(day(row - 1)), [REVERSAL, TREND, CALM], limits=ROOM)
    held = {"S01": 900, "S02": -500}
    expected = desk.rebalance(day(row), held, EQUITY)
    for changed in (other, short):
        found = changed.rebalance(day(row), held, EQUITY)
        assert found.orders == expected.orders
        np.testing.assert_array_equal(found.forecast, expected.forecast)


def test_a_session_does_not_depend_on_what_was_asked_before(desk: Rebalancer) -> None:
    first = desk.rebalance(day(310), {}, EQUITY)
    desk.rebalance(day(350), {"S01": 100}, EQUITY)
    assert desk.rebalance(day(310), {}, EQUITY).orders == first.orders


def exposures(plan: Rebalancing, panel: Panel = PANEL) -> tuple[float, float, float]:
    """Return gross, net and largest name over equity at the last known closes."""
    row = int(np.flatnonzero(panel.dates == np.datetime64(plan.data_until))[0])
    close = panel.fields["close"][: row + 1]
    values = []
    for symbol, shares in plan.targets.items():
        series = close[:, int(np.flatnonzero(panel.symbols == symbol)[0])]
        values.append(shares * series[np.isfinite(series)][-1] / EQUITY)
    x = np.array(values)
    return float(np.abs(x).sum()), float(x.sum()), float(np.abs(x).max())


def test_whole_shares_keep_the_limits(desk: Rebalancer) -> None:
    held: dict[str, int] = {}
    for row in range(330, 340):
        plan = desk.rebalance(day(row), held, EQUITY)
        gross, net, name = exposures(plan)
        assert gross <= ROOM.gross
        assert name <= ROOM.name
        # A flip leaves the other side for the next session, which may tilt the book meanwhile.
        if not any(order.deferred for order in plan.orders):
            assert abs(net) <= ROOM.net + 1e-6
        held = {symbol: n for symbol, n in plan.targets.items() if n}


def test_crossing_zero_closes_today_and_opens_next_session(desk: Rebalancer) -> None:
    wanted = desk.rebalance(day(360), {}, EQUITY).targets
    symbol = max(wanted, key=lambda name: wanted[name])
    plan = desk.rebalance(day(360), {symbol: -200}, EQUITY)
    order = next(one for one in plan.orders if one.symbol == symbol)
    assert (order.side, order.quantity, order.target) == ("buy", 200, 0)
    assert order.deferred > 0
    assert order.parts["flip"] == -order.deferred * MICRO
    assert desk.rebalance(day(361), {}, EQUITY).targets[symbol] > 0


def test_split_and_dividend_of_the_session_change_the_price_first(desk: Rebalancer) -> None:
    plain = desk.rebalance(day(370), {}, EQUITY)
    symbol = max(plain.targets, key=lambda name: plain.targets[name])
    before = next(one for one in plain.orders if one.symbol == symbol)
    split = desk.rebalance(day(370), {}, EQUITY, actions={symbol: CorporateAction(split=2.0)})
    after = next(one for one in split.orders if one.symbol == symbol)
    assert after.price == pytest.approx(before.price / 2.0)
    assert abs(after.quantity - 2 * before.quantity) <= 2
    paid = desk.rebalance(day(370), {}, EQUITY, actions={symbol: CorporateAction(dividend=3.0)})
    assert next(one for one in paid.orders if one.symbol == symbol).price == pytest.approx(
        before.price - 3.0
    )


def test_risk_can_cap_a_name_and_forbid_new_positions(desk: Rebalancer) -> None:
    held = {"S01": 1000, "S02": -1000}
    plan = desk.rebalance(day(340), held, EQUITY, most_shares={"S01": 400}, reduce_only=True)
    assert 0 <= plan.targets["S01"] <= 400
    assert set(plan.targets) == set(held)
    assert -1000 <= plan.targets["S02"] <= 0


def test_what_cannot_be_borrowed_is_not_sold_short(desk: Rebalancer) -> None:
    short = [name for name, n in desk.rebalance(day(345), {}, EQUITY).targets.items() if n < 0]
    plan = desk.rebalance(day(345), {}, EQUITY, not_shortable=short)
    assert short
    assert all(plan.targets.get(name, 0) >= 0 for name in short)


def test_mistakes_are_named(desk: Rebalancer) -> None:
    with pytest.raises(PortfolioError, match="no bar before it"):
        desk.rebalance(date(2019, 1, 1), {}, EQUITY)
    with pytest.raises(PortfolioError, match="cannot trade on 2020-06-01"):
        desk.rebalance(date(2020, 6, 1), {}, EQUITY)
    with pytest.raises(PortfolioError, match="'XYZ': not on"):
        desk.rebalance(day(300), {"XYZ": 1}, EQUITY)
    with pytest.raises(PortfolioError, match="above 0"):
        desk.rebalance(day(300), {}, 0.0)
    with pytest.raises(PortfolioError, match="delay 0"):
        Rebalancer(PANEL, [strategy("now", "-returns", delay=0)])
    with pytest.raises(PortfolioError, match="no live strategy"):
        Rebalancer(PANEL, [])


def test_a_signal_that_foretells_counts_and_one_that_does_not_hardly() -> None:
    panel = market(effect=0.5, days=500)
    noise = strategy("noise", "ts_corr(volume, close, 10)")
    wrong = strategy("wrong", "ts_delta(close, 5) / ts_delay(close, 5)")
    history = signal_history(panel, [REVERSAL, noise, wrong])
    found = combine(history, panel.dates, 499)
    assert found.coefficients[0] > 4.0 * found.coefficients[1]
    assert found.coefficients[2] == 0.0
    assert found.mean_information[0] == pytest.approx(-found.mean_information[2], rel=0.1)


def test_two_copies_of_a_signal_share_what_one_would_have() -> None:
    panel = market(effect=0.5, days=500)
    copy = strategy("copy", REVERSAL.expression)
    one = combine(signal_history(panel, [REVERSAL]), panel.dates, 499)
    two = combine(signal_history(panel, [REVERSAL, copy]), panel.dates, 499)
    assert two.coefficients[0] == pytest.approx(two.coefficients[1])
    # Counted one by one they would foretell twice as much; both see what one has seen.
    seen = one.mean_information[0]
    assert one.coefficients[0] < two.coefficients.sum() < seen


def test_signals_that_are_known_are_taken_and_those_of_others_worked_out() -> None:
    noise = strategy("noise", "ts_corr(volume, close, 10)")
    known = signal_history(PANEL, [noise, REVERSAL])
    found = signal_history(PANEL, [REVERSAL, TREND], known=known)
    fresh = signal_history(PANEL, [REVERSAL, TREND])
    for name in ("scores", "information", "earned"):
        assert np.array_equal(getattr(found, name), getattr(fresh, name), equal_nan=True)
    np.copyto(known.scores[1], 7.0)
    again = signal_history(PANEL, [REVERSAL], known=known)
    assert (again.scores == 7.0).all()


def test_what_a_strategy_earns_alone_is_its_weights_times_the_day_after_the_next() -> None:
    history = signal_history(PANEL, [REVERSAL])
    weights = strategy_weights(PANEL, REVERSAL)
    returns = np.nan_to_num(PANEL.fields["returns"])
    for row in (80, 150, 220):
        wanted = 2.0 * float(weights[row] @ returns[row + 2])
        assert history.earned[0, row] == pytest.approx(wanted, abs=1e-15)


def test_information_is_the_correlation_with_the_day_that_a_position_earns() -> None:
    history = signal_history(PANEL, [REVERSAL])
    t, lag = 200, 3
    returns = PANEL.fields["returns"]
    sector = PANEL.groups["industry"][0]

    def residual(row: int) -> np.ndarray:
        means = np.array([np.nanmean(returns[row, sector == s]) for s in range(5)])
        return np.asarray(returns[row] - means[sector])

    past = np.array([residual(row) for row in range(t - 59, t + 1)])
    y = np.clip(residual(t + 2 + lag) / np.sqrt(np.nanmean(past**2, axis=0)), -4.0, 4.0)
    x = history.scores[0, t]
    use = (x != 0.0) & np.isfinite(y)
    assert history.information[0, lag, t] == pytest.approx(np.corrcoef(x[use], y[use])[0, 1])


@given(st.data())
@settings(max_examples=examples(160), deadline=None)
def test_whole_shares_telescope_and_never_pass_what_is_allowed(data: Any) -> None:
    n = 12
    draw = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    price = draw.uniform(2.0, 900.0, n)
    equity = float(draw.uniform(2e4, 5e6))
    limits = Limits(gross=0.8, net=0.05, name=0.1, minimum_trade=float(draw.uniform(0, 2000)))
    held = np.rint(draw.normal(0.0, 0.05, n) * equity / price).astype(np.int64)
    weights = draw.normal(0.0, 0.05, n).clip(-0.1, 0.1)
    weights *= min(1.0, 0.8 / np.abs(weights).sum())
    volume = draw.uniform(0.0, 2.0, n) * equity
    found = whole_shares(
        weights, held * price / equity, held,
        equity=equity, price=price, dollar_volume=volume, limits=limits,
    )  # fmt: skip
    total = found.exact + sum(found.steps.values())
    np.testing.assert_array_equal(total, found.target * MICRO)
    assert (np.abs(found.target - held) * price <= 0.05 * volume + 1e-6).all()
    # Never further out than both what was held and what is wanted.
    outer = np.maximum(np.abs(held), np.abs(weights) * equity / price + 1e-5)
    assert (np.abs(found.target) <= outer).all()
    assert (found.target * held >= 0).all()


def test_small_orders_are_dropped_unless_they_close_a_position() -> None:
    price, equity = np.array([50.0, 50.0, 50.0]), 100_000.0
    held = np.array([100, 100, 5])
    weights = np.array([0.0525, 0.06, 0.0])
    found = whole_shares(
        weights, held * price / equity, held,
        equity=equity, price=price, dollar_volume=np.full(3, 1e7),
        limits=Limits(gross=2.0, net=1.0, name=0.5, minimum_trade=500.0),
    )  # fmt: skip
    assert found.target.tolist() == [100, 120, 0]
    assert found.steps["minimum trade"].tolist() == [-5 * MICRO, 0, 0]


@pytest.mark.long
def test_a_bar_that_was_revised_later_is_seen_as_it_was_printed(desk: Rebalancer) -> None:
    row, cell, known = 300, (290, 3), 310
    printed = PANEL.fields["close"].copy()
    printed[cell] *= 1.4
    volume = PANEL.fields["volume"]
    revised = market(
        revisions=Revisions(
            rows=np.array([cell[0]], np.int32),
            columns=np.array([cell[1]], np.int32),
            known_at=np.array([known], np.int32),
            before={"close": np.array([printed[cell]]), "volume": volume[cell].reshape(1)},
        )
    )
    strategies = [REVERSAL, TREND, CALM]
    found = Rebalancer(revised, strategies, limits=ROOM).rebalance(day(row), {}, EQUITY)
    faulty = market(fields=fields_of(printed, volume))
    expected = Rebalancer(faulty, strategies, limits=ROOM).rebalance(day(row), {}, EQUITY)
    assert found.orders == expected.orders
    assert found.orders != desk.rebalance(day(row), {}, EQUITY).orders
    later = Rebalancer(revised, strategies, limits=ROOM).rebalance(day(known + 2), {}, EQUITY)
    assert later.orders == desk.rebalance(day(known + 2), {}, EQUITY).orders


def test_raw_closes_are_what_shares_cost_unless_a_check_masked_them(desk: Rebalancer) -> None:
    close = PANEL.fields["close"]
    raw = 4.0 * close
    row = 380
    hidden = close.copy()
    hidden[row - 1, 5] = np.nan
    panel = market(fields=fields_of(hidden, PANEL.fields["volume"]), raw={"close": raw})
    plan = Rebalancer(panel, [REVERSAL, TREND, CALM], limits=ROOM).rebalance(day(row), {}, EQUITY)
    for order in plan.orders:
        column = int(np.flatnonzero(panel.symbols == order.symbol)[0])
        assert order.price == raw[row - 1, column]
    assert "S05" not in {order.symbol for order in plan.orders}


@pytest.mark.parametrize(
    ("short", "bought_back_to", "opened"), [(-0.06, -200, 20), (-0.01, -33, 19), (-0.08, -266, 19)]
)
def test_what_rounding_leaves_of_the_net_is_cut_from_new_positions_only(
    short: float, bought_back_to: int, opened: int
) -> None:
    """The net may be what the weights have, and the first name counts though it cannot trade.

    A short that is bought back stays so: its own limit may need it.
    """
    price, equity = np.array([30.0, 30.0, 250.0]), 100_000.0
    held = np.array([100, -900, 0])
    weights = np.array([0.03, short, 0.05])
    found = whole_shares(
        weights, held * price / equity, held,
        equity=equity, price=price, dollar_volume=np.array([0.0, 1e7, 1e7]),
        limits=Limits(gross=2.0, net=0.0, name=0.1, participation=1.0, minimum_trade=0.0),
    )  # fmt: skip
    assert found.target.tolist() == [100, bought_back_to, opened]
    assert found.target @ price <= abs(weights.sum()) * equity + 1e-6
    assert found.steps["net repair"].tolist() == [0, 0, (opened - 20) * MICRO]


def test_nothing_depends_on_how_many_threads_prepare_it(desk: Rebalancer) -> None:
    many = Rebalancer(PANEL, [REVERSAL, TREND, CALM], limits=ROOM, workers=3)
    np.testing.assert_array_equal(many.history.scores, desk.history.scores)
    np.testing.assert_array_equal(many.history.information, desk.history.information)
    many.prepare([day(row) for row in range(300, 312)])
    for row in (300, 301, 306, 311, 312, 301):
        one, other = (each.rebalance(day(row), {"S01": 500}, EQUITY) for each in (desk, many))
        assert one.orders == other.orders
        assert one.answer.prices == other.answer.prices
        assert one.combination.horizon == other.combination.horizon
