"""Races: fills, costs, statistics, ranking, and what a market gives."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry import algorithms
from alphafoundry.algorithms.arena import Entry, race
from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.contract import (
    AlgorithmError,
    AlgorithmFailed,
    RefusedCode,
)
from alphafoundry.algorithms.leader_board import (
    BUY_AND_HOLD,
    RaceResult,
    Row,
    leader_board_plot,
    leader_board_rows,
    leader_board_table,
    leader_board_text,
)
from alphafoundry.algorithms.sandbox import Sandbox
from alphafoundry.algorithms.validation import validate
from alphafoundry.errors import MarketError
from alphafoundry.evidence import deflated_sharpe_ratio, moments, null_deviation
from alphafoundry.finance.bars import TickerBars
from alphafoundry.finance.statistics import metrics_of
from alphafoundry.market import load_market
from tests.library.algorithms.bars import on_exchange_days, rising_bars, walking_bars
from tests.some_cases import one_in

CROSSING = """
import numpy as np
def execute_trade(ticker, cash_balance, shares_held):
    fast = np.mean(history.close[-5:])
    slow = np.mean(history.close[-20:])
    if fast > slow and not shares_held:
        return "BUY"
    if fast < slow and shares_held:
        return "SELL"
    return "HOLD"
"""
PORTIONS = """
def execute_trade(ticker, price, tick, cash_balance, shares_held):
    if tick % 3 == 0:
        return ("BUY", 7)
    if tick % 5 == 0:
        return "SELL", 4.0
    return "HOLD"
