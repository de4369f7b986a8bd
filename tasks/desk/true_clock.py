"""A desk at a broker outside, on the true clock, as one flow run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.agents.clocks import TrueClock
from alphafoundry.agents.desk_account import order_limits
from alphafoundry.agents.hours import utc
from alphafoundry.agents.outside_account import begin_outside_desk
from alphafoundry.agents.report import DeskReport
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.seeding import strategies_for
from alphafoundry.agents.simulation import strategies_of
from alphafoundry.agents.true_clock import (
    DAYS_AHEAD,
    TrueClockDesk,
    check_market,
    client_of,
    desk_name,
    first_session,
    hours_ahead,
)
from alphafoundry.research.run import load_simulated_market
from alphafoundry.runs import open_run, panel_origin
from alphafoundry.settings import load_settings
from alphafoundry.store import open_store
from alphafoundry.store.agents import find_agent_desk
from tasks.publishing import publish
from tasks.run import RunContext, run_context


async def trade_outside(
    *,
    minutes: float | None,
    schedule: str,
    environment: str,
    seeding: int,
    market: str | None,
    seed: int | None,
    broker: str | None,
) -> DeskReport:
    """Let a desk trade at the broker of the settings until asked to stop; return its report.

    Parameters
    ----------
    minutes : after which it ends; None goes on until asked to stop, for a year at most
    seeding : alphas to simulate first for a new desk whose store holds none that may trade

    Raises
    ------
    FoundryError : wrong settings, schedule, market, keys or account, or nothing that may trade
    """
    given: dict[str, Any] = {"market": market, "seed": seed, "broker": broker}
    settings = load_settings(**{name: one for name, one in given.items() if one is not None})
    # The process that runs the agents may be started in another folder.
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    plan = checked_schedule(Path(schedule), environment=environment)
    url = settings.database_url.get_secret_value() if settings.database_url else None
    async with run_context() as context:
        panel = await asyncio.to_thread(load_simulated_market, settings, context.progress.say)
        check_market(panel, plan)
        now = int(time.time())
        hours = hours_ahead(panel, plan.orchestrator.exchange, now)
        with open_store(url, home=settings.home) as store:
            with client_of(settings, panel) as client:
                account = await asyncio.to_thread(client.account)
                name = desk_name(account.number)
                await asyncio.to_thread(
                    begin_outside_desk,
                    store,
                    client,
                    name=name,
                    exchange=plan.orchestrator.exchange,
                    limits=order_limits(plan),
                    now=utc(now),
                )
            earlier = find_agent_desk(store, name)
            if earlier is not None:
                strategies = strategies_of(earlier)
            else:
                found = await strategies_for(
                    store,
                    settings,
                    panel,
                    first_session(hours, now),
                    hours,
                    simulations=seeding,
                    progress=context.progress,
                    stop=context.stop,
                )
                strategies = tuple(found.strategies)
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
                desk = TrueClockDesk(
                    store,
                    settings,
                    name=name,
                    run_id=run.id,
                    panel=panel,
                    schedule=plan,
                    strategies=strategies,
                    cash=account.cash / 1e4,
                    now=now,
                )
                context.progress.say(
                    f"{name} trades at {client.host} "
                    f"({'LIVE, real money' if client.live else 'paper money'}) on the true clock; "
                    "Ctrl-C ends it, its orders and positions stay"
                )
                await live(desk, context, minutes=minutes)
                report = await asyncio.to_thread(desk.report)
                run.report = report.to_json()
                await publish(report)
                return report


@task(name="trade on the true clock", cache_policy=NO_CACHE)
async def live(desk: TrueClockDesk, context: RunContext, *, minutes: float | None) -> None:
    """Do the desk's ticks at their times, until asked to stop or for so many minutes."""
    asked_to_stop = context.stop.is_set
    seconds = DAYS_AHEAD * 86_400 if minutes is None else round(minutes * 60)
    punctuality = await asyncio.to_thread(
        desk.live,
        TrueClock(asked_to_stop),
        until=int(time.time()) + seconds,
        asked_to_stop=asked_to_stop,
    )
    get_run_logger().info("%s", punctuality)
    context.progress.say(str(punctuality))
