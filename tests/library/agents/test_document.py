"""The Task Orchestrator's documentation, line by line: the table of docs/desk.md, and its gaps."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.registry import AgentContext, AgentResult
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.errors import MarketError
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_alerts
from tests.library.agents.desks import GivenClock, at, desk_of, hours_of, schedule_of, stored_book
from tests.library.agents.research_floor import research_floor, session_of, tick
from tests.library.agents.small_desks import SCHEDULE, small_panel

TESTS = Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "docs" / "desk.md"
NOON = at("2024-03-08T17:00:00")
HOURS = hours_of("2024-03-01", "2024-03-31")

AGENTS: dict[str, tuple[float, set[str], set[str]]] = {
    "model_innovation": (
        1440,
        {"data_sync", "performance_analysis"},
        {"market_hours", "system_health"},
    ),
    "strategy_research": (
        720,
        {"sentiment_fetch", "data_sync"},
        {"market_volatility", "news_events"},
    ),
    "sentiment_fetch": (30, set(), {"market_hours", "system_health"}),
    "meta_control": (5, set(), {"system_health"}),
    "risk_management": (15, {"meta_control"}, {"market_hours", "position_count"}),
    "execution": (1, {"risk_management"}, {"market_hours", "pending_orders"}),
    "explanation": (60, {"execution"}, {"new_trades", "system_health"}),
    "system_health": (5, set(), set()),
    "data_sync": (10, set(), {"market_hours"}),
    "performance_analysis": (120, {"execution"}, {"trading_activity"}),
}
"""Minutes between runs, dependencies, and conditions that the documentation names."""

EXAMPLE = """orchestrator:
  enabled: true
  max_concurrent_tasks: 5
  default_timeout_minutes: 15
  health_check_interval_minutes: 5
  performance_monitoring: true
  error_alerting: true

tasks:
  model_innovation:
    enabled: true
    interval_minutes: 1440  # 24 hours
    priority: "medium"
    max_duration_minutes: 60
    retry_count: 3
    retry_delay_minutes: 5
    dependencies: ["data_sync"]
    conditions:
      market_hours: false
      system_health: 0.8
    parameters:
      innovation_mode: "exploratory"
      model_types: ["lstm", "transformer"]
"""


@cache
def _named(file: str) -> frozenset[str]:
    """The tests of every file of a name."""
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name
        for path in TESTS.rglob(file)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, found)
    )


def rows() -> list[list[str]]:
    """The rows of the table, without its headings."""
    text = PAGE.read_text(encoding="utf-8").partition("## The documentation, line by line")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return [row for row in cells if not row[0].startswith("**")]


def test_every_line_has_a_test_that_is_there() -> None:
    assert len(rows()) > 60
    for said, here, test in rows():
        assert here, said
        named = re.fullmatch(r"`(test_\w+\.py)::(test_\w+)`", test)
        assert named is not None, said
        assert named[2] in _named(named[1]), test


def test_the_example_of_the_document_is_read(tmp_path: Path) -> None:
    path = tmp_path / "schedule.yaml"
    path.write_text(EXAMPLE + "  data_sync: {interval_minutes: 10}\n", encoding="utf-8")
    schedule = checked_schedule(path)
    task = schedule.tasks["model_innovation"]
    assert (task.interval, task.settings.priority, task.timeout) == (86_400, "medium", 900)
    assert list(task.settings.parameters["model_types"]) == ["lstm", "transformer"]


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_has_the_frequency_dependencies_and_conditions_of_the_document(name: str) -> None:
    minutes, dependencies, conditions = AGENTS[name]
    task = checked_schedule(SCHEDULE).tasks[name]
    assert task.interval == 60 * minutes
    assert set(task.settings.dependencies) == dependencies
    assert set(task.settings.conditions) >= conditions
    assert bool(task.settings.conditions) == bool(conditions)


def test_the_usual_time_out_is_that_of_an_agent_without_its_own(tmp_path: Path) -> None:
    schedule = schedule_of(
        tmp_path,
        "  one: {interval_minutes: 60}\n  other: {interval_minutes: 60, timeout_minutes: 2}\n",
        orchestrator="  default_timeout_minutes: 7",
    )
    assert (schedule.tasks["one"].timeout, schedule.tasks["other"].timeout) == (420, 120)


@pytest.mark.parametrize(("switch", "lost"), [
    ("performance_monitoring", {"performance:work"}),
    ("error_alerting", {"performance:work", "tripped:work"}),
])  # fmt: skip
def test_monitoring_and_alerts_can_be_switched_off(
    tmp_path: Path, switch: str, lost: set[str]
) -> None:
    def broken(context: AgentContext) -> AgentResult:
        raise MarketError("not there")

    told: dict[str, set[str]] = {}
    for value in ("true", "false"):
        schedule = schedule_of(
            tmp_path,
            "  work: {interval_minutes: 1, performance_threshold: 0.9, error_threshold: 6}\n",
            orchestrator=f"  {switch}: {value}",
        )
        (tmp_path / value).mkdir()
        with open_store(home=tmp_path / value) as store:
            book = stored_book(store, schedule, NOON)
            desk = desk_of(schedule, HOURS, NOON, {"work": broken}, book=book)
            clock = GivenClock(NOON)
            for _ in range(7):
                clock.moment += 60
                desk.step("work", clock)
            told[value] = {one.key for one in read_agent_alerts(store, "test")}
    assert told["true"] - told["false"] == lost


def test_a_sample_of_the_host_is_believed_for_three_intervals(tmp_path: Path) -> None:
    with research_floor(tmp_path, small_panel()) as floor:
        floor.account = _Nothing()  # type: ignore[assignment]
        now = session_of(floor, 300).opens
        floor.take_sample(now, {"cpu": 10.0}, 1.0)
        assert floor.facts(now + floor.sample_age).host == 1.0
        assert floor.facts(now + floor.sample_age + 1).host is None
    minutes = checked_schedule(SCHEDULE).orchestrator.health_check_interval_minutes
    assert floor.sample_age == 3 * 60 * minutes


def test_the_host_is_measured(tmp_path: Path) -> None:
    with research_floor(tmp_path, small_panel(), simulated=False) as floor:
        now = session_of(floor, 300).opens
        agent = known_agents()["system_health"]
        well = tick(floor, agent, now, alert_thresholds={"memory": 100.0})
        ill = tick(floor, agent, now, health_metrics=("memory",), alert_thresholds={"memory": 0.0})
    assert well.figures["within"] == 1.0
    assert ill.figures["within"] == 0.0
    assert re.match(r"memory \d+ over 0", ill.summary)


class _Nothing:
    """An account without anything."""

    version = 0

    def positions(self) -> dict[str, Any]:
        return {}

    def pending_orders(self) -> int:
        return 0

    def fills(self, session: object = None) -> int:
        return 0
