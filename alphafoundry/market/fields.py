"""The fields of a panel, derived from validated bars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.returns import simple_returns

Array = NDArray[np.float64]

ADV_DAYS = 20
_ADJUSTED = ("open", "high", "low", "close", "vwap")


def derive_fields(values: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return (fields, descriptions) for validated bars.

    Parameters
    ----------
    values : column to float64 array of shape (n_days, n_instruments), NaN is missing; holds
        close, and any of open, high, low, adj_close, volume, vwap, cap

    Where adj_close is given, open, high, low, close and vwap are multiplied by
    adj_close / close of the same day. Volume stays as the source gives it. A field whose inputs
    are absent is left out; a missing input gives NaN on that day only, except in adv20. The
    first return after missing bars is that of the whole gap.
    """
    prices = _adjusted(values)
    note = ", adjusted for splits and dividends" if "adj_close" in values else ""
    fields: dict[str, Array] = {}
    descriptions: dict[str, str] = {}
    for name in ("open", "high", "low", "close"):
        if name in prices:
            fields[name] = prices[name]
            descriptions[name] = f"Daily {name} price{note}"
    if "vwap" in prices:
        fields["vwap"] = prices["vwap"]
        descriptions["vwap"] = f"Daily volume-weighted average price, from the source{note}"
    elif "high" in prices and "low" in prices:
        fields["vwap"] = typical_price(prices["high"], prices["low"], prices["close"])
        descriptions["vwap"] = (
            "Typical price (high + low + close) / 3, in place of the volume-weighted average "
            "price, which the source does not give"
        )
    fields["returns"] = simple_returns(prices["close"])
    descriptions["returns"] = f"Return, close over the last known close before it - 1{note}"
    if "volume" in values:
        fields["volume"] = values["volume"]
        descriptions["volume"] = "Daily traded shares, as the source gives them"
        fields["adv20"] = trailing_mean(values["volume"], ADV_DAYS)
        descriptions["adv20"] = "Mean daily volume of the last 20 days, NaN if one is missing"
    if "cap" in values:
        fields["cap"] = values["cap"]
        descriptions["cap"] = "Market capitalization, from the source"
    return fields, descriptions


def typical_price(high: Array, low: Array, close: Array) -> Array:
    """Return (high + low + close) / 3; NaN where one of them is."""
    price = high + low
    price += close
    price /= 3.0
    return price


def trailing_mean(values: Array, days: int) -> Array:
    """Return the mean of the last `days` rows, day t included; shape of `values`.

    NaN in the first days - 1 rows and wherever the window holds a NaN. Sums are built by
    doubling (1, 2, 4, ... rows), so no running sum carries a rounding error or a NaN along.
    """
    result = np.full_like(values, np.nan)
    if len(values) < days:
        return result
    total: Array | None = None
    covered, width, block = 0, 1, values
    while covered < days:
        if days & width:
            length = len(values) - covered - width + 1
            ahead = block[covered : covered + length]
            total = ahead if total is None else total[:length] + ahead
            covered += width
        if covered < days:
            block = block[:-width] + block[width:]
            width *= 2
    assert total is not None
    np.divide(total, days, out=result[days - 1 :])
    return result


def _adjusted(values: Mapping[str, Array]) -> dict[str, Array]:
    prices = {name: values[name] for name in _ADJUSTED if name in values}
    if "adj_close" in values:
        factor = values["adj_close"] / values["close"]
        prices = {name: price * factor for name, price in prices.items()}
    return prices
