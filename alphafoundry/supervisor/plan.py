"""What a supervision is to do, written down for its core, and for the next one if that dies."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alphafoundry.supervisor.processes import (
    ProcessConfig,
    SupervisorSettings,
    chosen,
    load_processes,
)
from alphafoundry.whole_file import replace_file

FILE = "plan.json"


@dataclass(frozen=True)
class Plan:
    """One supervision.

    Attributes
    ----------
    id : of the supervision, also the marker of its processes
    settings : JSON of what is supervised
    config : the file that a reload reads
    only : names that were chosen, None is all
    added : JSON of processes that no file has
    runtime_minutes : 0 is without end
    begun : CLOCK_BOOTTIME at its start, which goes on while the machine sleeps
    folder : working directory
    search : folders where modules are found
    sockets : folder for sockets; their addresses must be short
    commit : of the code, "" where that is unknown
    """

    id: str
    settings: dict[str, Any]
    config: str
    only: list[str] | None
    added: list[dict[str, Any]]
    runtime_minutes: float
    begun: float
    folder: str
    search: list[str]
    sockets: str
    commit: str

    def supervised(self) -> SupervisorSettings:
        """Return the settings that the supervision begins with."""
        return SupervisorSettings.model_validate(self.settings)

    def read_again(self) -> SupervisorSettings:
        """Return what the file says now.

        Raises ConfigurationError where it is wrong, KeyError where a chosen process has gone.
        """
        settings = load_processes(Path(self.config))
        if self.only is not None:
            settings = chosen(settings, self.only)
        return with_added(settings, [ProcessConfig.model_validate(one) for one in self.added])


def with_added(settings: SupervisorSettings, added: list[ProcessConfig]) -> SupervisorSettings:
    """Return the settings with further processes before those of the file."""
    return settings.model_copy(update={"processes": (*added, *settings.processes)})


def write_plan(folder: Path, plan: Plan) -> None:
    """Write the plan for the core."""
    replace_file(folder / FILE, json.dumps(asdict(plan)).encode())


def read_plan(folder: Path) -> Plan:
    """Return the plan that was written."""
    return Plan(**json.loads((folder / FILE).read_text("utf-8")))
