"""How late a desk's urgent agents begin under load, with and without stretched intervals.

The schedule of `config/task_schedule.yaml` on a simulated clock; runs take so many times what their
agents say they take, and few may be under way together. Nothing is measured by a true clock.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from alphafoundry.agents.book import fresh_book
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.load import relief
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Control
from alphafoundry.agents.schedule import load_schedule
from alphafoundry.agents.simulator import Simulator
from alphafoundry.seeds import generator
from benchmarks.failures import BEGINS, FIRST, LAST, AnyParameters, GivenFloor

URGENT = ("critical", "high")


def measure_load(
    *, times: float = 12.0, places: int = 2, sessions: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Return the lateness of urgent agents without and with stretching, in seconds.

    Parameters
    ----------
    times : what a run takes, over what its agent says it takes
    places : runs under way together at most
    """
    without, with_it = (
        late_seconds(most, times=times, places=places, sessions=sessions, seed=seed)
        for most in (1, 4)
    )
    return {
        "load": f"runs {times:g} x as long, {places} places, {sessions} sessions",
        **{
            f"{name}_{told}": value
            for name, found in (("without", without), ("with", with_it))
            for told, value in found.items()
        },
    }


def late_seconds(
    most_stretch: int, *, times: float, places: int, sessions: int, seed: int
) -> dict[str, float]:
    """Return mean and 99 % lateness of critical and high agents, and ticks that were missed."""
    logging.disable(logging.WARNING)
    plan = load_schedule()
    orchestrator = plan.orchestrator.model_copy(update={"max_concurrent_tasks": places})
    schedule = replace(plan, orchestrator=orchestrator)
    hours = ExchangeHours(schedule.orchestrator.exchange, FIRST, LAST)
    days = hours.between(BEGINS, LAST)[:sessions]
    began_at = days[0].opens - 600
    agents = {
        name: Agent(
            name, lambda context: AgentResult(), AnyParameters, seconds=known_agents()[name].seconds
        )
        for name in schedule.tasks
    }

    def control(context: AgentContext) -> AgentResult:
        changed = relief(context.agents, context.priorities, threshold=0.25, most=most_stretch)
        return AgentResult(control=Control("late", stretch=changed) if changed else None)

    agents["meta_control"] = replace(agents["meta_control"], run=control)
    book = fresh_book({task.name: task.interval for task in schedule.tasks.values()}, began_at)
    desk = Desk(schedule, hours, agents, book, GivenFloor(), seed=seed)

    def seconds(agent: str, due_at: int, attempt: int) -> float:
        draw = generator(seed, agent, due_at, attempt).random()
        return times * agents[agent].seconds * (0.5 + draw)

    simulator = Simulator(desk, began_at, durations=seconds)
    for session in days:
        simulator.run_session(session)
    simulator.finish()
    urgent = {name for name, task in schedule.tasks.items() if task.priority in URGENT}
    decided = [one for one in book.ended if one.agent in urgent and one.outcome != "missed"]
    late = np.array([one.claimed_at - one.due_at for one in decided], dtype=float)
    outcomes = Counter(one.outcome for one in book.ended if one.agent in urgent)
    ran = sum(one.outcome == "ran" for one in book.ended if one.agent not in urgent)
    return {
        "mean_s": round(float(late.mean()), 1),
        "p99_s": round(float(np.quantile(late, 0.99)), 1),
        "missed": outcomes["missed"],
        "others_ran": ran,
    }
