"""The book of a desk's ticks: what was claimed, what is under way, and what it adds up to.

One logic, two places to keep it: in the store, one transaction a claim, for desks on a real
clock; and in memory, written to the store session by session, for simulations, where nobody else
claims anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from alphafoundry.agents.health import AgentState, Outcome
from alphafoundry.agents.hours import seconds, utc
from alphafoundry.agents.registry import Control
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.clock import utc_now
from alphafoundry.store import Store
from alphafoundry.store.agents import DeskTransaction, desk_transaction

_SORTED = json.JSONEncoder(sort_keys=True)
_TEXT = json.encoder.encode_basestring_ascii

LEASE = 60
"""Seconds after its time-out at which a tick that has not ended is taken for dead."""


@dataclass(slots=True)
class Record:
    """One tick with what became of it; times in seconds since 1970 of the desk's clock."""

    agent: str
    due_at: int
    position: int
    outcome: Outcome | None
    reason: str
    claimed_at: int
    ended_at: int | None = None
    attempts: int = 0
    only_safe: bool = False
    lease_until: int | None = None
    result: Mapping[str, Any] | None = None
    seen: Mapping[str, Any] | None = None

    def line(self) -> str:
        """Return what a digest holds of it, as JSON: no lease, no attempts, no true time."""
        # By hand, as there are a thousand in a session and a list takes six times as long.
        result = "null" if self.result is None else _result_text(self.result)
        outcome = "null" if self.outcome is None else _TEXT(self.outcome)
        ended = "null" if self.ended_at is None else self.ended_at
        return (
            f"[{_TEXT(self.agent)}, {self.due_at}, {outcome}, {_TEXT(self.reason)}, "
            f"{self.claimed_at}, {ended}, {'true' if self.only_safe else 'false'}, {result}]"
        )


def _result_text(result: Mapping[str, Any]) -> str:
    """Return figures as JSON with sorted keys; most runs give one number, of which none is made."""
    if len(result) == 1:
        ((name, value),) = result.items()
        if type(value) is float and math.isfinite(value):
            return f"{{{_TEXT(name)}: {value!r}}}"
    return _SORTED.encode(result)


