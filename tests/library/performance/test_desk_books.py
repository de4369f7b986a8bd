"""A week with splits, dividends, a delisting and partial fills: every cent of it has a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from fractions import Fraction

from alphafoundry.performance.attribution import attribute, summed
from alphafoundry.performance.desk_books import read_session_facts
from alphafoundry.store import open_store
from alphafoundry.trading import BrokerRules, books_of, read_orders
from tests.library.trading import week

SHARE = 1_000_000
TUESDAY = date(2024, 3, 5)


def with_reasons(day, held, target):
    """The week's orders, each with what two strategies and the optimiser wanted of it."""
    found = []
    for request in week_requests(day, held, target):
        before = held.get(request.symbol, 0) * SHARE
        signed = request.quantity if request.side == "buy" else -request.quantity
        wanted = before + signed
        parts = {"strategy a": 2 * wanted + 333_333, "strategy b": -wanted // 7, "held": -before}
        parts["optimiser"] = signed - sum(parts.values())
        request.facts["parts"] = parts  # type: ignore[index]
        found.append(request)
    return found


week_requests = week.requests_of


def test_a_week_is_accounted_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(week, "requests_of", with_reasons)
    with open_store(home=tmp_path) as store:
        desk = week.make_desk(store, rules=BrokerRules(borrow_rate=0.03, interest_rate=0.02))
        week.run_week(desk)
        days = dict(desk.paper.market.days)
        sessions = [(day, datetime.combine(day, time(5), UTC)) for day in list(days)[:-1]]
        facts = read_session_facts(store, desk.desk_id, sessions, days)
        told = [attribute(one.books) for one in facts]
        wealth = 0
        for one, parts in zip(facts, told, strict=True):
            wealth += parts.pnl + one.books.transfers
            assert wealth == one.net_asset_value
            assert parts.pnl == sum(parts.parts.values())
        books = books_of(store, desk.desk_id)
        assert wealth == books.net_asset_value
        whole = summed(told)
        assert whole.parts["borrow"] < 0 < whole.parts["interest"]
        assert whole.parts["commission"] < 0
        assert whole.parts["strategy a"] != 0 and whole.parts["optimiser"] != 0
        # Splits let reasons grow, so no share of the week is from elsewhere.
        assert "foreign positions" not in whole.parts
        assert whole.drift["a"]["data revision"] == 0


def closing_on_the_second_day(day, held, target):
    """The orders with their reasons; those of the second day only close, as a stop does."""
    found = with_reasons(day, held, target)
    if day.session.day == TUESDAY:
        found = [one for one in found if target.get(one.symbol, 0) < held.get(one.symbol, 0)]
        for one in found:
            del one.facts["parts"]
    return [one for one in found if day.session.day != TUESDAY or one.symbol in ("ACE", "BOW")]


def test_what_an_order_that_closes_leaves_is_held_for_the_reasons_before_it(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(week, "requests_of", closing_on_the_second_day)
    with open_store(home=tmp_path) as store:
        desk = week.make_desk(store)
        week.run_week(desk)
        assert {one.facts.get("parts") is None for one in read_orders(store, desk.desk_id)} == {
            True,
            False,
        }
        days = dict(desk.paper.market.days)
        sessions = [(day, datetime.combine(day, time(5), UTC)) for day in list(days)[:-1]]
        facts = read_session_facts(store, desk.desk_id, sessions, days)
        after = facts[2].books
        assert after.held["ACE"] == 905 * SHARE == sum(after.parts["ACE"].values())
        share = Fraction(905, 1001)
        for name, quantity in facts[1].books.parts["ACE"].items():
            assert abs(after.parts["ACE"][name] - share * quantity) < 1
        assert "foreign positions" not in summed([attribute(one.books) for one in facts]).parts
