"""Tells people of alerts: a process of the supervisor's own, `alerts`, that needs no Prefect.

It follows `supervisor.db`, gathers what is new into one message and gives it to Apprise: mail,
chat, a webhook. Addresses hold passwords: no output, file or error here repeats one.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from alphafoundry.alert_addresses import open_addresses, send
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.supervisor import alerts, child, database, linux
from alphafoundry.supervisor.control import SupervisorError, folder_of
from alphafoundry.supervisor.processes import ProcessConfig
from alphafoundry.supervisor.reading import last_supervision, moment_of, reading
from alphafoundry.whole_file import replace_file

FILE = "alerts.json"
LOOK_SECONDS = 2.0
HEARTBEAT_SECONDS = 60.0
ALIVE_SECONDS = 60.0
"""A supervisor that has written nothing for so long is not well."""

FIRST_PAUSE = 30.0
LONGEST_PAUSE = 900.0
MOST_WAITING = 100
"""Messages that wait for an address that refuses; older ones are dropped."""

_EVENTS_AT_ONCE = 500


@dataclass
class Post:
    """A message on its way; `to` are the labels of the addresses that do not have it yet."""

    title: str
    body: str
    to: list[str]


@dataclass
class Postman:
    """Gives messages to addresses, each until it has them."""

    addresses: Mapping[str, Any]
    waiting: list[Post] = field(default_factory=list)
    pause: float = FIRST_PAUSE
    next_at: float = 0.0

    def add(self, message: alerts.Message) -> None:
        """Take a message for every address."""
        title = f"Alpha Foundry on {socket.gethostname()}: {message.title}"
        self.waiting.append(Post(title, message.body, list(self.addresses)))
        del self.waiting[:-MOST_WAITING]

    def deliver(self, now: float) -> None:
        """Send what waits, unless an address has just refused."""
        if not self.waiting or now < self.next_at:
            return
        refused: set[str] = set()
        for post in self.waiting:
            for label in list(post.to):
                if label not in self.addresses:
                    post.to.remove(label)
                elif label not in refused:
                    if send(self.addresses[label], post.title, post.body):
                        post.to.remove(label)
                    else:
                        refused.add(label)
                child.beat()
        self.waiting = [post for post in self.waiting if post.to]
        if refused:
            told = f"{len(self.waiting)} messages wait: {', '.join(sorted(refused))} refuses"
            _say(f"{told}; tried again in {self.pause:.0f} s")
            child.status(told)
            self.next_at, self.pause = now + self.pause, min(2 * self.pause, LONGEST_PAUSE)
        else:
            child.status("all told")
            self.pause, self.next_at = FIRST_PAUSE, 0.0


def sender_process(environment: Mapping[str, str]) -> list[ProcessConfig]:
    """Return the process that tells people; none where there is nobody to be told.

    Raises
    ------
    ConfigurationError : `config/alerts.yaml`, the file of addresses or an address is wrong
    """
    given = alerts.addresses(alerts.load_alerts(), environment)
    if not given and not environment.get(linux.HEARTBEAT):
        return []
    if given:
        open_addresses(given)
    return [
        ProcessConfig(
            name=alerts.NAME,
            module="alphafoundry.supervisor.alert_sender",
            priority=0,
            restart="always",
            notify=True,
            watchdog_seconds=300,
            stop_seconds=20,
            slow="none",
        )
    ]


def send_test(environment: Mapping[str, str]) -> list[str]:
    """Send every address a test; return a line for each.

    Raises
    ------
    ConfigurationError : there are no addresses, or one is wrong
    SupervisorError : one does not take it
    """
    given = alerts.addresses(alerts.load_alerts(), environment)
    if not given:
        raise ConfigurationError(
            f"nobody is told of alerts; set {linux.ALERTS} to an address of Apprise's, such as "
            f"mailtos://USER:PASSWORD@HOST, or `addresses` in {alerts.CONFIGURATION}"
        )
    title = f"Alpha Foundry on {socket.gethostname()}: a test"
    services = open_addresses(given)
    failed = [label for label, one in services.items() if not send(one, title, "Alerts arrive.")]
    if failed:
        raise SupervisorError(
            f"{', '.join(failed)}: refuses the test; look at user, password, host and network"
        )
    return [f"{label}: has taken the test" for label in services]


class Sender:
    """Follows the database of a home; `step` looks once."""

    def __init__(
        self,
        home: Path,
        settings: alerts.AlertSettings,
        services: Mapping[str, Any],
        *,
        heartbeat: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = home / database.FILE
        self._file = folder_of(home) / FILE
        self._settings = settings
        self._heartbeat = heartbeat
        self._clock = clock
        self._postman = Postman(services)
        self._known, self._postman.waiting = _read(self._file)
        self._gather_until: float | None = None
        self._beat_at = 0.0
        self._told_heartbeat = False
        self._written = ""

    def step(self, now: float) -> None:
        """Look at what is new, send what is due; `now` is of the monotonic clock."""
        with reading(self._path) as connection:
            self._look(connection, now)
            if self._heartbeat and now >= self._beat_at:
                self._beat_at = now + HEARTBEAT_SECONDS
                if self._is_well(connection):
                    self._send_heartbeat()
        self._write()
        self._postman.deliver(now)
        self._write()

    def _look(self, connection: sqlite3.Connection, now: float) -> None:
        moment = self._clock()
        if self._known is None:
            self._known = self._beginning(connection, moment)
        rows = connection.execute(
            "SELECT id, at, process, kind, severity, text FROM process_events WHERE id > ? "
            "ORDER BY id LIMIT ?",
            (self._known.seen, _EVENTS_AT_ONCE),
        ).fetchall()
        if any(row["severity"] == "alert" for row in rows) and self._gather_until is None:
            self._gather_until = now + self._settings.gather_seconds
        if self._gather_until is None or now >= self._gather_until:
            self._gather_until = None
            processes = connection.execute(
                "SELECT name, state, since, supervision FROM processes"
            ).fetchall()
            supervision = last_supervision(connection)["id"]
            self._known, message = alerts.news(
                self._known,
                rows,
                processes,
                now=moment,
                again=timedelta(hours=self._settings.again_hours),
                gone={row["name"] for row in processes if row["supervision"] != supervision},
            )
            if message is not None:
                self._postman.add(message)
        if alerts.digest_due(self._known, self._settings.digest, moment):
            self._known = replace(self._known, digest_on=moment.date().isoformat())
            self._postman.add(alerts.digest(connection, self._known, now=moment))

    def _beginning(self, connection: sqlite3.Connection, moment: datetime) -> alerts.Known:
        """Return what the first sender of a home knows: all before this supervision is old."""
        seen = connection.execute(
            "SELECT coalesce(max(id), 0) FROM process_events WHERE supervision != ?",
            (last_supervision(connection)["id"],),
        ).fetchone()[0]
        # The first digest comes when its time comes next.
        at = self._settings.digest
        passed = at is not None and moment.time() >= at
        return alerts.Known(seen, {}, moment.date().isoformat() if passed else "")

    def _is_well(self, connection: sqlite3.Connection) -> bool:
        row = connection.execute("SELECT max(at) AS at FROM machine_usage").fetchone()
        if row["at"] is None:
            return False
        return (self._clock() - moment_of(row["at"])).total_seconds() < ALIVE_SECONDS

    def _send_heartbeat(self) -> None:
        try:
            failed = httpx.get(self._heartbeat, timeout=10.0, follow_redirects=True).is_error
        except (httpx.HTTPError, httpx.InvalidURL):
            failed = True
        if failed and not self._told_heartbeat:
            _say(f"the address in {linux.HEARTBEAT} does not take the heartbeat")
        self._told_heartbeat = failed

    def _write(self) -> None:
        """Write down what is known, so that a sender that comes later tells nothing twice."""
        assert self._known is not None
        waiting = [asdict(post) for post in self._postman.waiting]
        text = json.dumps({"known": self._known.to_json(), "waiting": waiting})
        if text != self._written:
            replace_file(self._file, text.encode())
            self._file.chmod(0o600)
            self._written = text


def _read(path: Path) -> tuple[alerts.Known | None, list[Post]]:
    """Return what an earlier sender has written down: what it knew, and what waits."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return alerts.Known.from_json(found["known"]), [Post(**one) for one in found["waiting"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None, []


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Send until the supervisor asks to stop; return the exit status."""
    child.obey()
    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    try:
        settings = alerts.load_alerts()
        services = open_addresses(alerts.addresses(settings, os.environ))
        sender = Sender(home, settings, services, heartbeat=os.environ.get(linux.HEARTBEAT, ""))
        logging.getLogger("httpx").setLevel(logging.CRITICAL)
        child.ready()
        while not child.should_stop(LOOK_SECONDS):
            child.beat()
            sender.step(time.monotonic())
        # What was gathered goes out before the end, whatever an address has refused lately.
        sender.step(time.monotonic() + 3600)
    except FoundryError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
