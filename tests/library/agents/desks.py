"""Small desks for tests: agents that do what they are told, facts that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from alphafoundry.agents.book import StoredBook, TickBook, fresh_book
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Parameters
from alphafoundry.agents.schedule import Schedule, load_schedule
from alphafoundry.agents.snapshot import Facts
from alphafoundry.store import Store
from alphafoundry.store.agents import open_agent_desk

Body = Callable[[AgentContext], AgentResult]


def at(text: str) -> int:
    """Seconds since 1970 of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@dataclass
class GivenFloor:
    """Facts as a test wants them."""

    now: Facts = field(
        default_factory=lambda: Facts(
            positions=3, pending_orders=0, fills=0, trades_today=0, host=1.0
        )
    )

    def facts(self, now: int) -> Facts:
        return self.now


class GivenClock:
    """A clock that a test moves; sleeping moves it too."""

    def __init__(self, moment: int) -> None:
        self.moment = moment

    def now(self) -> int:
        return self.moment

    def sleep_until(self, moment: int) -> None:
        self.moment = max(self.moment, moment)


def schedule_of(folder: Path, tasks: str, *, orchestrator: str = "", **given: str) -> Schedule:
    """The schedule of a file with these tasks."""
    path = folder / "schedule.yaml"
    head = f"orchestrator:\n{orchestrator}\n" if orchestrator else ""
    path.write_text(f"{head}tasks:\n{tasks}", encoding="utf-8")
    return load_schedule(path, **given)


def hours_of(first: str, last: str, exchange: str = "XNYS") -> ExchangeHours:
    return ExchangeHours(exchange, date.fromisoformat(first), date.fromisoformat(last))


def well(context: AgentContext) -> AgentResult:
    return AgentResult("done")


def desk_of(
    schedule: Schedule,
    hours: ExchangeHours,
    began_at: int,
    bodies: Mapping[str, Body] | None = None,
    *,
    floor: GivenFloor | None = None,
    book: TickBook | None = None,
    safe: tuple[str, ...] = (),
    seconds: float = 1.0,
) -> Desk:
    given = bodies or {}
    agents = {
        name: Agent(name, given.get(name, well), Parameters, name in safe, None, seconds)
        for name in schedule.tasks
    }
    return Desk(
        schedule,
        hours,
        agents,
        book or fresh_book(intervals(schedule), began_at),
        floor or GivenFloor(),
        seed=7,
    )


def intervals(schedule: Schedule) -> dict[str, int]:
    return {name: task.interval for name, task in schedule.tasks.items()}


def stored_book(store: Store, schedule: Schedule, began_at: int, name: str = "test") -> StoredBook:
    open_agent_desk(
        store,
        name,
        market_label="a test",
        clock="wall",
        began_at=datetime.fromtimestamp(began_at, UTC),
        schedule={},
        settings={},
    )
    return StoredBook(store, name, intervals(schedule), began_at)
