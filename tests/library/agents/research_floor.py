"""A floor without account for agents that only read a market and write to the store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import SessionHours, utc
from alphafoundry.agents.registry import AgentContext, AgentResult
from alphafoundry.market.panel import Panel
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk
from tests.library.agents.desks import hours_of


@contextlib.contextmanager
def research_floor(home: Path, panel: Panel, *, simulated: bool = True) -> Iterator[TradingFloor]:
    first, last = panel.dates[0].item(), panel.dates[-1].item()
    hours = hours_of(first.isoformat(), last.isoformat())
    with open_store(home=home) as store:
        open_agent_desk(
            store,
            "small",
            market_label=panel.label,
            clock="simulated" if simulated else "wall",
            began_at=utc(hours.sessions[0].opens),
            schedule={},
            settings={},
        )
        yield TradingFloor(
            store=store,
            desk="small",
            panel=panel,
            hours=hours,
            account=None,  # type: ignore[arg-type]
            strategies=[],
            home=home,
            simulated=simulated,
            sample_age=900,
            samples_kept=timedelta(days=1),
        )


def session_of(floor: TradingFloor, row: int) -> SessionHours:
    """The session of a row of the market."""
    day = floor.panel.dates[row].item()
    return next(one for one in floor.hours.sessions if one.day == day)


def tick(floor: TradingFloor, agent: Any, now: int, **given: Any) -> AgentResult:
    """One run of an agent, with these parameters over its usual ones."""
    parameters = agent.parameters(**given)
    return agent.run(AgentContext(floor, agent.name, now, now, now + 600, parameters, 3))
