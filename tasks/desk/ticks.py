"""Ticks of a desk that Prefect wakes: a deployment for each agent, and what its runs do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Scheduled

from alphafoundry.agents.rephrasing import rephraser
from alphafoundry.agents.shared_desk import DueAgent, do_due_tick
from alphafoundry.agents.simulation import open_floor
from alphafoundry.errors import FoundryError
from alphafoundry.research.run import load_simulated_market
from alphafoundry.settings import load_settings
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_desk

TICK = "desk-tick/desk-tick"
"""The deployment of `prefect.yaml` that those of a desk's agents are made after."""

QUEUES = ("critical", "high", "medium", "low")
"""Work queues by priority, the first is emptied first."""


def do_tick(agent: str, desk: str | None) -> str:
    """Do the newest tick of an agent that is due and has no row yet; return a line about it."""
    settings = load_settings()
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_store(url, home=settings.home) as store:
        found = read_agent_desk(store, desk)
        own = load_settings(market=found.settings["market"], seed=found.settings["seed"])
        make = partial(
            open_floor,
            desk=found.name,
            url=url,
            home=own.home.resolve(),
            load=partial(load_simulated_market, own),
            rephrase=partial(rephraser, own),
            # Of all agents one needs the programme.
            prepare=False,
        )
        return do_due_tick(store, agent, make, desk=found.name, home=own.home)


@contextlib.asynccontextmanager
async def woken_by_deployments(desk: str, due: Sequence[DueAgent]) -> AsyncIterator[None]:
    """Let a deployment for each agent wake it at its due times, for the length of the block.

    An agent with an interval has a schedule, one at times of the day a run at each of them. A
    deployment's runs wait in the queue of its agent's priority. At the end all of them are deleted.

    Raises FoundryError where the server does not know the deployment that they are made after.
    """
    made: list[UUID] = []
    async with get_client() as client:
        try:
            pattern = await client.read_deployment_by_name(TICK)
        except ObjectNotFound:
            raise FoundryError(
                f"this Prefect server has no deployment {TICK}; start one with `make server`, "
                "then `make deploy` and `make worker`"
            ) from None
        try:
            await _ensure_queues(client, pattern.work_pool_name)
            for one in due:
                made.append(await _deploy(client, pattern, desk, one))
            yield
        finally:
            for number in made:
                await asyncio.shield(_delete(client, number))


async def _delete(client: PrefectClient, number: UUID) -> None:
    """Delete a deployment; where the server does not, say so: its runs then do nothing."""
    try:
        await client.delete_deployment(number)
    except ObjectNotFound:
        pass
    except httpx.HTTPError as problem:
        get_run_logger().warning(
            "deployment %s of the desk is left on the server (%s); delete it with "
            "`prefect deployment delete`",
            number,
            type(problem).__name__,
        )


async def _ensure_queues(client: PrefectClient, pool: str | None) -> None:
    for priority, name in enumerate(QUEUES, 1):
        try:
            await client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            await client.create_work_queue(name, priority=priority, work_pool_name=pool)


async def _deploy(
    client: PrefectClient, pattern: DeploymentResponse, desk: str, due: DueAgent
) -> UUID:
    parameters = {"agent": due.agent, "desk": desk}
    schedules = []
    if due.interval is not None:
        anchor = datetime.fromtimestamp(due.first, UTC)
        every = IntervalSchedule(interval=due.interval, anchor_date=anchor, timezone="UTC")
        schedules.append(DeploymentScheduleCreate(schedule=every, active=True))
    number = await client.create_deployment(
        pattern.flow_id,
        f"{due.agent} of {desk}",
        entrypoint=pattern.entrypoint,
        path=pattern.path,
        pull_steps=pattern.pull_steps,
        work_pool_name=pattern.work_pool_name,
        work_queue_name=due.priority,
        parameters=parameters,
        schedules=schedules,
        tags=["desk"],
        parameter_openapi_schema=pattern.parameter_openapi_schema,
    )
    for moment in due.moments:
        at = datetime.fromtimestamp(moment, UTC)
        await client.create_flow_run_from_deployment(number, state=Scheduled(scheduled_time=at))
    return number
