"""Strategies of workflows beside alphas: which may trade, and what they hold."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from alphafoundry.agents.workflow_signals import live_workflows, rule_weights
from alphafoundry.runs import open_run
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import DataOrigin, TrialRecord, open_store, record_trials
from alphafoundry.trading import read_orders
from alphafoundry.trading.portfolio import LiveStrategy
from tests.library.agents.small_desks import small_desk, small_panel

MOMENTUM = {"type": "momentum", "template": None, "defaults": []}
REVERSAL = {
    "type": "expression",
    "template": "-ts_delta(close, {days}) / ts_delay(close, {days})",
    "defaults": [["days", 5]],
}


def trials(store, panel, strategy, sharpes, *, workflow="w", until=-40):
    """Record trials of a workflow on the first days of a market; return the last of these."""
    last = panel.dates[until].item()
    first = panel.dates[0].item()
    origin = DataOrigin(
        panel.market_id, panel.source, panel.fingerprint, first, last, label=panel.label
    )
    name = "lookback" if strategy is MOMENTUM else "days"
    with open_run(store, flow="optimize", service="workflow", data=origin) as run:
        records = [
            TrialRecord(
                number=number,
                batch=0,
                seed=1,
                item={name: 5 + number},
                metrics={"sharpe": sharpe},
                attempts=1,
                message=None,
                strategy=strategy,
            )
            for number, sharpe in enumerate(sharpes)
        ]
        given = {"run_id": run.id, "workflow": workflow, "phase": "p", "executed": True}
        record_trials(store, records, phase_key=f"{run.id}", **given)
    return last


def test_the_best_trial_of_each_strategy_trades_after_its_data_and_on_its_market(tmp_path):
    panel = small_panel()
    session = panel.dates[-1].item()
    with open_store(home=tmp_path) as store:
        known = trials(store, panel, MOMENTUM, [0.2, 1.4, None])
        trials(store, panel, REVERSAL, [2.0, 0.1])
        trials(store, panel, MOMENTUM, [9.0], workflow="late", until=-1)
        own = {"type": "mine:STRATEGY", "template": None, "defaults": [], "code": "0"}
        trials(store, panel, own, [5.0], workflow="own")
        found = live_workflows(store, session=session, market_id=panel.market_id)
        assert not live_workflows(store, session=session, market_id="another").strategies
        early = live_workflows(store, session=known, market_id=panel.market_id)
    assert not early.strategies
    assert [one.expression for one in found.strategies] == [
        "-ts_delta(close, {days}) / ts_delay(close, {days})(days=5)",
        "momentum(lookback=6)",
    ]
    assert {one.verdict for one in found.strategies} == {"unproven"}
    assert LiveStrategy.from_json(found.strategies[0].to_json()) == found.strategies[0]
    reasons = " ".join(found.refused.values())
    assert f"its data reach to {session}" in reasons and "own" in reasons


def test_weights_of_a_rule_know_no_later_bar_and_have_one_book(tmp_path):
    panel = small_panel()
    rule = {"strategy": REVERSAL, "parameters": {"days": 5}}
    weights = rule_weights(panel, rule)
    gross = np.abs(weights).sum(axis=1)
    assert weights.shape == panel.shape
    np.testing.assert_allclose(gross[gross > 0.0], 1.0)
    until = panel.until(panel.dates[-30])
    np.testing.assert_array_equal(rule_weights(until, rule), weights[:-29])


def test_a_desk_trades_a_workflow_and_tells_its_part(tmp_path):
    panel = small_panel()
    known = panel.dates[-40].item() - timedelta(days=1)
    strategy = LiveStrategy(
        "workflow w/expression",
        "reversal(days=5)",
        SimulationSettings(),
        known,
        "unproven",
        seeded=True,
        rule={"strategy": REVERSAL, "parameters": {"days": 5}},
    )
    with (
        open_store(home=tmp_path) as store,
        small_desk(store, panel, tmp_path, sessions=1, strategies=[strategy]) as desk,
    ):
        desk.run_session(desk.sessions[0])
        held = desk.floor.account.positions()
        orders = read_orders(store, 1)
    assert held
    assert all("strategy workflow w/expression" in one.facts["parts"] for one in orders)
    for one in orders:
        sign = 1 if one.side == "buy" else -1
        assert sum(one.facts["parts"].values()) == sign * one.quantity
