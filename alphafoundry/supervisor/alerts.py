"""What people are told of a supervision: alerts that are news or over, and what a day was like.

Arithmetic on rows of `supervisor.db`; `alert_sender` reads them and sends what comes out.
"""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from alphafoundry.alert_addresses import in_one_line
from alphafoundry.configuration import load_yaml
from alphafoundry.errors import ConfigurationError
from alphafoundry.supervisor.database import stamp
from alphafoundry.supervisor.linux import ALERTS
from alphafoundry.supervisor.reading import (
    UNTIL_WELL,
    WELL,
    last_supervision,
    moment_of,
    span,
)

CONFIGURATION = Path("config/alerts.yaml")
NAME = "alerts"
"""Of the process that sends."""

STEADY = timedelta(minutes=5)
"""A process that was well for so long is well again."""

MOST_LINES = 20
"""Alerts that one message shows; the rest is counted."""

MOST_ENDS, MOST_ERRORS = 10, 5
"""The same for the kinds of ends and of errors in a digest, the most frequent first."""

ENDED_BY_EVENT = ("machine", "disk")
"""Kinds of alerts that last until an event of their kind is no alert."""


class AlertSettings(BaseModel):
    """Everything in `config/alerts.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    addresses: Path | None = None
    gather_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    again_hours: Annotated[float, Field(gt=0, le=8760)] = 24.0
    digest: time | None = time(7)

    @field_validator("digest", mode="before")
    @classmethod
    def _is_time_of_day(cls, given: object) -> object:
        """Refuse a number, which would count seconds, and a zone: the time is UTC's."""
        if isinstance(given, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", given) is None:
            raise ValueError('must be a time of day in UTC such as "07:00"')
        if not isinstance(given, str | time | None):
            raise ValueError('must be a time of day in UTC such as "07:00"')
        return given


def load_alerts(path: Path = CONFIGURATION) -> AlertSettings:
    """Return the settings in a file, the defaults where there is none.

    Raises
    ------
    ConfigurationError : file, line and key of a mistake
    """
    return load_yaml(path, AlertSettings, required=False)


def addresses(settings: AlertSettings, environment: Mapping[str, str]) -> list[str]:
    """Return the addresses that alerts go to, those of the variable before those of the file.

    Raises
    ------
    ConfigurationError : the file cannot be read, or others may read it
    """
    found = environment.get(ALERTS, "").split()
    path = settings.addresses
    if path is None:
        return found
    try:
        mode = path.stat().st_mode
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{CONFIGURATION}: addresses: {path}: {why}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{CONFIGURATION}: addresses: others may read {path}, which holds passwords; "
            f"chmod 600 {path}"
        )
    stripped = (line.strip() for line in lines)
    return found + [line for line in stripped if line and not line.startswith("#")]


@dataclass(frozen=True)
class Problem:
    """Something that stands.

    Attributes
    ----------
    at, told_at : moments as the database writes them: of the first alert, of the last message
    count : alerts of it since it began
    """

    process: str
    kind: str
    text: str
    at: str
    told_at: str
    count: int = 1


@dataclass(frozen=True)
class Message:
    """What is sent."""

    title: str
    body: str


@dataclass(frozen=True)
class Known:
    """What the sender remembers.

    Attributes
    ----------
    seen : id of the last event that was looked at
    open : problems that stand, by "process/kind"
    digest_on : day of the last digest
    """

    seen: int = 0
    open: Mapping[str, Problem] = field(default_factory=dict)
    digest_on: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Known:
        """Return what `to_json` gave."""
        problems = {key: Problem(**one) for key, one in values["open"].items()}
        return cls(values["seen"], problems, values["digest_on"])


