"""One run of anything: its row, heartbeat, stop, progress and ending, and the report it gives.

with open_store(home=home) as store, open_run(store, flow="daily", service="local") as run:
    for step in steps:
        run.check_not_stopped()
        ...
    run.report = report
"""

from alphafoundry.runs.lanes import Queue, run_in_lanes, take_turns
from alphafoundry.runs.origin import panel_origin
from alphafoundry.runs.progress import NoProgress, Progress
from alphafoundry.runs.report import (
    Figure,
    Passage,
    Report,
    Table,
    data_table,
    to_markdown,
    to_text,
)
from alphafoundry.runs.run import PRESUMED_DEAD, Run, interrupt_open_runs, open_run
from alphafoundry.runs.stop import Stop

__all__ = [
    "PRESUMED_DEAD",
    "Figure",
    "NoProgress",
    "Passage",
    "Progress",
    "Queue",
    "Report",
    "Run",
    "Stop",
    "Table",
    "data_table",
    "interrupt_open_runs",
    "open_run",
    "panel_origin",
    "run_in_lanes",
    "take_turns",
    "to_markdown",
    "to_text",
]
