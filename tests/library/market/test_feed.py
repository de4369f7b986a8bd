"""The feed's chain: live, cache, historical, synthetic; nothing that is made up passes as real."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import feed_command
from alphafoundry.market.feed import (
    Chain,
    FeedBar,
    Link,
    SourceFailed,
    StaleData,
    historical_period,
    market_status,
    stale_days,
    usable,
)
from alphafoundry.market.feed_store import FILE, FeedStore

EASTERN = "America/New_York"


def at(text: str) -> datetime:
    """Return a moment of New York's clock."""
    return pd.Timestamp(text, tz=EASTERN).to_pydatetime()


@pytest.mark.parametrize(
    ("moment", "is_open", "change"),
    [
        ("2024-07-02 09:29", False, "2024-07-02 09:30"),
        ("2024-07-02 09:30", True, "2024-07-02 16:00"),
        ("2024-07-03 13:30", False, "2024-07-05 09:30"),  # closes at 13:00 before the holiday
        ("2024-07-06 12:00", False, "2024-07-08 09:30"),
        ("2024-03-08 16:00", False, "2024-03-11 09:30"),  # the clocks change in between
    ],
)
def test_market_status_knows_early_closes_weekends_and_the_change_of_clocks(
    moment: str, is_open: bool, change: str
) -> None:
    status = market_status(at(moment))
    assert (status.open, status.next_change) == (is_open, at(change))
    assert status.mode == ("LIVE" if is_open else "HISTORICAL")
    assert market_status(at(moment), force_historical=True).mode == "HISTORICAL"


def test_staleness_counts_trading_days() -> None:
    monday = at("2024-07-08 12:00")  # the 4th was a holiday
    assert stale_days(date(2024, 7, 5), monday) == 0
    assert stale_days(date(2024, 7, 3), monday) == 1
    assert stale_days(date(2024, 7, 2), monday) == 2


def test_a_historical_period_is_five_trading_days_by_seed() -> None:
    assert historical_period(1) == historical_period(1)
    assert len({historical_period(seed) for seed in range(20)}) > 10
    for seed in range(20):
        first, last = historical_period(seed)
        assert date(2022, 1, 1) <= first < last <= date(2023, 12, 31)
        assert 4 <= (last - first).days <= 8
    with pytest.raises(MarketError, match="no trading day"):
        historical_period(0, first=date(2022, 1, 1), last=date(2022, 1, 2))