"""


def row_of(result: RaceResult, name: str) -> Row:
    (row,) = [each for each in result.rows if each.name == name]
    return row


def by_hand(bars: TickerBars, warm_up: int, cash: float, cost: float) -> tuple[list[float], int]:
    """CROSSING in pandas and a plain loop: equity at each close, and the number of fills."""
    close = pd.Series(bars.close)
    fast, slow = close.rolling(5).mean(), close.rolling(20).mean()
    shares, trades, wish, equity = 0, 0, "HOLD", []
    for day in range(warm_up, len(bars)):
        price = bars.open[day]
        if wish == "BUY":
            bought = int(cash / (price * (1 + cost)))
            cash -= bought * price * (1 + cost)
            shares, trades = shares + bought, trades + 1
        elif wish == "SELL":
            cash += shares * price * (1 - cost)
            shares, trades = 0, trades + 1
        wish = "HOLD"
        if fast[day] > slow[day] and not shares:
            wish = "BUY"
        elif fast[day] < slow[day] and shares:
            wish = "SELL"
        equity.append(cash + shares * bars.close[day])
    return equity, trades


def test_a_race_matches_a_plain_loop_over_pandas() -> None:
    both = [on_exchange_days(walking_bars(name, 200, seed)) for name, seed in (("A", 3), ("B", 4))]
    how = ArenaSettings(warm_up=30, cost_bps=10.0)
    result = race([Entry("crossing", CROSSING)], both, how)
    hands = [by_hand(bars, 30, 10_000.0, 0.001) for bars in both]
    expected = np.sum([equity for equity, _ in hands], axis=0)
    np.testing.assert_allclose(result.equity["crossing"], expected, rtol=1e-12)
    row = row_of(result, "crossing")
    assert row.trades == sum(trades for _, trades in hands)
    assert row.calls == 2 * 170
    equity = pd.Series([20_000.0, *expected])
    daily = equity.pct_change().dropna()
    assert row.total_return == pytest.approx(expected[-1] / 20_000 - 1)
    assert row.annual_return == pytest.approx((1 + row.total_return) ** (252 / 170) - 1)
    assert row.sharpe == pytest.approx(daily.mean() / daily.std(ddof=0) * math.sqrt(252))
    assert row.drawdown == pytest.approx((1 - equity / equity.cummax()).max())
    assert math.prod(1 + r for r in row.period_returns) == pytest.approx(1 + row.total_return)


def test_the_leader_board_and_a_workflow_give_the_same_statistics_for_the_same_returns() -> None:
    result = race([], [on_exchange_days(walking_bars("A", 700, 9))], ArenaSettings(warm_up=0))
    equity = np.concatenate([[10_000.0], result.equity[BUY_AND_HOLD]])
    row = row_of(result, BUY_AND_HOLD)
    found = metrics_of(np.diff(equity) / equity[:-1])
    assert row.annual_return == found.annual_return
    assert (row.total_return, row.sharpe, row.drawdown) == (
        found.total_return,
        found.sharpe,
        found.max_drawdown,
    )


def test_buy_and_hold_buys_at_the_second_open() -> None:
    bars = walking_bars(days=50)
    result = race([], [bars], ArenaSettings(warm_up=10, cost_bps=20.0))
    (row,) = result.rows
    price = bars.open[11] * 1.002
    shares = int(10_000 / price)
    expected = 10_000 - shares * price + shares * bars.close[-1]
    assert row.name == BUY_AND_HOLD
    assert result.equity[BUY_AND_HOLD][-1] == pytest.approx(expected)
    assert row.trades == 1


def test_the_full_signature_trades_quantities() -> None:
    bars = walking_bars(days=40)
    result = race([Entry("portions", PORTIONS)], [bars], ArenaSettings(warm_up=5, cost_bps=0.0))
    cash, shares = 10_000.0, 0
    wish = 0
    for tick, day in enumerate(range(5, 40)):
        amount = min(wish, int(cash // bars.open[day])) if wish > 0 else max(wish, -shares)
        cash -= amount * bars.open[day]
        shares += amount
        wish = 7 if tick % 3 == 0 else -4 if tick % 5 == 0 else 0
    assert result.equity["portions"][-1] == pytest.approx(cash + shares * bars.close[-1])


def test_the_future_does_not_change_the_past() -> None:
    bars = [walking_bars("A", 150, 5), walking_bars("B", 150, 6)]
    changed = [
        TickerBars(b.ticker, b.dates, *(_scaled_after(b, name, 100) for name in _FIELDS))
        for b in bars
    ]
    entries = [Entry("crossing", CROSSING), Entry("portions", PORTIONS)]
    before, after = (race(entries, each, ArenaSettings(warm_up=30)) for each in (bars, changed))
    for name in ("crossing", "portions", BUY_AND_HOLD):
        np.testing.assert_array_equal(before.equity[name][:70], after.equity[name][:70])
        assert not np.array_equal(before.equity[name], after.equity[name])


def test_a_race_repeats_exactly() -> None:
    entries = [Entry("crossing", CROSSING), Entry("sets", CROSSING + "x = {'a', 'b', 'c'}\n")]
    runs = [race(entries, [walking_bars()], ArenaSettings(workers=w)) for w in (1, 2)]
    for name, equity in runs[0].equity.items():
        np.testing.assert_array_equal(equity, runs[1].equity[name])
    assert [row.name for row in runs[0].rows] == [row.name for row in runs[1].rows]


def test_some_failed_calls_are_counted_as_hold() -> None:
    source = """
def execute_trade(ticker, cash_balance, shares_held):
    if len(history) in (25, 27):
        raise KeyError("missing")
    return "BUY"
