"""Workflow documents: the shapes that are taken, and the message of each mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from alphafoundry.coordinator.json_schema import workflow_schema
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.unused_keys import unused_keys
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import ConfigurationError

Load = Callable[[str], Workflow]
SHIPPED = Path(__file__).resolve().parents[3] / "config" / "workflows"

FIRST_SHAPE = """
workflow:
  type: "multi_phase"
  execution_mode: "COMPOSABLE"

  phases:
    - name: "parameter_discovery"
      type: "optimization"
      container_count: 1000  # Parallel parameter search

    - name: "regime_analysis"
      type: "analysis"
      inputs: ["parameter_discovery.best_params"]

    - name: "ensemble_optimization"
      type: "optimization"
      method: "signal_replay"  # 10x faster
      inputs: ["regime_analysis.regime_weights"]

    - name: "validation"
      type: "backtest"
      inputs: ["ensemble_optimization.final_weights"]
"""

SECOND_SHAPE = """
coordinator:
  execution_mode: "COMPOSABLE"

  phases:
    parameter_discovery:
      execution_mode: "PARALLEL"
      max_containers: 1000
      resources:
        memory_per_container: "512MB"
        cpu_per_container: 0.1

    ensemble_optimization:
      execution_mode: "SIGNAL_REPLAY"
      max_containers: 100
      resources:
        memory_per_container: "2GB"
        cpu_per_container: 0.5

    validation:
      execution_mode: "TRADITIONAL"
      max_containers: 1
      resources:
        memory_per_container: "4GB"
        cpu_per_container: 2.0
"""

BASIC = """
coordinator:
  execution_mode: "AUTO"

  reproducibility:
    master_seed: 42
    deterministic_order: true

  resources:
    max_memory_gb: 32
    max_cpu_cores: 16
    container_pool_size: 100

  monitoring:
    enable_metrics: true
    metrics_interval: 10
    health_check_interval: 30

  fault_tolerance:
    max_container_failures: 3
    auto_restart: true
    checkpoint_interval: 300
