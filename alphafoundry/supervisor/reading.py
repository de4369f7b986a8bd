"""What `supervisor.db` says, for people: read while a supervisor runs, and after it has ended."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alphafoundry.supervisor import database
from alphafoundry.supervisor.control import SupervisorError
from alphafoundry.supervisor.fingerprints import advice

Row = sqlite3.Row
SPARKS = "▁▂▃▄▅▆▇█"
NEWS = timedelta(hours=1)
"""How long an alert is shown that nothing takes back."""

WELL = ("running", "sleeping", "finished")
"""States of a process that needs nobody."""

UNTIL_WELL = ("quarantined", "crash_loop")
"""Kinds of alerts that last until their process is well again."""

MEANT = ("", "turn", "finished", "end", "asked", "person", "machine", "paused")
"""Causes of the end of a life that is no unasked restart."""

_SPARKS_SHOWN = 12


@dataclass(frozen=True)
class Status:
    """One look at a supervision.

    Attributes
    ----------
    supervision : its row
    processes : rows of its processes, by priority
    machine : the last row about the machine
    needs_you : the last alert of each process that is not well again, or that is new
    errors : process to its last error
    memory : process to its last samples of memory, ascending
    flow_runs : rows of the flow runs that live below the worker
    """

    supervision: Row
    processes: Sequence[Row]
    machine: Row | None
    needs_you: Sequence[Row]
    errors: dict[str, str]
    memory: dict[str, list[int]]
    flow_runs: Sequence[Row]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database to read.

    Raises
    ------
    SupervisorError : nothing was supervised yet, or the file cannot be read
    """
    try:
        with contextlib.closing(database.open_for_reading(path)) as connection:
            yield connection
    except FileNotFoundError:
        raise SupervisorError(
            f"{path}: nothing has been supervised here yet; start `python -m flows.supervise`"
        ) from None
    except sqlite3.Error as problem:
        raise SupervisorError(f"{path}: {problem}") from None


def last_supervision(connection: sqlite3.Connection) -> Row:
    """Return the row of the newest supervision."""
    row: Row | None = connection.execute(
        "SELECT * FROM supervisions ORDER BY started_at DESC, rowid DESC LIMIT 1"
    ).fetchone()
    if row is None:
        raise SupervisorError("nothing has been supervised here yet")
    return row


def read_status(path: Path) -> Status:
    """Return where everything stands."""
    with reading(path) as connection:
        supervision = last_supervision(connection)
        rows = connection.execute(
            "SELECT * FROM processes WHERE supervision = ? ORDER BY priority, name",
            (supervision["id"],),
        ).fetchall()
        alerts = connection.execute(
            "SELECT at, process, kind, text, max(id) FROM process_events "
            "WHERE supervision = ? AND severity = 'alert' GROUP BY process ORDER BY at",
            (supervision["id"],),
        ).fetchall()
        well = {row["name"] for row in rows if row["state"] in WELL}
        errors = connection.execute(
            "SELECT process, sample, max(last_at) FROM process_errors WHERE supervision = ? "
            "GROUP BY process",
            (supervision["id"],),
        )
        return Status(
            supervision=supervision,
            processes=rows,
            machine=connection.execute(
                "SELECT * FROM machine_usage ORDER BY at DESC LIMIT 1"
            ).fetchone(),
            needs_you=[row for row in alerts if _lasts(row, well)],
            errors={row["process"]: row["sample"] for row in errors},
            flow_runs=connection.execute(
                "SELECT * FROM flow_runs WHERE supervision = ? AND ended_at IS NULL "
                "ORDER BY started_at",
                (supervision["id"],),
            ).fetchall(),
            memory={row["name"]: _memory(connection, row["name"]) for row in rows},
        )


def _lasts(alert: Row, well: set[str]) -> bool:
    """Return whether an alert still is one: its process is not well again, or it is new."""
    if alert["kind"] in UNTIL_WELL:
        return alert["process"] not in well
    return datetime.now(UTC) - moment_of(alert["at"]) < NEWS


def _memory(connection: sqlite3.Connection, name: str) -> list[int]:
    rows = connection.execute(
        "SELECT rss FROM resource_usage WHERE process = ? ORDER BY at DESC LIMIT ?",
        (name, _SPARKS_SHOWN),
    ).fetchall()
    return [row["rss"] for row in reversed(rows)]


def sparkline(values: Sequence[float]) -> str:
    """Return values as a line of bars."""
    if not values:
        return ""
    least, most = min(values), max(values)
    span = (most - least) or 1.0
    return "".join(SPARKS[int((one - least) / span * (len(SPARKS) - 1))] for one in values)