@dataclass
class TickBook:
    """A book in memory.

    Attributes
    ----------
    states : agent to what its ticks add up to
    seen_until : agent to the newest due time that has its record
    running : what is under way, by agent and due time
    mode, mode_actor, mode_reason : state of the desk, who set it and why
    positions : ticks claimed so far
    version : changes whenever a gate may see another state of an agent, but for the time of its
        last success and for what it has seen of the fills
    """

    states: dict[str, AgentState]
    seen_until: dict[str, int]
    running: dict[tuple[str, int], Record] = field(default_factory=dict)
    mode: DeskMode = "ACTIVE"
    mode_actor: str = ""
    mode_reason: str = ""
    positions: int = 0
    version: int = 0
    ended: list[Record] = field(default_factory=list)
    alerts: list[tuple[str, int, str | None]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    digest: str = ""
    _lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open = contextlib.nullcontext(self)

    def transaction(self) -> contextlib.AbstractContextManager[TickBook]:
        """Change the book, all or nothing; here nobody else does."""
        return self._open

    def is_known(self, agent: str, due_at: int) -> bool:
        """Return whether a due time has its record."""
        return due_at <= self.seen_until[agent]

    def add(self, record: Record) -> None:
        """Take a new record, ended or under way."""
        agent, due_at = record.agent, record.due_at
        record.position = self.positions
        self.positions += 1
        self.seen_until[agent] = max(self.seen_until[agent], due_at)
        if record.outcome is None:
            self.running[agent, due_at] = record
        else:
            self._keep(record)

    def end(self, record: Record) -> bool:
        """Take the end of a record under way; False where it has ended before."""
        if self.running.pop((record.agent, record.due_at), None) is None:
            return False
        self._keep(record)
        return True

    def fold(self, agent: str, outcome: Outcome, moment: int, **given: Any) -> bool:
        """Take an ended tick into the agent's state, see `AgentState.fold`."""
        state = self.states[agent]
        steady = state.is_steady
        tripped = state.fold(outcome, moment, **given)
        if not steady or not state.is_steady:
            self.version += 1
        return tripped

    def alert(self, key: str, at: int, text: str) -> None:
        """Tell a person, once for as long as it lasts."""
        self.alerts.append((key, at, text))

    def resolve(self, key: str, at: int) -> None:
        """Tell that it is over."""
        self.alerts.append((key, at, None))

    def control(self, actor: str, wanted: Control, at: int) -> None:
        """Change the desk as an agent or a person wants it, with a row for each change."""

        def decide(
            subject: str, before: str, after: str, undo: str, reason: str = wanted.reason
        ) -> None:
            given = {"subject": subject, "before": before, "after": after, "undo": undo}
            why = {"reason": reason, "evidence": dict(wanted.evidence)}
            self.decisions.append({"at": utc(at), "actor": actor, **given, **why})
            self._lines.append(json.dumps([at, actor, subject, before, after, reason]))

        self.version += 1
        if wanted.mode is not None and (wanted.mode, actor) != (self.mode, self.mode_actor):
            back = "resume" if self.mode == "ACTIVE" else "halt"
            decide("desk", self.mode, wanted.mode, back if wanted.mode != "ACTIVE" else "halt")
            self.mode, self.mode_actor, self.mode_reason = wanted.mode, actor, wanted.reason
        stretch = dict(wanted.stretch)
        for name, reason in wanted.pause.items():
            state = self.states[name]
            if reason is None and state.stretch > 1:
                stretch[name] = 1
            if state.paused == reason:
                continue
            after, undo = ("runs", "pause") if reason is None else ("paused", "resume")
            before = "runs" if state.paused is None else "paused"
            decide(name, before, after, f"{undo} {name}", reason or wanted.reason)
            state.paused = reason
            if reason is None:
                state.tripped_at, state.failures_in_row, state.cool_down = None, 0, 0.0
        for name, every in stretch.items():
            state = self.states[name]
            if every != state.stretch:
                undo = f"resume {name}" if every > 1 else "nothing: it runs as scheduled"
                decide(name, _every(state.stretch), _every(every), undo)
                state.stretch = every

    def flush(self, store: Store, desk: str, *, now: int) -> None:
        """Write what has ended to the store, and forget it; the digest goes on over all of it."""
        lines = hashlib.sha256("".join(self._lines).encode()).hexdigest()
        self.digest = hashlib.sha256((self.digest + lines).encode()).hexdigest()
        with desk_transaction(store, desk) as rows:
            rows.add_ticks(_columns(self.ended))
            rows.put_states(_plain_states(self.states, self.seen_until))
            self._write_desk(rows, seen_until=utc(now))
        self._forget()

    def kept(self) -> dict[str, Any]:
        """Return what a book that was written by `flush` is made from again, as plain values."""
        return {
            "states": _plain_states(self.states, self.seen_until),
            "mode": [self.mode, self.mode_actor, self.mode_reason],
            "positions": self.positions,
            "digest": self.digest,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Be as `kept` said, read back from JSON."""
        for name, given in kept["states"].items():
            state = dict(given)
            self.seen_until[name] = state.pop("seen_until")
            self.states[name] = AgentState(**state)
        self.mode, self.mode_actor, self.mode_reason = kept["mode"]
        self.version += 1
        self.positions, self.digest = kept["positions"], kept["digest"]

    def _write_desk(self, rows: DeskTransaction, *, seen_until: datetime) -> None:
        _write_alerts(rows, self.alerts)
        for one in self.decisions:
            rows.decide(**one)
        rows.put_desk(
            ticks=self.positions,
            mode=self.mode,
            mode_actor=self.mode_actor,
            mode_reason=self.mode_reason,
            seen_until=seen_until,
        )

    def _forget(self) -> None:
        self.ended.clear()
        self._lines.clear()
        self.alerts.clear()
        self.decisions.clear()

    def _keep(self, record: Record) -> None:
        self.ended.append(record)
        self._lines.append(record.line())


class StoredBook(TickBook):
    """A book in the store: read at the start of each transaction, written at its end."""

    def __init__(
        self, store: Store, desk: str, intervals: Mapping[str, int], began_at: int
    ) -> None:
        super().__init__({}, {})
        self._store = store
        self._desk = desk
        self._intervals = intervals
        self._began_at = began_at
        self._rows: DeskTransaction | None = None
        self._seen_until = utc(began_at)
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    @contextlib.contextmanager
    def transaction(self) -> Iterator[TickBook]:
        """Change the book, all or nothing, alone."""
        with desk_transaction(self._store, self._desk) as rows:
            self._rows = rows
            self._read(rows)
            before = _plain_states(self.states, self.seen_until)
            known = set(self.running)
            positions = self.positions
            yield self
            added = [one for key, one in self.running.items() if key not in known]
            now_ended = [one for one in self.ended if one.position >= positions]
            rows.add_ticks(_columns([*now_ended, *added], self._worker))
            for one in self.ended:
                if one.position < positions:
                    rows.change_tick(one.agent, utc(one.due_at), _ending(one))
            after = _plain_states(self.states, self.seen_until)
            rows.put_states({name: s for name, s in after.items() if s != before.get(name)})
            moments = [one.ended_at or one.claimed_at for one in (*self.ended, *added)]
            self._write_desk(rows, seen_until=max([self._seen_until, *map(utc, moments)]))
        self._rows = None
        self._forget()

    def is_known(self, agent: str, due_at: int) -> bool:
        """Return whether a due time has its row, or is of before the desk began."""
        assert self._rows is not None
        return due_at <= self._began_at or self._rows.has_tick(agent, utc(due_at))

    def _read(self, rows: DeskTransaction) -> None:
        stored = rows.states()
        self.states, self.seen_until = {}, {}
        for name, interval in self._intervals.items():
            state = dict(stored.get(name, {}))
            self.seen_until[name] = state.pop("seen_until", self._began_at)
            self.states[name] = AgentState(**{**state, "interval": float(interval)})
        self.running = {
            (row.agent, seconds(row.due_at)): Record(
                agent=row.agent,
                due_at=seconds(row.due_at),
                position=row.position,
                outcome=None,
                reason=row.reason,
                claimed_at=seconds(row.claimed_at),
                attempts=row.attempts,
                only_safe=row.only_safe,
                lease_until=seconds(row.lease_until) if row.lease_until else None,
                seen=row.seen,
            )
            for row in rows.running()
        }
        found = rows.desk()
        self._seen_until = found.seen_until
        self.mode, self.positions = found.mode, found.ticks
        self.mode_actor, self.mode_reason = found.mode_actor, found.mode_reason
        self._forget()


def _every(stretch: int) -> str:
    return "every interval" if stretch == 1 else f"every {stretch} intervals"


def fresh_book(intervals: Mapping[str, int], began_at: int) -> TickBook:
    """Return a book in memory of a desk that begins.

    Parameters
    ----------
    intervals : agent to seconds between its ticks
    began_at : moment from which on due times count
    """
    return TickBook(
        {name: AgentState(float(interval), since=began_at) for name, interval in intervals.items()},
        dict.fromkeys(intervals, began_at),
    )


def _plain_states(
    states: Mapping[str, AgentState], seen_until: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    return {
        name: {**asdict(state), "seen_until": seen_until[name]} for name, state in states.items()
    }


def _columns(records: Sequence[Record], worker: str | None = None) -> dict[str, list[Any]]:
    """Return what the store keeps of records, column by column.

    worker : who has claimed them, at this true time; None in a simulation, which has none
    """
    wall = None if worker is None else utc_now()
    return {
        "agent": [one.agent for one in records],
        "due_at": [one.due_at for one in records],
        "position": [one.position for one in records],
        "outcome": [one.outcome or "running" for one in records],
        "reason": [one.reason for one in records],
        "claimed_at": [one.claimed_at for one in records],
        "ended_at": [one.ended_at for one in records],
        "attempts": [one.attempts for one in records],
        "only_safe": [one.only_safe for one in records],
        "lease_until": [one.lease_until for one in records],
        "wall_claimed": [wall] * len(records),
        "wall_ended": [wall if one.outcome else None for one in records],
        "worker": [worker] * len(records),
        "result": [one.result for one in records],
        "seen": [one.seen for one in records],
    }


def _ending(record: Record) -> dict[str, Any]:
    return {
        "outcome": record.outcome,
        "reason": record.reason,
        "ended_at": None if record.ended_at is None else utc(record.ended_at),
        "attempts": record.attempts,
        "lease_until": None,
        "wall_ended": utc_now(),
        "result": record.result,
    }


def _write_alerts(rows: DeskTransaction, alerts: list[tuple[str, int, str | None]]) -> None:
    for key, at, text in alerts:
        if text is None:
            rows.resolve(key, utc(at))
        else:
            rows.alert(key, utc(at), text)
