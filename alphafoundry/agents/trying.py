"""One agent run at once for a person, as a tick of the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from alphafoundry.agents.account import Account
from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.control import desk_time
from alphafoundry.agents.desk import Desk, read_parameters
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.gate import Tick, decide
from alphafoundry.agents.hours import ExchangeHours, seconds, utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.schedule import Schedule, stored_schedule
from alphafoundry.agents.simulation import floor_for, strategies_of
from alphafoundry.agents.snapshot import Facts, Snapshot
from alphafoundry.errors import FoundryError
from alphafoundry.market.panel import Panel
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow, AgentTickRow
from alphafoundry.store.agents import read_ticks

TRADING = (
    "data_sync",
    "execution",
    "meta_control",
    "performance_analysis",
    "portfolio_rebalancing",
    "risk_management",
    "explanation",
)
"""Agents that need the desk's account, which its own process has."""


class _NoAccount:
    """Stands where the account is: another process has it."""

    version = 0

    def __getattr__(self, name: str) -> Any:
        raise FoundryError("this run has no part in the desk's account")


class _Now:
    """The desk's time, which stands still for a run that a person asked for."""

    def __init__(self, moment: int) -> None:
        self.moment = moment

    def now(self) -> int:
        """Return the desk's time."""
        return self.moment

    def sleep_until(self, moment: int) -> None:
        """Go on at once, at that time."""
        self.moment = max(self.moment, moment)


def try_agent(
    store: Store,
    desk: AgentDeskRow,
    agent: str,
    *,
    home: Path,
    load: Callable[[], Panel],
    parameters: Mapping[str, Any] | None,
    force: bool,
    at: datetime,
) -> AgentTickRow:
    """Run an agent once on the bars that the desk has; return its tick.

    Parameters
    ----------
    home : of the store
    load : loads the desk's market
    parameters : over those of its schedule
    force : skip conditions and dependencies; a pause or a rest still holds
    at : the true time

    Raises FoundryError for a simulation, for an agent that the desk does not have or that needs
    its account, where its gate says no, and what the agent raises.
    """
    if desk.clock == "simulated":
        raise FoundryError(f"desk {desk.name}: is a simulation, in which no person takes part")
    if agent in TRADING:
        raise FoundryError(
            f"{agent}: needs the account, which the desk's own process has; it runs when it is due"
        )
    schedule = stored_schedule(desk.schedule, environment=desk.settings["environment"])
    task = schedule.tasks.get(agent)
    if task is None:
        raise FoundryError(f"desk {desk.name}: has no agent {agent!r} that is enabled")
    # What it does not take is told before a tick is claimed for it.
    given = {**task.settings.parameters, **(parameters or {})}
    tried = replace(task, settings=task.settings.model_copy(update={"parameters": given}))
    read_parameters(replace(schedule, tasks={agent: tried}), known_agents())
    panel = load()
    first, last = panel.dates[0].item(), panel.dates[-1].item()
    # On the true clock the market ends with yesterday.
    until = max(last, desk_time(store, desk, at).date())
    hours = ExchangeHours(schedule.orchestrator.exchange, first, until)
    account: Any = _NoAccount()
    floor = _floor(schedule, store, desk, panel, hours, account, home)
    book = StoredBook(
        store,
        desk.name,
        {one.name: one.interval for one in schedule.tasks.values()},
        seconds(desk.began_at),
    )
    runner = Desk(
        schedule, hours, known_agents(), book, floor, seed=desk.settings["seed"], keep_facts=True
    )
    now = seconds(desk_time(store, desk, at))
    facts = replace(_newest_facts(store, desk), data_until=desk.data_until)
    with book.transaction() as opened:
        seen = Snapshot(
            now=now,
            moment=hours.at(now),
            own=agent,
            mode=opened.mode,
            facts=facts,
            agents=opened.states,
            closure=task.closure,
        )
        decision = decide(task, Tick(agent, now, forced=force), seen)
        while opened.is_known(agent, now):
            now += 1
    if decision.verdict != "run":
        raise FoundryError(f"{agent}: {decision.verdict}: {decision.reason}")
    step = runner.step(
        agent, _Now(now), due_at=now, forced=True, facts=facts, parameters=parameters
    )
    if step.record is None:
        raise FoundryError(f"{agent}: {step.status}; as many run as may, ask again")
    found = read_ticks(store, desk.name, agent=agent, due_at=utc(step.record.due_at))[0]
    if found.outcome == "failed":
        raise FoundryError(f"{agent}: {found.reason}")
    return found


def _newest_facts(store: Store, desk: AgentDeskRow) -> Facts:
    """Return what the gate of the desk's newest tick saw; nothing before the first."""
    found = read_ticks(store, desk.name, limit=1)
    seen = dict((found[0].seen if found else None) or {})
    known = {one.name for one in fields(Facts)} - {"data_until"}
    return Facts(**{name: value for name, value in seen.items() if name in known})


def _floor(
    schedule: Schedule,
    store: Store,
    desk: AgentDeskRow,
    panel: Panel,
    hours: ExchangeHours,
    account: Account,
    home: Path,
) -> TradingFloor:
    floor = floor_for(
        schedule,
        store=store,
        desk=desk.name,
        panel=panel,
        hours=hours,
        account=account,
        strategies=strategies_of(desk),
        home=home,
        simulated=False,
    )
    floor.data_until = desk.data_until
    return floor
