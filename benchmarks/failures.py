"""How well a desk foretells which of its ticks fail, on its own ticks with faults put in.

The schedule of `config/task_schedule.yaml` on a simulated clock, with its gate, retries, time-outs
and rests; the agents do nothing but fail as they are told. Three kinds of faults: an outage of what
several agents need (a vendor, the store) for 20 minutes to two hours, an agent that becomes slower
until it passes its time-out, and single failures by chance.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from alphafoundry.agents.book import fresh_book
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.failure_forecast import DECISIVE, EndedTick, foretold
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Parameters
from alphafoundry.agents.schedule import Schedule, load_schedule
from alphafoundry.agents.simulator import Simulator
from alphafoundry.agents.snapshot import Facts
from alphafoundry.errors import FoundryError
from alphafoundry.seeds import generator

NEEDS_NETWORK = ("data_sync", "sentiment_fetch", "execution", "alert_manager")
SINGLE = 0.01
FIRST, BEGINS, LAST = date(2024, 1, 2), date(2024, 1, 8), date(2024, 6, 28)


class AnyParameters(Parameters, extra="allow"):
    """Parameters that nothing reads."""


@dataclass
class GivenFloor:
    """Facts with which every agent has something to do."""

    def facts(self, now: int) -> Facts:
        return Facts(
            positions=3,
            pending_orders=1,
            fills=now // 60,
            trades_today=1,
            host=1.0,
            severe_news=False,
            volatility="normal",
            data_until=LAST,
        )


def measure_failures(seeds: int, sessions: int = 20) -> dict[str, Any]:
    """Return the Brier score of what was foretold beside that of base rates, over some desks."""
    logging.disable(logging.WARNING)
    skill, own, base, repeat, count, failures = [], [], [], [], 0, 0
    for seed in range(seeds):
        schedule = load_schedule()
        ticks = faulty_ticks(schedule, seed, sessions)
        chances, came = foretold(
            ticks, {name: task.timeout for name, task in schedule.tasks.items()}
        )
        rate, after_last = base_rates(ticks)
        known = np.isfinite(chances)
        own.append(_brier(chances[known], came[known]))
        base.append(_brier(rate[known], came[known]))
        repeat.append(_brier(after_last[known], came[known]))
        skill.append(1.0 - own[-1] / base[-1])
        count, failures = count + int(known.sum()), failures + int(came[known].sum())
    error = float(np.std(skill, ddof=1)) / np.sqrt(seeds) if seeds > 1 else float("nan")
    return {
        "failures": f"{seeds} desks x {sessions} sessions, {count} ticks, {failures} failed",
        "brier": round(float(np.mean(own)), 5),
        "brier_rate_of_the_agent": round(float(np.mean(base)), 5),
        "brier_rate_after_the_last": round(float(np.mean(repeat)), 5),
        "skill": round(float(np.mean(skill)), 3),
        "skill_error": round(float(error), 3),
    }


def _brier(chance: np.ndarray, came: np.ndarray) -> float:
    return float(np.mean((chance - came) ** 2))


def base_rates(ticks: list[EndedTick]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rate of failures of each tick's agent before it: of all, and of those alike.

    Alike are ticks of the agent after one that ended as its last one did.
    """
    by_due = sorted(ticks, key=lambda tick: (tick.due_at, tick.agent))
    seen: dict[tuple[str, bool | None], list[int]] = {}
    last: dict[str, bool] = {}
    rates: tuple[list[float], list[float]] = ([], [])
    for tick in by_due:
        for found, key in zip(rates, (None, last.get(tick.agent, False)), strict=True):
            counts = seen.setdefault((tick.agent, key), [0, 0])
            found.append((counts[0] + 0.5) / (counts[1] + 1.0))
            counts[0] += tick.failed
            counts[1] += 1
        last[tick.agent] = tick.failed
    return np.array(rates[0]), np.array(rates[1])


def faulty_ticks(schedule: Schedule, seed: int, sessions: int) -> list[EndedTick]:
    """Return the ticks that ran, failed or were missed of a desk with faults."""
    hours = ExchangeHours(schedule.orchestrator.exchange, FIRST, LAST)
    days = hours.between(BEGINS, LAST)[:sessions]
    began_at = days[0].opens - 3600
    out, slow = _faults(seed, schedule, began_at, days[-1].closes)

    def run(context: AgentContext) -> AgentResult:
        if context.name in NEEDS_NETWORK and out(context.now):
            raise FoundryError("no answer")
        if generator(seed, context.name, context.due_at).random() < SINGLE:
            raise FoundryError("by chance")
        return AgentResult()

    agents = {name: Agent(name, run, AnyParameters, name == "execution") for name in schedule.tasks}
    book = fresh_book({task.name: task.interval for task in schedule.tasks.values()}, began_at)
    desk = Desk(schedule, hours, agents, book, GivenFloor(), seed=seed)

    def seconds(agent: str, due_at: int, attempt: int) -> float:
        timeout = schedule.tasks[agent].timeout
        draw = generator(seed, agent, due_at, attempt).random()
        return timeout * (0.05 + 0.1 * draw + slow(agent, due_at) * (0.9 + 0.2 * draw))

    simulator = Simulator(desk, began_at, durations=seconds)
    for session in days:
        simulator.run_session(session)
    simulator.finish()
    return [
        EndedTick(one.agent, one.due_at, one.claimed_at, one.ended_at, one.outcome != "ran")
        for one in book.ended
        if one.outcome in DECISIVE and one.ended_at is not None
    ]


def _faults(
    seed: int, schedule: Schedule, began_at: int, until: int
) -> tuple[Callable[[int], bool], Callable[[str, int], float]]:
    """Return whether the network is out, and how much of its time-out an agent needs more."""
    draws = generator(seed, "faults")
    days = (until - began_at) // 86_400
    starts = draws.integers(began_at, until, size=max(days, 1))
    lengths = draws.integers(20 * 60, 2 * 3600, size=len(starts))
    names = draws.choice(sorted(schedule.tasks), size=max(days // 3, 1))
    begins = draws.integers(began_at, until, size=len(names))

    def out(now: int) -> bool:
        return bool(np.any((starts <= now) & (now < starts + lengths)))

    def slow(agent: str, due_at: int) -> float:
        # Over six hours it needs more and more, then somebody mends it.
        since = (due_at - begins[names == agent]) / (6 * 3600)
        growing = since[(since >= 0.0) & (since < 1.0)]
        return float(growing.max(initial=0.0)) * 1.2

    return out, slow