"""
    entry = Entry("stumbles", source)
    result = race([entry], [walking_bars(days=40)], ArenaSettings(warm_up=20, tolerated_failures=2))
    assert row_of(result, "stumbles").failed_calls == 2
    assert row_of(result, "stumbles").out is None
    result = race([entry], [walking_bars(days=40)], ArenaSettings(warm_up=20, tolerated_failures=1))
    out = row_of(result, "stumbles").out
    assert out is not None
    assert (out.kind, out.line, out.day) == ("error", 4, dt.date(2021, 1, 30))
    assert "KeyError: 'missing'" in out.reason
    assert math.isnan(row_of(result, "stumbles").total_return)
    equity = result.equity["stumbles"]
    assert np.isfinite(equity[:6]).all()
    assert np.isnan(equity[6:]).all()


def test_refused_code_is_a_row_and_a_failure() -> None:
    result = race([Entry("bad", "import os\n" + CROSSING, "m")], [walking_bars()])
    assert result.rows[-1].name == "bad"
    assert "line 1: import of 'os'" in str(result.failures[0])
    assert result.walls == ()


def test_the_best_are_those_above_buy_and_hold() -> None:
    falling = rising_bars()
    falling = TickerBars("DOWN", falling.dates, *(200.0 - getattr(falling, f) for f in _FIELDS))
    idle = CROSSING.replace('return "BUY"', 'return "HOLD"')
    result = race(
        [
            Entry("buys", CROSSING.replace(">", "!=").replace("fast <", "False and fast <")),
            Entry("idle", idle),
            Entry("brief", PORTIONS),
        ],
        [falling],
        ArenaSettings(rank_by="return"),
    )
    assert result.rows[0].name == "idle"
    assert "idle" not in [row.name for row in result.best(5)], "who never trades proves nothing"
    assert BUY_AND_HOLD not in [row.name for row in result.best(5)]


def test_candidates_earn_something_and_decide_differently() -> None:
    falling = rising_bars()
    falling = TickerBars("DOWN", falling.dates, *(200.0 - getattr(falling, f) for f in _FIELDS))
    late = CROSSING.replace(">", "!=").replace("fast <", "False and fast <")
    down = race([Entry("late", late)], [falling], ArenaSettings(rank_by="return", warm_up=20))
    assert down.best(5) == (), "less of a loss than buy-and-hold is no gain"
    entries = [Entry("one", CROSSING), Entry("again", CROSSING + "# the same\n")]
    both = race(entries, [walking_bars(days=400)], ArenaSettings(warm_up=40))
    held = both.held["one"]
    assert (held == both.held["again"]).all() and held.any() and not held.all()
    assert len(both.best(5)) <= 1


def test_missing_bars_and_missing_opens() -> None:
    gaps = walking_bars("GAPS", 80)
    close, open_ = gaps.close.copy(), gaps.open.copy()
    close[40:45] = np.nan
    open_[50:60] = np.nan
    gaps = TickerBars("GAPS", gaps.dates, open_, gaps.high, gaps.low, close, gaps.volume)
    young = walking_bars("YOUNG", 80, 7)
    young = TickerBars("YOUNG", *(getattr(young, f)[15:] for f in ("dates", *_FIELDS)))
    result = race([Entry("portions", PORTIONS)], [gaps, young], ArenaSettings(warm_up=20))
    assert np.isfinite(result.equity["portions"]).all()
    assert row_of(result, "portions").calls == (60 - 5) + 60


def test_a_board_says_where_orders_are_filled() -> None:
    bars = rising_bars()
    closes_only = replace(bars, open=np.full_like(bars.open, np.nan))
    for one, says in ((bars, "at the next open"), (closes_only, "at the close of the next day")):
        assert says in leader_board_text(race([], [one], ArenaSettings(warm_up=5)))


def test_a_race_can_be_stopped() -> None:
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20

    entries = [Entry(str(number), CROSSING) for number in range(5)]
    with pytest.raises(AlgorithmError, match="stopped before its last day"):
        race(entries, [walking_bars(days=500)], stopped=stopped)
    assert asked < 40


def test_days_are_bounded() -> None:
    how = ArenaSettings(warm_up=10, first_day=dt.date(2021, 2, 1), last_day=dt.date(2021, 3, 1))
    result = race([], [walking_bars()], how)
    assert result.dates[0] == np.datetime64("2021-02-11")
    assert result.dates[-1] == np.datetime64("2021-03-01")


@pytest.mark.parametrize(
    "wrong",
    [{"cash": 0.0}, {"cost_bps": -1.0}, {"warm_up": -1}, {"periods": 0}, {"cash": math.nan}],
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ArenaSettings(**wrong)  # type: ignore[arg-type]


def test_names_are_unique_and_markets_have_bars(market_cache: Path) -> None:
    twice = [Entry("a", CROSSING), Entry("a", CROSSING)]
    with pytest.raises(AlgorithmError, match="two algorithms of the race are named 'a'"):
        race(twice, [walking_bars()])
    with pytest.raises(AlgorithmError, match=BUY_AND_HOLD):
        race([Entry(BUY_AND_HOLD, CROSSING)], [walking_bars()])
    with pytest.raises(MarketError, match="60 days"):
        race([], [walking_bars(days=60)])
    panel = load_market("calibration", cache_dir=market_cache)
    with pytest.raises(MarketError, match="no ticker 'NONE'"):
        TickerBars.from_panel(panel, "NONE")


def test_a_panel_gives_bars_and_its_label(market_cache: Path) -> None:
    panel = load_market("calibration", cache_dir=market_cache)
    how = ArenaSettings(most_tickers=2, last_day=dt.date(2019, 6, 1))
    result = race([Entry("crossing", CROSSING, "template")], panel, how)
    value = panel.fields["close"][:60] * panel.fields["volume"][:60]
    most = np.argsort(-np.nansum(value, axis=0))[:2]
    assert set(result.tickers) == {str(symbol) for symbol in panel.symbols[most]}
    assert result.label.startswith("SYNTHETIC")
    assert "SYNTHETIC" in repr(result)
    assert "SYNTHETIC" in leader_board_table(result)
    bars = TickerBars.from_panel(panel, result.tickers[0])
    assert np.isfinite(bars.close).all()
    assert repr(bars).startswith(f"TickerBars('{result.tickers[0]}', ")


def test_a_smoke_run_explains_itself() -> None:
    sandbox = Sandbox()
    sandbox.smoke(CROSSING, walking_bars())
    sandbox.smoke("import pandas as pd\n" + PORTIONS, walking_bars(days=20))
    with pytest.raises(AlgorithmFailed) as caught:
        sandbox.smoke(CROSSING.replace("[-20:]", "[-20]['x']"), walking_bars())
    assert (caught.value.kind, caught.value.line) == ("error", 5)
    with pytest.raises(RefusedCode):
        sandbox.smoke("import os\n" + CROSSING, walking_bars())


@pytest.mark.parametrize(
    "answer",
    one_in(
        3,
        [
            '("BUY", -1)',
            '("SELL", 0.5)',
            '("BUY", float("nan"))',
            '("BUY", 10**30)',
            '("BUY", True)',
            '("BUY", "7")',
            '"BUY"',
            '("BUY",)',
            '("BUY", "7 shares")',
            "['SELL', 1, 2]",
            "{'BUY': 1}",
        ],
    ),
)
def test_what_is_no_order_is_refused(answer: str) -> None:
    source = f"def execute_trade(a, b, c, d, e):\n    x = 'BUY'\n    return {answer}\n"
    with pytest.raises(AlgorithmFailed) as caught:
        Sandbox().smoke(source, walking_bars(days=2))
    assert caught.value.kind == "bad-order"


@pytest.mark.parametrize(
    "answer",
    one_in(
        3,
        [
            '("BUY", 0)',
            '("SELL", 0.0)',
            '("BUY", np.int64(0))',
            '("HOLD", 0)',
            '("HOLD", None)',
            '("HOLD",)',
            '["HOLD", 7]',
            '" hold "',
            "None",
        ],
    ),
)
def test_an_order_for_nothing_is_hold(answer: str) -> None:
    source = f"def execute_trade(a, b, c, d, e):\n    x = 'BUY'\n    return {answer}\n"
    result = race([Entry("idle", source)], [walking_bars()], ArenaSettings(warm_up=20))
    row = row_of(result, "idle")
    assert (row.trades, row.failed_calls, row.out) == (0, 0, None)


@pytest.mark.parametrize(
    "buy",
    one_in(
        3,
        [
            '["BUY", 5]',
            '("buy", 5.9)',
            '("Buy ", np.float64(5))',
            '{"action": "BUY", "quantity": 5}',
            '(5, "BUY")',
            '"buy 5"',
        ],
    ),
)
def test_one_order_has_several_forms(buy: str) -> None:
    source = "def execute_trade(a, b, c, d, held):\n    return {} if held == 0 else 'HOLD'\n"
    entries = [
        Entry("odd", source.format(buy).replace("'HOLD'", "'HOLD' or 'BUY'")),
        Entry("plain", source.format('("BUY", 5)')),
    ]
    result = race(entries, [walking_bars()], ArenaSettings(warm_up=20))
    odd, plain = row_of(result, "odd"), row_of(result, "plain")
    assert (odd.trades, odd.out) == (1, None)
    assert odd.total_return == plain.total_return


@pytest.mark.parametrize(
    "order",
    [
        "shares_held, ticker, cash_balance",
        "ticker, shares_held, cash_balance",
        "cash_balance, shares_held, ticker",
        "shares_held, cash_balance, ticker, window=20",
    ],
)
def test_arguments_are_passed_by_the_names_of_the_contract(order: str) -> None:
    body = CROSSING
    named = "ticker, cash_balance, shares_held"
    assert named in body
    other = body.replace(named, order)
    result = race(
        [Entry("contract", body), Entry("other", other)],
        [walking_bars(days=300)],
        ArenaSettings(warm_up=60),
    )
    assert row_of(result, "other").trades == row_of(result, "contract").trades > 0
    assert row_of(result, "other").total_return == row_of(result, "contract").total_return


@pytest.mark.parametrize(
    "arguments",
    [
        "ticker, price, cash_balance",
        "cash_balance, ticker, held",
        "ticker, tick, price, cash, shares",
        "shares_held, price, tick, cash_balance, x",
    ],
)
def test_a_known_name_at_another_place_is_refused(arguments: str) -> None:
    source = f"def execute_trade({arguments}):\n    x = 'BUY'\n    return x\n"
    with pytest.raises(RefusedCode, match=r"stands where .* is passed; write execute_trade"):
        validate(source)


def test_a_trial_gives_the_history_of_the_race_and_tolerates_what_it_tolerates() -> None:
    needs = """
