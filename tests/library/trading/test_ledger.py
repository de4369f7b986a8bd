"""The double-entry ledger against the slow, obvious way."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from alphafoundry.errors import TradingError, UnbalancedEntry
from alphafoundry.market.sessions import sessions
from alphafoundry.store import Store
from alphafoundry.store.desk_tables import BalanceRow, LedgerLineRow
from alphafoundry.trading import (
    PAPER_BROKER,
    DayBar,
    Delisting,
    Dividend,
    MarketDay,
    Split,
    books_of,
    check_ledger,
    close_session,
    create_desk,
    money,
    open_session,
    price_units,
    set_marks,
    shares,
)
from alphafoundry.trading.ledger import (
    Books,
    Line,
    fill_lines,
    post,
    read_books,
    read_waiting,
    reverse,
    settle_lines,
)
from tests.library.trading.week import START
from tests.property_tests import examples

HOURS = sessions("XNYS", date(2024, 3, 4), date(2024, 3, 18))
names = iter(range(10**9))


def new_desk(store: Store, cash: str = "100000") -> int:
    number = next(names)
    return create_desk(
        store,
        name=f"desk {number}",
        broker=PAPER_BROKER,
        account_number=str(number),
        cash=money(cash),
        synthetic=True,
        now=START,
    ).id


def trade(store: Store, desk: int, symbol: str, count: int, price: str, name: str) -> None:
    side = "buy" if count > 0 else "sell"
    lines = fill_lines(symbol, side, shares(abs(count)), price_units(price))
    with store.write() as transaction:
        post(transaction, desk, kind="fill", reference=name, at=START, lines=lines)


def day(number: int, close: str = "10", **events: object) -> MarketDay:
    price = Decimal(close)
    bars = {"ACE": DayBar(price, price, price, price, 1000)}
    return MarketDay(HOURS[number], bars, **events)  # type: ignore[arg-type]


def balance(store: Store, desk: int, account: str, symbol: str = "") -> int:
    with store.session() as transaction:
        row = transaction.get(BalanceRow, (desk, account, symbol))
        return 0 if row is None else row.amount


@settings(
    max_examples=examples(50),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ABC"),
            st.integers(-500, 500).filter(bool),
            st.decimals("0.0001", "900", places=4),
        ),
        max_size=12,
    ),
    st.tuples(*[st.decimals("0.0001", "900", places=4)] * 3),
)
def test_equity_is_cash_and_marks_by_exact_arithmetic(
    store: Store, trades: list[tuple[str, int, Decimal]], marks: tuple[Decimal, ...]
) -> None:
    desk = new_desk(store)
    cash, held = Fraction(100_000), {"A": 0, "B": 0, "C": 0}
    for number, (symbol, count, price) in enumerate(trades):
        trade(store, desk, symbol, count, str(price), f"fill {number}")
        cash -= count * Fraction(price)
        held[symbol] += count
    prices = dict(zip("ABC", marks, strict=True))
    set_marks(store, desk, date(2024, 3, 4), {s: price_units(p) for s, p in prices.items()})
    books = books_of(store, desk)
    equity = cash + sum(held[s] * Fraction(p) for s, p in prices.items())
    # Whole shares at four decimals are exact in these units.
    assert Fraction(books.cash, 10_000) == cash
    assert Fraction(books.equity, 10_000) == equity
    assert {s: h.quantity for s, h in books.holdings.items()} == {
        s: n * 1_000_000 for s, n in held.items() if n
    }
    assert check_ledger(store, desk) == []


def test_an_entry_adds_to_nothing_and_is_booked_once(store: Store) -> None:
    desk = new_desk(store)
    with store.write() as transaction, pytest.raises(UnbalancedEntry, match="differ by 1"):
        post(
            transaction,
            desk,
            kind="x",
            reference="x",
            at=START,
            lines=[Line("cash", 2), Line("fees", -1)],
        )
    for expected in (True, False):
        with store.write() as transaction:
            booked = post(
                transaction,
                desk,
                kind="x",
                reference="y",
                at=START,
                lines=[Line("cash", 2), Line("fees", -2)],
            )
        assert booked is expected
    assert balance(store, desk, "fees") == -2


def test_a_wrong_balance_is_found(store: Store) -> None:
    desk = new_desk(store)
    trade(store, desk, "ACE", 10, "5", "one")
    with store.write() as transaction:
        transaction.get_one(BalanceRow, (desk, "cash", "")).amount += 1
    assert len(check_ledger(store, desk)) == 1
    with store.write() as transaction:
        transaction.scalars(
            select(LedgerLineRow).where(LedgerLineRow.symbol == "ACE")
        ).one().amount += 1
    assert any("lines add to 1" in line for line in check_ledger(store, desk))


def test_a_reversal_undoes_an_entry_once(store: Store) -> None:
    desk = new_desk(store)
    before = books_of(store, desk)
    trade(store, desk, "ACE", 10, "5.1234", "one")
    for expected in (True, False):
        with store.write() as transaction:
            assert reverse(transaction, desk, "one", at=START, memo="bust") is expected
    assert books_of(store, desk) == before
    with store.write() as transaction, pytest.raises(TradingError, match="nothing was booked"):
        reverse(transaction, desk, "two", at=START, memo="bust")


@pytest.mark.parametrize("held", [1001, -1001, 3, -2])
@pytest.mark.parametrize(("new", "old"), [(2, 1), (3, 2), (1, 7), (1, 10)])
def test_a_split_keeps_the_value(store: Store, held: int, new: int, old: int) -> None:
    desk = new_desk(store)
    trade(store, desk, "ACE", held, "10", "one")
    close_session(store, desk, day(0), next_session=HOURS[1].day, at=START)
    before = books_of(store, desk)
    split = day(1, splits=(Split("ACE", HOURS[1].day, new, old),))
    for _ in range(2):
        open_session(store, desk, split, before=day(0), at=START)
    books = books_of(store, desk)
    exact = Fraction(held * new, old)
    whole = int(exact)  # towards zero
    assert books.holdings.get("ACE", None) is None or (
        books.holdings["ACE"].quantity == whole * 1_000_000
    )
    assert ("ACE" in books.holdings) == (whole != 0)
    fraction = (exact - whole) * 10 * Fraction(old, new)
    assert abs(Fraction(balance(store, desk, "claims", "ACE"), 10_000) - fraction) <= Fraction(
        1, 20_000
    )
    # A mark has six decimals, so that the value of many shares is exact to less than a cent.
    assert abs(books.net_asset_value - before.net_asset_value) < 100
    assert check_ledger(store, desk) == []


@pytest.mark.parametrize("held", [300, -300])
def test_a_dividend_is_owed_on_the_ex_date_and_settled_when_paid(store: Store, held: int) -> None:
    desk = new_desk(store)
    trade(store, desk, "ACE", held, "10", "one")
    cash = books_of(store, desk).cash
    paid_on = HOURS[1].day + timedelta(days=14)
    ex_day = day(1, dividends=(Dividend("ACE", HOURS[1].day, paid_on, Decimal("0.333333")),))
    open_session(store, desk, ex_day, before=day(0), at=START)
    books = books_of(store, desk)
    assert (books.cash, books.accrued) == (cash, (1 if held > 0 else -1) * 999_999)
    account = "dividend_receivable" if held > 0 else "dividend_payable"
    assert balance(store, desk, account, "ACE") == books.accrued
    trade(store, desk, "ACE", -held, "10", "sold after the ex-date")
    paid = (1 if held > 0 else -1) * money("100")
    with store.write() as transaction:
        lines = settle_lines(read_waiting(transaction, desk), "dividend", "ACE", paid)
        post(transaction, desk, kind="paid", reference="paid", at=START, lines=lines)
    assert books_of(store, desk).accrued == 0
    assert balance(store, desk, "dividends", "ACE") == -paid


def test_what_is_paid_too_little_goes_on_waiting(store: Store) -> None:
    desk = new_desk(store)
    trade(store, desk, "ACE", 300, "10", "one")
    ex_day = day(1, dividends=(Dividend("ACE", HOURS[1].day, HOURS[3].day, Decimal("1")),))
    open_session(store, desk, ex_day, before=day(0), at=START)
    with store.write() as transaction:
        lines = settle_lines(read_waiting(transaction, desk), "dividend", "ACE", money("120"))
        post(transaction, desk, kind="paid", reference="paid", at=START, lines=lines)
    assert balance(store, desk, "dividend_receivable", "ACE") == money("180")


def test_borrow_and_interest_run_on_calendar_days(store: Store) -> None:
    desk = new_desk(store)
    trade(store, desk, "ACE", -100, "10", "one")
    friday, monday = HOURS[4], HOURS[5]
    assert (monday.day - friday.day).days == 3
    for _ in range(2):
        close_session(
            store,
            desk,
            day(4, close="12"),
            next_session=monday.day,
            at=datetime.combine(friday.day, friday.closes.timetz()),
            borrow_rate=0.06,
            interest_rate=0.03,
        )
    owed = Fraction(1200) * Fraction(6, 100) * 3 / 360
    earned = Fraction(101_000) * Fraction(3, 100) * 3 / 360
    assert Fraction(balance(store, desk, "borrow", "ACE"), 10_000) == owed
    assert abs(Fraction(balance(store, desk, "accrued_interest"), 10_000) - earned) < Fraction(
        1, 10_000
    )
    assert books_of(store, desk).equity == money("101000") - money("1200")


def test_a_delisting_pays_its_price(store: Store) -> None:
    desk = new_desk(store)
    trade(store, desk, "ACE", 100, "10", "one")
    end = day(1, delistings=(Delisting("ACE", HOURS[1].day, Decimal("7.5")),))
    open_session(store, desk, end, before=day(0), at=START)
    books = books_of(store, desk)
    assert books.holdings == {}
    assert books.accrued == money("750")
    assert books.net_asset_value == money("100000") - money("250")


@settings(
    max_examples=examples(50),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["trade", "undone", "marks"]),
            st.sampled_from("ABC"),
            st.sampled_from([-2, -1, 1, 2]),
        ),
        max_size=12,
    )
)
def test_books_read_together_are_those_of_one_transaction_after_the_other(
    store: Store, steps: list[tuple[str, str, int]]
) -> None:
    def seen_after_each(desk: int) -> list[Books]:
        seen = [books_of(store, desk)]
        for number, (what, symbol, count) in enumerate(steps):
            if what == "trade":
                trade(store, desk, symbol, count, "10", f"fill {number}")
            elif what == "marks":
                set_marks(store, desk, date(2024, 3, 4), {symbol: price_units(f"{9 + count}")})
            else:
                with pytest.raises(ZeroDivisionError), store.write() as transaction:
                    lines = fill_lines(symbol, "buy", shares(count), price_units("10"))
                    at = START
                    post(transaction, desk, kind="fill", reference="x", at=at, lines=lines)
                    read_books(transaction, desk)
                    _ = 1 / 0
            seen.append(books_of(store, desk))
        return seen

    apart = seen_after_each(new_desk(store))
    desk = new_desk(store)
    with store.together():
        together = seen_after_each(desk)
    assert together == apart
    assert [list(one.holdings) for one in together] == [list(one.holdings) for one in apart]
