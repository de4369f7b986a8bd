"""The S&P 500 over the last five years, from Yahoo.

When Yahoo does not answer, the newest finished download takes its place and the panel's label
starts with STALE.
"""

from __future__ import annotations

import csv
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from alphafoundry.errors import MarketError
from alphafoundry.market.assembly import Progress, build_panel
from alphafoundry.market.cache import cached_panel, state_of
from alphafoundry.market.calendar import exchange_holidays
from alphafoundry.market.downloads import (
    Downloader,
    DownloadError,
    Fetch,
    bars_file,
    is_finished,
    missing_symbols,
)
from alphafoundry.market.files import read_bars
from alphafoundry.market.groups import read_sectors
from alphafoundry.market.panel import Panel, SeriesIssue

if TYPE_CHECKING:
    import pandas as pd

HISTORY_YEARS = 5
YAHOO = "https://query1.finance.yahoo.com"
ANSWER_SECONDS = 8.0

_INSTALL = (
    "market 'yfinance' needs the packages yfinance and pitindex; run: make install EXTRAS=yfinance"
)


@dataclass(frozen=True)
class Member:
    """A member of the index; sector and sub_industry are "" where they are not known."""

    symbol: str
    sector: str
    sub_industry: str


def load_yfinance(
    *,
    cache_dir: Path,
    sectors: Path | None = None,
    progress: Progress,
    today: date | None = None,
    members: Sequence[Member] | None = None,
    fetch: Fetch | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Panel:
    """Return the panel of the S&P 500 members of the last trading day.

    Parameters
    ----------
    cache_dir : folder for downloads and the panel
    sectors : CSV of groups; None takes those of the index members
    today : the last trading day before it is the last of the panel; None asks the clock
    members : None asks pitindex, which works offline
    fetch : gets one batch; None is `fetch_bars`
    wait : sleeps for the given seconds between attempts

    Names that left the index before are not in it (survivorship bias). Raises MarketError where
    a package is missing, or where Yahoo does not answer and nothing was downloaded before.
    """
    last = last_trading_day(today or date.today())
    first = date(last.year - HISTORY_YEARS, last.month, min(last.day, 28))
    folder = cache_dir / "downloads" / f"{first}_{last}"
    warning = ""
    if not is_finished(folder):
        names = list(members) if members is not None else index_members(last)
        downloader = Downloader(
            fetch or fetch_bars, lambda line: progress(f"yfinance: {line}"), wait
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_members(folder, names)
            downloader.fill(folder, [member.symbol for member in names], first, last)
            _keep_only(folder)
        except DownloadError as failure:
            finished = sorted(filter(is_finished, folder.parent.iterdir()), key=_last_day_of)
            if not finished:
                raise DownloadError(f"yfinance: {failure}") from None
            folder = finished[-1]
            warning = f"STALE, downloaded up to {_last_day_of(folder)}, Yahoo did not answer: "
            progress(f"yfinance: {failure}; using the download up to {_last_day_of(folder)}")
    panel = cached_panel(
        cache_dir / "panels",
        name="yfinance" if sectors is None else f"yfinance with {sectors.resolve()}",
        state={"bars": state_of(bars_file(folder)), "sectors": state_of(sectors)},
        build=lambda: _panel_of(folder, sectors, progress),
        progress=progress,
    )
    return replace(panel, label=f"{warning}{panel.label}")


def last_trading_day(today: date) -> date:
    """Return the last trading day before `today`."""
    day = today - timedelta(days=1)
    while day.weekday() > 4 or day in exchange_holidays(day.year):
        day -= timedelta(days=1)
    return day


def index_members(day: date) -> list[Member]:
    """Return the S&P 500 members on `day` by the tables that pitindex carries.

    Raises MarketError where pitindex is not installed.
    """
    try:
        import pitindex
    except ImportError:
        raise MarketError(_INSTALL) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=pitindex.StaleDataWarning)
        table = pitindex.get_constituents(day).fillna("")
    columns = (table["ticker"], table["gics_sector"], table["gics_sub_industry"])
    return [Member(*map(str, row)) for row in zip(*columns, strict=True)]


def fetch_bars(symbols: Sequence[str], first: date, after: date) -> pd.DataFrame:
    """Return the bars that Yahoo has for `symbols` from `first` to the day before `after`.

    A symbol without bars is left out; yfinance does not tell an unknown symbol from a failed
    request. Raises MarketError where yfinance is not installed, DownloadError where Yahoo does
    not answer at all.
    """
    try:
        import yfinance
    except ImportError:
        raise MarketError(_INSTALL) from None
    require_answer()
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # Its use of pandas is its authors' business.
        warnings.simplefilter("ignore")
        table = yfinance.download(
            [_yahoo_name(symbol) for symbol in symbols],
            start=first.isoformat(),
            end=after.isoformat(),
            auto_adjust=False,
            actions=False,
            group_by="ticker",
            threads=4,
            progress=False,
            timeout=10,
        )
    return _long_table(table, {_yahoo_name(symbol): symbol for symbol in symbols})


def require_answer() -> None:
    """Raise DownloadError where Yahoo does not answer within a few seconds.

    Without network yfinance returns an empty table, or waits for each symbol in turn.
    """
    try:
        httpx.get(YAHOO, timeout=ANSWER_SECONDS)
    except httpx.TransportError as problem:
        reason = str(problem) or type(problem).__name__
        raise DownloadError(
            f"{YAHOO} does not answer ({reason}): check the network and HTTPS_PROXY"
        ) from None


def _long_table(table: pd.DataFrame | None, names: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    columns = {
        "Open": "open",
        "High": "high",
        "Low": "low",
        "Close": "close",
        "Adj Close": "adj_close",
        "Volume": "volume",
    }
    parts = []
    for yahoo_name, symbol in names.items():
        if table is None or yahoo_name not in table.columns.get_level_values(0):
            continue
        found = pd.DataFrame(table[yahoo_name]).rename(columns=columns)
        part = found.reindex(columns=list(columns.values())).astype("float64")
        part = part.dropna(subset=["close"])
        part.insert(0, "symbol", symbol)
        part.insert(0, "date", pd.DatetimeIndex(part.index).tz_localize(None).normalize())
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=["date", "symbol", *columns.values()])
    long: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return long


def _write_members(folder: Path, members: Sequence[Member]) -> None:
    with _sectors_file(folder).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "sector", "sub_industry"])
        writer.writerows((member.symbol, member.sector, member.sub_industry) for member in members)


def _panel_of(folder: Path, sectors: Path | None, progress: Progress) -> Panel:
    bars = read_bars(bars_file(folder), progress=progress)
    lost = tuple(
        SeriesIssue(symbol, "not-downloaded", "Yahoo has no bars of this member of the index")
        for symbol in missing_symbols(folder)
    )
    return build_panel(
        replace(bars, issues=(*bars.issues, *lost)),
        source="yfinance",
        name="S&P 500 members of the last day, from Yahoo",
        groupings=read_sectors(sectors or _sectors_file(folder), bars.symbols),
        progress=progress,
    )


def _keep_only(folder: Path) -> None:
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _sectors_file(folder: Path) -> Path:
    return folder / "index_members.csv"


def _last_day_of(folder: Path) -> str:
    return folder.name.rpartition("_")[2]


def _yahoo_name(symbol: str) -> str:
    return symbol.replace(".", "-")
