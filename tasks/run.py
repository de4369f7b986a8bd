"""What surrounds the run of every flow: the terminal, the caps, and a cancel in Prefect.

A flow enters `run_context`, opens what it works with inside, and publishes its report. Started
from a terminal, it shows its progress there and obeys its signals; started by a worker, it obeys
Prefect alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from alphafoundry.runs import NoProgress, Progress, Stop
from alphafoundry.settings import load_limits
from alphafoundry.supervisor import child, linux
from alphafoundry.supervisor.worker_runs import FLOW_RUN, WORKER
from tasks.prefect.cancellation import Cancellation, stopping_when
from tasks.prefect.limits import ensure_limits
from tasks.prefect.server import Server


@dataclass(frozen=True)
class Terminal:
    """What a run from the command line adds: where to show progress, and when to stop."""

    progress: Progress
    stop: Stop
    server: Server


@dataclass(frozen=True)
class RunContext:
    """What a run finds around it.

    Attributes
    ----------
    progress : where it shows how far it is
    stop : set when a signal or Prefect asks it to end
    caps : name of a cap to how many may hold it
    cancellation : which of its flow runs someone has cancelled
    """

    progress: Progress
    stop: Stop
    caps: Mapping[str, int]
    cancellation: Cancellation


_terminal: ContextVar[Terminal | None] = ContextVar("terminal", default=None)


@contextlib.contextmanager
def running_from_terminal(*, progress: Progress, stop: Stop, server: Server) -> Iterator[None]:
    """Show progress, and obey `stop`, in the flows that start inside the block."""
    token = _terminal.set(Terminal(progress, stop, server))
    try:
        yield
    finally:
        _terminal.reset(token)


def current_terminal() -> Terminal | None:
    """Return what the command line gave this run, None inside a deployment's run."""
    return _terminal.get()


def tag_of_process(name: str) -> str:
    """Return the tag of the flow runs of a supervised process."""
    return f"process:{name}"


async def _link_where_supervised() -> None:
    """Tag the outermost flow run of a supervised process with its name and supervision.

    The supervisor hears of the flow run, and keeps it with that life of the process. What a worker
    starts inherits the worker's marks, and is no part of its life.
    """
    context, marks = FlowRunContext.get(), os.environ.get(linux.PROCESS, "").split()
    run = context.flow_run if context is not None else None
    if run is None or run.parent_task_run_id is not None or not marks:
        return
    supervision, _, life = marks[-1].rpartition("/")
    name = life.rpartition(":")[0]
    if name == WORKER or os.environ.get(FLOW_RUN) == str(run.id):
        return
    child.flow_run(run.id)
    tags = {tag_of_process(name), f"supervision:{supervision}"}
    async with get_client() as client:
        await client.update_flow_run(run.id, tags={*run.tags, *tags})


@contextlib.asynccontextmanager
async def run_context(**caps: int | None) -> AsyncIterator[RunContext]:
    """Provision the caps, and have the run stopped when it is cancelled in Prefect.

    Parameters
    ----------
    caps : sizes that win over those of config/limits.yaml; None changes nothing

    Raises
    ------
    ConfigurationError : config/limits.yaml is wrong, or the server did not keep a cap
    CancelledInPrefect : at the end, where the run was cancelled in the UI or by the API
    """
    terminal = _terminal.get()
    limits = load_limits() | {name: size for name, size in caps.items() if size is not None}
    await ensure_limits(limits, terminal.server if terminal else None)
    await _link_where_supervised()
    context = RunContext(
        progress=terminal.progress if terminal else NoProgress(),
        stop=terminal.stop if terminal else Stop(),
        caps=limits,
        cancellation=Cancellation(),
    )
    context.cancellation.watch()
    try:
        async with stopping_when(context.cancellation, context.stop, context.progress.say):
            yield context
    except Exception:
        # A run that was cancelled may end by an exception that says so; Prefect must see that.
        await context.cancellation.settle()
        raise
    await context.cancellation.settle()
