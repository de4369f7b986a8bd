"""Every dollar of a session has a reason, and the reasons add up to the unit of the ledger."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import PerformanceError
from alphafoundry.performance.attribution import (
    CORPORATE,
    DRIFT,
    FOREIGN,
    Cost,
    Movement,
    SessionBooks,
    apportion,
    attribute,
    fitted,
    per_share_revision,
    reasons,
    summed,
)
from alphafoundry.trading.money import amount_of
from tests.property_tests import examples

DAY = date(2024, 3, 8)
SHARE = PRICE = 1_000_000


@settings(max_examples=examples(300), deadline=None)
@given(
    total=st.integers(-(10**12), 10**12),
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(-(10**9), 10**9), min_size=1),
)
def test_a_split_adds_up_and_is_within_a_unit_of_the_exact_one(
    total: int, weights: dict[str, int]
) -> None:
    base = sum(weights.values())
    if base == 0:
        with pytest.raises(PerformanceError, match="add to 0"):
            apportion(total, weights)
        return
    found = apportion(total, weights)
    assert sum(found.values()) == total
    for name, weight in weights.items():
        assert abs(found[name] - Fraction(total * weight, base)) < 1


quantities = st.integers(-500, 500).map(lambda n: n * SHARE)
prices = st.integers(1_000_000, 400_000_000)


@st.composite
def order_parts(draw: st.DrawFn, target: int) -> dict[str, int]:
    """Reasons that add to `target`, some of them against each other."""
    names = ["strategy b", "rounding", "flip", "participation", "net repair"]
    parts = {name: draw(st.integers(-(10**8), 10**8)) for name in names if draw(st.booleans())}
    parts["strategy a"] = draw(st.integers(1, 10**8))
    return {**parts, "optimiser": target - sum(parts.values())}


@st.composite
def sessions(draw: st.DrawFn) -> SessionBooks:
    """A session of a few names: held, traded in part, split, delisted, adopted, revised."""
    held, before, after, parts, close, revised = {}, {}, {}, {}, {}, {}
    movements, costs, dividends = [], [], {}
    for symbol in draw(st.lists(st.sampled_from("PQRST"), unique=True, max_size=4)):
        quantity = draw(quantities)
        was, now = draw(prices), draw(prices)
        close[symbol] = now
        wanted = draw(order_parts(draw(quantities)))
        if quantity:
            held[symbol] = quantity
            before[symbol] = amount_of(quantity, was)
            parts[symbol] = fitted(reasons(wanted, signed=0, filled=0), quantity)
            if draw(st.booleans()):
                dividends[symbol] = amount_of(quantity, draw(st.integers(0, 2_000_000)))
            if draw(st.booleans()):
                revised[symbol] = draw(st.integers(-1_000_000, 1_000_000))
            if draw(st.booleans()):
                movements.append(Movement(symbol, quantity, 0, "corporate", True))
                quantity *= 2
        for _ in range(draw(st.integers(0, 2))):
            more, price = draw(quantities), draw(prices)
            origin = draw(st.sampled_from(["order", "foreign"]))
            movements.append(Movement(symbol, more, amount_of(more, price), origin, False, wanted))
            quantity += more
            costs.append(Cost("fees", draw(st.integers(0, 10**6)), wanted))
        costs.append(Cost("borrow", draw(st.integers(-10, 10**6)), parts.get(symbol, {})))
        after[symbol] = amount_of(quantity, now)
    costs.append(Cost("interest", draw(st.integers(-(10**6), 10**6))))
    return SessionBooks(
        DAY, held, before, after, parts, close, dividends, movements, costs, revised
    )


@settings(max_examples=examples(200), deadline=None)
@given(books=sessions())
def test_the_parts_of_a_session_add_up_to_its_wealth(books: SessionBooks) -> None:
    found = attribute(books)
    # Wealth by the plain identity: values, what was paid for shares, dividends, costs.
    wealth = (
        sum(books.after.values())
        - sum(books.before.values())
        - sum(one.amount for one in books.movements)
        + sum(books.dividends.values())
        - sum(one.amount for one in books.costs)
    )
    assert found.pnl == wealth == sum(found.parts.values())


@settings(max_examples=examples(200), deadline=None)
@given(books=sessions())
def test_paper_less_backtest_is_its_named_drift(books: SessionBooks) -> None:
    found = attribute(books)
    for strategy, columns in found.drift.items():
        assert set(columns) == set(DRIFT)
        drift = sum(amount for name, amount in columns.items() if name != "backtest")
        assert found.paper(strategy) - columns["backtest"] == drift
        held = columns["backtest"] + columns["data revision"]
        assert held == found.parts.get(f"strategy {strategy}", 0)
    # A strategy stands behind every order and every name here, so no gap is nobody's.
    for column in ("timing", "price", "unfilled"):
        shared = sum(columns[column] for columns in found.drift.values())
        assert shared == found.parts.get(column, 0)


def test_one_session_by_hand() -> None:
    # 100 shares are held; the strategy wanted 150, the optimiser took 30 off, 20 were not filled.
    wanted = {"strategy a": 150 * SHARE, "optimiser": -30 * SHARE, "held": 0}
    why = reasons(wanted, signed=120 * SHARE, filled=100 * SHARE)
    assert why == {
        "strategy a": 150 * SHARE,
        "optimiser": -30 * SHARE,
        "unfilled": -20 * SHARE,
    }
    # 10 $ to 11 $; 10 more are bought at 11.02 for a commission of 1 $.
    bought = Movement("P", 10 * SHARE, 110_2000, "order", False, wanted)
    found = attribute(
        SessionBooks(
            DAY,
            held={"P": 100 * SHARE},
            before={"P": 1_000_0000},
            after={"P": 1_210_0000},
            parts={"P": why},
            close={"P": 11 * PRICE},
            movements=[bought],
            costs=[Cost("fees", 1_0000, wanted)],
        )
    )
    assert found.parts == {
        "strategy a": 150_0000,
        "optimiser": -30_0000,
        "unfilled": -20_0000,
        "price": -2000,
        "commission": -1_0000,
    }
    assert found.pnl == 98_8000
    assert found.drift["a"] == {
        "backtest": 150_0000,
        "data revision": 0,
        "timing": 0,
        "price": -2000,
        "unfilled": -20_0000,
        "cost": -1_0000,
    }


def test_a_bar_that_is_told_otherwise_today_moves_the_backtest_alone() -> None:
    # Known as 10 to 11, told today as 10 to 10.50: the backtest earned half of it.
    revision = per_share_revision((10 * PRICE, 11 * PRICE), (10 * PRICE, 10_500_000), Fraction(1))
    books = SessionBooks(
        DAY,
        {"P": 100 * SHARE},
        {"P": 1_000_0000},
        {"P": 1_100_0000},
        {"P": {"strategy a": 100 * SHARE}},
        {"P": 11 * PRICE},
        revised={"P": revision},
    )
    found = attribute(books)
    assert found.parts == {"strategy a": 100_0000}
    assert found.drift["a"]["backtest"] == 50_0000
    assert found.drift["a"]["data revision"] == 50_0000


def test_a_split_lets_all_reasons_grow_and_anything_else_is_from_elsewhere() -> None:
    why = {"strategy a": 30 * SHARE, "optimiser": -10 * SHARE}
    assert fitted(why, 40 * SHARE, alike=True) == {
        "strategy a": 60 * SHARE,
        "optimiser": -20 * SHARE,
    }
    assert fitted(why, 25 * SHARE) == {**why, FOREIGN: 5 * SHARE}


def test_a_delisting_is_earned_by_who_held_it() -> None:
    gone = Movement("P", -10 * SHARE, -80_0000, "corporate", True)
    found = attribute(
        SessionBooks(
            DAY,
            {"P": 10 * SHARE},
            {"P": 100_0000},
            {},
            {"P": {"strategy a": 10 * SHARE}},
            {},
            movements=[gone],
        )
    )
    assert found.parts == {"strategy a": -20_0000}
    less = Movement("P", 0, 5_000, "corporate")
    assert attribute(SessionBooks(DAY, {}, {}, {}, {}, {}, movements=[less])).parts == {
        CORPORATE: -5_000
    }


def test_sessions_add_up() -> None:
    one = attribute(
        SessionBooks(DAY, {}, {}, {}, {}, {}, costs=[Cost("borrow", 7, {"strategy a": 1})])
    )
    both = summed([one, one])
    assert both.pnl == -14 and both.parts == {"borrow": -14} and both.paper("a") == -14
    with pytest.raises(PerformanceError, match="no session"):
        summed([])
