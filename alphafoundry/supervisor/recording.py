"""Turns what happens into rows of `supervisor.db` and into lines for the terminal."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from alphafoundry.supervisor.database import Statement, Writer, stamp
from alphafoundry.supervisor.health import Health
from alphafoundry.supervisor.processes import ProcessConfig
from alphafoundry.supervisor.sampling import Level, MachineUsage, Usage
from alphafoundry.supervisor.states import Severity, Standing
from alphafoundry.supervisor.worker_runs import RunUsage


def wall(moment: float) -> str:
    """Return a moment of the monotonic clock as text."""
    return stamp(datetime.now(UTC) + timedelta(seconds=moment - time.monotonic()))


class Recorder:
    """The journal of a supervision: rows, and a line per event on standard output."""

    def __init__(self, writer: Writer, supervision: str, commit: str) -> None:
        self._writer = writer
        self._id = supervision
        self._commit = commit or None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._printer = threading.Thread(target=self._print, name="printer", daemon=True)
        self._printer.start()
        self._samples: list[Statement] = []
        self._runs_lived = True  # an earlier core may have left some
        self.waits_for: Callable[[str], str | None] = lambda name: None
        self.pid_of: Callable[[str], int | None] = lambda name: None

    def tell(self, name: str, kind: str, text: str, severity: Severity, now: float) -> None:
        """Record one event, and print it."""
        at = wall(now)
        self._writer.put(
            [
                (
                    "INSERT INTO process_events (supervision, process, at, kind, severity, text) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (self._id, name, at, kind, severity, text),
                )
            ]
        )
        sign = {"info": " ", "warning": "!", "alert": "!!"}[severity]
        self.say(f"{at[11:19]} {sign:<2} {name or 'supervisor':<14} {text}")

    def say(self, line: str) -> None:
        """Print a line; never waits for the terminal."""
        self._lines.put(line)

    def _print(self) -> None:
        for line in iter(self._lines.get, None):
            try:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
            except (OSError, ValueError):
                return

    def changed(self, config: ProcessConfig, before: Standing, after: Standing) -> None:
        """Record where a process stands, and the life that has begun or ended."""
        self._writer.put(self.standing_rows(config, after))

    def standing_rows(self, config: ProcessConfig, standing: Standing) -> list[Statement]:
        """Return what records a standing."""
        values = {
            "name": config.name,
            "supervision": self._id,
            "priority": config.priority,
            "state": standing.state,
            "desired": standing.desired,
            "since": wall(standing.since),
            "next_at": None if standing.until is None else wall(standing.until),
            "pid": self.pid_of(config.name) if standing.alive else None,
            "life": standing.life,
            "turns": standing.turns,
            "skipped": standing.skipped,
            "restarts": len(standing.restarts),
            "max_restarts": config.max_restarts,
            "cause": standing.cause,
            "why": standing.why,
            "waits_for": self.waits_for(config.name),
            "git_commit": self._commit,
            "standing": json.dumps(asdict(standing)),
        }
        columns = ", ".join(values)
        updates = ", ".join(f"{one} = excluded.{one}" for one in values)
        marks = ", ".join("?" for _ in values)
        statement = (
            f"INSERT INTO processes ({columns}) VALUES ({marks}) "
            f"ON CONFLICT (name) DO UPDATE SET {updates}"
        )
        rows: list[Statement] = [(statement, list(values.values()))]
        if not standing.alive:
            idle = "UPDATE processes SET cpu_percent = NULL, rss = NULL, health = NULL, "
            idle += "mendable = NULL, factors = NULL WHERE name = ?"
            rows.append((idle, [config.name]))
        return rows

    def put(
        self,
        rows: Sequence[Statement],
        then: Callable[[], object] | None = None,
        otherwise: Callable[[], object] | None = None,
    ) -> None:
        """Write rows; `then` is called when they are committed, `otherwise` if they cannot be."""
        self._writer.put(rows, then=then, otherwise=otherwise)

    def begun(self, name: str, life: int, pid: int, started: float) -> None:
        """Record the start of a life."""
        row = (
            "INSERT OR IGNORE INTO process_runs "
            "(supervision, process, life, pid, started_at, git_commit) VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._writer.put([(row, (self._id, name, life, pid, wall(started), self._commit))])

    def flow_run(self, name: str, life: int, run: UUID) -> None:
        """Record which flow run of Prefect a life is."""
        row = (
            "UPDATE process_runs SET flow_run = ? WHERE supervision = ? AND process = ? "
            "AND life = ?"
        )
        self._writer.put([(row, (str(run), self._id, name, life))])

    def ended(
        self,
        name: str,
        standing: Standing,
        *,
        life: int,
        code: int | None,
        number: int | None,
        seconds: float,
        cpu: float,
        peak: int,
        size: int,
        not_stored: int,
    ) -> None:
        """Record the end of a life."""
        row = (
            "UPDATE process_runs SET ended_at = ?, cause = ?, code = ?, signal = ?, seconds = ?, "
            "cpu_seconds = ?, peak_bytes = ?, output_bytes = ?, lines_not_stored = ? "
            "WHERE supervision = ? AND process = ? AND life = ?"
        )
        values = (
            stamp(datetime.now(UTC)),
            standing.cause,
            code,
            number,
            round(seconds, 3),
            round(cpu, 3),
            peak,
            size,
            not_stored,
            self._id,
            name,
            life,
        )
        self._writer.put([(row, values)])

    def error(
        self,
        name: str,
        life: int,
        stream: str,
        *,
        fingerprint: str,
        sample: str,
        context: str,
        count: int,
    ) -> None:
        """Record an error, or count one that is known."""
        at = stamp(datetime.now(UTC))
        row = (
            "INSERT INTO process_errors (process, fingerprint, supervision, life, stream, count, "
            "first_at, last_at, sample, context) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (process, fingerprint) DO UPDATE SET count = count + excluded.count, "
            "last_at = excluded.last_at, supervision = excluded.supervision, "
            "life = excluded.life, sample = excluded.sample, context = excluded.context"
        )
        values = (name, fingerprint, self._id, life, stream, count, at, at, sample, context)
        self._writer.put([(row, values)])

    def lines(self, name: str, life: int, stream: str, lines: Sequence[str]) -> None:
        """Record lines of output."""
        at = stamp(datetime.now(UTC))
        row = (
            "INSERT INTO process_output (supervision, process, life, at, stream, line) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._writer.put([(row, (self._id, name, life, at, stream, line)) for line in lines])

    def sample(self, name: str, usage: Usage, found: Health | None, at: str) -> None:
        """Keep a sample for the next `flush_samples`."""
        score = None if found is None or found.score is None else round(found.score, 4)
        row = "INSERT OR REPLACE INTO resource_usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        cpu = round(usage.cpu_percent, 2)
        values = (name, at, cpu, usage.rss, usage.open_files, usage.threads, usage.processes, score)
        self._samples.append((row, values))
        factors = (
            None
            if found is None
            else json.dumps({k: round(v, 4) for k, v in found.factors.items()})
        )
        mendable = None if found is None or found.mendable is None else round(found.mendable, 4)
        update = (
            "UPDATE processes SET cpu_percent = ?, rss = ?, health = ?, mendable = ?, factors = ? "
            "WHERE name = ?"
        )
        self._samples.append((update, (cpu, usage.rss, score, mendable, factors, name)))

    def flow_runs(self, found: Sequence[RunUsage], at: str) -> None:
        """Keep what the flow runs of the worker use; those that are not among them have ended."""
        row = (
            "INSERT INTO flow_runs (flow_run, supervision, pid, started_at, seen_at, cpu_percent, "
            "rss, peak_rss) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (flow_run) DO UPDATE SET "
            "pid = excluded.pid, seen_at = excluded.seen_at, ended_at = NULL, "
            "cpu_percent = excluded.cpu_percent, rss = excluded.rss, "
            "peak_rss = max(peak_rss, excluded.peak_rss)"
        )
        for one in found:
            cpu, rss = round(one.usage.cpu_percent, 2), one.usage.rss
            values = (one.flow_run, self._id, one.pid, at, at, cpu, rss, rss)
            self._samples.append((row, values))
        if found or self._runs_lived:
            over = "UPDATE flow_runs SET ended_at = ? WHERE ended_at IS NULL AND seen_at < ?"
            self._samples.append((over, (at, at)))
        self._runs_lived = bool(found)

    def machine(self, usage: MachineUsage, level: Level, at: str) -> None:
        """Keep a sample of the machine."""
        row = "INSERT OR REPLACE INTO machine_usage VALUES (?, ?, ?, ?, ?)"
        values = (at, round(usage.memory_percent, 2), usage.load, usage.disk_free, level)
        self._samples.append((row, values))

    def flush_samples(self) -> None:
        """Write the samples that were kept, in one transaction."""
        rows, self._samples = self._samples, []
        if rows:
            self._writer.put(rows)

    def waiting(self, name: str, what: str | None) -> None:
        """Record what a process waits for."""
        self._writer.put([("UPDATE processes SET waits_for = ? WHERE name = ?", (what, name))])

    def status(self, name: str, text: str) -> None:
        """Record what a process says of itself."""
        self._writer.put([("UPDATE processes SET status = ? WHERE name = ?", (text, name))])

    def close(self) -> None:
        """Print what waits."""
        self._lines.put(None)
        self._printer.join(2.0)