"""


def test_phases_inside_the_workflow(load: Load) -> None:
    workflow = load(FIRST_SHAPE)
    kinds = {phase.name: phase.kind for phase in workflow.phases}
    assert kinds == {
        "parameter_discovery": "optimization",
        "regime_analysis": "analysis",
        "ensemble_optimization": "signal_replay",
        "validation": "backtest",
    }
    assert workflow.upstream("validation") == list(kinds)[:3]
    assert workflow.mode == "COMPOSABLE"


def test_phases_of_the_coordinator_with_limits(load: Load) -> None:
    workflow = load(SECOND_SHAPE)
    search, replay, validation = workflow.phases
    assert [phase.kind for phase in workflow.phases] == [
        "optimization",
        "signal_replay",
        "validation",
    ]
    assert (search.trials, search.memory, search.cores) == (1000, 512 * 1024**2, 0.1)
    assert (replay.trials, replay.memory) == (100, 2 * 1024**3)
    assert validation.inputs[0].text == "ensemble_optimization.final_weights"


def test_limits_of_the_coordinator_join_the_phases_of_the_workflow(load: Load) -> None:
    limits = SECOND_SHAPE.replace('  execution_mode: "COMPOSABLE"\n', "", 1)
    workflow = load(FIRST_SHAPE + limits)
    assert len(workflow.phases) == 4
    assert workflow.phase("parameter_discovery").memory == 512 * 1024**2
    assert workflow.phase("regime_analysis").memory is None


def test_settings_of_the_coordinator_alone_are_a_backtest(load: Load) -> None:
    workflow = load(BASIC)
    assert [phase.kind for phase in workflow.phases] == ["backtest"]
    assert (workflow.mode, workflow.seed) == ("AUTO", 42)


def test_the_fuller_schema(load: Load) -> None:
    workflow = load(
        """
        workflow: {type: multi_phase, execution_mode: HYBRID, signal_capture: true}
        data: {symbols: [A, B], start_date: 2020-01-01, end_date: 2021-01-01, timeframe: 1d}
        strategies:
          - {type: moving_average_cross, name: a, allocation: 0.25, params: {fast: 5, slow: 50}}
          - {type: rsi, name: b, allocation: 0.75, enabled: true}
        risk_management: {params: {position_size_pct: 0.1, stop_loss_pct: 0.05}}
        execution: {order_type: market, slippage_bps: 10, commission_per_share: 0.01}
        portfolio: {initial_capital: 100000, currency: USD, leverage: 2}
        optimization:
          {method: random, objective: calmar, n_trials: 30, parameters: {b.window: [5, 30]},
           constraints: {parameters: [low < high], performance: {max_drawdown: {max: 0.5}}}}
        walk_forward: {train_period_days: 252, test_period_days: 63, window_type: expanding}
        infrastructure: {max_workers: 2, container_timeout_seconds: 60}
        monitoring: {metrics_interval: 5}
        phases:
          - {name: search, type: optimization, config: {}, outputs: [best_params.b.window]}
          - {name: final, type: validation, inputs: [search.best_params.b.window]}
          - {name: forward, type: walk_forward, config: {train_period_days: 100}}
        """
    )
    assert workflow.generations == (("search", "forward"), ("final",))
    assert type_of(workflow.phase("search")).trials(workflow.phase("search"), workflow, 1000) == 30
    assert workflow.execution.sizing.stop_loss_pct == 0.05
    assert [use.allocation for use in workflow.strategies] == [0.25, 0.75]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_workflows_are_right(path: Path) -> None:
    workflow = load_workflow(path)
    assert workflow.name == path.stem
    for phase in workflow.phases:
        assert type_of(phase).trials(phase, workflow, 1260) >= 1


PHASES = "workflow:\n  type: multi_phase\n  phases:\n"
SEARCH = "    - {name: search, type: optimization, container_count: 10}\n"

TEMPLATE = 'strategies: [{type: expression, template: "ts_mean(close, {n}) - close"}]'

MISTAKES: dict[str, tuple[str, str]] = {
    "a placeholder without a range": (
        TEMPLATE,
        "flow.yaml:1: strategies[0].template: the parameter 'n' has no default; give it a value in "
        "params, or a range in parameters",
    ),
    "a strategy of one's own whose parameter has neither default nor range": (
        "strategies: [{type: tests.own_strategies:REQUIRED}]",
        "flow.yaml:1: strategies[0]: the parameter 'lookback' has no default; give it",
    ),
    "too many trials of a workflow": (
        "workflow: {type: optimization, container_count: 1000000000}",
        "flow.yaml:1: workflow.container_count: '1000000000' is not at most 1000000",
    ),
    "too many trials of a search": (
        "optimization: {method: random, n_trials: 99999999999999999999999}",
        "flow.yaml:1: optimization.n_trials: '99999999999999999999999' is not at most 1000000",
    ),
    "a name that no phase may have": (
        'coordinator: {phases: {"two words": {type: backtest}}}',
        "flow.yaml:1: coordinator.phases.two words: 'two words' is not a phase name; use letters",
    ),
    "half a range": (
        "optimization: {parameters: {fast: {min: 1}}}",
        "flow.yaml:1: optimization.parameters.fast: '{\"min\": 1}' is not a range; give [min, max]",
    ),
    "a comparison with no number": (
        'optimization: {constraints: {parameters: ["fast < 1.2.3"]}}',
        "flow.yaml:1: optimization.constraints.parameters[0]: 'fast < 1.2.3' is not of the form",
    ),
    "a broker of a file": (
        "data: {source: {path: prices.csv, provider: alpaca}}",
        'flow.yaml:1: data.source: \'{"path": "prices.csv", "provider": "alpaca"}\' '
        "has a provider, which a CSV file does not need; leave it out",
    ),
    "a currency": (
        "portfolio: {currency: dollars}",
        "flow.yaml:1: portfolio.currency: 'dollars' is not a currency; write its letters, as USD",
    ),
    "signal_replay without a replay": (
        "workflow: {signal_replay: true}",
        "flow.yaml:1: workflow.signal_replay: no phase replays signals; add a phase of type",
    ),
    "no signal_replay and a replay": (
        "workflow: {signal_replay: false}\nphases:\n  - {name: a, type: optimization}\n"
        "  - {name: b, type: signal_replay, inputs: [a.components]}\n",
        "flow.yaml:1: workflow.signal_replay: the phase 'b' replays signals; leave this out",
    ),
    "unknown section": (
        "workflw: {}",
        "flow.yaml:1: workflw: unknown key 'workflw'; did you mean 'workflow'?",
    ),
    "unknown key inside": (
        "data: {simbols: [A]}",
        "flow.yaml:1: data.simbols: unknown key 'simbols'; did you mean 'symbols'?",
    ),
    "wrong mode": (
        "workflow:\n  execution_mode: FAST",
        "flow.yaml:2: workflow.execution_mode: 'FAST' is not a valid execution_mode; choose one "
        "of TRADITIONAL, AUTO, COMPOSABLE, HYBRID",
    ),
    "wrong workflow type": (
        "workflow: {type: multiphase}",
        "workflow.type: 'multiphase' is not a valid type; choose one of backtest, optimization",
    ),
    "unknown phase type": (
        PHASES + "    - {name: a, type: optimisation}",
        "flow.yaml:4: workflow.phases[0].type: 'optimisation' is not a type of phase; did you "
        "mean 'optimization'?",
    ),
    "unknown key of a phase": (
        PHASES + "    - {name: a, type: backtest, input: []}",
        "workflow.phases[0].input: unknown key 'input'; did you mean 'inputs'?",
    ),
    "unknown key of a config": (
        PHASES + "    - name: a\n      type: optimization\n      config:\n        objectiv: sharpe",
        "flow.yaml:7: workflow.phases[0].config.objectiv: unknown key 'objectiv'; did you mean "
        "'objective'?",
    ),
    "wrong value in a config": (
        PHASES + "    - name: a\n      type: optimization\n      config: {objective: alpha}",
        "workflow.phases[0].config.objective: 'alpha' is not a valid objective; choose one of "
        "sharpe, sortino, calmar, cvar, total_return",
    ),
    "no name": (
        PHASES + "    - {type: backtest}",
        "flow.yaml:4: workflow.phases[0].name: is missing",
    ),
    "a phase twice": (
        PHASES + SEARCH + SEARCH,
        "flow.yaml:5: workflow.phases[1].name: phase 'search' is defined twice",
    ),
    "unknown phase in inputs": (
        PHASES + SEARCH + "    - {name: b, type: backtest, inputs: [serch.best_params]}",
        "'serch.best_params': there is no phase 'serch'; did you mean 'search'?",
    ),
    "unknown key in inputs": (
        PHASES + SEARCH + "    - {name: b, type: backtest, inputs: [search.best_parms]}",
        "'search.best_parms': there is no key 'best_parms'; did you mean 'best_params'?",
    ),
    "unknown nested key in inputs": (
        PHASES
        + SEARCH
        + "    - {name: b, type: backtest, inputs: [search.best_params.moving_average_cross.fst]}",
        "there is no key 'fst' in best_params.moving_average_cross; did you mean 'fast'?",
    ),
    "input without a key": (
        PHASES + SEARCH + "    - {name: b, type: backtest, inputs: [search]}",
        "workflow.phases[1].inputs[0]: 'search' names no key; write search.KEY",
    ),
    "own output": (
        PHASES + "    - {name: a, type: backtest, inputs: [a.metrics]}",
        "'a.metrics': a phase cannot take its own output",
    ),
    "cycle": (
        PHASES
        + "    - {name: a, type: backtest, inputs: [b.metrics]}\n"
        + "    - {name: b, type: backtest, inputs: [a.metrics]}",
        "flow.yaml:4: workflow.phases[0].inputs: phases wait for each other: a -> b -> a",
    ),
    "unmet dependency": (
        PHASES + "    - {name: a, type: analysis}",
        "flow.yaml:4: workflow.phases[0]: phase 'a' of type 'analysis' depends on a phase of type "
        "optimization",
    ),
    "unknown output": (
        PHASES + "    - {name: a, type: backtest, outputs: [metric]}",
        "outputs[0]: 'metric': there is no key 'metric'; did you mean 'metrics'?",
    ),
    "phases in both places": (
        PHASES + SEARCH + "phases:\n  - {name: b, type: backtest}",
        "phases: phases are listed in workflow.phases too; leave one out",
    ),
    "no phases": (
        "workflow: {type: multi_phase}",
        "workflow.phases: a workflow of type multi_phase lists its phases; add them",
    ),
    "phases of another type": (
        "workflow:\n  type: backtest\n  phases:\n" + SEARCH,
        "flow.yaml:2: workflow.type: a workflow of type 'backtest' has phases of that type alone",
    ),
    "a month that no year has": (
        "data: {start_date: 2020-13-01}",
        "flow.yaml:1:20: not YAML: 2020-13-01 is no date (month must be in 1..12)",
    ),
    "a number for a date": (
        "data: {start_date: 20200101}",
        "data.start_date: '20200101' is not a date; write it as 2024-01-31",
    ),
    "limits of an unknown phase": (
        PHASES + SEARCH + "coordinator: {phases: {serch: {max_containers: 3}}}",
        "coordinator.phases.serch: there is no phase 'serch'; did you mean 'search'?",
    ),
    "no type": (
        "coordinator: {phases: {discovery: {max_containers: 3}}}",
        "coordinator.phases.discovery: phase 'discovery' has no type; add type: one of analysis",
    ),
    "two methods": (
        PHASES + "    - {name: a, type: optimization, method: grid, config: {method: random}}",
        "workflow.phases[0].method: config.method is 'random'; leave one of them out",
    ),
    "method of another type": (
        PHASES + "    - {name: a, type: backtest, method: signal_replay}",
        "a phase of type 'backtest' replays no signals; use type optimization",
    ),
    "no number of trials": (
        PHASES + "    - {name: a, type: optimization, method: tpe}",
        "the method tpe needs a number of trials; add container_count or n_trials",
    ),
    "size": (
        PHASES + "    - {name: a, type: backtest, resources: {memory_per_container: 512 apples}}",
        "resources.memory_per_container: '512 apples' is not a size; write it as 512MB or 2GB",
    ),
    "two modes": (
        "workflow: {execution_mode: AUTO}\ncoordinator: {execution_mode: HYBRID}",
        "flow.yaml:2: coordinator.execution_mode: workflow.execution_mode has another value; "
        "leave one",
    ),
    "unknown strategy": (
        "strategies:\n  - {type: moving_avrage_cross}",
        "flow.yaml:2: strategies[0].type: unknown strategy 'moving_avrage_cross'; did you mean "
        "'moving_average_cross'?",
    ),
    "unknown parameter": (
        "strategies:\n  - {type: rsi, params: {windw: 5}}",
        "strategies[0].params.windw: rsi has no parameter 'windw'; did you mean 'window'?",
    ),
    "parameter out of range": (
        "strategies:\n  - {type: rsi, params: {low: 80}}",
        "strategies[0].params.low: rsi.low: 80 is out of range 1 to 49",
    ),
    "range out of range": (
        "strategies:\n  - {type: rsi, parameters: {low: [10, 80]}}",
        "strategies[0].parameters.low: rsi.low: 80 is out of range 1 to 49",
    ),
    "range upside down": (
        "strategies:\n  - {type: rsi, parameters: {window: [30, 10]}}",
        "strategies[0].parameters.window: '[30, 10]' has min 30 above max 10",
    ),
    "range of no strategy": (
        "optimization: {parameters: {fst: [1, 5]}}",
        "optimization.parameters.fst: no strategy has the parameter 'fst'; did you mean 'fast'?",
    ),
    "module that is not there": (
        "strategies:\n  - {type: 'no_such_module:THING'}",
        "strategies[0].type: strategy 'no_such_module:THING' cannot be imported",
    ),
    "expression that cannot be read": (
        "strategies:\n  - {type: expression, template: 'ts_mean(clse, {days})', params: {days: 5}}",
        "strategies[0].template: ts_mean(clse, 5):1:9: ",
    ),
    "allocations": (
        "strategies:\n  - {type: rsi, allocation: 0.5}\n  - {type: momentum, allocation: 0.2}",
        "flow.yaml:1: strategies: the allocations sum to 0.7, not to 1",
    ),
    "same name twice": (
        "strategies:\n  - {type: rsi}\n  - {type: rsi}",
        "flow.yaml:3: strategies[1]: a second strategy is called 'rsi'; give each a name",
    ),
    "too many strategies": (
        "strategies:\n" + "  - {type: rsi}\n" * 21,
        "flow.yaml:1: strategies:",
    ),
    "risk out of range": (
        "risk_management:\n  params:\n    position_size_pct: 2",
        "flow.yaml:3: risk_management.params.position_size_pct: '2' is not at most 1",
    ),
    "text for a number": (
        "coordinator: {fault_tolerance: {max_container_failures: three}}",
        "coordinator.fault_tolerance.max_container_failures: 'three' is not a whole number",
    ),
    "constraint that is no comparison": (
        "optimization: {constraints: {parameters: ['import os']}}",
        "optimization.constraints.parameters[0]: 'import os' is not of the form",
    ),
    "unknown metric": (
        PHASES
        + "    - {name: a, type: optimization, config: {constraints: {performance: "
        + "{sharp: {min: 1}}}}}",
        "constraints.performance: 'sharp' is not a metric; did you mean 'sharpe'?",
    ),
    "grid without a point": (
        PHASES
        + "    - {name: a, type: optimization, config: {parameters: {fast: [60, 80], "
        + "slow: [20, 40]}}}",
        "no point of the grid keeps to the constraints and to the strategies' own rules",
    ),
    "intraday": ("data: {timeframe: 5m}", "only daily bars, 1d, are held"),
    "dates upside down": (
        "data: {start_date: 2021-01-01, end_date: 2020-01-01}",
        "has a start_date that is not before its end_date",
    ),
    "a date that is none": (
        "data: {start_date: 31/01/2020}",
        "data.start_date: '31/01/2020' is not a date; write it as 2020-01-31",
    ),
    "live data": (
        "data: {source: {type: live, provider: alpaca}}",
        "gives no history to backtest; use type csv with a path, or data.market",
    ),
    "order that is not held": (
        "coordinator: {reproducibility: {deterministic_order: false}}",
        "coordinator.reproducibility.deterministic_order: 'false' is not a valid",
    ),
    "period of a walk-forward phase": (
        PHASES + "    - {name: a, type: walk_forward, config: {train_period_days: 5}}",
        "workflow.phases[0].config.train_period_days: '5' is not at least 30",
    ),
    "signal replay for every search": (
        PHASES + SEARCH + "optimization: {method: signal_replay}",
        "optimization.method signal_replay is of a phase",
    ),
    "constraint on nothing": (
        PHASES + SEARCH + 'optimization: {constraints: {parameters: ["fsat < slow"]}}',
        "'fsat < slow': no strategy has the parameter 'fsat'; did you mean 'fast'?",
    ),
    "metric of a walk-forward": (
        "workflow: {type: walk_forward}\n"
        "walk_forward: {optimization: {constraints: {performance: {sharp: {min: 1}}}}}",
        "constraints.performance: 'sharp' is not a metric; did you mean 'sharpe'?",
    ),
    "no test days": (
        PHASES
        + SEARCH
        + "    - {name: b, type: backtest, inputs: [search.best_params]}\ndata: {test_fraction: 0}",
        "phase 'b' measures test days and data.test_fraction is 0",
    ),
    "steps without end": (
        "optimization: {parameters: {slow: {min: 50, max: 100, step: 0.000001}}}",
        "has more than 1000000 steps; give a larger step",
    ),
    "a grid without end": (
        PHASES
        + SEARCH
        + "optimization: {parameters: {fast: {min: 1, max: 2000, step: 1}, "
        + "slow: {min: 2, max: 2000, step: 1}}}",
        "the grid of moving_average_cross has 3998000 points, more than 1000000",
    ),
    "a key twice": ("data: {}\ndata: {}", "flow.yaml:2: data: stands twice; first in line 1"),
    "no YAML": ("workflow: [", "flow.yaml:1:12: not YAML"),
    "a list": ("- workflow", "flow.yaml: the file is not a mapping of keys to values"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_has_its_message(mistake: str, load: Load) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    said = str(caught.value)
    assert message in said
    assert "\n" not in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_workflow(tmp_path / "absent.yaml")


def test_the_json_schema_knows_the_sections_and_the_configs() -> None:
    schema = json.loads(json.dumps(workflow_schema()))
    assert {"workflow", "coordinator", "data", "strategies", "phases"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert "classifier" in schema["$defs"]["AnalysisConfig"]["properties"]
    (named, own) = schema["$defs"]["PhaseSection"]["properties"]["type"]["anyOf"]
    assert "analysis" in named["enum"]
    assert re.search(own["pattern"], "my_types:volatility")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_an_empty_file_is_no_workflow(write: Callable[[str], Path], text: str) -> None:
    path = write(text)
    with pytest.raises(ConfigurationError, match=r"flow.yaml: the file is empty; give"):
        load_workflow(path)


def test_all_mistakes_of_a_document_are_told_at_once(load: Load) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(
            "strategies:\n"
            "  - {type: moving_average_cros}\n"
            "  - {type: momentum, params: {loockback: 3}}\n"
            "phases:\n"
            "  - {name: b, type: backtestt}\n"
            '  - {name: c, type: backtest, inputs: ["x.y"]}\n'
        )
    told = str(refused.value).split("\n")
    assert [re.search(r":(\d+): ", line)[1] for line in told] == ["2", "3", "5", "6"]  # type: ignore[index]


def test_leverage_is_obeyed_or_refused(load: Load) -> None:
    phases = "phases: [{name: b, type: backtest}]\n"
    assert load(f"{phases}portfolio: {{leverage: 3}}\n").execution.sizing.max_exposure_pct == 3.0
    assert load(phases).execution.sizing.max_exposure_pct == 1.0
    with pytest.raises(ConfigurationError, match=r":2: portfolio.leverage: 3 is above"):
        load(
            f"{phases}portfolio: {{leverage: 3}}\n"
            "risk_management: {params: {max_exposure_pct: 2}}\n"
        )


RULED = """
data: {symbols: [A, B]}
strategies: [{type: rsi, name: swing, symbols: [A]}]
optimization: {parameters: {stop_loss_pct: [0.01, 0.1], swing.position_size_pct: [0.02, 0.2]}}
phases: [{name: s, type: optimization, container_count: 9}]
"""


def test_stops_and_size_are_parameters_where_a_search_names_them(load: Load) -> None:
    (use,) = load(RULED).strategies
    assert [*use.space][-2:] == ["position_size_pct", "stop_loss_pct"]
    assert use.complete({})["stop_loss_pct"] == 0.0
    assert use.complete({})["position_size_pct"] == 0.05
    later = load(
        "strategies: [{type: rsi}]\n"
        "phases:\n"
        "  - {name: s, type: optimization, config: {parameters: {stop_loss_pct: [0.1, 0.2]}},\n"
        "     container_count: 9}\n"
    )
    assert later.strategies[0].params == {"stop_loss_pct": 0.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "risk_management: {params: {stop_loss_pct: 0.1}}",
            "risk_management.params.stop_loss_pct: stop_loss_pct is a parameter of the strategy",
        ),
        ("execution: {stops: high_low}", "high_low is for the stops of risk_management.params"),
        ("execution: {fill: open}", "execution.fill: 'open'"),
        ("execution: {borrow_pct: -1}", "execution.borrow_pct"),
    ],
)
def test_rules_that_do_not_fit_are_told(load: Load, change: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load(RULED + change + "\n")


def test_symbols_of_a_strategy_are_among_those_of_the_data(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"symbols\[0\]: 'C' is not in data.symbols"):
        load(RULED.replace("symbols: [A]}", "symbols: [C]}"))
    with pytest.raises(ConfigurationError, match=r"symbols\[1\]: 'A' is listed twice"):
        load(RULED.replace("symbols: [A]}", "symbols: [A, A]}"))


@pytest.mark.parametrize("kind", ["backtest", "optimization"])
def test_phases_of_the_one_type_of_their_workflow_are_taken(load: Load, kind: str) -> None:
    phase = f"{{name: run, type: {kind}}}"
    workflow = load(f"workflow:\n  type: {kind}\n  phases:\n    - {phase}\n")
    assert [(phase.name, phase.kind) for phase in workflow.phases] == [("run", kind)]


@pytest.mark.parametrize("listed", ["", "strategies: []\n"])
def test_a_strategy_that_nobody_listed_is_told(load: Load, listed: str) -> None:
    told = unused_keys(load(listed + "workflow: {type: backtest}\n"), "in_process")
    assert any("moving_average_cross with its defaults" in line for line in told)
    named = "strategies:\n  - {type: breakout}\nworkflow: {type: backtest}\n"
    assert unused_keys(load(named), "in_process") == ()
