"""One turn of the feed: `python -m alphafoundry.market.feed_command status` or `collect`.

Programs that end by themselves; the supervisor begins them again and again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from alphafoundry.errors import FoundryError, MarketError, os_error_in_one_line
from alphafoundry.market.feed import (
    ATTEMPTS,
    CALLS_A_MINUTE,
    Chain,
    Feed,
    FeedBar,
    Fetch,
    Link,
    SourceFailed,
    historical_period,
    market_status,
    usable,
)
from alphafoundry.market.feed_sources import alpaca_bars, market_bars, yfinance_bars
from alphafoundry.market.feed_store import FILE, FeedStore

EXIT_ERROR = 2
SYMBOLS = ("AAPL", "MSFT", "GOOGL", "AMZN", "NVDA", "SPY")
CALIBRATION = "calibration"
_TRUE = ("1", "true", "yes", "on")


def main(words: Sequence[str] | None = None) -> int:
    """Do one turn; return the exit status."""
    given = _parser().parse_args(words)
    try:
        told = (_status if given.what == "status" else _collect)(given, os.environ)
        sys.stdout.write(f"{told}\n")
    except FoundryError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return EXIT_ERROR
    except OSError as problem:
        sys.stderr.write(f"error: {os_error_in_one_line(problem)}\n")
        return EXIT_ERROR
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alphafoundry.market.feed_command",
        description="One turn of the market feed. HISTORICAL_MODE or FORCE_HISTORICAL_MODE=true "
        "leave live sources alone; HISTORICAL_START_DATE, HISTORICAL_END_DATE and "
        "HISTORICAL_SYMBOLS choose what is taken instead.",
        allow_abbrev=False,
    )
    parser.add_argument("what", choices=["status", "collect"])
    parser.add_argument(
        "--home", type=Path, default=Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    )
    parser.add_argument(
        "--live",
        default="none",
        help="none, yfinance, or the http(s) address of a server with Alpaca's data API "
        "(default: %(default)s)",
    )
    parser.add_argument("--symbols", default=",".join(SYMBOLS), metavar="A,B")
    parser.add_argument(
        "--market",
        default=CALIBRATION,
        metavar="NAME|FILE",
        help="where history is taken from; calibration is synthetic (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the historical period")
    parser.add_argument(
        "--max-staleness", type=int, metavar="DAYS", help="fail rather than take older bars"
    )
    parser.add_argument(
        "--no-synthetic", action="store_true", help="fail rather than take generated prices"
    )
    return parser


def _forced(environment: Mapping[str, str]) -> bool:
    return any(
        environment.get(name, "").lower() in _TRUE
        for name in ("HISTORICAL_MODE", "FORCE_HISTORICAL_MODE")
    )


def _status(given: argparse.Namespace, environment: Mapping[str, str]) -> str:
    status = market_status(datetime.now(UTC), force_historical=_forced(environment))
    FeedStore(given.home / FILE).note_status(status)
    return status.told()


def _day(environment: Mapping[str, str], name: str) -> date | None:
    text = environment.get(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise MarketError(f"{name}: {text!r} is not a day; write 2022-03-07") from None


def _collect(given: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """Fetch bars along the chain, keep them, and say where they are from."""
    now = datetime.now(UTC)
    store = FeedStore(given.home / FILE)
    names = environment.get("HISTORICAL_SYMBOLS") or given.symbols
    symbols = [name.strip() for name in names.split(",") if name.strip()]
    forced = _forced(environment)
    period = historical_period(
        given.seed,
        first=_day(environment, "HISTORICAL_START_DATE"),
        last=_day(environment, "HISTORICAL_END_DATE"),
    )
    chain = Chain(_links(given, store, period, forced=forced, now=now), sleep=time.sleep)
    try:
        feed = chain.fetch(symbols)
    finally:
        store.note_attempts(chain.attempts)
    usable(feed, max_staleness=given.max_staleness, allow_synthetic=not given.no_synthetic)
    store.keep(feed)
    if feed.provenance.source in ("historical", "synthetic"):
        mode = market_status(now, force_historical=forced).mode
        store.note_history(feed, mode, *period)
    return _told(feed, symbols)


def _told(feed: Feed, symbols: Sequence[str]) -> str:
    """Return what there is and where it is from; real bars that lack a name say which."""
    names = {bar.symbol for bar in feed.bars}
    missing = [name for name in symbols if name not in names]
    lacks = missing and feed.provenance.source != "synthetic"
    without = f" (without {', '.join(missing)})" if lacks else ""
    return f"{len(feed.bars)} bars of {len(names)} names{without}: {feed.provenance.told()}"


def _links(
    given: argparse.Namespace,
    store: FeedStore,
    period: tuple[date, date],
    *,
    forced: bool,
    now: datetime,
) -> list[Link]:
    links: list[Link] = []
    if given.live != "none" and not forced:
        links.append(
            Link("live", _live_label(given.live), _live(given.live, store, now), attempts=ATTEMPTS)
        )
        links.append(Link("cache", _live_label(given.live), store.cached))
    loaded: dict[str, tuple[list[FeedBar], datetime, bool, str]] = {}

    def load(market: str, symbols: Sequence[str]) -> tuple[list[FeedBar], datetime, bool, str]:
        if market not in loaded:
            loaded[market] = market_bars(market, symbols, *period, cache_dir=given.home / "cache")
        return loaded[market]

    def historical(symbols: Sequence[str]) -> tuple[list[FeedBar], datetime]:
        bars, moment, synthetic, label = load(given.market, symbols)
        if synthetic:
            raise SourceFailed(f"{label.split(':')[0]} is generated", transient=False)
        return bars, moment

    def synthetic(symbols: Sequence[str]) -> tuple[list[FeedBar], datetime]:
        bars, moment, _, _ = load(CALIBRATION, symbols)
        return bars, moment

    span = f"{period[0]} to {period[1]}"
    if given.market != CALIBRATION:
        links.append(Link("historical", f"{given.market} {span}", historical))
    links.append(Link("synthetic", f"SYNTHETIC calibration market {span}", synthetic))
    return links


def _live_label(live: str) -> str:
    """Return what a source is called: of an address its host, without user and password."""
    return urllib.parse.urlsplit(live).netloc.rpartition("@")[2] or live


def _live(live: str, store: FeedStore, now: datetime) -> Fetch:
    if live != "yfinance" and not live.startswith(("http://", "https://")):
        raise MarketError(f"--live {_live_label(live)}: write none, yfinance or an http(s) address")

    def fetch(symbols: Sequence[str]) -> tuple[list[FeedBar], datetime]:
        wanted = store.without_unknown(symbols, now)
        if not wanted:
            raise SourceFailed("every name was refused within a day", transient=False, asked=False)
        if store.circuit_open(now):
            raise SourceFailed(
                "it failed three times in a row; it rests", transient=False, asked=False
            )
        if store.calls_since(now - timedelta(minutes=1)) >= CALLS_A_MINUTE:
            raise SourceFailed(
                f"{CALLS_A_MINUTE} calls within a minute", transient=False, asked=False
            )
        moment = datetime.now(UTC)
        try:
            if live == "yfinance":
                return yfinance_bars(wanted, now=moment)
            return alpaca_bars(live.rstrip("/"), wanted, now=moment)
        except SourceFailed as problem:
            store.note_unknown(problem.unknown, moment)
            raise

    return fetch


if __name__ == "__main__":
    sys.exit(main())
