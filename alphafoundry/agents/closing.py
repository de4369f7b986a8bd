"""What a desk that stops leaves behind: its last session told, and its tear sheet."""

from __future__ import annotations

from pathlib import Path

from alphafoundry.agents.bodies.explanation import ExplanationParameters, explain_session
from alphafoundry.agents.bodies.performance_analysis import PerformanceParameters
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.track_record import record_sessions, write_tear_sheet
from alphafoundry.performance.sheet import desk_sheet


def close_books(desk: Desk, floor: TradingFloor, now: int) -> Path | None:
    """Write down what the ticks of the night after the last session would; return the tear sheet.

    Nothing is done for an agent that the schedule leaves out, nor before a session has closed.
    """
    tasks = desk.schedule.tasks
    if not floor.evenings:
        return None
    if "performance_analysis" in tasks:
        record_sessions(floor, now)
    if "explanation" in tasks:
        given = ExplanationParameters.model_validate(tasks["explanation"].settings.parameters)
        if given.auto_generate:
            explain_session(floor, given, floor.evenings[-1].day, desk.book.mode, now)
    if "performance_analysis" not in tasks:
        return None
    wanted = PerformanceParameters.model_validate(tasks["performance_analysis"].settings.parameters)
    sheet = desk_sheet(floor.store, floor.desk, floor.looked_at())
    return write_tear_sheet(floor, sheet) if wanted.generate_reports else None
