"""Every key of a workflow document does something: it changes numbers, files, the plan or a line.

Each key is written into a small workflow with a value that is not its default; what comes out must
differ from what comes out without it, or the key is in `LISTED` with the reason why it does not.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from alphafoundry.backtest import Bars
from alphafoundry.coordinator import run_workflow
from alphafoundry.coordinator.document import WorkflowDocument
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.coordinator.phase_types import phase_types
from alphafoundry.coordinator.planning import manager_of, plan_workflow
from alphafoundry.errors import FoundryError
from tests.library.coordinator.conftest import keep_prices

LIBRARY = ("analysis", "optimization", "backtest", "signal_generation", "signal_replay",
           "walk_forward")  # fmt: skip

LISTED = {
    "FaultSection.checkpoint_interval": "every finished batch is a checkpoint",
    "ReproducibilitySection.deterministic_order": "only true is taken: no result depends on order",
    "DataSection.timeframe": "only 1d is taken",
    "SourceSection.timezone": "only UTC is taken",
    "ExecutionSection.order_type": "only market is taken",
    "SourceSection.provider": "refused: a CSV file needs none",
    "SourceSection.environment": "refused: a CSV file needs none",
    "WorkflowSection.parallel_execution": "when phases begin, not what they give",
    "PhaseSection.container_type": "checked against the type of the phase",
    "PhaseSection.outputs": "checked against what the type gives",
    "WorkflowSection.signal_replay": "checked against the phases",
    "FaultSection.auto_restart": "how often a trial that failed is tried again",
    "FaultSection.max_container_failures": "how often a trial that failed is tried again",
    "FaultSection.max_failed_fraction": "whether a phase whose trials failed goes on",
    "PhaseSection.timeout_hours": "ends a phase that takes longer",
    "PhaseLimits.timeout_hours": "ends a phase that takes longer",
    "ResourceLimits.cpu_seconds": "ends a trial that takes longer",
    "InfrastructureSection.container_timeout_seconds": "ends a trial that takes longer",
    "ResourceLimits.cpu_cores": "how many batches run at once",
    "ResourceLimits.cpu_per_container": "how many batches run at once",
    "MonitoringSection.enable_metrics": "rows of workflow_samples",
    "MonitoringSection.metrics_interval": "rows of workflow_samples",
    "MonitoringSection.health_check_interval": "how often thresholds are looked at",
    "AlertSection.cpu_percent": "rows of workflow_alerts",
    "AlertSection.disk_percent": "rows of workflow_alerts",
    "AlertSection.failed_trials_percent": "rows of workflow_alerts",
    "AlertSection.memory_percent": "rows of workflow_alerts",
    "AlertSection.trial_seconds": "rows of workflow_alerts",
}
"""Keys without an effect on what a run without trouble gives; each has a test of its own elsewhere
or is in the table of docs/coordinator.md."""

SEARCH = """
data: {market: prices.csv}
strategies: [{type: moving_average_cross, name: trend, parameters: {fast: [2, 6], slow: [10, 30]}}]
optimization: {method: random, n_trials: 4}
reporting: {plots: false, journal: false}
phases: [{name: search, type: optimization}]
"""
GRID = SEARCH.replace("method: random, n_trials: 4", "method: grid, n_trials: 4")
BACKTEST = """
data: {market: prices.csv}
strategies: [{type: moving_average_cross, name: trend, params: {fast: 3, slow: 12}}]
risk_management: {params: {position_size_pct: 0.3}}
reporting: {plots: false, journal: false}
phases: [{name: b, type: backtest}]
"""
CHAIN = SEARCH.replace("n_trials: 4", "n_trials: 30").replace(
    "phases: [{name: search, type: optimization}]",
    """phases:
  - {name: search, type: optimization}
  - {name: regimes, type: analysis, inputs: [search.best_params]}
  - {name: mix, type: signal_replay, inputs: [regimes.regime_weights], container_count: 6}
  - {name: later, type: validation, inputs: [mix.final_weights]}""",
)
FORWARD = SEARCH.replace("phases: [{name: search, type: optimization}]", "").replace(
    "data:",
    "walk_forward: {train_period_days: 100}\nphases: [{name: w, type: walk_forward}]\ndata:",
)
STORED = SEARCH.replace("type: optimization", "type: signal_generation")
FRONT = SEARCH.replace("n_trials: 4", "n_trials: 30, objectives: [{metric: total_return}, "
                       "{metric: max_drawdown}]")  # fmt: skip
SOURCE = BACKTEST.replace("{market: prices.csv}", "{source: {path: prices.csv}}")
LIMITED = """
data: {market: prices.csv}
workflow: {execution_mode: AUTO}
reporting: {plots: false, journal: false}
coordinator: {phases: {parameter_discovery: {max_containers: 4}}}
optimization: {method: random}
"""
SINGLE = SEARCH.replace(
    "phases: [{name: search, type: optimization}]", "workflow: {type: backtest}"
)
AUTO = SEARCH.replace("data:", "workflow: {execution_mode: AUTO}\ndata:")

CASES: Mapping[str, tuple[str, str]] = {
    "WorkflowDocument.version": (BACKTEST, "version: 2.0.0"),
    "WorkflowDocument.name": (BACKTEST, "name: other"),
    "WorkflowDocument.description": (BACKTEST, "description: why"),
    "WorkflowSection.type": (SINGLE, "workflow: {type: optimization}"),
    "WorkflowSection.name": (BACKTEST, "workflow: {name: other}"),
    "WorkflowSection.execution_mode": (SEARCH, "workflow: {execution_mode: AUTO}"),
    "WorkflowSection.container_count": (
        SINGLE.replace("backtest", "optimization"),
        "workflow: {container_count: 7}",
    ),
    "WorkflowSection.signal_capture": (SEARCH, "workflow: {signal_capture: true}"),
    "CoordinatorSection.execution_mode": (SEARCH, "coordinator: {execution_mode: AUTO}"),
    "ReproducibilitySection.master_seed": (
        SEARCH,
        "coordinator: {reproducibility: {master_seed: 7}}",
    ),
    "CoordinatorResources.max_memory_gb": (SEARCH, "coordinator: {resources: {max_memory_gb: 1}}"),
    "CoordinatorResources.max_cpu_cores": (AUTO, "coordinator: {resources: {max_cpu_cores: 1}}"),
    "CoordinatorResources.container_pool_size": (
        AUTO,
        "coordinator: {resources: {container_pool_size: 1}}",
    ),
    "DataSection.market": (BACKTEST, "data: {market: other.csv}"),
    "DataSection.symbols": (BACKTEST, "data: {symbols: [A, B]}"),
    "DataSection.start_date": (BACKTEST, "data: {start_date: 2020-03-01}"),
    "DataSection.end_date": (BACKTEST, "data: {end_date: 2020-08-01}"),
    "DataSection.max_bars": (BACKTEST, "data: {max_bars: 200}"),
    "DataSection.test_fraction": (SEARCH, "data: {test_fraction: 0.5}"),
    "SourceSection.type": (SOURCE, "data: {source: {type: live}}"),
    "SourceSection.path": (SOURCE, "data: {source: {path: other.csv}}"),
    "SourceSection.symbol_column": (SOURCE, "data: {source: {symbol_column: nothing}}"),
    "SourceSection.timestamp_column": (SOURCE, "data: {source: {timestamp_column: nothing}}"),
    "SourceSection.price_columns": (SOURCE, "data: {source: {price_columns: {close: open}}}"),
    "SourceSection.date_format": (SOURCE, "data: {source: {date_format: '%d/%m/%Y'}}"),
    "StrategySection.type": (BACKTEST, "strategies: [{type: momentum, params: null}]"),
    "StrategySection.name": (BACKTEST, "strategies: [{name: other}]"),
    "StrategySection.enabled": (
        BACKTEST,
        "strategies: [{}, {type: rsi, name: swing, enabled: false}]",
    ),
    "StrategySection.allocation": (
        BACKTEST,
        "strategies: [{allocation: 0.9}, {type: rsi, name: swing, allocation: 0.1}]",
    ),
    "StrategySection.template": (
        BACKTEST,
        "strategies: [{type: expression, params: null, template: ts_delta(close, 5)}]",
    ),
    "StrategySection.symbols": (BACKTEST, "strategies: [{symbols: [A]}]"),
    "StrategySection.parameters": (SEARCH, "strategies: [{parameters: {fast: 4}}]"),
    "StrategySection.params": (BACKTEST, "strategies: [{params: {fast: 5}}]"),
    "ParameterSpec.min": (SEARCH, "strategies: [{parameters: {fast: {min: 4, max: 6}}}]"),
    "ParameterSpec.max": (SEARCH, "strategies: [{parameters: {fast: {min: 2, max: 5}}}]"),
    "ParameterSpec.step": (GRID, "strategies: [{parameters: {fast: {min: 2, max: 6, step: 4}}}]"),
    "ParameterSpec.points": (
        GRID,
        "strategies: [{parameters: {fast: {min: 2, max: 6, points: 3}}}]",
    ),
    "ParameterSpec.log": (
        SEARCH,
        "strategies: [{parameters: {fast: {min: 2, max: 6, log: true}}}]",
    ),
    "ParameterSpec.choices": (SEARCH, "strategies: [{parameters: {fast: {choices: [5]}}}]"),
    "RiskParameters.position_size_pct": (
        BACKTEST,
        "risk_management: {params: {position_size_pct: 0.1}}",
    ),
    "RiskParameters.max_positions": (BACKTEST, "risk_management: {params: {max_positions: 1}}"),
    "RiskParameters.max_exposure_pct": (
        BACKTEST,
        "risk_management: {params: {max_exposure_pct: 0.2}}",
    ),
    "RiskParameters.stop_loss_pct": (BACKTEST, "risk_management: {params: {stop_loss_pct: 0.02}}"),
    "RiskParameters.take_profit_pct": (
        BACKTEST,
        "risk_management: {params: {take_profit_pct: 0.02}}",
    ),
    "RiskParameters.trailing_stop_pct": (
        BACKTEST,
        "risk_management: {params: {trailing_stop_pct: 0.02}}",
    ),
    "RiskParameters.max_drawdown_pct": (
        BACKTEST,
        "risk_management: {params: {max_drawdown_pct: 0.01}}",
    ),
    "ExecutionSection.fill": (BACKTEST, "execution: {fill: next_open}"),
    "ExecutionSection.stops": (
        BACKTEST,
        "execution: {stops: high_low}\nrisk_management: {params: {stop_loss_pct: 0.02}}",
    ),
    "ExecutionSection.borrow_pct": (BACKTEST, "execution: {borrow_pct: 0.1}"),
    "ExecutionSection.slippage_bps": (BACKTEST, "execution: {slippage_bps: 1}"),
    "ExecutionSection.commission_per_share": (BACKTEST, "execution: {commission_per_share: 0.1}"),
    "ExecutionSection.max_commission_pct": (BACKTEST, "execution: {max_commission_pct: 0.0001}"),
    "ExecutionSection.commission_bps": (BACKTEST, "execution: {commission_bps: 5}"),
    "PortfolioSection.initial_capital": (BACKTEST, "portfolio: {initial_capital: 5}"),
    "PortfolioSection.currency": (
        BACKTEST.replace("plots: false", "plots: true"),
        "portfolio: {currency: EUR}",
    ),
    "PortfolioSection.leverage": (BACKTEST, "portfolio: {leverage: 2}"),
    "OptimizationSection.method": (SEARCH, "optimization: {method: qmc}"),
    "ObjectiveKeys.objective": (SEARCH, "optimization: {objective: cvar}"),
    "ObjectiveKeys.objectives": (
        SEARCH,
        "optimization: {objectives: [{metric: cost}, {metric: sharpe}]}",
    ),
    "ObjectiveKeys.selection": (FRONT, "optimization: {selection: first}"),
    "OptimizationSection.parameters": (SEARCH, "optimization: {parameters: {stop_loss_pct: 0.02}}"),
    "OptimizationSection.n_trials": (SEARCH, "optimization: {n_trials: 6}"),
    "ObjectiveSection.metric": (
        FRONT,
        "optimization: {objectives: [{metric: win_rate}, {metric: trades}]}",
    ),
    "ObjectiveSection.direction": (
        FRONT,
        "optimization: {objectives: [{direction: minimize}, {direction: maximize}]}",
    ),
    "PruningSection.at": (SEARCH, "optimization: {n_trials: 60, pruning: {at: 0.2}}"),
    "ConstraintSection.parameters": (
        SEARCH,
        "optimization: {constraints: {parameters: [fast < 4]}}",
    ),
    "ConstraintSection.performance": (
        SEARCH,
        "optimization: {constraints: {performance: {trades: {}}}}",
    ),
    "MetricBounds.min": (
        SEARCH,
        "optimization: {constraints: {performance: {sharpe: {min: 100}}}}",
    ),
    "MetricBounds.max": (
        SEARCH,
        "optimization: {constraints: {performance: {sharpe: {max: -100}}}}",
    ),
    "WalkForwardSection.train_period_days": (FORWARD, "walk_forward: {train_period_days: 120}"),
    "WalkForwardSection.test_period_days": (FORWARD, "walk_forward: {test_period_days: 30}"),
    "WalkForwardSection.step_days": (FORWARD, "walk_forward: {step_days: 40}"),
    "WalkForwardSection.window_type": (FORWARD, "walk_forward: {window_type: expanding}"),
    "WalkForwardSection.min_train_days": (
        FORWARD.replace(
            "{train_period_days: 100}", "{train_period_days: 100, window_type: adaptive}"
        ),
        "walk_forward: {min_train_days: 90}",
    ),
    "WalkForwardConfig.strategies": (FORWARD, "phases: [{config: {strategies: [other]}}]"),
    "InfrastructureSection.task_runner": (SEARCH, "infrastructure: {task_runner: threads}"),
    "InfrastructureSection.max_workers": (AUTO, "infrastructure: {max_workers: 1}"),
    "InfrastructureSection.max_memory_gb": (SEARCH, "infrastructure: {max_memory_gb: 1}"),
    "InfrastructureSection.max_cpu_cores": (AUTO, "infrastructure: {max_cpu_cores: 1}"),
    "InfrastructureSection.container_pool_size": (AUTO, "infrastructure: {container_pool_size: 1}"),
    "InfrastructureSection.scheduler_address": (
        SEARCH,
        "infrastructure: {scheduler_address: 'tcp://localhost:1'}",
    ),
    "InfrastructureSection.batch_size": (SEARCH, "infrastructure: {batch_size: 1}"),
    "ReportingSection.plots": (SEARCH, "reporting: {plots: true}"),
    "ReportingSection.top_trials": (SEARCH, "reporting: {top_trials: 1}"),
    "ReportingSection.journal": (SEARCH, "reporting: {journal: true}"),
    "PhaseSection.name": (BACKTEST, "phases: [{name: other}]"),
    "PhaseSection.type": (BACKTEST, "phases: [{type: optimization}]"),
    "PhaseSection.method": (SEARCH, "phases: [{method: qmc}]"),
    "PhaseSection.config": (SEARCH, "phases: [{config: {n_trials: 7}}]"),
    "PhaseSection.inputs": (CHAIN, "phases: [{}, {}, {}, {inputs: [search.best_params]}]"),
    "PhaseSection.container_count": (SEARCH, "phases: [{container_count: 6}]"),
    "PhaseSection.execution_mode": (SEARCH, "phases: [{execution_mode: PARALLEL}]"),
    "ResourceLimits.memory_per_container": (
        SEARCH,
        "phases: [{resources: {memory_per_container: 100MB}}]",
    ),
    "ResourceLimits.memory_gb": (SEARCH, "phases: [{resources: {memory_gb: 0.25}}]"),
    "PhaseLimits.type": (LIMITED, "coordinator: {phases: {parameter_discovery: {type: backtest}}}"),
    "PhaseLimits.execution_mode": (
        LIMITED,
        "coordinator: {phases: {parameter_discovery: {execution_mode: SIGNAL_REPLAY}}}",
    ),
    "PhaseLimits.max_containers": (
        LIMITED,
        "coordinator: {phases: {parameter_discovery: {max_containers: 6}}}",
    ),
    "PhaseLimits.inputs": (
        LIMITED,
        "coordinator: {phases: {parameter_discovery: {inputs: [nothing.there]}}}",
    ),
    "OptimizationConfig.method": (SEARCH, "phases: [{config: {method: qmc}}]"),
    "OptimizationConfig.n_trials": (SEARCH, "phases: [{config: {n_trials: 7}}]"),
    "OptimizationConfig.parameters": (SEARCH, "phases: [{config: {parameters: {fast: 4}}}]"),
    "OptimizationConfig.strategies": (SEARCH, "phases: [{config: {strategies: [other]}}]"),
    "OptimizationConfig.period": (SEARCH, "phases: [{config: {period: all}}]"),
    "OptimizationConfig.top_trials": (SEARCH, "phases: [{config: {top_trials: 1}}]"),
    "SignalGenerationConfig.strategies": (STORED, "phases: [{config: {strategies: [other]}}]"),
    "AnalysisConfig.classifier": (CHAIN, "phases: [{}, {config: {classifier: gmm}}]"),
    "AnalysisConfig.n_regimes": (CHAIN, "phases: [{}, {config: {n_regimes: 2}}]"),
    "AnalysisConfig.window": (CHAIN, "phases: [{}, {config: {window: 10}}]"),
    "AnalysisConfig.metric": (CHAIN, "phases: [{}, {config: {metric: total_return}}]"),
    "AnalysisConfig.min_samples": (CHAIN, "phases: [{}, {config: {min_samples: 150}}]"),
    "AnalysisConfig.top_per_regime": (CHAIN, "phases: [{}, {config: {top_per_regime: 1}}]"),
    "ReplayConfig.objective": (CHAIN, "phases: [{}, {}, {config: {objective: cvar}}]"),
    "ReplayConfig.per_regime": (CHAIN, "phases: [{}, {}, {config: {per_regime: false}}]"),
    "ReplayConfig.min_samples": (CHAIN, "phases: [{}, {}, {config: {min_samples: 250}}]"),
    "ReplayConfig.max_components": (CHAIN, "phases: [{}, {}, {config: {max_components: 2}}]"),
    "WeightConstraints.max_weight": (
        CHAIN,
        "phases: [{}, {}, {config: {constraints: {max_weight: 0.5}}}]",
    ),
    "WeightConstraints.min_weight": (
        CHAIN,
        "phases: [{}, {}, {config: {constraints: {min_weight: 0.2}}}]",
    ),
    "WeightConstraints.min_strategies": (
        CHAIN,
        "phases: [{}, {}, {config: {constraints: {min_strategies: 3}}}]",
    ),
    "WeightConstraints.max_correlation": (
        CHAIN,
        "phases: [{}, {}, {config: {constraints: {max_correlation: 0.1}}}]",
    ),
    "WeightConstraints.sum": (CHAIN, "phases: [{}, {}, {config: {constraints: {sum: 0.5}}}]"),
    "BacktestConfig.period": (BACKTEST, "phases: [{config: {period: test}}]"),
    "BacktestConfig.portfolio_stop_loss": (
        BACKTEST,
        "phases: [{config: {portfolio_stop_loss: 0.01}}]",
    ),
    "BacktestConfig.regime_switching": (
        CHAIN,
        "phases: [{}, {}, {}, {config: {regime_switching: false}}]",
    ),
    "BacktestConfig.regime_change_reduction": (
        CHAIN,
        "phases: [{}, {}, {}, {config: {regime_change_reduction: 0.9}}]",
    ),
}


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from _models(inner)


def keys_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """Return MODEL.KEY for each key that holds a value or values, each model once."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        owner = next(one for one in model.__mro__[::-1] if name in getattr(one, "model_fields", ()))
        if not inner or name in ("parameters", "performance", "objectives"):
            yield f"{model.__name__}.{name}" if owner is model else f"{owner.__name__}.{name}"
        for one in inner:
            yield from keys_of(one, seen)


