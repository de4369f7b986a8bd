"""Limits and costs of a desk: read from the schedule's file, told by `check`, and obeyed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.agents.desk_account import order_limits
from alphafoundry.agents.rules import DeskRules
from alphafoundry.agents.schedule import load_schedule, stored_schedule
from alphafoundry.agents.simulation import plain_values
from alphafoundry.agents.status import why
from alphafoundry.errors import ConfigurationError
from alphafoundry.store import open_store
from alphafoundry.trading import OrderLimits, read_orders
from tests.library.agents.small_desks import SCHEDULE, small_desk, small_panel
from tests.library.trading.markets import fields_of

TASKS = "tasks:\n  work: {interval_minutes: 1}\n"


def schedule(folder: Path, text: str, **given: str):
    path = folder / "schedule.yaml"
    path.write_text(f"{TASKS}{text}", encoding="utf-8")
    return load_schedule(path, **given)


def test_the_file_of_the_project_holds_the_usual_values():
    assert load_schedule(SCHEDULE).rules == DeskRules()


def test_values_reach_the_classes_that_use_them(tmp_path):
    rules = schedule(
        tmp_path,
        "desk:\n"
        "  limits: {gross: 1.5, participation: 0.02}\n"
        "  risk: {drawdown: 0.07}\n"
        "  stops: {stop_loss: null, lock: 2}\n"
        "  orders: {max_order_value: 5000}\n"
        "  costs: {spread_bps: 9, commission_bps: 1.5, impact: 0.7}\n"
        "  broker: {commission_per_share: 0.01, half_spread: 0.001, hard_to_borrow: [ACE]}\n",
    ).rules
    assert (rules.limits.gross, rules.limits.participation, rules.limits.net) == (1.5, 0.02, 0.05)
    assert rules.risk.drawdown == 0.07 and rules.stops.stop_loss is None and rules.stops.lock == 2
    assert rules.orders == OrderLimits(max_order_value=5000.0)
    assert rules.costs.rate == pytest.approx((4.5 + 1.5) / 1e4)
    assert rules.broker.commission_per_share == Decimal("0.01")
    assert rules.broker.hard_to_borrow == {"ACE"}
    told = list(rules.lines())
    assert told[0].startswith("desk.limits: gross 1.5, net 0.05, ")
    assert any("stop_loss none" in line for line in told)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("desk:\n  limit: {gross: 1}\n", r":4: desk.limit: unknown key 'limit'; did you mean 'li"),
        ("desk:\n  limits: {gros: 1}\n", r":4: desk.limits.gros: unknown key 'gros'; did you mea"),
        ("desk:\n  costs:\n    impact: much\n", r":5: desk.costs.impact: 'much' is not a number"),
        ("desk:\n  limits:\n    net: -1\n", r":5: desk.limits.net: -1.0 is out of range; give at"),
        ("desk:\n  orders:\n    max_name: 0\n", r":5: desk.orders.max_name: 0.0 is no limit; give"),
        ("desk:\n  broker:\n    participation: 2\n", r":5: desk.broker.participation: 2.0 is out"),
        ("desk: 5\n", r"schedule.yaml:3: desk: '5' is not a mapping of keys to values"),
    ],
)
def test_a_mistake_is_a_line_with_file_line_and_key(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        schedule(tmp_path, text)


def test_an_environment_stands_over_limits_and_the_store_gives_both_back(tmp_path):
    made = schedule(
        tmp_path,
        "desk: {limits: {gross: 1.5}}\n"
        "environments: {testing: {error_threshold_factor: 3, desk: {limits: {gross: 0.5}}}}\n",
        environment="testing",
    )
    assert made.rules.limits.gross == 0.5
    assert made.origins["desk", "limits", "gross"].endswith(":4 (environment testing)")
    again = stored_schedule(plain_values(made), environment="testing")
    assert again.rules == made.rules and again.tasks == made.tasks


def test_the_smaller_limit_of_shares_holds(tmp_path):
    text = "desk: {orders: {max_order_shares: 50}}\n"
    assert order_limits(schedule(tmp_path, text)).max_order_shares == 50.0
    assert order_limits(load_schedule(SCHEDULE)).max_order_shares == 10_000.0
    left_out = tmp_path / "usual.yaml"
    text = SCHEDULE.read_text(encoding="utf-8")
    assert "      max_order_size: 10000\n" in text
    left_out.write_text(text.replace("      max_order_size: 10000\n", ""), encoding="utf-8")
    assert order_limits(load_schedule(left_out)).max_order_shares == 10_000.0


def test_a_name_that_nobody_lends_is_not_sold_short(tmp_path):
    plan = load_schedule(SCHEDULE)
    panel = small_panel()
    hard = frozenset(str(one) for one in panel.symbols[:30]) | {"NOT-HERE"}
    lent = replace(plan.rules, broker=replace(plan.rules.broker, hard_to_borrow=hard))
    with (
        open_store(home=tmp_path) as store,
        small_desk(store, panel, tmp_path, sessions=1, schedule=replace(plan, rules=lent)) as desk,
    ):
        desk.run_session(desk.sessions[0])
        orders = read_orders(store, 1)
    sold = {one.symbol for one in orders if one.side == "sell"}
    assert sold and not sold & hard
    assert not [one for one in orders if one.status == "rejected"]


@pytest.mark.long
def test_a_stopped_position_is_closed_next_session_and_not_opened_again(tmp_path):
    base = small_panel()
    close, volume = base.fields["close"].copy(), base.fields["volume"]
    close[-2:, :20] *= 0.75
    panel = small_panel(fields=fields_of(close, volume))
    plan = load_schedule(SCHEDULE)
    # Only what is looked at here may act: the crash is of a third of the market.
    rules = replace(plan.rules, stops=replace(plan.rules.stops, guard_stops=0, drawdown=None))
    tasks = dict(plan.tasks)
    risk = tasks["risk_management"]
    given = {**risk.settings.parameters, "position_limits": False, "portfolio_rebalancing": False}
    settings = risk.settings.model_copy(update={"parameters": given})
    tasks["risk_management"] = replace(risk, settings=settings)
    with (
        open_store(home=tmp_path) as store,
        small_desk(
            store, panel, tmp_path, schedule=replace(plan, rules=rules, tasks=tasks)
        ) as desk,
    ):
        first, second, third = desk.sessions
        desk.run_session(first)
        before = {name: n for name, n in desk.floor.account.positions().items() if n > 0}
        fallen = {name for name in before if int(name[1:]) < 20}
        assert fallen
        desk.run_session(second)
        kept = desk.floor.account.positions()
        desk.run_session(third)
        stops = {one.symbol: one for one in desk.floor.stops}
        assert fallen & kept.keys() <= stops.keys()
        for symbol in fallen & kept.keys():
            found = stops[symbol]
            assert found.day == second.day and found.move == pytest.approx(-0.25, abs=0.08)
            # Its entry is the close of the day on which it was bought.
            row = int(np.searchsorted(panel.dates, np.datetime64(first.day)))
            place = int(symbol[1:])
            if kept[symbol] <= before[symbol]:
                expected = close[row + 1, place] / close[row, place] - 1.0
                assert found.move == pytest.approx(expected)
            assert symbol not in desk.floor.account.positions()
        orders = [one for one in read_orders(store, 1) if one.batch == f"stops {second.day}"]
        assert {one.symbol for one in orders} == stops.keys() and orders
        assert {one.status for one in orders} == {"filled"}
        assert {one.session for one in orders} == {third.day}
        assert all(one.sent_at - one.send_from < timedelta(minutes=5) for one in orders)
        # A fill at the open is no miss of the close.
        account = desk.floor.account
        assert account.fill_quality(third.day, 0.001) == account.fill_quality(third.day, 0.2) == 1.0
        told = list(why(store, str(orders[0].sequence), "small"))
        assert f"in the session of {third.day}, filled" in told[0]
        assert f"{orders[0].symbol}: stopped on {second.day} after -" in told[1]
        assert not any("None" in line for line in told)
        assert desk.report().totals.differences == []


def test_orders_that_a_busy_host_held_back_say_so(tmp_path):
    plan = load_schedule(SCHEDULE)
    tasks = dict(plan.tasks)
    health = tasks["system_health"]
    given = {**health.settings.parameters, "alert_thresholds": {"cpu": 0}}
    settings = health.settings.model_copy(update={"parameters": given})
    tasks["system_health"] = replace(health, settings=settings)
    panel = small_panel()
    with (
        open_store(home=tmp_path) as store,
        small_desk(store, panel, tmp_path, sessions=1, schedule=replace(plan, tasks=tasks)) as desk,
    ):
        desk.run_session(desk.sessions[0])
        orders = read_orders(store, 1)
        assert orders and {one.status for one in orders} == {"expired"}
        told = list(why(store, str(orders[0].sequence), "small"))
        assert told[1].startswith("  never sent: execution had ")
        assert told[2].endswith(" only lessened risk: system_health is 0.75, not >= 0.9")
        agent = list(why(store, "execution", "small"))
        assert any("only lessened risk: system_health is 0.75" in line for line in agent)
        summary = dict(desk.report().summary())
    held = f"{len(orders)} expired), 0 fills"
    assert held in summary["orders"]
    assert "none that opens or enlarges a position: system_health is 0.75" in summary["orders"]
