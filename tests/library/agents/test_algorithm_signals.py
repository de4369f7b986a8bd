"""Winners of races beside alphas: which may trade, and what they hold."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from alphafoundry.agents import algorithm_signals
from alphafoundry.agents.algorithm_signals import live_algorithms
from alphafoundry.agents.model_signals import rule_weights
from alphafoundry.algorithms.contract import WARM_UP
from alphafoundry.algorithms.race_course import most_traded
from alphafoundry.market.panel import Panel
from alphafoundry.runs import open_run
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import (
    AlgorithmPlan,
    DataOrigin,
    RaceLine,
    Store,
    finish_algorithm,
    mark_candidates,
    open_store,
    plan_algorithms,
    record_race,
)
from alphafoundry.trading import read_orders
from alphafoundry.trading.portfolio import LiveStrategy
from tests.library.agents.small_desks import small_desk, small_panel

REVERSAL = """
def execute_trade(ticker, price, tick, cash_balance, shares_held):
    closes = history.close
    if closes[-1] < closes[-6]:
        return ("BUY", int(cash_balance // (2 * price)))
    return ("SELL", shares_held)
"""
BUYS = """
def execute_trade(ticker, cash_balance, shares_held):
    return "BUY" if history.close[-1] > 0 else "SELL"
"""
BROKEN = BUYS.replace("history.close[-1] > 0", "1 / (shares_held - shares_held) > 0")
FOREVER = "\ndef forever():\n    while True:\n        pass\n"


def raced(
    store: Store,
    panel: Panel,
    programs: dict[str, str],
    *,
    sharpes: dict[str, float],
    until: int = -40,
    market_id: str | None = None,
    candidates: bool = True,
) -> date:
    """Record a race on the first days of a market; return the last of these."""
    last = panel.dates[until].item()
    origin = DataOrigin(
        market_id or panel.market_id,
        panel.source,
        panel.fingerprint,
        panel.dates[0].item(),
        last,
        label=panel.label,
    )
    with open_run(store, flow="algorithms", service="race", data=origin) as run:
        plans = [AlgorithmPlan(name, "p", name, "1", "") for name in programs]
        rows = plan_algorithms(store, run.id, "batch", plans)
        lines = []
        for rank, row in enumerate(rows, 1):
            source = programs[row.model]
            finish_algorithm(store, row.id, "ready", source=source, signature="full")
            lines.append(
                RaceLine(row.model, algorithm_id=row.id, rank=rank, sharpe=sharpes[row.model])
            )
        record_race(store, run.id, lines, market_label=panel.label, tickers=["S01", "S02"])
        if candidates:
            mark_candidates(store, [row.id for row in rows])
    return last


def test_winners_of_this_market_and_of_days_before_the_session_may_trade(tmp_path):
    panel = small_panel()
    session = panel.dates[-30].item()
    with open_store(home=tmp_path) as store:
        known = raced(
            store,
            panel,
            {"best": REVERSAL, "copy": REVERSAL, "broken": BROKEN, "buys": BUYS},
            sharpes={"best": 1.5, "copy": 1.2, "broken": 2.0, "buys": 0.3},
        )
        raced(store, panel, {"late": REVERSAL}, sharpes={"late": 9.0}, until=-30)
        raced(store, panel, {"else": REVERSAL}, sharpes={"else": 9.0}, market_id="another")
        raced(store, panel, {"lost": BUYS}, sharpes={"lost": 9.0}, candidates=False)
        found = live_algorithms(store, panel, session=session)
        first = live_algorithms(store, panel, session=session, most=1)
    assert [one.alpha_id.rpartition(" ")[2] for one in found.strategies] == ["best", "buys"]
    assert len(first.strategies) == 1
    assert {(one.verdict, one.data_until) for one in found.strategies} == {("unproven", known)}
    assert LiveStrategy.from_json(found.strategies[0].to_json()) == found.strategies[0]
    reasons = {name.rpartition(" ")[2]: reason for name, reason in found.refused.items()}
    assert set(reasons) == {"copy", "broken", "late", "else"}
    assert reasons["copy"] == "its program trades already"
    assert "calls fail on this market" in reasons["broken"]
    assert f"its data reach to {session}" in reasons["late"]
    assert "another market (another)" in reasons["else"]


def by_hand(panel: Panel, row: int, end: int) -> np.ndarray:
    """What REVERSAL holds from `row` up to `end`, name by name, as its contract reads.

    This market knows no opens, so an order is filled at the next close.
    """
    held = np.full((end - row, len(panel.symbols)), np.nan)
    for name in most_traded(panel, row, algorithm_signals.NAMES):
        column = list(panel.symbols).index(name)
        closes = panel.fields["close"][:, column]
        cash, shares, order = 10_000.0, 0, 0
        for day in range(row, end):
            if np.isnan(closes[day]):
                continue
            cash, shares = filled(cash, shares, order, closes[day])
            seen = closes[: day + 1][np.isfinite(closes[: day + 1])]
            order = int(cash // (2 * seen[-1])) if seen[-1] < seen[-6] else -shares
            left, after = filled(cash, shares, order, closes[day])
            held[day - row, column] = after * closes[day] / (left + after * closes[day])
    beyond = np.nan_to_num(held - np.nanmean(held, axis=1, keepdims=True))
    gross = np.abs(beyond).sum(axis=1, keepdims=True)
    return np.divide(beyond, gross, out=np.zeros_like(beyond), where=gross > 1e-9)


def filled(cash: float, shares: int, order: int, close: float) -> tuple[float, int]:
    """Cash and shares after an order, which costs five basis points."""
    order = min(order, int(cash // (close * 1.0005)))
    return cash - order * close - abs(order) * close * 0.0005, shares + order


def test_it_holds_nothing_before_its_data_end_and_then_what_the_program_says():
    panel = small_panel()
    rule = {"algorithm": REVERSAL, "counts_from": panel.dates[-31].item().isoformat()}
    weights = rule_weights(panel, rule)
    first = len(panel.dates) - 30
    assert not weights[:first].any()
    expected = by_hand(panel, first, len(panel.dates))
    np.testing.assert_allclose(weights[first:], expected, atol=1e-12)
    gross = np.abs(weights[first + 1 :]).sum(axis=1)
    np.testing.assert_allclose(gross, 1.0)
    until = panel.until(panel.dates[-10])
    np.testing.assert_array_equal(rule_weights(until, rule), weights[:-9])


@pytest.mark.parametrize("row", [WARM_UP - 2, -1])
def test_without_a_year_before_or_a_day_after_it_holds_nothing(row: int):
    panel = small_panel()
    rule: dict[str, Any] = {
        "algorithm": REVERSAL,
        "counts_from": panel.dates[row].item().isoformat(),
    }
    assert not rule_weights(panel, rule).any()


def test_a_program_that_is_out_holds_nothing_from_then_on():
    panel = small_panel()
    rule = {"counts_from": panel.dates[-31].item().isoformat()}
    source = REVERSAL.replace("    closes =", "    if tick == 5:\n        forever()\n    closes =")
    weights = rule_weights(panel, {"algorithm": source + FOREVER, **rule})[-30:]
    whole = rule_weights(panel, {"algorithm": REVERSAL, **rule})[-30:]
    np.testing.assert_array_equal(weights[:5], whole[:5])
    assert weights[1:5].any()
    assert not weights[5:].any()


def test_a_desk_trades_an_algorithm_and_tells_its_part(tmp_path):
    panel = small_panel(effect=0.4)
    known = panel.dates[-70].item()
    strategy = LiveStrategy(
        "algorithm 1 of m",
        "execute_trade(S01)",
        SimulationSettings(),
        known,
        "unproven",
        seeded=True,
        rule={"algorithm": REVERSAL, "counts_from": known.isoformat()},
    )
    with (
        open_store(home=tmp_path) as store,
        small_desk(store, panel, tmp_path, sessions=1, strategies=[strategy]) as desk,
    ):
        desk.run_session(desk.sessions[0])
        held = desk.floor.account.positions()
        orders = read_orders(store, 1)
    assert held
    for one in orders:
        assert "strategy algorithm 1 of m" in one.facts["parts"]
        sign = 1 if one.side == "buy" else -1
        assert sum(one.facts["parts"].values()) == sign * one.quantity