def every_key() -> set[str]:
    seen: set[type[BaseModel]] = set()
    found = set(keys_of(WorkflowDocument, seen))
    for name in LIBRARY:
        found |= set(keys_of(phase_types()[name].config, seen))
    return found


def test_every_key_is_in_one_of_the_lists() -> None:
    assert every_key() == set(CASES) | set(LISTED)
    assert not set(CASES) & set(LISTED)


def merged(document: Any, change: Any) -> Any:
    """Return the document with the change in it; null takes a key away."""
    if isinstance(change, dict) and isinstance(document, dict):
        both = {**document, **{key: merged(document.get(key), new) for key, new in change.items()}}
        return {key: value for key, value in both.items() if value is not None}
    if (
        isinstance(change, list)
        and isinstance(document, list)
        and all(isinstance(item, dict) for item in (*document, *change))
    ):
        length = max(len(document), len(change))
        padded = [document[i] if i < len(document) else {} for i in range(length)]
        return [merged(old, change[i] if i < len(change) else {}) for i, old in enumerate(padded)]
    return copy.deepcopy(change)


def outcome(document: Mapping[str, Any], bars: Bars) -> Any:
    """Return what a person gets: results, files, plan and lines; or the refusal."""
    try:
        workflow = load_workflow(document)
        plan = plan_workflow(workflow, bars, manager_of(workflow))
        report = run_workflow(document, task_runner="in_process")
    except FoundryError as problem:
        return str(problem)
    folder = Path(report.folder)
    results = json.loads((folder / "results.json").read_text())
    state = json.loads((folder / "reproducibility.json").read_text())
    return (
        results,
        replace(plan, trial_seconds=None, phases=()),
        [(phase.name, phase.trials, phase.batches, phase.memory) for phase in plan.phases],
        manager_of(workflow).memory,
        report.workflow,
        {path.name: path.read_bytes() for path in folder.glob("plots/*")},
        [path.name for path in folder.glob("studies/*")],
        sorted(path.name for path in folder.glob("*.yaml")),
        state,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, bars: Bars) -> Iterator[Path]:
    """A working directory with two files of prices in it, shared, so that nothing runs twice."""
    folder = tmp_path_factory.mktemp("keys")
    keep_prices(bars, folder / "prices.csv")
    keep_prices(bars.between(0, 250), folder / "other.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FOUNDRY_HOME", str(folder / "home"))
        yield folder


SHORT = ("ExecutionSection.fill", "PruningSection.at", "StrategySection.symbols")


@pytest.mark.parametrize(
    "key", [key if key in SHORT else pytest.param(key, marks=pytest.mark.long) for key in CASES]
)
def test_a_key_changes_what_comes_out(place: Path, bars: Bars, key: str) -> None:
    base, change = CASES[key]
    document = yaml.safe_load(base)
    assert outcome(document, bars) != outcome(merged(document, yaml.safe_load(change)), bars)
