"""A simulated desk: one flow run, one task run a session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.agents.clocks import ReplayClock
from alphafoundry.agents.hours import SessionHours
from alphafoundry.agents.paper_account import most_shares, open_paper_account
from alphafoundry.agents.rephrasing import Rephraser, rephraser
from alphafoundry.agents.report import DeskReport
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.seeding import strategies_for
from alphafoundry.agents.simulation import DeskSimulation, sessions_of
from alphafoundry.research.run import load_simulated_market
from alphafoundry.runs import Run, open_run
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import DataOrigin, open_store
from tasks.publishing import publish
from tasks.run import RunContext, run_context


@dataclass(frozen=True)
class SimulatedDesk:
    """What the tasks of one flow run share."""

    simulation: DeskSimulation
    run: Run
    context: RunContext


@contextlib.asynccontextmanager
async def run_of_desk(
    *,
    sessions: int,
    schedule: str,
    environment: str,
    cash: float,
    seeding: int,
    market: str | None,
    seed: int | None,
    replay_from: time | None = None,
) -> AsyncIterator[SimulatedDesk]:
    """Give a desk that is ready for its first session, with strategies that may trade then.

    Parameters
    ----------
    replay_from : time of day at the exchange at which a replay on a clock begins; None simulates

    Raises
    ------
    FoundryError : wrong settings or schedule, no market data, or nothing that may trade
    """
    given: dict[str, Any] = {"market": market, "seed": seed}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    plan = checked_schedule(Path(schedule), environment=environment)
    url = settings.database_url.get_secret_value() if settings.database_url else None
    async with run_context() as context:
        say = context.progress.say
        panel = await asyncio.to_thread(load_simulated_market, settings, say)
        model = await _rephraser(settings)
        hours, days = sessions_of(panel, plan.orchestrator.exchange, sessions)
        with open_store(url, home=settings.home) as store:
            found = await strategies_for(
                store,
                settings,
                panel,
                days[0].day,
                hours,
                simulations=seeding,
                progress=context.progress,
                stop=context.stop,
            )
            first, last = panel.dates[0].item(), panel.dates[-1].item()
            origin = DataOrigin(
                panel.market_id,
                panel.source,
                panel.fingerprint,
                first,
                last,
                label=panel.label,
            )
            with open_run(
                store,
                flow="desk",
                service="desk",
                market_label=panel.label,
                seed=settings.seed,
                settings=settings.model_dump(mode="json", exclude={"database_url"}),
                data=origin,
                progress=context.progress,
                stop=context.stop,
            ) as run:
                name = f"{'simulation' if replay_from is None else 'replay'}-{run.id}"
                account = open_paper_account(
                    store,
                    name=name,
                    panel=panel,
                    hours=hours,
                    sessions=days,
                    cash=cash,
                    seed=settings.seed,
                    max_order_shares=most_shares(plan),
                )
                with account:
                    simulation = DeskSimulation(
                        store,
                        name=name,
                        run_id=run.id,
                        panel=panel,
                        schedule=plan,
                        hours=hours,
                        sessions=days,
                        strategies=found.strategies,
                        account=account,
                        seed=settings.seed,
                        home=settings.home,
                        settings={
                            "sessions": sessions,
                            "schedule": schedule,
                            "cash": cash,
                            "market": settings.market,
                        },
                        rephraser=model,
                        replay_from=None
                        if replay_from is None
                        else hours.local_moment(days[0].day, replay_from),
                    )
                    yield SimulatedDesk(simulation, run, context)


async def _rephraser(settings: FoundrySettings) -> Rephraser | None:
    """Return the model that rephrases explanations, its key from the environment or a block."""
    if settings.explanation.provider == "none":
        return None
    from tasks.algorithms.run import api_key

    key = await api_key(settings.explanation.provider)
    return await asyncio.to_thread(rephraser, settings, key)


@task(name="session", task_run_name="session {session.day}", cache_policy=NO_CACHE)
async def trade_session(desk: SimulatedDesk, session: SessionHours) -> None:
    """Let one session happen, with the nights before it."""
    line = await asyncio.to_thread(desk.simulation.run_session, session)
    get_run_logger().info("%s", line)


async def trade_sessions(desk: SimulatedDesk) -> None:
    """Let every session happen, until the run is asked to stop."""
    days = desk.simulation.sessions
    for number, session in enumerate(days):
        desk.context.progress.update("sessions", number, len(days), str(session.day))
        desk.run.check_not_stopped()
        await trade_session(desk, session)
    desk.context.progress.update("sessions", len(days), len(days))


@task(name="replay a session", cache_policy=NO_CACHE)
async def replay_session(desk: SimulatedDesk, *, speed: float, minutes: float) -> None:
    """Let the time of the session go by, `speed` times as fast as it did, for so many minutes.

    Decisions are made again from the rows afterwards; one that differs fails the run.
    """
    simulation, stop = desk.simulation, desk.context.stop
    await asyncio.to_thread(simulation.floor.prepare)
    clock = ReplayClock(simulation.began_at, speed, stop.is_set)
    until = simulation.began_at + round(minutes * 60 * speed)
    punctuality = await asyncio.to_thread(simulation.replay, clock, speed, until, stop.is_set)
    for line in (str(punctuality), simulation.decided_alike()):
        get_run_logger().info("%s", line)
        desk.context.progress.say(line)


async def publish_desk(desk: SimulatedDesk) -> DeskReport:
    """Return the report; it stands with the run, the desk, and in the UI."""
    report = desk.simulation.report()
    desk.run.report = report.to_json()
    await publish(report)
    return report
