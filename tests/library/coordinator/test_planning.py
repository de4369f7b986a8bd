"""The plan of a workflow says what will be done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.planning import PROCESS_GAIN_SECONDS, manager_of, plan_workflow
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import ConfigurationError

Load = Callable[[str], Workflow]

FORWARD = """
workflow: {type: walk_forward, execution_mode: AUTO}
strategies:
  - {type: moving_average_cross, name: trend, parameters: {fast: [3, 5, 8], slow: [20, 30]}}
  - {type: rsi, name: swing, parameters: {window: [5, 10, 15]}}
walk_forward:
  train_period_days: 100
  test_period_days: 50
  step_days: 50
  optimization: {method: grid}
"""


def test_a_walk_forward_is_planned_with_the_trials_of_all_its_windows(
    load: Load, bars: Bars
) -> None:
    """300 days are 4 windows; each is searched as a phase of its own would be, and tested once."""
    workflow = load(FORWARD)
    plan = plan_workflow(workflow, bars, manager_of(workflow), trial_seconds=0.01)
    (line,) = plan.phases
    grid = load(FORWARD.replace("type: walk_forward", "type: optimization"))
    (search,) = plan_workflow(grid, bars, manager_of(grid), trial_seconds=0.01).phases
    assert line.trials == 4 * (search.trials + 1)
    assert line.seconds == 0.01 * line.trials
    assert search.seconds < PROCESS_GAIN_SECONDS < line.seconds
    assert plan.runner.name == "processes", "AUTO counts the work of every window"
    random = load(
        FORWARD.replace("method: grid", "method: random, n_trials: 11").replace("50", "25", 1)
    )
    (drawn,) = plan_workflow(random, bars, manager_of(random)).phases
    # 11 trials are shared by two strategies: 5 each.
    assert drawn.trials == 4 * (5 * 2 + 1)


@pytest.mark.parametrize("kind", ["expanding", "adaptive", "percentage"])
def test_windows_of_every_type_are_counted(load: Load, bars: Bars, kind: str) -> None:
    text = FORWARD.replace("step_days: 50", f"step_days: 50\n  window_type: {kind}")
    workflow = load(text)
    (line,) = plan_workflow(workflow, bars, manager_of(workflow)).phases
    fixed = load(FORWARD)
    (plain,) = plan_workflow(fixed, bars, manager_of(fixed)).phases
    each = plain.trials // 4
    # 100, 50 and 50 tenths of a percent of 300 days: 30 days of training, tests of 15.
    assert line.trials == (18 if kind == "percentage" else 4) * each


def test_too_few_days_are_told_before_anything_runs(load: Load, bars: Bars) -> None:
    workflow = load(FORWARD)
    short = bars.between(0, 90)
    with pytest.raises(ConfigurationError, match=r"phase walk_forward: 90 days are too few"):
        plan_workflow(workflow, short, manager_of(workflow))


LIMITED = """
workflow: {execution_mode: HYBRID}
infrastructure: {container_timeout_seconds: 5}
phases:
  - {name: a, type: optimization, container_count: 40, config: {method: random},
     resources: {memory_per_container: 700MB}}
  - {name: b, type: optimization, container_count: 40, config: {method: random},
     execution_mode: TRADITIONAL, cpu_seconds_per_container: 3}
"""


def test_limits_that_nothing_enforces_are_named(load: Load, bars: Bars) -> None:
    workflow = load(LIMITED.replace(", cpu_seconds_per_container: 3", ""))
    manager = manager_of(workflow)
    processes = plan_workflow(workflow, bars, manager, task_runner="processes")
    (only,) = processes.unenforced
    assert only.startswith("b: container_timeout_seconds not enforced, as its trials run inside")
    for runner in ("threads", "in_process"):
        first, second = plan_workflow(workflow, bars, manager, task_runner=runner).unenforced
        assert first.startswith("a: memory_per_container, container_timeout_seconds not enforced")
        assert second == only
    plain = load("workflow: {execution_mode: TRADITIONAL}")
    assert plan_workflow(plain, bars, manager_of(plain)).unenforced == ()
