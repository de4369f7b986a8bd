"""The sources behind `feed`: a server with Alpaca's API for bars, yfinance, and a whole market."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx

from alphafoundry.market.feed import FeedBar, SourceFailed

DAYS_BACK = 10
TIMEOUT = 15.0
_PER_REQUEST = 100
_MOST_NAMES = 5


def alpaca_bars(
    address: str, symbols: Sequence[str], *, now: datetime, keys: Mapping[str, str] | None = None
) -> tuple[list[FeedBar], datetime]:
    """Fetch the last daily bars from a server with Alpaca's market data API.

    GET {address}/v2/stocks/bars?symbols=A,B&timeframe=1Day&start=DAY, answered by
    {"bars": {"A": [{"t", "o", "h", "l", "c", "v"}]}}.

    keys : APCA_API_KEY_ID and APCA_API_SECRET_KEY; None takes them from the environment

    Raises
    ------
    SourceFailed : the server does not answer, refuses, or answers with something else
    """
    given = os.environ if keys is None else keys
    headers = {
        f"APCA-API-{name}": given[f"APCA_API_{name.replace('-', '_')}"]
        for name in ("KEY-ID", "SECRET-KEY")
        if given.get(f"APCA_API_{name.replace('-', '_')}")
    }
    bars: list[FeedBar] = []
    for start in range(0, len(symbols), _PER_REQUEST):
        part = symbols[start : start + _PER_REQUEST]
        query = {
            "symbols": ",".join(part),
            "timeframe": "1Day",
            "start": (now - timedelta(days=DAYS_BACK)).date().isoformat(),
            "adjustment": "all",
            "limit": "10000",
        }
        bars += _read_alpaca(_get(f"{address}/v2/stocks/bars", query, headers), part)
    return bars, now


def _get(address: str, query: Mapping[str, str], headers: Mapping[str, str]) -> object:
    host = httpx.URL(address).host
    try:
        answer = httpx.get(address, params=query, headers=headers, timeout=TIMEOUT)
    except httpx.HTTPError as problem:
        raise SourceFailed(f"{host}: {type(problem).__name__}") from None
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
        raise SourceFailed(f"{host} answered {answer.status_code}")
    if answer.is_error:
        raise SourceFailed(f"{host} answered {answer.status_code}", transient=False)
    try:
        return answer.json()
    except json.JSONDecodeError:
        kind = answer.headers.get("content-type", "no type")
        raise SourceFailed(
            f"{host} answered no JSON ({kind}, {len(answer.content)} bytes)"
        ) from None


def _read_alpaca(answer: object, asked: Sequence[str]) -> list[FeedBar]:
    try:
        by_name: Mapping[str, Sequence[Mapping[str, object]]] = dict(answer)["bars"]  # type: ignore[call-overload]
        found = [
            FeedBar(
                symbol=name,
                day=date.fromisoformat(str(bar["t"])[:10]),
                **{
                    key: float(bar[key[0]])  # type: ignore[arg-type]
                    for key in ("open", "high", "low", "close", "volume")
                },
            )
            for name, bars in by_name.items()
            for bar in bars
        ]
    except (KeyError, TypeError, ValueError) as problem:
        raise SourceFailed(f"the answer is not of Alpaca's form: {problem!r}") from None
    if not found:
        raise SourceFailed("no bars of any name", transient=False, unknown=asked)
    return found


def yfinance_bars(symbols: Sequence[str], *, now: datetime) -> tuple[list[FeedBar], datetime]:
    """Fetch the last daily bars from Yahoo through yfinance.

    Raises
    ------
    SourceFailed : the package is not there, or Yahoo gives nothing
    """
    try:
        import yfinance
    except ImportError:
        raise SourceFailed(
            "yfinance is not installed; make install EXTRAS=yfinance", transient=False
        ) from None
    try:
        table = yfinance.download(
            list(symbols), period="5d", interval="1d", progress=False, group_by="ticker"
        )
    except Exception as problem:  # whatever the package lets through is a failed source
        raise SourceFailed(f"yfinance: {type(problem).__name__}: {problem}"[:200]) from None
    bars = []
    for name in symbols:
        if name not in table.columns.get_level_values(0):
            continue
        for moment, row in table[name].dropna().iterrows():
            values = {key: float(row[key.title()]) for key in ("open", "high", "low", "close")}
            bars.append(FeedBar(name, moment.date(), volume=float(row["Volume"]), **values))
    if not bars:
        raise SourceFailed("yfinance gave no bars: no network, a limit, or unknown names")
    return bars, now


def market_bars(
    market: str, symbols: Sequence[str], first: date, last: date, *, cache_dir: Path
) -> tuple[list[FeedBar], datetime, bool, str]:
    """Return the bars of a period from a whole market, and whether its prices were generated.

    Without names that the market has, its first ones are taken.

    Raises
    ------
    MarketError : the market cannot be loaded
    """
    import numpy as np

    from alphafoundry.market.loading import load_market

    panel = load_market(market, cache_dir=cache_dir)
    known = {str(name): column for column, name in enumerate(panel.symbols)}
    names = [name for name in symbols if name in known] or list(known)[:_MOST_NAMES]
    inside = (panel.dates >= np.datetime64(first)) & (panel.dates <= np.datetime64(last))
    bars = []
    for row in np.flatnonzero(inside):
        for name in names:
            column = known[name]
            values = {
                key: float(panel.fields[key][row, column])
                for key in ("open", "high", "low", "close", "volume")
                if key in panel.fields
            }
            close = values["close"]
            if np.isfinite(close):
                full = dict.fromkeys(("open", "high", "low"), close) | {"volume": 0.0} | values
                bars.append(FeedBar(name, panel.dates[row].item(), **full))
    return bars, datetime.now(UTC), panel.synthetic, panel.label