def execute_trade(ticker, cash_balance, shares_held):
    if len(history.close) < {days} or len(history.close) % 50 == 0:
        raise ValueError("too young")
    return "BUY"
"""
    bars = walking_bars(days=372)
    Sandbox().smoke(needs.format(days=250), bars)
    with pytest.raises(AlgorithmFailed, match="too young"):
        Sandbox().smoke(needs.format(days=300), bars)
    with pytest.raises(AlgorithmFailed, match="too young"):
        Sandbox().smoke(needs.format(days=250), bars, tolerated=0)
    # The data may be too short to show what the race promises: that is not held against it,
    # but an algorithm that never answers is refused.
    Sandbox().smoke(needs.format(days=80), bars.rows(slice(0, 100)), warm_up=90)
    with pytest.raises(AlgorithmFailed, match="too young"):
        Sandbox().smoke(needs.format(days=250), bars.rows(slice(0, 100)))


def test_a_sharpe_ratio_has_its_deflated_one_beside_it_and_more_trials_lower_it() -> None:
    result = race([Entry("one", CROSSING)], [walking_bars()])
    row = next(row for row in result.rows if row.name == "one")
    assert row.out is None
    assert result.trials == 1
    cash = result.settings.cash
    returns = np.diff(np.concatenate(([cash], result.equity["one"])))
    returns = returns / np.concatenate(([cash], result.equity["one"][:-1]))
    alone = deflated_sharpe_ratio(moments(returns), trials=1, sigma=null_deviation(returns))
    assert result.deflated(row) == pytest.approx(alone)
    after_many = replace(result, raced_before=99)
    assert after_many.trials == 100
    assert after_many.deflated(row) < result.deflated(row)
    held = next(row for row in result.rows if row.name == BUY_AND_HOLD)
    assert after_many.deflated(held) == result.deflated(held)
    shown = {line["algorithm"]: line["DSR"] for line in leader_board_rows(after_many)}
    assert shown["one"] == f"{after_many.deflated(row):.2f}"
    assert "all 100 algorithms" in leader_board_text(after_many)


def test_the_board_escapes_what_code_says() -> None:
    source = """
def execute_trade(ticker, cash_balance, shares_held):
    if history: raise ValueError("<script>|**[x](y)" + "BUY")
    return "HOLD"
"""
    how = ArenaSettings(tolerated_failures=0)
    result = race([Entry("evil|<b>$x$", source, "from\nhere")], [walking_bars()], how)
    table = leader_board_table(result)
    assert "<script>" not in table
    assert "<b>" not in table
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()[:4]} == {14}
    rows = leader_board_rows(result)
    assert rows[0]["algorithm"] == BUY_AND_HOLD
    assert rows[1]["result"].startswith("out: error in line 3 on")
    assert leader_board_plot(result).startswith(b"\x89PNG")


_FIELDS = ("open", "high", "low", "close", "volume")


def _scaled_after(bars: TickerBars, name: str, day: int) -> np.ndarray:
    values = getattr(bars, name).copy()
    values[day:] *= 1.7
    return values


def test_bars_of_a_ticker_have_their_first_name_too() -> None:
    assert algorithms.Bars is algorithms.TickerBars
