"""Exact amounts."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import TradingError
from alphafoundry.trading.money import amount_of, dollars, money, plain, rounded, shares


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_rounding_is_that_of_decimals(numerator: int, denominator: int) -> None:
    # By fractions: a decimal division would itself be rounded.
    whole, twice = numerator // denominator, 2 * (numerator % denominator)
    near = whole if twice < denominator else whole + 1
    if twice == denominator:
        near = whole if whole % 2 == 0 else whole + 1
    assert rounded(numerator, denominator) == near


@given(
    st.decimals(-(10**9), 10**9, places=6),
    st.decimals(0, 10**6, places=6),
)
def test_an_amount_is_the_product_rounded_once(quantity: Decimal, price: Decimal) -> None:
    exact = (quantity * price).quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN)
    assert amount_of(int(quantity * 10**6), int(price * 10**6)) == int(exact * 10**4)


@given(st.integers(-(10**18), 10**18))
def test_plain_text_reads_back(quantity: int) -> None:
    assert shares(plain(quantity, 1_000_000)) == quantity


def test_what_is_no_whole_unit_is_refused() -> None:
    assert money("12.3456") == 123456
    assert money(0.1) == 1000
    for value in ("0.00001", "NaN", "Infinity", "ten"):
        with pytest.raises(TradingError, match="amount"):
            money(value)


def test_dollars_for_people() -> None:
    assert dollars(12_345_678) == "$1,234.57"
    assert dollars(-100) == "-$0.01"
    assert dollars(-49) == "$0.00"
