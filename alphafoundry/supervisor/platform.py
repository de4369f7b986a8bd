"""The whole platform: what is in `config/platform.yaml`, and the unit for systemd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from alphafoundry.configuration import load_yaml
from alphafoundry.supervisor.processes import PROCESSES, Kept, Whole

PLATFORM = Path("config/platform.yaml")

HEARTBEAT = "prefect.flow-run.heartbeat"
MANY_EVENTS = (
    *(f"prefect.task-run.{state}" for state in ("Pending", "Running", "Completed", "Failed")),
    # With the whole artifact, pictures included, in each.
    "prefect.artifact.created",
    "prefect.artifact-collection.created",
    "prefect.artifact-collection.updated",
    "prefect.concurrency-limit.acquired",
    "prefect.concurrency-limit.released",
)
"""Kinds of events that fill nearly all of Prefect's database."""

Port = Annotated[int, Field(ge=1, le=65535)]


class PrefectRetention(BaseModel):
    """How long Prefect's server keeps what it records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events_days: Kept = 1.0
    heartbeats_hours: Kept = 1.0
    task_events_hours: Kept = 1.0
    steps_hours: Kept = 6.0
    runs_days: Annotated[Kept, Field(gt=1 / 24)] = 14.0

    def environment(self) -> dict[str, str]:
        """Return the variables that tell the server.

        `steps_hours` is not among them: the server deletes nothing of a run that goes on, so the
        view of the supervision does.
        """
        hours = {HEARTBEAT: self.heartbeats_hours}
        hours |= dict.fromkeys(MANY_EVENTS, self.task_events_hours)
        return {
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(int(86400 * self.runs_days)),
            "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"PT{int(86400 * self.events_days)}S",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": json.dumps(
                {event: int(3600 * one) for event, one in hours.items()}
            ),
        }


class PlatformSettings(BaseModel):
    """Everything in `config/platform.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: Port | Literal["auto"] = "auto"
    processes: Path = PROCESSES
    worker: bool = True
    mixed_databases: bool = False
    metrics_port: Port | None = None
    least_disk_mb: Whole = 2048
    prefect: PrefectRetention = PrefectRetention()


def load_platform(path: Path = PLATFORM) -> PlatformSettings:
    """Return the settings in a file; ConfigurationError names file, line and key of a mistake."""
    return load_yaml(path, PlatformSettings)


UNIT = """\
# Alpha Foundry as a service of a user:
#   mkdir -p ~/.config/systemd/user && cp foundry.service ~/.config/systemd/user/
#   systemctl --user daemon-reload && systemctl --user enable --now foundry
#   loginctl enable-linger        # so that it runs without a login
[Unit]
Description=Alpha Foundry: Prefect server, worker and research processes
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
WorkingDirectory={folder}
{environment}
ExecStart={python} -m flows.platform up --foreground
WatchdogSec=60
KillMode=mixed
TimeoutStartSec=120
TimeoutStopSec=120
Restart=on-failure
RestartSec=10
Delegate=yes
OOMPolicy=continue
UMask=0077

[Install]
WantedBy=default.target
"""


def unit(*, folder: Path, environment: Mapping[str, str], python: str) -> str:
    """Return a systemd unit for this checkout; no key of it is newer than systemd 252."""
    return UNIT.format(
        # WorkingDirectory takes a path as it is; quotes would be part of it.
        folder=str(folder).replace("%", "%%"),
        environment="\n".join(
            f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()
        ),
        python=_quoted(python),
    )


def _quoted(word: str) -> str:
    """Return a word as units write it: % doubled, in quotes where it has spaces."""
    text = word.replace("%", "%%")
    return f'"{text}"' if " " in text else text
