"""A desk on a clock whose ticks are done by several processes, one tick at a time.

The process that starts it writes down when its clock began and what its floor knows; each tick is
claimed in the store, begins from what the last one left, and leaves it again. So whoever is there
first does a tick, and nobody does it twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.clocks import ReplayClock
from alphafoundry.agents.desk import Desk, Step
from alphafoundry.agents.due_times import due_times
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.schedule import Schedule, stored_schedule
from alphafoundry.agents.worker import FloorWorker, MakeFloor
from alphafoundry.errors import FoundryError
from alphafoundry.file_lock import file_lock
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import desk_transaction, read_agent_desk
from alphafoundry.store.column_types import to_json

CLOCK = "clock"
"""Under this name the settings of a desk hold its `SharedClock`."""


@dataclass(frozen=True)
class SharedClock:
    """When the clock of a desk began, for every process that reads it.

    Attributes
    ----------
    started : true time at which it began, seconds since 1970
    began_at : what it showed then
    speed : seconds of it in a true one
    minutes : true ones after which it ends
    first, last : days of the market, as ISO text
    """

    started: float
    began_at: int
    speed: float
    minutes: float
    first: str
    last: str

    @property
    def ends_at(self) -> int:
        """Return what it shows at its end."""
        return self.began_at + round(self.minutes * 60 * self.speed)

    def wall(self, moment: int) -> float:
        """Return the true time at which it shows a moment, seconds since 1970."""
        return self.started + (moment - self.began_at) / self.speed

    def shown(self, wall: float) -> float:
        """Return what it shows at a true time."""
        return self.began_at + (wall - self.started) * self.speed


@dataclass(frozen=True)
class DueAgent:
    """When an agent of a shared desk is woken.

    Attributes
    ----------
    priority : of its task: critical, high, medium or low
    interval : true time between its ticks; None where they are at times of the day
    first : true time of its first tick, seconds since 1970
    moments : true times of all its ticks where they are at times of the day
    """

    agent: str
    priority: str
    interval: timedelta | None
    first: float
    moments: tuple[float, ...] = ()


def share_desk(
    store: Store, name: str, clock: SharedClock, kept: Mapping[str, Mapping[str, Any]]
) -> None:
    """Let other processes do the ticks of a desk from now on.

    kept : what its floor and its account know
    """
    with desk_transaction(store, name) as rows:
        found = rows.desk()
        found.settings = {**found.settings, CLOCK: asdict(clock)}
        found.checkpoint = json.loads(to_json(kept))


def due_agents(schedule: Schedule, hours: ExchangeHours, clock: SharedClock) -> list[DueAgent]:
    """Return when each agent of the schedule is due while the clock runs; none that never is."""
    found = []
    for task in schedule.tasks.values():
        moments = due_times(task, hours, clock.began_at, clock.ends_at)
        if not moments:
            continue
        walls = tuple(map(clock.wall, moments))
        given = (task.name, task.settings.priority)
        if task.settings.interval_minutes is None:
            found.append(DueAgent(*given, None, walls[0], walls))
        else:
            apart = timedelta(seconds=task.interval / clock.speed)
            found.append(DueAgent(*given, apart, walls[0]))
    return found


def do_due_tick(
    store: Store,
    agent: str,
    make: MakeFloor,
    *,
    desk: str | None,
    home: Path,
    wait: float = 120.0,
) -> str:
    """Do the newest tick of an agent that is due and has no row yet; return a line about it.

    The agent runs in a process of its own, which is killed where it passes its time-out.

    Parameters
    ----------
    make : opens the floor over there, such as a `partial` of `open_floor`
    desk : its name, None is the newest
    wait : seconds to wait for another process that does a tick of the desk

    Raises FoundryError where the desk is not shared, or has no such agent.
    """
    found = read_agent_desk(store, desk)
    clock = shared_clock(found)
    schedule = stored_schedule(found.schedule, environment=found.settings["environment"])
    if agent not in schedule.tasks:
        raise FoundryError(f"desk {found.name}: has no agent {agent!r}")
    if found.report is not None or clock.shown(time.time()) > clock.ends_at:
        return f"{agent}: the desk {found.name} has ended"
    with file_lock(home / "desks" / f"{found.name}.lock", wait=wait) as held:
        if held is None:
            return f"{agent}: another process was at work on {found.name} for {wait:g} s"
        step = _do(store, read_agent_desk(store, found.name), schedule, clock, agent, make)
    if step.record is None:
        return f"{agent}: {step.status}"
    return f"{agent}: {step.record.outcome} {step.record.reason}".strip()


def _do(
    store: Store,
    found: AgentDeskRow,
    schedule: Schedule,
    clock: SharedClock,
    agent: str,
    make: MakeFloor,
) -> Step:
    hours = ExchangeHours(
        schedule.orchestrator.exchange,
        date.fromisoformat(clock.first),
        date.fromisoformat(clock.last),
    )
    intervals = {one.name: one.interval for one in schedule.tasks.values()}
    with FloorWorker(make, found.checkpoint, speed=clock.speed) as worker:
        desk = Desk(
            schedule,
            hours,
            worker.agents(known_agents()),
            StoredBook(store, found.name, intervals, clock.began_at),
            worker,
            seed=found.settings["seed"],
            keep_facts=True,
        )
        now = clock.shown(time.time())
        step = desk.step(agent, ReplayClock(now, clock.speed))
        if worker.kept is not found.checkpoint:
            with desk_transaction(store, found.name) as rows:
                rows.put_desk(checkpoint=worker.kept)
    return step


def shared_clock(desk: AgentDeskRow) -> SharedClock:
    """Return the clock of a desk that is shared. Raises FoundryError for another."""
    given = desk.settings.get(CLOCK)
    if given is None:
        raise FoundryError(
            f"desk {desk.name}: its ticks are not done by deployments; start one with "
            "python -m flows.desk run --deployments"
        )
    return SharedClock(**given)
