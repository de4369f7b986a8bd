"""An account: what its orders buy, what they cost, and that it never owes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import BacktestError
from alphafoundry.finance.account import Account
from alphafoundry.finance.costs import Costs
from alphafoundry.finance.orders import Order
from tests.property_tests import examples


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["BUY", "SELL"]),
            st.none() | st.integers(1, 10**6),
            st.floats(0.01, 1e5),
        ),
        max_size=30,
    ),
    st.floats(0.0, 500.0),
)
@settings(max_examples=examples(200), deadline=None)
def test_an_account_never_owes_and_only_costs_lose(
    orders: list[tuple[str, int | None, float]], bps: float
) -> None:
    account = Account(10_000.0, Costs(commission_per_share=0.0, slippage_bps=bps))
    for side, quantity, price in orders:
        before = account.value(price)
        traded = account.traded
        account.place(Order(side, quantity))  # type: ignore[arg-type]
        account.fill(price)
        assert account.cash >= 0
        assert account.shares >= 0
        paid = (account.traded - traded) * bps / 10_000
        assert account.value(price) == pytest.approx(before - paid, rel=1e-9, abs=1e-6)


@given(price=st.floats(0.5, 1e4), per_share=st.floats(0.0, 0.4), bps=st.floats(0.0, 100.0))
@settings(max_examples=examples(100), deadline=None)
def test_a_round_trip_costs_both_commissions_and_the_slippage_twice(
    price: float, per_share: float, bps: float
) -> None:
    account = Account(
        10_000.0,
        Costs(commission_per_share=per_share, commission_bps=bps / 2, slippage_bps=bps / 2),
    )
    account.place(Order("BUY", None))
    account.fill(price)
    shares = account.shares
    each = price * (1 + bps / 10_000) + per_share
    assert shares * each <= 10_000 * (1 + 1e-12) < (shares + 1) * each * (1 + 1e-9)
    account.place(Order("SELL", None))
    account.fill(price)
    assert account.shares == 0
    lost = 2 * shares * (price * bps / 10_000 + per_share)
    assert account.cash == pytest.approx(10_000 - lost, rel=1e-9)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_costs_that_make_no_sense_are_refused_with_what_to_give(value: float) -> None:
    with pytest.raises(BacktestError, match=r"slippage_bps: .* is out of range; give at least 0"):
        Costs(slippage_bps=value)
