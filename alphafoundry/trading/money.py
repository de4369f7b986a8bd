"""Exact amounts: dollars, shares and prices as whole numbers of small units."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from alphafoundry.errors import TradingError

MONEY = 10_000
"""Units of an amount in one dollar."""

SHARE = 1_000_000
"""Units of a quantity in one share."""

PRICE = 1_000_000
"""Units of a price in one dollar a share."""

CENT = MONEY // 100

_AMOUNT_OF_PRODUCT = SHARE * PRICE // MONEY


def rounded(numerator: int, denominator: int) -> int:
    """Return numerator / denominator to the nearest whole number, halves to the even one.

    denominator : above 0
    """
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def amount_of(quantity: int, price: int) -> int:
    """Return quantity times price as an amount, rounded once, halves to the even unit."""
    return rounded(quantity * price, _AMOUNT_OF_PRODUCT)


def to_units(value: Decimal | str | float | int, scale: int, *, what: str) -> int:
    """Return a number as whole units of 1 / `scale`, exactly.

    A float counts as the decimal number that it prints as. Raises TradingError where the value is
    no finite number or has more decimal places than the unit.
    """
    if type(value) is str and value.isdecimal():
        return int(value) * scale
    try:
        scaled = (value if type(value) is Decimal else Decimal(str(value))) * scale
    except InvalidOperation:
        raise TradingError(f"{what}: {value!r} is not a number") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise TradingError(f"{what}: {value} is not a whole number of 1/{scale:,}; round it first")
    return int(scaled)


def money(value: Decimal | str | float | int) -> int:
    """Return dollars as an amount; errors as of `to_units`."""
    return to_units(value, MONEY, what="amount")


def shares(value: Decimal | str | float | int) -> int:
    """Return shares as a quantity; errors as of `to_units`."""
    return to_units(value, SHARE, what="quantity")


def price_units(value: Decimal | str | float | int) -> int:
    """Return dollars a share as a price; errors as of `to_units`."""
    return to_units(value, PRICE, what="price")


def plain(value: int, scale: int) -> str:
    """Return units as decimal text without trailing zeros, such as "12.5"."""
    text = f"{Decimal(value) / scale:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(amount: int) -> str:
    """Return an amount as people write it, to the cent: "$1,234.50" or "-$0.01"."""
    cents = rounded(abs(amount), CENT)
    return f"{'-' if amount < 0 and cents else ''}${cents // 100:,}.{cents % 100:02d}"
