"""What every page shows at its edge: what changed, what needs a person, how real the data is."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from alphafoundry.dashboard.sources import NothingYet, Sources
from alphafoundry.errors import FoundryError
from alphafoundry.market.calendar import exchange_holidays
from alphafoundry.store import RunRow
from alphafoundry.store.agent_tables import AgentAlertRow
from alphafoundry.supervisor.control import is_running
from alphafoundry.supervisor.reading import moment_of

FRESH_SECONDS = 1.5
REREAD_SECONDS = 15.0
"""What time alone changes is looked at as often: a supervisor that was killed writes nothing."""

STALE_DAYS = 3
"""Trading days after which data counts as old."""

NEWS = timedelta(hours=24)
MOST_NEEDS = 12


@dataclass(frozen=True)
class Need:
    """Something that a person should look at."""

    at: datetime
    who: str
    text: str
    link: str


@dataclass(frozen=True)
class Facts:
    """One look.

    Attributes
    ----------
    marker : changes when the store or the supervisor's database does, "STORE.PROCESSES"
    market : label of the newest market that a run worked on; "" before the first run
    data_to : last day of its data
    old : trading days since then; None for generated prices
    generated : label of the newest generated market, where the newest of all is a real one
    running : runs under way
    supervised : whether a supervisor runs; None where none ever did
    processes : state of processes to how many
    needs : what a person should look at, the newest first
    """

    marker: str
    market: str = ""
    data_to: date | None = None
    old: int | None = None
    generated: str = ""
    running: int = 0
    supervised: bool | None = None
    processes: dict[str, int] = field(default_factory=dict)
    needs: Sequence[Need] = ()

    @property
    def synthetic(self) -> bool:
        """Whether the newest data was generated."""
        return self.market.startswith("SYNTHETIC")

    @property
    def stale(self) -> bool:
        """Whether real data is older than a few trading days."""
        return self.old is not None and self.old > STALE_DAYS


class FactsKeeper:
    """Looks at most every 1.5 s, whoever and however many ask."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._at = self._read_at = -1e9
        self._facts = Facts("")
        self._watched: dict[str, sqlite3.Connection] = {}
        # Numbers of versions begin anew with each server; a page of the last one must not take
        # those of this one for its own.
        self._life = secrets.token_hex(4)

    def look(self) -> Facts:
        """Return a look that is a moment old at most."""
        with self._lock:
            if time.monotonic() - self._at > FRESH_SECONDS:
                self._facts = self._read()
                self._at = time.monotonic()
            return self._facts

    def close(self) -> None:
        """Close what is watched."""
        with self._lock:
            for connection in self._watched.values():
                connection.close()
            self._watched.clear()

    def _read(self) -> Facts:
        versions = (self._store_version(), self._version("supervisor"))
        marker = ".".join(f"{self._life}-{version}" for version in versions)
        if marker == self._facts.marker and time.monotonic() - self._read_at < REREAD_SECONDS:
            return self._facts
        self._read_at = time.monotonic()
        now = self._sources.now()
        running = select(func.count()).select_from(RunRow).where(RunRow.status == "running")
        newest = (
            select(RunRow.market_label, RunRow.data_until, RunRow.sealed_to)
            .where(RunRow.market_label.is_not(None))
            .order_by(RunRow.id.desc())
            .limit(1)
        )
        generated = (
            select(RunRow.market_label)
            .where(RunRow.market_label.startswith("SYNTHETIC"))
            .order_by(RunRow.id.desc())
            .limit(1)
        )
        with self._sources.connect("store") as connection:
            found = connection.execute(
                newest.add_columns(
                    running.scalar_subquery().label("running"),
                    generated.scalar_subquery().label("generated"),
                )
            ).one_or_none()
            needs = self._needs_of_store(connection, now)
        label = (found.market_label or "") if found else ""
        last = None
        if found:
            days = [one for one in (found.data_until, found.sealed_to) if one is not None]
            last = max(days) if days else None
        supervised, processes, alerts = self._supervisor(now)
        real = not label.startswith("SYNTHETIC")
        return Facts(
            marker=marker,
            market=label,
            data_to=last,
            old=trading_days_since(last, now.date()) if real and last else None,
            generated=(found.generated or "") if found and real else "",
            running=found.running if found else 0,
            supervised=supervised,
            processes=processes,
            needs=sorted([*needs, *alerts], key=lambda one: one.at, reverse=True)[:MOST_NEEDS],
        )

    def _needs_of_store(self, connection: Connection, now: datetime) -> list[Need]:
        failed = connection.execute(
            select(RunRow.id, RunRow.flow, RunRow.finished_at)
            .where(RunRow.status == "failed", RunRow.finished_at > now - NEWS)
            .order_by(RunRow.id.desc())
            .limit(MOST_NEEDS)
        )
        needs = [
            Need(row.finished_at, f"run {row.id}", f"{row.flow} failed", f"/runs/{row.id}")
            for row in failed
        ]
        alerts = connection.execute(
            select(AgentAlertRow.at, AgentAlertRow.desk, AgentAlertRow.key, AgentAlertRow.text)
            .where(AgentAlertRow.resolved_at.is_(None))
            .order_by(AgentAlertRow.id.desc())
            .limit(MOST_NEEDS)
        )
        return needs + [
            Need(row.at, f"desk {row.desk}", f"{row.key}: {row.text}", "/agents") for row in alerts
        ]

    def _supervisor(self, now: datetime) -> tuple[bool | None, dict[str, int], list[Need]]:
        try:
            with self._sources.connect("supervisor") as connection:
                rows = connection.execute(
                    text(
                        "SELECT p.name, p.state, p.since, p.why, p.restarts, e.at, e.kind, e.text "
                        "FROM processes p "
                        "LEFT JOIN (SELECT process, max(id) AS id FROM process_events "
                        "WHERE severity = 'alert' GROUP BY process) newest "
                        "ON newest.process = p.name "
                        "LEFT JOIN process_events e ON e.id = newest.id "
                        "WHERE p.supervision = "
                        "(SELECT id FROM supervisions ORDER BY started_at DESC, rowid DESC LIMIT 1)"
                    )
                ).all()
        except (NothingYet, FoundryError):
            return None, {}, []
        states: dict[str, int] = {}
        needs = []
        alive = is_running(self._sources.home)
        for name, state, since, why, restarts, at, kind, told in rows:
            states[state] = states.get(state, 0) + 1
            well = state in ("running", "sleeping", "finished")
            lasts = kind in ("quarantined", "crash_loop") and not well
            if alive and at is not None and (lasts or now - moment_of(at) < NEWS / 24):
                needs.append(Need(moment_of(at), name, told, f"/processes/{name}"))
            elif alive and state == "backing off":
                line = f"waits to start again: {why or 'it ended'}, {restarts} restarts"
                needs.append(Need(moment_of(since), name, line, f"/processes/{name}"))
        return alive, states, needs

    def _store_version(self) -> int:
        """Return a number that changes with each commit."""
        engine = self._sources.store.engine
        if engine.dialect.name == "sqlite":
            return self._version("store", engine.url.database)
        with engine.connect() as connection:
            found = connection.execute(
                text("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables")
            ).scalar()
        return int(found or 0)

    def _version(self, name: str, file: str | None = None) -> int:
        """Return SQLite's own number, which one connection sees change with others' commits."""
        path = file or str(self._sources.supervisor)
        try:
            if name not in self._watched:
                self._watched[name] = sqlite3.connect(
                    f"file:{path}?mode=ro", uri=True, check_same_thread=False, timeout=1.0
                )
            return int(self._watched[name].execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            with contextlib.suppress(KeyError):
                self._watched.pop(name).close()
            return 0


def trading_days_since(last: date, today: date) -> int:
    """Return how many trading days of New York lie after one day, up to another."""
    if last >= today:
        return 0
    closed = [day for year in range(last.year, today.year + 1) for day in exchange_holidays(year)]
    day = timedelta(days=1)
    return int(np.busday_count(last + day, today + day, holidays=np.array(closed, "datetime64[D]")))
