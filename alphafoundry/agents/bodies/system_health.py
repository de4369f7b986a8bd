"""system_health: measures the host, and holds it against thresholds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import psutil
from pydantic import Field

from alphafoundry.agents import failure_forecast
from alphafoundry.agents.failure_forecast import failure_chances
from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.store.agents import read_agent_desk

Measure = Literal["cpu", "memory", "disk", "network"]

_MODEL = {"cpu": 35.0, "memory": 55.0, "disk": 40.0, "network": 0.2}
"""Middle of what a simulation draws, in percent; network in milliseconds of the store's answer."""


def _usual_thresholds() -> dict[Measure, float]:
    return {"cpu": 80.0, "memory": 85.0, "disk": 90.0}


class HealthParameters(Parameters):
    """Parameters of system_health.

    Attributes
    ----------
    health_metrics : cpu, memory and disk in percent; network is the time of the store's answer
    alert_thresholds : measure to the most that is well; network in milliseconds
    """

    health_metrics: tuple[Measure, ...] = ("cpu", "memory", "disk", "network")
    alert_thresholds: dict[Measure, float] = Field(default_factory=_usual_thresholds)


@agent("system_health", parameters=HealthParameters, seconds=2.0)
def system_health(context: AgentContext) -> AgentResult:
    """Measure the host once; the share of measures within their thresholds is its health.

    On a clock it also tells which agents are likely to fail next; that changes no health.
    """
    floor = floor_of(context)
    wanted = context.parameters.health_metrics
    measures = _drawn(context, wanted) if floor.simulated else _measured(floor, wanted)
    limits = context.parameters.alert_thresholds
    over = {name: value for name, value in measures.items() if value > limits.get(name, 1e9)}
    within = 1.0 - len(over) / len(measures) if measures else 1.0
    floor.take_sample(context.now, measures, within)
    told = ", ".join(f"{name} {value:.0f} over {limits[name]:g}" for name, value in over.items())
    if not floor.simulated:
        desk = read_agent_desk(floor.store, floor.desk)
        likely = failure_forecast.told(failure_chances(floor.store, desk, context.now))
        told = "; ".join(filter(None, (told, likely)))
    return AgentResult(told, figures={"within": round(within, 4)})


def _measured(floor: TradingFloor, wanted: tuple[Measure, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    if "cpu" in wanted:
        found["cpu"] = psutil.cpu_percent(interval=0.1)
    if "memory" in wanted:
        found["memory"] = psutil.virtual_memory().percent
    if "disk" in wanted:
        found["disk"] = psutil.disk_usage(str(Path(floor.home).resolve())).percent
    if "network" in wanted:
        began = time.perf_counter()
        floor.ask_store()
        found["network"] = (time.perf_counter() - began) * 1e3
    return found


def _drawn(context: AgentContext, wanted: tuple[Measure, ...]) -> dict[str, float]:
    """Draw a host that is well, from the seed: a simulation must not depend on its machine."""
    phase = (context.due_at // 300) % 97 / 97.0
    return {name: round(_MODEL[name] * (0.8 + 0.4 * phase), 3) for name in wanted}
