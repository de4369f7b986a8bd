"""What the feed remembers: `feed.db`, a small SQLite file that its programs share."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from alphafoundry.errors import MarketError
from alphafoundry.market.feed import (
    CIRCUIT_FAILURES,
    CIRCUIT_REST,
    REST_OF_FAILED,
    Attempt,
    Feed,
    FeedBar,
    MarketStatus,
    SourceFailed,
)

FILE = "feed.db"
WAIT = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS market_status (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, open INTEGER NOT NULL, mode TEXT NOT NULL,
    next_change TEXT NOT NULL, half_day INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS historical_sessions (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, mode TEXT NOT NULL, period_start TEXT NOT NULL,
    period_end TEXT NOT NULL, symbols TEXT NOT NULL, performance_data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS data_fetches (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, source TEXT NOT NULL, label TEXT NOT NULL,
    ok INTEGER NOT NULL, bars INTEGER NOT NULL, why TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS feed_bars (
    symbol TEXT NOT NULL, day TEXT NOT NULL, source TEXT NOT NULL, open REAL, high REAL, low REAL,
    close REAL, volume REAL, fetched_at TEXT NOT NULL, PRIMARY KEY (source, symbol, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed_names (name TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;
"""


class FeedStore:
    """The open file; each method is one transaction."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with (
                contextlib.closing(sqlite3.connect(self._path, timeout=WAIT)) as connection,
                connection,
            ):
                yield connection
        except sqlite3.Error as problem:
            raise MarketError(f"{self._path}: {problem}") from None

    def note_status(self, status: MarketStatus) -> None:
        """Record whether the market is open."""
        with self._open() as connection:
            connection.execute(
                "INSERT INTO market_status (at, open, mode, next_change, half_day) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    _text(status.at),
                    status.open,
                    status.mode,
                    _text(status.next_change),
                    status.half_day,
                ),
            )

    def note_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record every call of a source, failed ones too."""
        with self._open() as connection:
            connection.executemany(
                "INSERT INTO data_fetches (at, source, label, ok, bars, why) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (_text(one.at), one.source, one.label, one.ok, one.bars, one.why[:500])
                    for one in attempts
                ],
            )

    def keep(self, feed: Feed) -> None:
        """Keep bars under their source; those of the cache are there already."""
        told = feed.provenance
        if told.source == "cache":
            return
        with self._open() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO feed_bars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        bar.symbol,
                        bar.day.isoformat(),
                        told.source,
                        bar.open,
                        bar.high,
                        bar.low,
                        bar.close,
                        bar.volume,
                        _text(told.fetched_at),
                    )
                    for bar in feed.bars
                ],
            )

    def note_history(self, feed: Feed, mode: str, first: date, last: date) -> None:
        """Record a session of historical bars with what they did."""
        closes: dict[str, list[float]] = {}
        for bar in sorted(feed.bars, key=lambda one: one.day):
            closes.setdefault(bar.symbol, []).append(bar.close)
        returns = {name: round(prices[-1] / prices[0] - 1, 6) for name, prices in closes.items()}
        performance = {"source": feed.provenance.told(), "returns": returns}
        with self._open() as connection:
            connection.execute(
                "INSERT INTO historical_sessions "
                "(at, mode, period_start, period_end, symbols, performance_data) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    _text(datetime.now(UTC)),
                    mode,
                    first.isoformat(),
                    last.isoformat(),
                    ",".join(sorted(closes)),
                    json.dumps(performance),
                ),
            )

    def cached(self, symbols: Sequence[str]) -> tuple[list[FeedBar], datetime]:
        """Return the live bars that were kept for names: the last five days of each.

        Raises
        ------
        SourceFailed : there are none
        """
        found: list[FeedBar] = []
        moments: list[str] = []
        with self._open() as connection:
            for name in symbols:
                for row in connection.execute(
                    "SELECT symbol, day, open, high, low, close, volume, fetched_at FROM feed_bars "
                    "WHERE source = 'live' AND symbol = ? ORDER BY day DESC LIMIT 5",
                    (name,),
                ):
                    found.append(FeedBar(row[0], date.fromisoformat(row[1]), *row[2:7]))
                    moments.append(row[7])
        if not found:
            raise SourceFailed("nothing was kept from earlier", transient=False)
        return found, datetime.fromisoformat(max(moments))

    def note_unknown(self, names: Sequence[str], now: datetime) -> None:
        """Leave names alone for a day."""
        with self._open() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO failed_names VALUES (?, ?)",
                [(name, _text(now)) for name in names],
            )

    def without_unknown(self, symbols: Sequence[str], now: datetime) -> list[str]:
        """Return the names that no source has refused within a day."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT name FROM failed_names WHERE at > ?", (_text(now - REST_OF_FAILED),)
            ).fetchall()
        failed = {row[0] for row in rows}
        return [name for name in symbols if name not in failed]

    def circuit_open(self, now: datetime) -> bool:
        """Return whether the live source has failed too often just now to be asked again."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT ok, at FROM data_fetches WHERE source = 'live' ORDER BY id DESC LIMIT ?",
                (CIRCUIT_FAILURES,),
            ).fetchall()
        failed = len(rows) == CIRCUIT_FAILURES and not any(row[0] for row in rows)
        return failed and rows[0][1] > _text(now - CIRCUIT_REST)

    def calls_since(self, moment: datetime) -> int:
        """Return how often the live source was called since a moment."""
        with self._open() as connection:
            count: int = connection.execute(
                "SELECT count(*) FROM data_fetches WHERE source = 'live' AND at > ?",
                (_text(moment),),
            ).fetchone()[0]
        return count


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
