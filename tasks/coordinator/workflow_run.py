"""The run of the optimize flow: opened once, found by its token in flows and tasks."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.run import WorkflowRun, opened_workflow
from alphafoundry.settings import load_settings
from tasks.prefect.dask_workers import Needs, require_here
from tasks.run import RunContext, run_context


@dataclass
class OpenRun:
    """A run with the token by which flows and tasks name it, and what surrounds it.

    needs : what a worker elsewhere must have to do a batch, None where the work stays here
    """

    run: WorkflowRun
    context: RunContext
    token: str
    needs: Needs | None = None


_open: dict[str, OpenRun] = {}
"""Open runs by token. Flows and tasks take the token: a runner such as Dask sends the parameters
of the flow to other processes, and a run cannot leave its own."""


def opened(token: str) -> OpenRun:
    """Return the open run of this process with that token."""
    return _open[token]


def manager_of_run(token: str) -> ResourceManager:
    """Return the run's resource manager; in a process of Dask's, one for that process."""
    found = _open.get(token)
    return ResourceManager() if found is None else found.run.manager


def check_not_stopped(token: str) -> None:
    """Raise RunStopped once the run was asked to end; a process of Dask's is not told."""
    found = _open.get(token)
    if found is not None:
        found.run.record.check_not_stopped()


def require_fit(token: str, needs: Needs | None) -> None:
    """Raise ConfigurationError where this is a process of Dask's that lacks what the run needs."""
    if needs is not None and token not in _open:
        require_here(needs)


@contextlib.asynccontextmanager
async def run_of_workflow(
    path: str | Path, *, restart: bool = False, task_runner: str | None = None
) -> AsyncIterator[OpenRun]:
    """Open a run: read and check the document, load the data, measure a trial, record the run.

    Raises
    ------
    FoundryError : before anything runs, where something is wrong
    TakenOver : at the end, where the run was presumed dead and another has its work
    CancelledInPrefect : at the end, where the run was cancelled in the UI or by the API
    """
    token = uuid.uuid4().hex
    async with run_context() as context:
        with opened_workflow(
            path,
            settings=load_settings(),
            progress=context.progress,
            stop=context.stop,
            restart=restart,
            task_runner=task_runner,
        ) as run:
            _open[token] = OpenRun(run, context, token)
            try:
                yield _open[token]
            finally:
                del _open[token]
