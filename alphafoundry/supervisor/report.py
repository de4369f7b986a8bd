"""The report of a supervision: what happened, what went wrong, and what to do about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alphafoundry.runs import Figure, Passage, Table
from alphafoundry.runs.report import Place
from alphafoundry.supervisor.fingerprints import advice
from alphafoundry.supervisor.reading import (
    health_told,
    last_supervision,
    moment_of,
    next_action,
    reading,
    span,
)

_PAGES: frozenset[Place] = frozenset({"terminal", "page"})


@dataclass(frozen=True)
class SupervisionReport:
    """What a supervision did, as a report of the common form; made by `read_report`."""

    supervision: dict[str, Any]
    processes: list[dict[str, Any]]
    restarts: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    resources: list[dict[str, Any]]
    said: list[dict[str, Any]]
    next: dict[str, str]
    counts: dict[str, int]

    kind = "supervision"
    version = 1
    key = "supervision"

    @property
    def title(self) -> str:
        return f"Supervision {self.supervision['id']}"

    @property
    def headline(self) -> str:
        return (
            f"{len(self.processes)} processes, {self.supervision['status']} after {self._length()}"
        )

    def _length(self) -> str:
        ended = self.supervision["ended_at"]
        end = datetime.now(UTC) if ended is None else moment_of(ended)
        return span((end - moment_of(self.supervision["started_at"])).total_seconds())

    @property
    def notes(self) -> Sequence[str]:
        lost = self.supervision["statements_lost"]
        return [f"{lost} rows could not be written"] if lost else []

    def _cut(self, shown: Sequence[object], what: str) -> str:
        """Return how many of all are shown, where that is not all of them."""
        more = self.counts[what] > len(shown)
        return f" ({len(shown)} of {self.counts[what]})" if more else ""

    def summary(self) -> Sequence[tuple[str, str]]:
        """Return what happened at a glance."""
        minutes = self.supervision["runtime_minutes"]
        states: dict[str, int] = {}
        for row in self.processes:
            states[row["state"]] = states.get(row["state"], 0) + 1
        unasked = sum(row["count"] for row in self.restarts)
        return [
            ("runtime", f"{self._length()} of {f'{minutes:g} min' if minutes else 'no limit'}"),
            ("ended", self.supervision["why"] or "it runs"),
            ("code", self.supervision["git_commit"] or "no git commit"),
            ("states", ", ".join(f"{count} {state}" for state, count in states.items())),
            ("turns", f"{sum(row['turns'] for row in self.processes)} ended well"),
            ("restarts", f"{unasked} lives ended unasked"),
            ("errors", f"{self.counts['errors']} different errors"),
            ("alerts", f"{self.counts['alerts']}"),
        ]

    def tables(self) -> Sequence[Table]:
        """Return processes, last lines, alerts, ends by cause, errors and resources."""
        return [
            Table(
                "Processes",
                [
                    {
                        "process": row["name"],
                        "state": row["state"],
                        "health": row["health"],
                        "lives": str(row["life"]),
                        "turns": str(row["turns"]),
                        "late": str(row["skipped"]),
                        "restarts": f"{row['restarts']}/{row['max_restarts']}",
                        "why": row["why"] or "",
                        "next": self.next[row["name"]],
                    }
                    for row in self.processes
                ],
                key="supervised-processes",
                wide="why",
            ),
            Table(
                "What they said last",
                [
                    {"process": row["process"], "at": row["at"][11:19], "line": row["line"][:300]}
                    for row in self.said
                ],
                places=_PAGES,
                wide="line",
            ),
            Table(
                f"Needed a person{self._cut(self.alerts, 'alerts')}",
                [
                    {"at": row["at"][:19], "process": row["process"] or "-", "what": row["text"]}
                    for row in self.alerts
                ],
                places=_PAGES,
                wide="what",
            ),
            Table(
                "Lives by cause of their end",
                [
                    {
                        "process": row["process"],
                        "cause": row["cause"],
                        "lives": str(row["count"]),
                        "mean length": span(row["seconds"] or 0.0),
                    }
                    for row in self.restarts
                ],
                places=_PAGES,
            ),
            Table(
                f"Errors{self._cut(self.errors, 'errors')}",
                [
                    {
                        "process": row["process"],
                        "count": str(row["count"]),
                        "first": row["first_at"][:19],
                        "last": row["last_at"][:19],
                        "error": row["sample"][:200],
                        "what to do": advice(row["sample"]),
                    }
                    for row in self.errors
                ],
                places=_PAGES,
                wide="error",
            ),
            Table(
                "Resources",
                [
                    {
                        "process": row["process"],
                        "cpu mean %": f"{row['cpu']:.1f}",
                        "cpu most %": f"{row['most_cpu']:.0f}",
                        "memory MB": f"{row['rss'] / 2**20:.0f}",
                        "most MB": f"{row['most_rss'] / 2**20:.0f}",
                        "samples": str(row["samples"]),
                    }
                    for row in self.resources
                ],
                places=_PAGES,
            ),
        ]

    def figures(self) -> Sequence[Figure]:
        """Return no pictures."""
        return []

    def passages(self) -> Sequence[Passage]:
        """Return the last lines before each of the worst errors."""
        return [
            Passage(
                f"{row['process']}: {row['sample'][:80]}",
                row["context"].splitlines()[-20:],
                verbatim=True,
            )
            for row in self.errors[:3]
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "version": self.version,
            "supervision": self.supervision,
            "processes": self.processes,
            "lives": self.restarts,
            "errors": self.errors,
            "alerts": self.alerts,
            "resources": self.resources,
            "said": self.said,
        }


def read_report(path: Path) -> SupervisionReport:
    """Return the report of the newest supervision; one that runs is reported so far.

    Raises
    ------
    SupervisorError : nothing was supervised yet, or the file cannot be read
    """
    now = datetime.now(UTC)
    with reading(path) as connection:
        supervision = last_supervision(connection)
        this, since = (supervision["id"],), (supervision["started_at"],)
        processes = connection.execute(
            "SELECT * FROM processes WHERE supervision = ? ORDER BY priority, name", this
        ).fetchall()

        def rows(text: str, values: tuple[str, ...]) -> list[dict[str, Any]]:
            found: list[sqlite3.Row] = connection.execute(text, values).fetchall()
            return [dict(row) for row in found]

        def count(text: str) -> int:
            return int(connection.execute(text, this).fetchone()[0])

        return SupervisionReport(
            supervision=dict(supervision),
            processes=[
                {name: row[name] for name in row.keys() if name not in ("standing", "factors")}  # noqa: SIM118
                | {"health": health_told(row)}
                for row in processes
            ],
            restarts=rows(
                "SELECT process, cause, count(*) AS count, avg(seconds) AS seconds "
                "FROM process_runs WHERE supervision = ? AND ended_at IS NOT NULL "
                "AND cause NOT IN ('turn', 'finished', 'end', 'person', 'asked') "
                "GROUP BY process, cause ORDER BY count(*) DESC",
                this,
            ),
            errors=rows(
                "SELECT process, fingerprint, count, first_at, last_at, sample, context "
                "FROM process_errors WHERE supervision = ? ORDER BY count DESC LIMIT 20",
                this,
            ),
            alerts=rows(
                "SELECT at, process, kind, text FROM process_events "
                "WHERE supervision = ? AND severity = 'alert' ORDER BY id DESC LIMIT 100",
                this,
            ),
            resources=rows(
                "SELECT process, avg(cpu_percent) AS cpu, max(cpu_percent) AS most_cpu, "
                "avg(rss) AS rss, max(rss) AS most_rss, count(*) AS samples "
                "FROM resource_usage WHERE at >= ? GROUP BY process ORDER BY process",
                since,
            ),
            said=rows(
                "SELECT process, at, line, max(id) FROM process_output WHERE supervision = ? "
                "AND trim(line) != '' GROUP BY process ORDER BY process",
                this,
            ),
            counts={
                "errors": count("SELECT count(*) FROM process_errors WHERE supervision = ?"),
                "alerts": count(
                    "SELECT count(*) FROM process_events "
                    "WHERE supervision = ? AND severity = 'alert'"
                ),
            },
            next={row["name"]: next_action(row, now) for row in processes},
        )
