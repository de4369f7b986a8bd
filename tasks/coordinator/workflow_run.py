"""The run of a workflow that the optimize flow works on, and where its tasks find it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.run import WorkflowRun, opened_workflow
from alphafoundry.research.workbench import NoProgress, Progress
from alphafoundry.settings import load_settings
from tasks.research.workbench import current_terminal


@dataclass(frozen=True)
class OpenRun:
    """A run with the token by which flows and tasks name it."""

    run: WorkflowRun
    token: str


_open: dict[str, WorkflowRun] = {}
"""Open runs by token. Flows and tasks take the token: a runner such as Dask sends the parameters
of the flow to other processes, and a run cannot leave its own."""


def opened(token: str) -> WorkflowRun:
    """Return the open run of this process with that token."""
    return _open[token]


def manager_of_run(token: str) -> ResourceManager:
    """Return the run's resource manager; in a process of Dask's, one for that process."""
    run = _open.get(token)
    return ResourceManager() if run is None else run.manager


@contextlib.asynccontextmanager
async def workflow_run(
    path: str | Path, *, restart: bool = False, task_runner: str | None = None
) -> AsyncIterator[OpenRun]:
    """Open a run with the settings of this process and the terminal that it has, if any.

    Raises FoundryError before anything runs where something is wrong.
    """
    shown = current_terminal()
    progress: Progress = shown.progress if shown else NoProgress()
    token = uuid.uuid4().hex
    with opened_workflow(
        path,
        settings=load_settings(),
        progress=progress,
        stop=shown.stop if shown else asyncio.Event(),
        restart=restart,
        task_runner=task_runner,
    ) as run:
        _open[token] = run
        try:
            yield OpenRun(run, token)
        finally:
            del _open[token]
