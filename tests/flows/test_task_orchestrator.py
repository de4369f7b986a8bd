"""The usage snippets of the Task Orchestrator's documentation, on a desk of this project."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
import yaml

from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.settings import load_settings
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_ticks
from flows import task_orchestrator
from tests.flows.desk_in_store import desk_in_store
from tests.library.agents.small_desks import SCHEDULE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def orchestrator(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from core.task_orchestrator import create_task_orchestrator

    home = tmp_path / "home"
    with open_store(home=home) as store:
        panel = desk_in_store(store, home, fails=("sentiment_fetch",))
    markets = {"small": panel}
    monkeypatch.setattr(
        task_orchestrator, "load_simulated_market", lambda settings, _: markets[settings.market]
    )
    return create_task_orchestrator(SCHEDULE, settings=load_settings(home=home))


async def test_status_is_synchronous_inside_a_running_loop(orchestrator) -> None:
    status = orchestrator.get_system_status()
    print(f"System health: {status['performance_metrics']['overall_health']}")
    assert 0 < status["performance_metrics"]["overall_health"] <= 1
    assert status["orchestrator"]["tasks"] == 16
    json.dumps(status)


def test_task_management(orchestrator) -> None:
    task_status = orchestrator.get_task_status("model_innovation")
    assert f"Task enabled: {task_status['enabled']}" == "Task enabled: True"
    assert task_status["success_rate"] is None
    assert orchestrator.get_task_status("meta_control")["success_rate"] == 1.0
    assert orchestrator.get_task_status("meta_control")["next_due"] is not None
    orchestrator.update_task_config(
        "model_innovation",
        {"interval_minutes": 720, "priority": "high"},
    )
    changed = orchestrator.get_task_status("model_innovation")
    assert (changed["interval_minutes"], changed["priority"]) == (720, "high")
    written = yaml.safe_load(orchestrator.path.read_text("utf-8"))
    assert written["tasks"]["model_innovation"]["dependencies"]
    assert (
        yaml.safe_load(SCHEDULE.read_text("utf-8"))["tasks"]["model_innovation"]["interval_minutes"]
        == 1440
    )
    report_path = orchestrator.export_status_report()
    assert json.loads(Path(report_path).read_text("utf-8"))["desk"] == "small"


def test_what_a_task_does_not_take_changes_nothing(orchestrator) -> None:
    before = orchestrator.path
    with pytest.raises(ConfigurationError, match="priority"):
        orchestrator.update_task_config("model_innovation", {"priority": "urgent"})
    with pytest.raises(ConfigurationError, match=r"did you mean|choose"):
        orchestrator.update_task_config("model_inovation", {})
    assert orchestrator.path == before
    assert orchestrator.get_task_status("model_innovation")["priority"] == "medium"


def test_monitoring(orchestrator) -> None:
    status = orchestrator.get_task_status("sentiment_fetch")
    json.dumps(status, indent=2)
    executions = orchestrator.task_executions
    lines = [
        f"{execution.task_name}: {execution.status} - {execution.error_message}"
        for execution_id, execution in list(executions.items())[-10:]
    ]
    assert any("sentiment_fetch: failed - OSError" in line for line in lines)
    assert "hush" not in "".join(lines)
    key, last = list(executions.items())[-1]
    assert executions[key] == last


async def test_a_task_is_executed_now_by_the_same_gate(orchestrator) -> None:
    done = await orchestrator.execute_task_now("market_analysis", force=True)
    assert orchestrator.task_executions[done].status == "ran"
    again = await orchestrator.execute_task_now("market_analysis", {"days": 30}, force=True)
    assert again != done
    with pytest.raises(FoundryError, match=r"model_innovation: blocked: .*market_hours is true"):
        await orchestrator.execute_task_now("model_innovation")
    with pytest.raises(FoundryError, match="account"):
        await orchestrator.execute_task_now("execution", force=True)
    with pytest.raises(ConfigurationError, match=r"extra|unknown"):
        await orchestrator.execute_task_now("market_analysis", {"dayz": 3}, force=True)
    with open_store(home=orchestrator.settings.home) as store:
        rows = read_ticks(store, "small", agent="market_analysis")
    assert [row.outcome for row in rows] == ["ran", "ran"]


@pytest.mark.long
async def test_custom_configuration(orchestrator, tmp_path) -> None:
    pytest.importorskip("autograd", reason="a transformer learns by the extra deep")
    custom = tmp_path / "custom_schedule.yaml"
    custom.write_text(
        SCHEDULE.read_text("utf-8").replace("max_concurrent_tasks: 5", "max_concurrent_tasks: 3")
    )
    orchestrator = task_orchestrator.create_task_orchestrator(
        custom, settings=orchestrator.settings
    )
    done = await orchestrator.execute_task_now(
        "model_innovation",
        {"innovation_mode": "aggressive", "model_types": ["transformer"]},
        force=True,
    )
    status = orchestrator.get_system_status()
    print(f"System health: {status['performance_metrics']['overall_health']}")
    execution = orchestrator.task_executions[done]
    assert execution.status == "ran"
    # Four settings of ridge, which is always among them, and the transformer.
    assert execution.result["trials"] == 5


def test_before_the_first_desk_there_is_a_status_too(tmp_path) -> None:
    found = task_orchestrator.create_task_orchestrator(
        SCHEDULE, settings=load_settings(home=tmp_path / "home")
    )
    assert found.get_system_status()["state"] == "no desk yet"
    assert found.get_task_status("execution")["enabled"]
    assert list(found.task_executions) == []


async def test_a_desk_that_does_not_start_says_why(tmp_path, monkeypatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho begins\necho error: no market >&2\nexit 2\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    found = task_orchestrator.create_task_orchestrator(
        SCHEDULE, settings=load_settings(home=tmp_path / "home")
    )
    with pytest.raises(FoundryError, match="did not start: error: no market"):
        await found.start()
    assert not found.is_running


@pytest.mark.long
def test_basic_usage(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(ROOT)
    from core.task_orchestrator import start_orchestrator

    async def main():
        orchestrator = await start_orchestrator()
        try:
            await asyncio.sleep(20)
            assert orchestrator.is_running
            status = orchestrator.get_system_status()
        finally:
            await orchestrator.stop()
        assert not orchestrator.is_running
        return status

    assert asyncio.run(main())["desk"].startswith("replay-")
