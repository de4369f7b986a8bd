"""A simulated desk: one flow run, one task run a session, or a few sessions of a long one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import time as time_of_day
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.agents.comparison import DeskComparison
from alphafoundry.agents.counterfactual import counterfactual_of, schedule_without
from alphafoundry.agents.desk_account import broker_file, open_paper_account, order_limits
from alphafoundry.agents.hours import SessionHours
from alphafoundry.agents.living import Punctuality
from alphafoundry.agents.rephrasing import Rephraser, rephraser
from alphafoundry.agents.report import DeskReport
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.seeding import strategies_for
from alphafoundry.agents.simulation import (
    DeskSimulation,
    cut_simulation,
    finished_simulation,
    open_floor,
    sessions_of,
    strategies_of,
)
from alphafoundry.algorithms.providers import KEY_VARIABLES, key_from_environment
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.research.run import load_simulated_market
from alphafoundry.runs import Run, open_run, panel_origin
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import open_store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import read_agent_desk
from alphafoundry.trading.portfolio import LiveStrategy
from tasks.desk.ticks import woken_by_deployments
from tasks.publishing import publish
from tasks.run import RunContext, run_context

TASK_RUNS = 50
"""Most task runs of a simulation: nobody looks at more, and the server writes rows for each."""


@dataclass(frozen=True)
class SimulatedDesk:
    """What the tasks of one flow run share."""

    simulation: DeskSimulation
    settings: FoundrySettings
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
    restart: bool = False,
    like: str | None = None,
    without: Sequence[str] = (),
    replay_from: time_of_day | None = None,
    workers: int = 1,
) -> AsyncIterator[SimulatedDesk]:
    """Give a desk that is ready for its first session, with strategies that may trade then.

    Parameters
    ----------
    restart : begin anew although a simulation of the same was cut
    like : name of a desk whose schedule and strategies are taken, whatever file and store say now
    without : agents, limits and costs that are left out of that schedule; the market has to be as
        that desk knew it
    replay_from : time of day at the exchange at which a replay on a clock begins; None simulates
    workers : threads that prepare what rebalancing needs

    Raises
    ------
    FoundryError : wrong settings or schedule, no market data, or nothing that may trade
    """
    given: dict[str, Any] = {"market": market, "seed": seed}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    plan = None if like is not None else checked_schedule(Path(schedule), environment=environment)
    url = settings.database_url.get_secret_value() if settings.database_url else None
    async with run_context() as context:
        say = context.progress.say
        panel = await asyncio.to_thread(load_simulated_market, settings, say)
        model = await _rephraser(settings, elsewhere=replay_from is not None)
        asked = {
            "sessions": sessions,
            "schedule": schedule,
            "cash": cash,
            "market": settings.market,
            "seed": settings.seed,
            "environment": environment,
            "data_version": panel.fingerprint,
        }
        with open_store(url, home=settings.home) as store:
            research = 0.0
            strategies: Sequence[LiveStrategy] | None = None
            more: dict[str, Any] = {}
            if plan is None:
                earlier = read_agent_desk(store, like)
                plan = schedule_without(earlier.schedule, without, environment)
                if without:
                    _check_same_market(earlier, panel.fingerprint)
                strategies = strategies_of(earlier)
                more = counterfactual_of(earlier, without)
            hours, days = sessions_of(panel, plan.orchestrator.exchange, sessions)
            anew = restart or like is not None or replay_from is not None
            cut = None if anew else cut_simulation(store, asked, plan)
            if cut is not None:
                strategies = strategies_of(cut)
                done = 0 if cut.checkpoint is None else cut.checkpoint["sessions"]
                say(
                    f"Going on with {cut.name}, of which {done} of {sessions} sessions are done; "
                    "--restart begins anew"
                )
            elif strategies is None:
                began = process_time()
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
                strategies, research = found.strategies, process_time() - began
            checkpoint = None if cut is None else cut.checkpoint
            with open_run(
                store,
                flow="desk",
                service="desk",
                market_label=panel.label,
                seed=settings.seed,
                settings=settings.model_dump(mode="json", exclude={"database_url"}),
                data=panel_origin(panel),
                progress=context.progress,
                stop=context.stop,
            ) as run:
                name = f"{'simulation' if replay_from is None else 'replay'}-{run.id}"
                name = name if cut is None else cut.name
                account = open_paper_account(
                    store,
                    name=name,
                    panel=panel,
                    hours=hours,
                    sessions=days,
                    cash=cash,
                    seed=settings.seed,
                    limits=order_limits(plan),
                    rules=plan.rules.broker,
                    state=broker_file(settings.home, name),
                    hold=replay_from is None,
                    kept=None if checkpoint is None else checkpoint["account"],
                    alone=replay_from is None,
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
                        strategies=strategies,
                        account=account,
                        seed=settings.seed,
                        home=settings.home,
                        settings={
                            **asked,
                            "strategies": [one.to_json() for one in strategies],
                            **more,
                        },
                        checkpoint=checkpoint,
                        workers=workers,
                        research=research,
                        rephraser=model,
                        replay_from=None
                        if replay_from is None
                        else hours.local_moment(days[0].day, replay_from),
                    )
                    yield SimulatedDesk(simulation, settings, run, context)


def _check_same_market(earlier: AgentDeskRow, version: str) -> None:
    if earlier.settings.get("data_version") != version:
        raise FoundryError(
            f"desk {earlier.name}: its market has other bars by now; simulate it again, then "
            "compare"
        )


async def compare_desk(like: str, without: Sequence[str], *, workers: int) -> DeskComparison:
    """Simulate a desk without agents, limits or costs; return it beside what it was.

    Raises FoundryError where it is no finished simulation, or its market has changed.
    """
    settings = load_settings()
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_store(url, home=settings.home) as store:
        found, given = finished_simulation(store, like)
    assert found.report is not None
    async with run_of_desk(
        **given, seeding=1, like=found.name, without=without, workers=workers
    ) as ready:
        await trade_sessions(ready)
        report = await publish_desk(ready)
    comparison = DeskComparison(found.report, report.to_json(), tuple(without))
    await publish(comparison)
    return comparison


async def _rephraser(settings: FoundrySettings, *, elsewhere: bool) -> Rephraser | None:
    """Return the model that rephrases explanations, its key from the environment or a block.

    elsewhere : another process asks it, which inherits the environment and reads no block

    Raises ConfigurationError where that process would have no key.
    """
    provider = settings.explanation.provider
    if provider == "none":
        return None
    from tasks.algorithms.run import api_key

    key = await api_key(provider)
    if elsewhere and key is not None and key_from_environment(provider, os.environ) is None:
        raise ConfigurationError(
            f"explanation.provider {provider}: its key is in a Prefect Secret block alone, which "
            f"the process that runs a desk's agents does not read; set {KEY_VARIABLES[provider]}"
        )
    return await asyncio.to_thread(rephraser, settings, key)


@task(name="session", task_run_name="{name}", cache_policy=NO_CACHE)
async def trade_part(desk: SimulatedDesk, name: str, days: Sequence[SessionHours]) -> None:
    """Let sessions happen, with the nights before them, until the run is asked to stop."""
    every = desk.simulation.sessions
    lines = []
    for session in days:
        if desk.context.stop.is_set():
            break
        place = every.index(session)
        desk.context.progress.update("sessions", place, len(every), str(session.day))
        lines.append(await asyncio.to_thread(desk.simulation.run_session, session))
    get_run_logger().info("%s", "\n".join(lines))


async def trade_sessions(desk: SimulatedDesk) -> None:
    """Let every session happen, each in a task run of its own, or some in a row where many are."""
    days = desk.simulation.sessions
    left = days[desk.simulation.done :]
    desk.context.progress.say("Preparing signals and risk models")
    await asyncio.to_thread(desk.simulation.prepare)
    size = math.ceil(len(days) / TASK_RUNS)
    for start in range(0, len(left), size):
        part = left[start : start + size]
        first, last = part[0].day, part[-1].day
        desk.run.check_not_stopped()
        await trade_part(desk, f"session {first}" if size == 1 else f"{first} to {last}", part)
    if desk.simulation.unfinished:
        desk.run.check_not_stopped()
    desk.context.progress.update("sessions", len(days), len(days))


@task(name="replay a session", cache_policy=NO_CACHE)
async def replay_session(desk: SimulatedDesk, *, speed: float, minutes: float) -> None:
    """Let the time of the session go by, `speed` times as fast as it did, for so many minutes.

    Decisions are made again from the rows afterwards; one that differs fails the run.
    """
    simulation, settings = desk.simulation, desk.settings
    url = settings.database_url.get_secret_value() if settings.database_url else None
    punctuality = await asyncio.to_thread(
        simulation.replay,
        partial(
            open_floor,
            desk=simulation.name,
            url=url,
            home=settings.home.resolve(),
            load=partial(load_simulated_market, settings),
            rephrase=partial(rephraser, settings),
        ),
        speed=speed,
        minutes=minutes,
        asked_to_stop=desk.context.stop.is_set,
    )
    _tell(desk, punctuality)


@task(name="share a session", cache_policy=NO_CACHE)
async def share_session(desk: SimulatedDesk, *, speed: float, minutes: float) -> None:
    """Let workers do the ticks of so many minutes, which a deployment for each agent wakes.

    Decisions are made again from the rows afterwards; one that differs fails the run.
    """
    simulation = desk.simulation
    clock = await asyncio.to_thread(simulation.share, speed=speed, minutes=minutes)
    async with woken_by_deployments(simulation.name, simulation.due_agents(clock)):
        desk.context.progress.say(
            f"{simulation.name}: workers do its ticks for {minutes:g} min (make worker)"
        )
        with contextlib.suppress(TimeoutError):
            left = clock.wall(clock.ends_at) - time.time()
            await asyncio.wait_for(desk.context.stop.wait(), left)
    punctuality = await asyncio.to_thread(simulation.take_back, clock)
    _tell(desk, punctuality)


def _tell(desk: SimulatedDesk, punctuality: Punctuality) -> None:
    """Tell how late ticks began and whether they decide alike again."""
    for line in (str(punctuality), desk.simulation.decided_alike()):
        get_run_logger().info("%s", line)
        desk.context.progress.say(line)


async def publish_desk(desk: SimulatedDesk) -> DeskReport:
    """Return the report; it stands with the run, the desk, and in the UI."""
    report = desk.simulation.report()
    desk.run.report = report.to_json()
    await publish(report)
    return report
