"""The columns of market data and the names that sources have for them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "date": (
        *("date", "day", "datetime", "date_time", "timestamp", "time", "trade_date", "tradedate"),
        *("trading_day", "trading_date", "session", "bar_date", "price_date", "business_date"),
        *("datadate", "dtyyyymmdd", "yyyymmdd", "window_start", "open_time", "opentime", "dt"),
        *("unix", "unix_time", "epoch", "ts", "datum", "fecha", "data", "t"),
    ),
    "time": ("time", "hour", "hhmmss", "uhrzeit"),
    "symbol": (
        *("symbol", "ticker", "instrument", "asset", "stock", "sid", "code", "permno"),
        *("symbols", "tickers", "tic", "sym", "act_symbol", "ticker_symbol", "stock_symbol"),
        *("stock_code", "stock_id", "security", "security_id", "instrument_id", "asset_id"),
        *("ts_code", "secid", "scrip", "pair", "coin", "ric", "figi", "isin", "cusip", "wkn"),
        *("name", "index"),
    ),
    "open": ("open", "open_price", "px_open", "opn", "first", "eroffnung", "erster", "o"),
    "high": ("high", "high_price", "px_high", "max", "hoch", "tageshoch", "h"),
    "low": ("low", "low_price", "px_low", "min", "tief", "tiefst", "tagestief", "l"),
    "close": (
        *("close", "close_price", "closing_price", "px_close", "close_last", "last", "px_last"),
        *("last_price", "prc", "price", "settle", "schlusskurs", "schluss", "kurs", "c"),
    ),
    "adj_close": (
        *("adj_close", "adjclose", "adjusted_close", "close_adj", "closeadj", "adj_close_price"),
        *("adjusted_closing_price", "adjustedclose", "close_adjusted", "adjusted_price"),
        *("adj_price", "adjprc"),
    ),
    "volume": (
        *("volume", "vol", "shares_traded", "px_volume", "total_volume", "share_volume"),
        *("traded_volume", "quantity", "qty", "stucke", "stuecke", "volumen", "v"),
    ),
    "vwap": ("vwap", "average_price", "avg_price", "weighted_average", "vw"),
    "cap": ("cap", "market_cap", "marketcap", "mkt_cap", "market_capitalization"),
    "adj_open": ("adj_open", "adjopen", "adjusted_open", "openadj", "open_adj"),
    "adj_high": ("adj_high", "adjhigh", "adjusted_high", "highadj", "high_adj"),
    "adj_low": ("adj_low", "adjlow", "adjusted_low", "lowadj", "low_adj"),
    "adj_volume": (
        *("adj_volume", "adjvolume", "adjusted_volume", "volumeadj", "volume_adj", "adj_vol"),
    ),
    "raw_close": ("raw_close", "closeunadj", "close_unadj", "unadjusted_close", "unadj_close"),
    "dividend": (
        *("dividend", "dividends", "dividend_amount", "divcash", "div_cash", "ex_dividend"),
        *("cash_dividend", "div"),
    ),
    "split_factor": (
        *("split_factor", "splitfactor", "split_coefficient", "split_ratio", "stock_splits"),
        *("splits",),
    ),
    "universe": ("universe", "in_universe", "member", "is_member", "in_index", "index_member"),
    "currency": ("currency", "ccy", "curr", "wahrung", "waehrung"),
    "period": ("per", "period", "interval", "timeframe"),
}
"""Column to the names that sources have for it, the most telling one first."""

DESCRIBING = ("date", "time", "symbol", "currency", "period")
"""Columns of a file that are no values of a bar."""

_LETTERS = frozenset("ohlc")
_MOST_LETTER_LABELS = 20
_ALIASES: Mapping[str, str] = {
    alias: column for column, aliases in SYNONYMS.items() for alias in aliases if column != "time"
}
_VALUE_ALIASES = {alias for alias, column in _ALIASES.items() if column not in DESCRIBING}


def normal(label: str) -> str:
    """Return a label in lower case with one underscore for whatever is no letter or digit.

    A number in front ("4. close"), a unit in brackets ("Close (USD)") and accents are dropped.
    """
    text = unicodedata.normalize("NFKD", label.strip().lower().replace("ß", "ss"))
    text = re.sub(r"^\d+[a-z]?\.\s+|\([^()]*\)|[\u0300-\u036f]", "", text)
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def match_columns(names: Sequence[str]) -> dict[str, str]:
    """Return column (a key of SYNONYMS) to the name that `names` has for it.

    Case, blanks, dots and hyphens do not matter. Where several names stand for one column, the
    synonym listed first wins; of "date" and "time" the first is the date and the second its
    time. Single letters count only where all of o, h, l and c are there: C, T and V are shares,
    too. Other names are ignored.
    """
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(normal(name), name)
    letters = len(names) <= _MOST_LETTER_LABELS and found.keys() >= _LETTERS
    if letters and {"T", "t"} <= set(names):
        found |= {"t": "t", "symbol": "T"}
    columns: dict[str, str] = {}
    for column, aliases in SYNONYMS.items():
        for alias in aliases:
            name = found.get(alias, "")
            usable = len(alias) > 1 or letters
            if alias in found and usable and name not in columns.values():
                columns[column] = name
                break
    if "volume" not in columns and "close" in columns:
        of_unit = [found[key] for key in found if key.startswith("volume_")]
        columns |= {"volume": of_unit[0]} if of_unit and of_unit[0] not in columns.values() else {}
    return columns


def value_column(label: str) -> str | None:
    """Return the column of a bar's values that a label of two words or more names, else None."""
    alias = normal(label)
    return _ALIASES[alias] if alias in _VALUE_ALIASES and len(alias) > 1 else None


Pair = tuple[str, str]


def columns_and_symbols(labels: Sequence[str | Pair]) -> list[Pair | None]:
    """Return (column, symbol) of each label that names both, None for the others.

    Understands pairs, ('Close', 'AAPL') as text, AAPL.Close, Close_AAPL and "AAPL Adj Close". The
    column stands on the same side in all labels: LOW and OPEN are shares, too.
    """
    found = [[_read(label, column_first=side) for label in labels] for side in (True, False)]
    counts = [
        (sum(pair is not None for pair in side), any(pair and pair[0] == "close" for pair in side))
        for side in found
    ]
    return found[0] if counts[0] >= counts[1] else found[1]


def _read(label: str | Pair, *, column_first: bool) -> Pair | None:
    for halves in _cuts(label):
        column = value_column(halves[0] if column_first else halves[1])
        symbol = (halves[1] if column_first else halves[0]).strip()
        if column and symbol:
            return column, symbol
    return None


def _cuts(label: str | Pair) -> list[Pair]:
    """Return the ways to divide a label into two."""
    if isinstance(label, tuple):
        return [label]
    text = label.strip()
    pair = re.fullmatch(r"\(\s*(['\"])(.*?)\1\s*,\s*(['\"])(.*?)\3\s*\)", text)
    if pair:
        return [(pair[2], pair[4])]
    return [(text[: cut.start()], text[cut.end() :]) for cut in re.finditer(r"[ ._|:/-]+", text)]
