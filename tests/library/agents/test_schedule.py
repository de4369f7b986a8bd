"""The schedule: mistakes with their line, environments, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphafoundry.agents.schedule import load_schedule
from alphafoundry.agents.schedule_check import (
    cautions,
    check_other_environments,
    checked_schedule,
)
from alphafoundry.errors import ConfigurationError
from tests.library.agents.desks import schedule_of

SCHEDULE = Path(__file__).resolve().parents[3] / "config" / "task_schedule.yaml"

SIXTEEN = {
    "model_innovation", "strategy_research", "sentiment_fetch", "meta_control", "risk_management",
    "execution", "explanation", "system_health", "data_sync", "performance_analysis",
    "portfolio_rebalancing", "market_analysis", "alert_manager", "cache_management",
    "model_validation", "strategy_backtesting",
}  # fmt: skip


def test_the_file_of_the_project_has_all_sixteen_tasks():
    schedule = checked_schedule(SCHEDULE)
    assert set(schedule.tasks) | set(schedule.disabled) == SIXTEEN
    assert list(schedule.tasks).index("meta_control") < list(schedule.tasks).index("execution")
    assert schedule.tasks["execution"].closure == ("meta_control", "risk_management")
    assert schedule.tasks["execution"].interval == 60


def test_what_cannot_be_served_is_told():
    told = dict(checked_schedule(SCHEDULE).left_out)
    for value in (
        "asset_classes: crypto",
        "timeframes: 1h",
        "sources: twitter",
    ):
        assert any(key.endswith(value) for key in told), value
    assert len(checked_schedule(SCHEDULE).tasks) == 16
    assert any("execution: of 20 retries 1" in one for one in cautions(checked_schedule(SCHEDULE)))


@pytest.mark.parametrize(
    ("environment", "places", "errors", "least"),
    [("production", 5, 50, 0.95), ("development", 3, 100, 0.76), ("testing", 2, 150, 0.665)],
)
def test_an_environment_stands_over_the_file(environment, places, errors, least):
    schedule = load_schedule(SCHEDULE, environment=environment)
    execution = schedule.tasks["execution"].settings
    assert schedule.orchestrator.max_concurrent_tasks == places
    assert execution.error_threshold == errors
    assert execution.performance_threshold == pytest.approx(least)


def test_every_value_has_its_origin(tmp_path):
    path = tmp_path / "schedule.yaml"
    path.write_text(
        "tasks:\n  work:\n    interval_minutes: 5\n    priority: low\n"
        "environments:\n  quick:\n    tasks:\n      work:\n        interval_minutes: 1\n",
        encoding="utf-8",
    )
    schedule = load_schedule(path, environment="quick")
    assert schedule.tasks["work"].interval == 60
    shown = {key: (value, origin) for key, value, origin in schedule.shown()}
    assert shown["tasks.work.interval_minutes"] == ("1", f"{path}:9 (environment quick)")
    assert shown["tasks.work.priority"] == ("low", f"{path}:4")


W = "  w: {interval_minutes: 5"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (f"{W}, prioriti: low}}", ":2: tasks.w.prioriti: unknown key 'prioriti'; did you mean"),
        (f"{W}, priority: urgent}}", "choose one of critical, high, medium, low"),
        (f"{W}, at: '20:00'}}", "it has interval_minutes and at"),
        ("  w: {priority: low}", "it has none of them"),
        ("  w: {at: noon}", "is not a time of day"),
        ("  w: {before_close: soon}", "is not a length of time"),
        ("  w: {interval_minutes: 1e-9}", "is less than a second"),
        ("  w: {interval_minutes: true}", "is not a length of time"),
        ("  w: {at: 8.30}", "'8.3' is not a time of day; write it as"),
        ("  w: {at: '20:00+02:00'}", "names a zone; it is a time of the exchange's zone"),
        (f"{W}, retry_count: true}}", "tasks.w.retry_count: 'true' is not a number"),
        (f"{W}, dependencies: w}}", "'w' is not a list of agents"),
        (f"{W}, dependencies: [[w]]}}", "holds what is no name of an agent"),
        (
            f"{W}, conditions: {{position_count: }}}}",
            "nothing is neither a number nor a",
        ),
        (f"{W}, retry_delay: 1, retry_delay_minutes: 1}}", "are the same; keep one"),
        (f"{W}, dependencies: [x]}}", "'x' is no task"),
        (f"{W}, dependencies: [w]}}", "cannot wait for itself"),
        (
            f"  v: {{interval_minutes: 5, enabled: false}}\n{W}, dependencies: [v]}}",
            "'v' is not enabled, so this one could never run",
        ),
        (
            f"  v: {{interval_minutes: 5, dependencies: [w]}}\n{W}, dependencies: [v]}}",
            "tasks.v.dependencies: v -> w -> v wait for each other",
        ),
        (
            f"{W},\n    conditions: {{market_hour: true}}}}",
            ":3: tasks.w.conditions.market_hour: unknown condition; did you mean 'market_hours'?",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path, tasks, message):
    with pytest.raises(ConfigurationError) as problem:
        schedule_of(tmp_path, tasks + "\n")
    assert message in str(problem.value)
    assert "\n" not in str(problem.value) and "schedule.yaml" in str(problem.value)


def test_an_unknown_environment_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'production'"):
        load_schedule(SCHEDULE, environment="produktion")


def test_both_names_of_the_delay_and_lengths_of_time_are_read(tmp_path):
    schedule = schedule_of(
        tmp_path,
        "  a: {interval_minutes: 0.5, retry_delay: 0.5}\n"
        "  b: {before_close: 90 s, timeout_minutes: 2 h}\n",
    )
    assert schedule.tasks["a"].interval == 30
    assert schedule.tasks["a"].settings.retry_delay_minutes == 0.5
    assert (schedule.tasks["b"].before_close, schedule.tasks["b"].timeout) == (90, 7200)


def test_a_parameter_that_an_agent_does_not_know_is_refused(tmp_path):
    text = SCHEDULE.read_text("utf-8").replace("alert_threshold: 0.8", "alert_treshold: 0.8")
    path = tmp_path / "schedule.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="did you mean 'alert_threshold'"):
        checked_schedule(path)


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("control_mode: adaptive", "control_mode: wild", "control_mode: 'wild' is not a valid"),
        ("alert_threshold: 0.8", "alert_threshold: high", "alert_threshold: 'high' is not a num"),
        ("alert_threshold: 0.8", "alert_threshold: 80", "alert_threshold: '80' is not at most 1"),
        ("max_order_size: 10000", "max_order_size: -1", "max_order_size: '-1' is not at least 1"),
        ("max_order_size: 10000", "max_order_size: yes", "max_order_size: 'yes' is not a whole"),
        ("metrics: [sharpe_ratio", "metrics: [sharp", r"metrics\[0\]: 'sharp' is not a valid"),
        ("model_types: [ridge", "model_types: [xgb", r"model_types\[0\]: 'xgb' is not a valid"),
        ("    gross: 1.0", "    gross: true", r"desk\.limits\.gross: 'true' is not a number"),
        ("hard_to_borrow: []", "hard_to_borrow: GME", "hard_to_borrow: 'GME' is not a list; write"),
        ("exchange: XNYS", "exchange: NICE", r"orchestrator\.exchange: exchange 'NICE': unknown"),
    ],
)
def test_a_value_that_an_agent_or_a_desk_does_not_take_is_told_with_its_line(
    tmp_path, written, instead, message
):
    text = SCHEDULE.read_text("utf-8")
    assert written in text
    path = tmp_path / "schedule.yaml"
    path.write_text(text.replace(written, instead, 1), encoding="utf-8")
    line = 1 + text[: text.index(written)].count("\n")
    with pytest.raises(ConfigurationError, match=message) as problem:
        checked_schedule(path)
    assert str(problem.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(problem.value)


def test_the_environments_that_are_not_chosen_are_checked_too(tmp_path):
    path = tmp_path / "schedule.yaml"
    text = SCHEDULE.read_text("utf-8")
    check_other_environments(checked_schedule(SCHEDULE))
    path.write_text(text.replace("log_level: DEBUG", "log_level: LOUD"), encoding="utf-8")
    schedule = checked_schedule(path)
    with pytest.raises(ConfigurationError, match=r"'LOUD' is not .*\(environment development\)"):
        check_other_environments(schedule)


@pytest.mark.parametrize(
    ("written", "instead", "never"),
    [
        ('position_count: ">0"', 'position_count: "<0"', "risk_management: position_count counts"),
        ("    gross: 1.2", "    gross: 0.5", "desk.risk.gross 0.5 is below desk.limits.gross 1,"),
        ("halt_drawdown: 0.20", "halt_drawdown: 0.05", "desk.risk.halt_drawdown 0.05 is below"),
    ],
)
def test_limits_and_counts_that_contradict_each_other_are_told(tmp_path, written, instead, never):
    path = tmp_path / "schedule.yaml"
    path.write_text(SCHEDULE.read_text("utf-8").replace(written, instead, 1), encoding="utf-8")
    assert not any(line.startswith(never) for line in cautions(checked_schedule(SCHEDULE)))
    assert any(line.startswith(never) for line in cautions(checked_schedule(path)))


@pytest.mark.parametrize("exchange", ["XMARS", "America/New_York", "", "UTC+1"])
def test_an_unknown_exchange_is_refused_before_a_desk_begins(tmp_path, exchange):
    path = tmp_path / "schedule.yaml"
    text = SCHEDULE.read_text(encoding="utf-8").replace("exchange: XNYS", f'exchange: "{exchange}"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"orchestrator\.exchange: exchange .* unknown"):
        checked_schedule(path)


@pytest.mark.parametrize(("asked", "never"), [("7", True), ('">1"', True), ("1", False)])
def test_a_condition_that_no_share_meets_is_told(tmp_path, asked, never):
    path = tmp_path / "schedule.yaml"
    text = SCHEDULE.read_text(encoding="utf-8")
    path.write_text(text.replace("system_health: 0.7", f"system_health: {asked}"), encoding="utf-8")
    told = list(cautions(checked_schedule(path)))
    assert any("meta_control: system_health lies between 0 and 1" in line for line in told) is never
