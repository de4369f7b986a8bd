"""A run that is cancelled in Prefect's UI or by its API ends as after Ctrl-C: saved.

Prefect ends the process of a run that a worker started. A run started with `python -m` it leaves
alone, in the state Cancelling for ever; so a run looks at its own state.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import Abort
from prefect.runtime import flow_run
from prefect.states import Cancelled

from alphafoundry.runs import Stop

LOOK_SECONDS = 2.0
MESSAGE = "cancelled in Prefect; what had finished is saved, and the next run goes on with the rest"


class CancelledInPrefect(Abort):
    """The run was cancelled in Prefect, and has saved what it had."""


class Cancellation:
    """The flow runs of one run, and which of them someone has cancelled."""

    def __init__(self) -> None:
        self._watched: list[UUID] = []
        self._cancelled: set[UUID] = set()

    def watch(self) -> None:
        """Watch the flow run that calls this, too."""
        self._watched.append(UUID(str(flow_run.get_id())))

    async def wait(self) -> None:
        """Return once one of the watched flow runs is cancelled."""
        async with get_client() as client:
            while True:
                watched = FlowRunFilter(id=FlowRunFilterId(any_=self._watched))
                with contextlib.suppress(httpx.HTTPError):
                    for run in await client.read_flow_runs(flow_run_filter=watched):
                        state = run.state
                        if state is not None and (state.is_cancelling() or state.is_cancelled()):
                            self._cancelled.add(run.id)
                if self._cancelled:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def settle(self) -> None:
        """Bring the cancelled flow runs from Cancelling to Cancelled.

        Raises
        ------
        CancelledInPrefect : the first one is among them, and must not end in another state
        """
        if not self._cancelled:
            return
        async with get_client() as client:
            for one in self._cancelled:
                await client.set_flow_run_state(one, Cancelled(message=MESSAGE), force=True)
        if self._cancelled.intersection(self._watched[:1]):
            raise CancelledInPrefect(MESSAGE)


@contextlib.asynccontextmanager
async def stopping_when(
    cancellation: Cancellation, stop: Stop, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """Ask the run to end when it is cancelled in Prefect during the block.

    Parameters
    ----------
    stop : set then
    say : told so
    """
    watching = asyncio.create_task(_watch(cancellation, stop, say))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(cancellation: Cancellation, stop: Stop, say: Callable[[str], None]) -> None:
    await cancellation.wait()
    say("Cancelled in Prefect: finishing what is in flight and saving")
    stop.set(MESSAGE)
