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
strategies: [{type: moving_average_cross}]
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
    plain = load(
        "workflow: {execution_mode: TRADITIONAL}\nstrategies: [{type: moving_average_cross}]"
    )
    assert plan_workflow(plain, bars, manager_of(plain)).unenforced == ()


def test_keys_that_change_nothing_are_told(load: Load, bars: Bars) -> None:
    workflow = load(
        """
        workflow: {type: multi_phase, container_count: 7}
        strategies: [{type: moving_average_cross}]
        walk_forward: {min_train_days: 60}
        infrastructure: {scheduler_address: "tcp://far:8786"}
        phases:
          - {name: search, type: optimization, container_count: 4, execution_mode: PARALLEL}
          - {name: forward, type: walk_forward, container_count: 4,
             config: {train_period_days: 100}}
          - {name: grown, type: walk_forward, config: {window_type: expanding}}
          - {name: later, type: backtest, container_count: 5, resources: {cpu_per_container: 0.5},
             inputs: [search.best_params]}
        """
    )
    said = plan_workflow(workflow, bars, manager_of(workflow)).unenforced
    assert [line.partition(" changes nothing")[0] for line in said] == [
        "workflow.container_count",
        "infrastructure.scheduler_address",
        "search: execution_mode PARALLEL",
        "forward: min_train_days",
        "later: container_count",
        "later: cpu_per_container 0.5",
    ]
    dask = plan_workflow(workflow, bars, manager_of(workflow), task_runner="dask").unenforced
    assert not any("scheduler_address" in line for line in dask)


def test_a_plan_of_too_many_trials_is_refused(load: Load, bars: Bars) -> None:
    phases = "".join(
        f"  - {{name: p{i}, type: optimization, method: random, container_count: 1000000}}\n"
        for i in range(11)
    )
    workflow = load("phases:\n" + phases)
    with pytest.raises(ConfigurationError, match="plan 11,000,000 trials, more than 10,000,000"):
        plan_workflow(workflow, bars, manager_of(workflow))


def test_a_plan_of_too_much_memory_names_its_largest_phase(load: Load, bars: Bars) -> None:
    workflow = load(
        """
        infrastructure: {max_memory_gb: 0.1}
        strategies: [{type: rsi, parameters: {window: [2, 2000]}}]
        phases:
          - {name: small, type: optimization, method: random, container_count: 10}
          - {name: large, type: optimization, method: random, container_count: 1000000}
        """
    )
    with pytest.raises(ConfigurationError, match=r"phase large takes about 0\.5 GB, and 0\.1 GB"):
        plan_workflow(workflow, bars, manager_of(workflow))


def test_the_lower_of_two_limits_counts(load: Load, bars: Bars) -> None:
    workflow = load(
        """
        workflow: {execution_mode: AUTO}
        infrastructure: {max_memory_gb: 0.25, max_cpu_cores: 64, container_pool_size: 8}
        coordinator: {resources: {max_memory_gb: 0.5, max_cpu_cores: 0.5, container_pool_size: 3}}
        phases: [{name: a, type: backtest, resources: {memory_per_container: 900TB}}]
        """
    )
    manager = manager_of(workflow)
    assert (manager.memory, manager.cores) == (256 * 1024**2, 0.5)
    assert plan_workflow(workflow, bars, manager).phases[0].memory == 256 * 1024**2