def moment_of(text: str) -> datetime:
    """Return a stored moment, aware."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


def span(seconds: float) -> str:
    """Return a length of time in two units."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24} h"


def next_action(row: Row, now: datetime) -> str:
    """Return what happens to a process next."""
    until = None if row["next_at"] is None else (moment_of(row["next_at"]) - now).total_seconds()
    if row["state"] == "sleeping" and until is not None:
        return f"turn in {span(until)}"
    if row["state"] == "backing off" and until is not None:
        short = json.loads(row["standing"])["short_lives"]
        return f"starts in {span(until)}{f', {short} short lives' if short > 1 else ''}"
    if row["state"] == "quarantined":
        return "a person" if until is None else f"trial in {span(until)}"
    if row["state"] == "waiting":
        return f"waits for {row['waits_for']}" if row["waits_for"] else "starts"
    if row["state"] in ("stopped", "paused") and row["cause"] != "end":
        return f"start {row['name']}"
    return ""


def health_told(row: Row) -> str:
    """Return health with its worst factor."""
    if row["health"] is None:
        return "-"
    factors = json.loads(row["factors"] or "{}")
    name, value = min(factors.items(), key=lambda one: one[1], default=("", 1.0))
    return f"{row['health']:.2f}{f' {name}' if value < 1 else ''}"


def explain(path: Path, name: str) -> list[str]:
    """Return why a process is where it is: state, health, its last lives, events and errors."""
    now = datetime.now(UTC)
    with reading(path) as connection:
        row = connection.execute("SELECT * FROM processes WHERE name = ?", (name,)).fetchone()
        if row is None:
            known = [one[0] for one in connection.execute("SELECT name FROM processes")]
            raise SupervisorError(
                f"there is no process {name!r}; choose one of {', '.join(sorted(known))}"
            )
        since = span((now - moment_of(row["since"])).total_seconds())
        lines = [f"{name}: {row['state']} for {since}{because(row)}"]
        action = next_action(row, now)
        lines += [f"next: {action}"] if action else []
        lines += _health_lines(row)
        lines.append(
            f"restarts: {row['restarts']} of {row['max_restarts']} in its window; turns "
            f"{row['turns']}; a person wants it to {row['desired']}"
        )
        if row["status"]:
            lines.append(f"it says: {row['status']}")
        lines += ["", "last lives"]
        for life in connection.execute(
            "SELECT * FROM process_runs WHERE process = ? ORDER BY id DESC LIMIT 5", (name,)
        ):
            lines.append(f"  {_life_told(life)}")
        lines += ["", "last events"]
        for event in connection.execute(
            "SELECT * FROM process_events WHERE process = ? ORDER BY id DESC LIMIT 8", (name,)
        ):
            lines.append(f"  {event['at'][:19]}  {event['text']}")
        for error in connection.execute(
            "SELECT * FROM process_errors WHERE process = ? ORDER BY last_at DESC LIMIT 3", (name,)
        ):
            times = f"{error['count']} times since {error['first_at'][:19]}"
            lines += ["", f"error, {times}, last {error['last_at'][:19]}"]
            lines += [f"  | {line}" for line in error["context"].splitlines()[-12:]]
            hint = advice(error["sample"])
            lines += [f"  {hint}"] if hint else []
    return lines


def because(row: Row) -> str:
    """Return why a process or a supervision is where it is, nothing where that is not known."""
    return f", because: {row['why']}" if row["why"] else ""


def _health_lines(row: Row) -> list[str]:
    if row["health"] is None:
        return []
    factors = json.loads(row["factors"] or "{}")
    product = " x ".join(f"{name} {value:.2f}" for name, value in factors.items())
    return [
        f"health: {row['health']:.2f} = {product}; {row['mendable']:.2f} of it a restart could "
        "mend, and only that is compared with health_threshold"
    ]


def _life_told(row: Row) -> str:
    flow_run = f", flow run {row['flow_run']}" if row["flow_run"] else ""
    if row["ended_at"] is None:
        return f"{row['started_at'][:19]}  life {row['life']}, pid {row['pid']}, runs{flow_run}"
    how = f"signal {row['signal']}" if row["code"] is None else f"exit {row['code']}"
    seconds = 0.0 if row["seconds"] is None else row["seconds"]
    peak = 0 if row["peak_bytes"] is None else row["peak_bytes"]
    return (
        f"{row['started_at'][:19]}  life {row['life']}: {row['cause']}, {how} after "
        f"{span(seconds)}, {row['cpu_seconds'] or 0:.1f} s of processor, {peak / 2**20:.0f} MB"
        f"{flow_run}"
    )
