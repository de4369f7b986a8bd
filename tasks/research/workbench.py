"""The workbench of the flow that runs: opened once, shared by the flows that it calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.brain import BrainClient
from alphafoundry.expressions import FieldInfo
from alphafoundry.research.json_views import import_hopeful
from alphafoundry.research.workbench import Progress, Workbench, open_workbench, sign_in
from alphafoundry.settings import FoundrySettings, load_limits, load_settings
from tasks.prefect.cancellation import Cancellation, stopping_when
from tasks.prefect.limits import ensure_limits
from tasks.prefect.retries import TRANSIENT
from tasks.prefect.server import Server
from tasks.research.credentials import brain_credentials

SIMULATION_CAP = "simulation"


@dataclass(frozen=True)
class Terminal:
    """What a run from the command line adds: where to show progress, and when to stop."""

    progress: Progress
    stop: asyncio.Event
    server: Server


_terminal: ContextVar[Terminal | None] = ContextVar("terminal", default=None)
_current: ContextVar[tuple[Workbench, Cancellation] | None] = ContextVar("workbench", default=None)


@contextlib.contextmanager
def running_from_terminal(
    *, progress: Progress, stop: asyncio.Event, server: Server
) -> Iterator[None]:
    """Show progress, and obey `stop`, in the flows that start inside the block."""
    token = _terminal.set(Terminal(progress, stop, server))
    try:
        yield
    finally:
        _terminal.reset(token)


def current_terminal() -> Terminal | None:
    """Return what the command line gave this run, None inside a deployment's run."""
    return _terminal.get()


@task(name="connect", task_run_name="connect to BRAIN", cache_policy=NO_CACHE, **TRANSIENT)
async def _connect(
    brain: BrainClient, settings: FoundrySettings
) -> tuple[dict[str, FieldInfo], frozenset[str]]:
    """Sign in and ask what the service offers."""
    return await sign_in(brain, settings)


@contextlib.asynccontextmanager
async def workbench(flow: str, given: Mapping[str, Any]) -> AsyncIterator[Workbench]:
    """Give the workbench of this run; a flow inside another shares the outer one's.

    Parameters
    ----------
    flow : name of the flow, for the run's row
    given : its parameters by name; None is "as configured"

    Raises
    ------
    FoundryError : wrong settings, no market data, no credentials, no service
    CancelledInPrefect : at the end, where the run was cancelled in the UI or by the API
    """
    flags = {name: value for name, value in given.items() if value is not None}
    outer = _current.get()
    if outer is not None:
        bench, cancellation = outer
        cancellation.watch()
        yield bench.for_phase(flags.get("simulations"), flags.get("seed"))
        return
    settings = load_settings(**flags)
    limits = load_limits()
    if settings.max_concurrent is not None:
        limits[SIMULATION_CAP] = settings.max_concurrent
    shown = current_terminal()
    await ensure_limits(limits, shown.server if shown else None)
    cancellation = Cancellation()
    cancellation.watch()
    async with open_workbench(
        settings,
        flow=flow,
        lanes=limits[SIMULATION_CAP],
        credentials=await brain_credentials(settings),
        connect=_connect,
        progress=shown.progress if shown else None,
        stop=shown.stop if shown else None,
    ) as bench:
        token = _current.set((bench, cancellation))
        try:
            async with stopping_when(cancellation, bench.stop, bench.progress.say):
                await import_hopeful(bench)
                yield bench
        finally:
            _current.reset(token)
    await cancellation.settle()