def news(
    known: Known,
    events: Iterable[Mapping[str, Any]],
    processes: Iterable[Mapping[str, Any]],
    *,
    now: datetime,
    again: timedelta,
    gone: Collection[str] = (),
) -> tuple[Known, Message | None]:
    """Return what is known after new events, and what people are to be told of them.

    The same alert of the same process is told once while it stands, and again after `again`.

    Parameters
    ----------
    events : rows of `process_events` after the last one seen, ascending
    processes : rows of `processes`
    gone : names that are not supervised any more; what stood of them is dropped
    """
    moment = stamp(now)
    problems, seen = dict(known.open), known.seen
    lines: list[str] = []
    over: list[tuple[Problem, str]] = []
    for row in events:
        seen = row["id"]
        key = f"{row['process']}/{row['kind']}"
        before = problems.get(key)
        if row["severity"] != "alert":
            if before is not None and row["kind"] in ENDED_BY_EVENT:
                over.append((problems.pop(key), row["at"]))
            continue
        is_news = before is None or moment_of(row["at"]) - moment_of(before.told_at) >= again
        if before is None:
            problems[key] = Problem(row["process"], row["kind"], row["text"], row["at"], moment)
        else:
            told_at = moment if is_news else before.told_at
            problems[key] = replace(
                before, text=row["text"], count=before.count + 1, told_at=told_at
            )
        if is_news:
            lines.append(f"{row['at'][11:16]} {_told(row['process'], row['text'])}")
    well = {row["name"]: row["since"] for row in processes if row["state"] in WELL}
    for key, one in list(problems.items()):
        if one.process in gone:
            del problems[key]
            continue
        since = well.get(one.process)
        if one.kind in UNTIL_WELL and since is not None and now - moment_of(since) >= STEADY:
            over.append((problems.pop(key), since))
        elif one.kind not in (*UNTIL_WELL, *ENDED_BY_EVENT):
            if now - moment_of(one.told_at) >= again:
                del problems[key]
        elif now - moment_of(one.told_at) >= again:
            problems[key] = replace(one, told_at=moment)
            lines.append(f"still, since {one.at[:16]}: {_told(one.process, one.text)}")
    after = replace(known, seen=seen, open=problems)
    return after, _message(lines, over)


def _message(lines: Sequence[str], over: Sequence[tuple[Problem, str]]) -> Message | None:
    ended = [
        f"resolved after {span((moment_of(at) - moment_of(one.at)).total_seconds())}: "
        f"{_told(one.process, one.kind.replace('_', ' '))}"
        for one, at in over
    ]
    if not lines and not ended:
        return None
    counts = [f"{len(lines)} alert{'s' if len(lines) > 1 else ''}"] if lines else []
    counts += [f"{len(ended)} resolved"] if ended else []
    body = _first(MOST_LINES, [*lines, *ended])
    if lines:
        body.append("python -m flows.dashboard --explain NAME says why; times are UTC")
    return Message(", ".join(counts), "\n".join(body))


def _first(most: int, lines: Sequence[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    more = len(lines) - most
    return [*lines[:most], *([f"and {more} more"] if more > 0 else [])]


def _told(process: str, text: str) -> str:
    return f"{process or 'supervisor'}: {in_one_line(text)}"


def digest_due(known: Known, at: time | None, now: datetime) -> bool:
    """Return whether the digest of this day is due and was not sent."""
    if at is None or known.digest_on == now.date().isoformat():
        return False
    return now.time() >= at


def digest(connection: sqlite3.Connection, known: Known, *, now: datetime) -> Message:
    """Return what the last day was like; also where all was well, so that silence says something.

    Parameters
    ----------
    connection : to `supervisor.db`, with rows by name
    """
    since = (stamp(now - timedelta(days=1)),)
    states: dict[str, list[str]] = {}
    for row in connection.execute(
        "SELECT name, state FROM processes WHERE supervision = ? ORDER BY priority, name",
        (last_supervision(connection)["id"],),
    ):
        states.setdefault(row["state"], []).append(row["name"])
    lines = [f"{state}: {', '.join(names)}" for state, names in states.items()]
    ends = connection.execute(
        "SELECT process, cause, count(*) AS n FROM process_runs WHERE ended_at >= ? AND cause "
        "NOT IN ('turn', 'finished', 'end', 'person', 'asked') GROUP BY process, cause "
        "ORDER BY n DESC",
        since,
    )
    lines += _first(
        MOST_ENDS, [f"{row['process']} ended {row['n']} times: {row['cause']}" for row in ends]
    )
    errors = connection.execute(
        "SELECT process, sample, count, first_at FROM process_errors WHERE last_at >= ? "
        "ORDER BY count DESC",
        since,
    )
    lines += _first(
        MOST_ERRORS,
        [
            f"{row['process']}, {row['count']} times since {row['first_at'][:10]}: "
            f"{in_one_line(row['sample'])[:160]}"
            for row in errors
        ],
    )
    lines += [
        f"stands since {one.at[:16]}, {one.count} times: {_told(one.process, one.text)}"
        for one in known.open.values()
    ]
    machine = connection.execute("SELECT * FROM machine_usage ORDER BY at DESC LIMIT 1").fetchone()
    if machine is not None:
        free = (machine["disk_free"] or 0) / 2**30
        lines.append(f"memory {machine['memory_percent']:.0f} %, disk {free:.0f} GB free")
    told = f"{len(known.open)} stand" if known.open else "nothing needs a person"
    return Message(f"the last day: {told}", "\n".join(lines))
