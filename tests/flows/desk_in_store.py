"""A store with a desk that ran for an hour, made without running one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.hours import seconds, utc
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Control
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.market.panel import Panel
from alphafoundry.store import Store
from alphafoundry.store.agents import open_agent_desk
from tests.library.agents.desks import GivenClock, GivenFloor, hours_of
from tests.library.agents.small_desks import SCHEDULE, small_panel
from tests.library.trading.markets import REVERSAL, strategy

STRATEGIES = [REVERSAL, strategy("volume", "-rank(volume)")]


def desk_in_store(
    store: Store, home: Path, *, clock: Any = "replay", fails: tuple[str, ...] = ()
) -> Panel:
    """Write a desk "small" of a small market; return the market."""
    panel = small_panel()
    schedule = checked_schedule(SCHEDULE)
    day = panel.dates[-1].item()
    hours = hours_of((day - timedelta(days=10)).isoformat(), day.isoformat())
    session = next(one for one in hours.sessions if one.day == day)
    row = open_agent_desk(
        store,
        "small",
        market_label=panel.label,
        clock=clock,
        began_at=utc(session.opens),
        schedule=schedule.values,
        settings={
            "market": "small",
            "seed": 3,
            "environment": "production",
            "strategies": [one.to_json() for one in STRATEGIES],
        },
    )
    with store.write() as transaction:
        transaction.merge(row).data_until = panel.dates[-2].item()

    def body(context: AgentContext) -> AgentResult:
        if context.name in fails:
            raise OSError("password=hush")
        if context.name == "meta_control" and context.now > session.opens + 1800:
            return AgentResult("told", control=Control("by a test", "REDUCING"))
        return AgentResult("done")

    agents = {name: Agent(name, body) for name in schedule.tasks}
    intervals = {task.name: task.interval for task in schedule.tasks.values()}
    book = StoredBook(store, "small", intervals, seconds(row.began_at))
    desk = Desk.__new__(Desk)
    Desk.__init__(desk, _without_parameters(schedule), hours, agents, book, GivenFloor())
    for name in ("meta_control", "system_health", "sentiment_fetch"):
        for moment in range(session.opens + 300, session.opens + 3601, 660):
            desk.step(name, GivenClock(moment), due_at=None)
    return panel


def _without_parameters(schedule: Any) -> Any:
    from dataclasses import replace

    return replace(
        schedule,
        tasks={
            name: replace(task, settings=task.settings.model_copy(update={"parameters": {}}))
            for name, task in schedule.tasks.items()
        },
    )
