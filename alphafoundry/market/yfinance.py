"""The S&P 500 over the last five years, from Yahoo.

When Yahoo does not answer, the newest finished download takes its place and the panel's label
starts with STALE.
"""

from __future__ import annotations

import csv
import io
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from alphafoundry.errors import MarketError
from alphafoundry.market.assembly import Progress
from alphafoundry.market.bars import Bars
from alphafoundry.market.cache import cached_panel
from alphafoundry.market.downloads import DownloadError, Fetch
from alphafoundry.market.market_folder import (
    FolderVersion,
    has_version,
    read_market_folder,
    read_state,
    read_version,
)
from alphafoundry.market.members import (
    Membership,
    members_content,
    read_members,
)
from alphafoundry.market.panel import Panel, SeriesIssue
from alphafoundry.market.sessions import NEW_YORK, last_closed_session
from alphafoundry.market.side_files import MEMBERS, SECTORS, SideFiles
from alphafoundry.market.update import update_market
from alphafoundry.market.update_sources import HISTORY_YEARS, NamesSource
from alphafoundry.whole_file import replace_file

if TYPE_CHECKING:
    import pandas as pd

YAHOO = "https://query1.finance.yahoo.com"
ANSWER_SECONDS = 8.0
_NOON = time_of_day(12)
"""In New York it is morning, and the session of the day has not closed."""

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
    """Return the panel of the S&P 500, each name on the days on which it was a member.

    Parameters
    ----------
    cache_dir : holds the market folder that grows by a day at a time, and the panel
    sectors : CSV of groups; None takes those of the index members
    today : the last trading day before it is the last of the panel; None asks the clock, and
        takes the last session that has closed
    members : None asks pitindex, which works offline
    fetch : gets one batch; None is `fetch_bars`
    wait : sleeps for the given seconds between attempts

    Former members of which Yahoo has no bars any more are missing, and reported. Raises
    MarketError where a package is missing, or where Yahoo does not answer and nothing was
    downloaded before.
    """
    folder = cache_dir / "market"
    moment = datetime.now(UTC) if today is None else datetime.combine(today, _NOON, UTC)
    last = last_closed_session(NEW_YORK, moment)
    warning = ""
    if not has_version(folder) or _version(folder).last < last:
        try:
            _bring_up_to_date(folder, last, moment, members, progress, fetch, wait)
        except DownloadError as failure:
            if not has_version(folder):
                raise DownloadError(f"yfinance: {failure}") from None
            known = _version(folder).last
            warning = f"STALE, downloaded up to {known}, Yahoo did not answer: "
            progress(f"yfinance: {failure}; using the download up to {known}")
    beside = SideFiles.of(folder, sectors)
    panel = cached_panel(
        cache_dir / "panels",
        name="yfinance" if sectors is None else f"yfinance with {sectors.resolve()}",
        state={
            "version": read_state(folder).version,
            "beside": beside.states(),
        },
        build=lambda: _panel_of(folder, beside, progress),
        progress=progress,
    )
    return replace(panel, label=f"{warning}{panel.label}")


