"""What a supervision's view does while Prefect's server is away."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from alphafoundry.supervisor import database
from tasks.supervisor import old_steps, view


async def test_events_of_an_outage_are_counted_and_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with database.open_for_writing(tmp_path / database.FILE) as connection:
        connection.execute(
            "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, config) "
            "VALUES ('s', '2026-03-02 11:00:00.000', 'running', 0, 'h', 1, 'c')"
        )
    sent: list[dict[str, Any]] = []
    away = True
    monkeypatch.setattr(view, "refuses", lambda url: away)
    monkeypatch.setattr(view, "_emit", sent.append)
    monkeypatch.setattr(view, "get_run_logger", lambda: logging.getLogger("view"))

    def happens(kind: str) -> None:
        connection.execute(
            "INSERT INTO process_events (supervision, process, at, kind, severity, text) "
            "VALUES ('s', 'a', '2026-03-02 11:00:00.000', ?, 'info', 'x')",
            (kind,),
        )

    shown = view.View(tmp_path)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        happens("started")
        happens("late")  # not for Prefect
        await shown._tell_events()
        happens("quarantined")
        await shown._tell_events()
        assert sent == []
        away = False
        await shown._tell_events()
        happens("recovered")
        await shown._tell_events()
    connection.close()
    assert [one["kind"] for one in sent] == ["recovered"]
    assert "2 events were not told" in caplog.text


async def test_what_is_old_goes_look_by_look_and_then_once_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.open_for_writing(tmp_path / database.FILE) as connection:
        connection.execute(
            "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, config) "
            "VALUES ('s', '2026-03-02 11:00:00.000', 'running', 0, 'h', 1, 'c')"
        )
    connection.close()
    left, asked = 2 * old_steps.MOST + 3, []

    async def delete(before: datetime, processes: list[str]) -> int:
        nonlocal left
        asked.append(min(left, old_steps.MOST))
        left -= asked[-1]
        return asked[-1]

    monkeypatch.setattr(view, "delete_old_steps", delete)
    shown = view.View(tmp_path, steps_hours=6)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        for _ in range(5):
            await shown._show()
    assert asked == [old_steps.MOST, old_steps.MOST, 3]
