"""What the database tells a person."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.runs import to_markdown
from alphafoundry.supervisor import database
from alphafoundry.supervisor.control import SupervisorError
from alphafoundry.supervisor.reading import explain, read_status, span, sparkline
from alphafoundry.supervisor.report import read_report


def fill(path: Path, *rows: tuple[str, dict[str, Any]]) -> None:
    with contextlib.closing(database.open_for_writing(path)) as connection:
        for table, values in rows:
            columns, marks = ", ".join(values), ", ".join("?" for _ in values)
            connection.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values())
            )


def at(**ago: float) -> str:
    return database.stamp(datetime.now(UTC) - timedelta(**ago))


def supervision(**more: Any) -> tuple[str, dict[str, Any]]:
    values = {"id": "s", "started_at": at(hours=6), "status": "running", "runtime_minutes": 0}
    return "supervisions", values | {"host": "h", "pid": 1, "config": "c"} | more


def process(name: str, state: str, **more: Any) -> tuple[str, dict[str, Any]]:
    values = {"name": name, "supervision": "s", "state": state, "desired": "run"}
    values |= {"since": at(minutes=1), "standing": '{"short_lives": 3}'}
    return "processes", values | more


def event(
    name: str, kind: str, severity: str = "alert", **ago: float
) -> tuple[str, dict[str, Any]]:
    values = {"supervision": "s", "process": name, "at": at(**ago), "kind": kind}
    return "process_events", values | {"severity": severity, "text": f"{kind} of {name}"}


def test_an_alert_is_shown_until_its_process_is_well_again(tmp_path: Path) -> None:
    path = tmp_path / database.FILE
    with pytest.raises(SupervisorError, match="nothing has been supervised here yet"):
        read_status(path)
    fill(
        path,
        supervision(),
        process("away", "quarantined"),
        process("back", "running"),
        process("noisy", "running"),
        event("away", "quarantined", hours=5),
        event("back", "crash_loop", hours=5),
        event("noisy", "pattern", minutes=5),
        event("", "machine", hours=5),
        event("away", "restarting", "warning", minutes=1),
    )
    assert [row["process"] for row in read_status(path).needs_you] == ["away", "noisy"]


def test_explain_gives_the_reason_the_next_step_and_the_lines_before_an_error(
    tmp_path: Path,
) -> None:
    path = tmp_path / database.FILE
    factors = '{"ready": 1.0, "crashes": 0.9, "memory": 0.45}'
    fill(
        path,
        supervision(),
        process(
            "a",
            "backing off",
            why="ended by exit 1",
            next_at=database.stamp(datetime.now(UTC) + timedelta(seconds=90)),
            health=0.405,
            mendable=0.45,
            factors=factors,
        ),
        (
            "process_errors",
            {"process": "a", "fingerprint": "f", "supervision": "s", "life": 1, "count": 7,
             "stream": "stderr", "first_at": at(hours=1), "last_at": at(minutes=1),
             "sample": "KeyError: <b>", "context": "row 17\nKeyError: <b>"},
        ),
    )  # fmt: skip
    text = "\n".join(explain(path, "a"))
    assert "backing off for 1 min" in text and "because: ended by exit 1" in text
    assert "starts in 1 min 2" in text and "3 short lives" in text
    assert "0.41 = ready 1.00 x crashes 0.90 x memory 0.45; 0.45 of it" in text
    assert "error, 7 times" in text and "| row 17" in text
    with pytest.raises(SupervisorError, match="there is no process 'b'; choose one of a"):
        explain(path, "b")
    page = to_markdown(read_report(path))
    assert "KeyError: &lt;b>" in page and "0.41 memory" in page


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (61, "1 min 01 s"), (3661, "1 h 01 min"), (200_000, "2 d 7 h"), (-5, "0 s")],
)
def test_lengths_of_time(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_a_sparkline_goes_from_least_to_most() -> None:
    assert sparkline([1, 2, 3]) == "▁▄█" and sparkline([]) == "" and sparkline([5, 5]) == "▁▁"
