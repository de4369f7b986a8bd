"""The desk: `python -m flows.desk simulate 5d`; `python -m flows.desk --help` lists the rest."""

from __future__ import annotations

import asyncio
from datetime import time

from prefect import flow

from alphafoundry.agents.comparison import DeskComparison
from alphafoundry.agents.report import DeskReport
from alphafoundry.errors import ConfigurationError
from tasks.desk.simulation import (
    compare_desk,
    publish_desk,
    replay_session,
    run_of_desk,
    share_session,
    trade_sessions,
)
from tasks.desk.ticks import do_tick
from tasks.desk.true_clock import trade_outside


@flow(name="desk", flow_run_name="desk, {sessions} sessions")
async def desk(
    sessions: int = 5,
    schedule: str = "config/task_schedule.yaml",
    environment: str = "production",
    cash: float = 1_000_000.0,
    seeding: int = 60,
    market: str | None = None,
    seed: int | None = None,
    restart: bool = False,
    like: str | None = None,
    workers: int = 1,
) -> DeskReport:
    """Let the desk trade the last sessions of a market on a simulated clock."""
    async with run_of_desk(
        sessions=sessions,
        schedule=schedule,
        environment=environment,
        cash=cash,
        seeding=seeding,
        market=market,
        seed=seed,
        restart=restart,
        like=like,
        workers=workers,
    ) as ready:
        await trade_sessions(ready)
        return await publish_desk(ready)


@flow(name="desk-replay", flow_run_name="desk, a session on a clock")
async def desk_replay(
    start: str = "11:25",
    speed: float = 10.0,
    minutes: float = 30.0,
    sessions: int = 1,
    schedule: str = "config/task_schedule.yaml",
    environment: str = "production",
    cash: float = 1_000_000.0,
    seeding: int = 60,
    market: str | None = None,
    seed: int | None = None,
    broker: str | None = None,
    deployments: bool = False,
) -> DeskReport:
    """Let the desk live through the last sessions of a market on a clock that goes by itself.

    With `deployments` its ticks are done by workers, which a deployment for each agent wakes. The
    past is traded at the paper broker alone; `desk_at_broker` knows another.
    """
    if broker not in (None, "paper"):
        raise ConfigurationError(f"broker {broker}: trades no past session; choose paper")
    async with run_of_desk(
        sessions=sessions,
        schedule=schedule,
        environment=environment,
        cash=cash,
        seeding=seeding,
        market=market,
        seed=seed,
        replay_from=time.fromisoformat(start),
    ) as ready:
        live = share_session if deployments else replay_session
        await live(ready, speed=speed, minutes=minutes)
        return await publish_desk(ready)


@flow(name="desk-at-broker", flow_run_name="desk at a broker, on the true clock")
async def desk_at_broker(
    minutes: float | None = None,
    schedule: str = "config/task_schedule.yaml",
    environment: str = "production",
    seeding: int = 60,
    market: str | None = None,
    seed: int | None = None,
    broker: str | None = None,
) -> DeskReport:
    """Let the desk trade at the broker that the settings name, on the true clock.

    It goes on until it is stopped, or for so many minutes; the next start takes it up again.
    """
    return await trade_outside(
        minutes=minutes,
        schedule=schedule,
        environment=environment,
        seeding=seeding,
        market=market,
        seed=seed,
        broker=broker,
    )


@flow(name="desk-compare", flow_run_name="desk {like} without {without}")
async def desk_compare(like: str, without: list[str], workers: int = 1) -> DeskComparison:
    """Simulate a desk again without an agent, a limit or a cost, and set both side by side.

    Market, seed and strategies are those of the desk.
    """
    return await compare_desk(like, without, workers=workers)


@flow(name="desk-tick", flow_run_name="{agent}")
async def desk_tick(agent: str, desk: str | None = None) -> str:
    """Do the newest tick of a desk's agent that is due and that nobody has done yet."""
    return await asyncio.to_thread(do_tick, agent, desk)


if __name__ == "__main__":
    from flows.desk_command import main

    main(desk, desk_replay, desk_compare, desk_at_broker)