def yahoo_source(
    folder: Path,
    *,
    names: Sequence[str] | None = None,
    former: Sequence[str] = (),
    indexed: bool = False,
    progress: Progress,
    today: date | None = None,
    fetch: Fetch | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> NamesSource:
    """Return the source that a market folder is updated from.

    Parameters
    ----------
    names : None takes the S&P 500 members of today; the names that the folder has are asked for
        in any case
    former : names to ask for once
    indexed : the names are the members of the index, not a person's choice
    today : the history begins five years before it, or where the folder begins
    """
    day = today or date.today()
    history = date(day.year - HISTORY_YEARS, day.month, min(day.day, 28))
    chosen = names is not None
    if names is None:
        names = [member.symbol for member in index_members(day)]
    return NamesSource(
        names=tuple(names),
        former=tuple(former),
        chosen=chosen and not indexed,
        history=_version(folder).first if has_version(folder) else history,
        scratch=folder / ".downloads",
        fetch=fetch or fetch_bars,
        progress=progress,
        wait=wait,
    )


def index_members(day: date) -> list[Member]:
    """Return the S&P 500 members on `day` by the tables that pitindex carries.

    Raises MarketError where pitindex is not installed.
    """
    return index_history(day, day)[0]


def index_history(first: date, last: date) -> tuple[list[Member], list[Membership]]:
    """Return the S&P 500 members on `last`, and every stay of a name between `first` and `last`.

    The stays of who still belongs have no last day. Raises MarketError where pitindex is not
    installed.
    """
    try:
        import pitindex
    except ImportError:
        raise MarketError(_INSTALL) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=pitindex.StaleDataWarning)
        now = pitindex.get_constituents(last).fillna("")
        history = pitindex.get_constituents_history(first, last)
    columns = (now["ticker"], now["gics_sector"], now["gics_sub_industry"])
    members = [Member(*map(str, row)) for row in zip(*columns, strict=True)]
    stays: list[Membership] = []
    since: dict[str, date] = {}
    for day, table in history.groupby("as_of", sort=True):
        changed = date.fromisoformat(str(day)[:10])
        there = set(table["ticker"].astype(str))
        for name in sorted(set(since) - there):
            stays.append(Membership(name, since.pop(name), changed - timedelta(days=1)))
        for name in there - set(since):
            since[name] = changed
    stays += [Membership(name, day) for name, day in sorted(since.items())]
    return members, stays


def _bring_up_to_date(
    folder: Path,
    last: date,
    moment: datetime,
    members: Sequence[Member] | None,
    progress: Progress,
    fetch: Fetch | None,
    wait: Callable[[float], None],
) -> None:
    stays: list[Membership] = []
    if members is None:
        first = date(last.year - HISTORY_YEARS, last.month, min(last.day, 28))
        if has_version(folder):
            first = _version(folder).first
        members, stays = index_history(first, last)
    names = [member.symbol for member in members]
    source = yahoo_source(
        folder,
        names=names,
        former=sorted({stay.symbol for stay in stays} - set(names)),
        indexed=True,
        progress=progress,
        today=last,
        fetch=fetch,
        wait=wait,
    )
    update_market(folder, source, exchange=NEW_YORK, now=moment)
    _write_if_new(_sectors_file(folder), _sectors_content(members))
    if stays:
        _write_if_new(folder / MEMBERS, members_content(stays))


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


def _sectors_content(members: Sequence[Member]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["symbol", "sector", "sub_industry"])
    writer.writerows((member.symbol, member.sector, member.sub_industry) for member in members)
    return text.getvalue().encode()


def _write_if_new(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        replace_file(path, content)


def _panel_of(folder: Path, beside: SideFiles, progress: Progress) -> Panel:
    bars = read_market_folder(folder)
    stays = read_members(beside.members) if beside.members else []
    return beside.panel(
        replace(bars, issues=(*bars.issues, *_lost(folder, bars, stays))),
        source="yfinance",
        name=f"S&P 500 members {'by day' if stays else 'of the last day'}, from Yahoo",
        progress=progress,
    )


def _lost(folder: Path, bars: Bars, stays: Sequence[Membership]) -> list[SeriesIssue]:
    """Name the members of which there is no bar."""
    with _sectors_file(folder).open(newline="", encoding="utf-8") as file:
        now = [row["symbol"] for row in csv.DictReader(file)]
    former = sorted({stay.symbol for stay in stays} - set(now))
    there = set(bars.symbols.tolist())
    return [
        SeriesIssue(symbol, "not-downloaded", f"Yahoo has no bars of this {what} of the index")
        for names, what in ((now, "member"), (former, "former member"))
        for symbol in names
        if symbol not in there
    ]


def _version(folder: Path) -> FolderVersion:
    return read_version(folder, read_state(folder).version)


def _sectors_file(folder: Path) -> Path:
    return folder / SECTORS


def _yahoo_name(symbol: str) -> str:
    return symbol.replace(".", "-")