def _bar(day: date) -> FeedBar:
    return FeedBar("A", day, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_the_chain_says_why_the_links_before_gave_nothing() -> None:
    slept: list[float] = []

    def fails(symbols: object) -> tuple[list[FeedBar], datetime]:
        raise SourceFailed("answered 429")

    now = datetime(2024, 7, 8, 16, tzinfo=UTC)
    chain = Chain(
        [
            Link("live", "there", fails, attempts=3),
            Link("cache", "here", lambda s: ([_bar(date(2024, 7, 3))], now)),
        ],
        clock=lambda: now,
        sleep=slept.append,
    )
    found = chain.fetch(["A"])
    assert slept == [1.0, 2.0]
    assert [(one.source, one.ok) for one in chain.attempts] == [("live", False)] * 3 + [
        ("cache", True)
    ]
    told = found.provenance.told()
    assert told.startswith("CACHE") and "1 trading days old" in told and "429" in told
    with pytest.raises(StaleData, match="1 trading days old, 0 allowed"):
        usable(found, max_staleness=0, allow_synthetic=True)


class Service:
    """A server with Alpaca's API that can be told to fail."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"", 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked += 1
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(service.body)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def gives(self, **closes: float) -> None:
        day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
        bars = {
            name: [{"t": f"{day}T05:00:00Z", "o": c, "h": c, "l": c, "c": c, "v": 10}]
            for name, c in closes.items()
        }
        self.status, self.body = 200, json.dumps({"bars": bars}).encode()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def collect(home: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    status = feed_command.main(["collect", "--home", str(home), *flags])
    out = capsys.readouterr()
    return status, out.out + out.err


def test_live_bars_are_kept_and_serve_when_the_source_fails(
    tmp_path: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_command.time, "sleep", lambda seconds: None)
    flags = ("--live", service.address, "--symbols", "AAPL,MSFT")
    service.gives(AAPL=10.0, MSFT=20.0)
    status, told = collect(tmp_path, capsys, *flags)
    assert status == 0 and "2 bars of 2 names: 127.0.0.1" in told and "SYNTHETIC" not in told
    asked = service.asked
    for body, code in ((b"Too Many Requests", 429), (b"", 200)):
        service.status, service.body = code, body
        status, told = collect(tmp_path, capsys, *flags)
        assert status == 0 and "CACHE" in told and "because live:" in told
    assert service.asked == asked + 3  # three attempts, then the circuit is open
    store = FeedStore(tmp_path / FILE)
    assert store.circuit_open(datetime.now(UTC))
    assert not store.circuit_open(datetime.now(UTC) + timedelta(minutes=20))
    service.gives(AAPL=11.0)
    assert "it rests" in collect(tmp_path, capsys, *flags)[1]
    # Turns during the rest are no calls: they do not make it longer.
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        live = "FROM data_fetches WHERE source = 'live'"
        assert connection.execute(f"SELECT count(*) {live}").fetchone()[0] == 4
        connection.execute(
            "UPDATE data_fetches SET at = ?",
            ((datetime.now(UTC) - timedelta(minutes=16)).isoformat(timespec="milliseconds"),),
        )
        connection.commit()
    told = collect(tmp_path, capsys, *flags)[1]
    assert "1 bars of 1 names (without MSFT): 127.0.0.1" in told


def test_a_login_in_an_address_is_not_told(
    tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.gives(AAPL=10.0)
    address = service.address.replace("://", "://me:secret-word@")
    told = collect(tmp_path, capsys, "--live", address, "--symbols", "AAPL")[1]
    assert "1 bars of 1 names: 127.0.0.1:" in told and "secret-word" not in told
    assert b"secret-word" not in (tmp_path / FILE).read_bytes()
    assert "secret-word" not in collect(tmp_path, capsys, "--live", "ftp://me:secret-word@x")[1]


def test_synthetic_bars_say_so_everywhere_and_can_be_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = collect(tmp_path, capsys, "--seed", "3")
    assert status == 0 and "SYNTHETIC calibration market" in told
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        rows = connection.execute("SELECT DISTINCT source FROM feed_bars").fetchall()
        assert rows == [("synthetic",)]
        performance = connection.execute(
            "SELECT performance_data FROM historical_sessions"
        ).fetchall()
        assert len(performance) == 1 and "SYNTHETIC" in performance[0][0]
    status, told = collect(tmp_path, capsys, "--no-synthetic")
    assert status == 2 and told.startswith("error: only synthetic bars")
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        count = connection.execute("SELECT count(*) FROM historical_sessions").fetchone()[0]
    assert count == 1


def test_real_history_is_told_as_history_and_force_leaves_live_alone(
    tmp_path: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = pd.bdate_range("2021-01-04", "2023-12-29")
    bars = pd.DataFrame(
        [
            {
                "date": day,
                "symbol": name,
                "close": 100.0 + n + k,
                "open": 100.0,
                "high": 130.0 + k,
                "low": 90.0,
                "volume": 1e6,
            }
            for n, name in enumerate(["AAPL", "MSFT", "SPY"])
            for k, day in enumerate(days)
        ]
    )
    bars["high"] = bars[["open", "close"]].max(axis=1)
    bars["low"] = bars[["open", "close"]].min(axis=1)
    bars.to_parquet(tmp_path / "bars.parquet")
    monkeypatch.setenv("FORCE_HISTORICAL_MODE", "true")
    monkeypatch.setenv("HISTORICAL_START_DATE", "2022-03-07")
    monkeypatch.setenv("HISTORICAL_END_DATE", "2022-03-11")
    monkeypatch.setenv("HISTORICAL_SYMBOLS", "AAPL,SPY")
    flags = ("--live", service.address, "--market", str(tmp_path / "bars.parquet"))
    status, told = collect(tmp_path, capsys, *flags)
    assert status == 0, told
    assert "10 bars of 2 names: HISTORICAL" in told and "as of 2022-03-11" in told
    assert service.asked == 0
    monkeypatch.setenv("HISTORICAL_START_DATE", "March")
    assert collect(tmp_path, capsys)[1].startswith("error: HISTORICAL_START_DATE: 'March'")


def test_a_feed_without_any_bars_is_an_error() -> None:
    chain = Chain([Link("live", "there", lambda symbols: ([], datetime.now(UTC)))])
    with pytest.raises(StaleData, match="live: no bars"):
        chain.fetch(["A"])


def test_staleness_is_that_of_the_name_furthest_behind() -> None:
    now = datetime(2024, 7, 8, 22, tzinfo=UTC)
    fresh = FeedBar("A", date(2024, 7, 8), 1.0, 1.0, 1.0, 1.0, 1.0)
    halted = FeedBar("B", date(2024, 7, 2), 1.0, 1.0, 1.0, 1.0, 1.0)
    found = Chain([Link("live", "there", lambda s: ([fresh, halted], now))], clock=lambda: now)
    assert found.fetch(["A", "B"]).provenance.stale_days == 3
