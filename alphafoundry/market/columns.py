"""The columns of a file in long format and the names that they go by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "day", "datetime", "timestamp", "time", "trade_date", "trading_day"),
    "symbol": ("symbol", "ticker", "instrument", "asset", "stock", "sid", "code", "permno"),
    "open": ("open", "o", "open_price", "px_open"),
    "high": ("high", "h", "high_price", "px_high"),
    "low": ("low", "l", "low_price", "px_low"),
    "close": ("close", "c", "close_price", "px_close", "last", "px_last"),
    "adj_close": ("adj_close", "adjclose", "adjusted_close", "close_adj", "adj_close_price"),
    "volume": ("volume", "vol", "v", "shares_traded", "px_volume"),
    "vwap": ("vwap", "average_price", "avg_price"),
    "cap": ("cap", "market_cap", "marketcap", "mkt_cap", "market_capitalization"),
}
REQUIRED = ("date", "symbol", "close")


def match_columns(names: Sequence[str]) -> dict[str, str]:
    """Return column (a key of SYNONYMS) to the name that `names` has for it.

    Case, blanks, dots and hyphens do not matter. Where several names stand for one column, the
    synonym listed first wins. Other names are ignored.
    """
    normal: dict[str, str] = {}
    for name in names:
        normal.setdefault(re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_"), name)
    return {
        column: normal[alias]
        for column, aliases in SYNONYMS.items()
        for alias in reversed(aliases)
        if alias in normal
    }
