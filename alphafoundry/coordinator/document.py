"""The workflow document as it is written in YAML: one model per section, unknown keys refused.

Two shapes are taken: phases inside `workflow` (or at the top), and `coordinator.phases` with
limits per phase. `workflow.load_workflow` brings both to one form.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from alphafoundry.coordinator.parameter_space import ParameterSpec

ExecutionMode = Literal["TRADITIONAL", "AUTO", "COMPOSABLE", "HYBRID"]
PhaseMode = Literal["PARALLEL", "SIGNAL_REPLAY", "TRADITIONAL"]
TaskRunnerName = Literal["auto", "in_process", "threads", "processes", "dask"]
WorkflowType = Literal["backtest", "optimization", "multi_phase", "walk_forward"]
ContainerType = Literal["full_backtest", "simple_backtest", "signal_generation", "signal_replay"]

_SIZES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def _number_only(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


def parse_size(value: object) -> object:
    """Return bytes for "512MB", "2 GB" or a plain number of bytes."""
    if not isinstance(value, str):
        return _number_only(value)
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?B?)\s*", value, re.IGNORECASE)
    unit = "" if found is None else found[2].upper()
    if found is None or (unit and unit not in _SIZES and unit + "B" not in _SIZES):
        raise ValueError("is not a size; write it as 512MB or 2GB")
    return int(float(found[1]) * _SIZES[unit if unit in _SIZES else unit + "B"])


def _file_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value):
        raise ValueError("is not a name; use letters, digits, _ and -")
    return value


def _phase_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", value):
        raise ValueError("is not a phase name; use letters, digits, _ and -")
    return value


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3,5}", value):
        raise ValueError("is not a currency; write its letters, as USD")
    return value


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("is not a date; write it as 2020-01-31") from None
    return value


Whole = Annotated[int, BeforeValidator(_number_only)]
Count = Annotated[int, BeforeValidator(_number_only), Field(ge=1)]
TrialCount = Annotated[int, BeforeValidator(_number_only), Field(ge=1, le=1_000_000)]
Number = Annotated[float, BeforeValidator(_number_only), Field(allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=1024**2)]
Day = Annotated[date, BeforeValidator(_day)]
FileName = Annotated[str, AfterValidator(_file_name)]
PhaseName = Annotated[str, AfterValidator(_phase_name)]


class Section(BaseModel):
    """Base of every section."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSection(Section):
    """Where bars come from when `data.market` does not say it.

    type : csv is read; live and database are known to the schema, but no backtest reads them
    """

    type: Literal["csv", "live", "database"] = "csv"
    path: Text | None = None
    symbol_column: Text = "symbol"
    timestamp_column: Text = "date"
    price_columns: dict[str, Text] = Field(default_factory=dict)
    date_format: Text | None = None
    timezone: Literal["UTC"] = "UTC"
    provider: Literal["alpaca", "interactive_brokers", "polygon", "td_ameritrade"] | None = None
    environment: Literal["paper", "live"] | None = None

    @model_validator(mode="after")
    def _readable(self) -> SourceSection:
        if self.type != "csv":
            raise ValueError(
                f"of type {self.type!r} gives no history to backtest; use type csv with a path, "
                "or data.market"
            )
        if self.path is None:
            raise ValueError("of type 'csv' has no path; add path: FILE")
        for name in ("provider", "environment"):
            if getattr(self, name) is not None:
                raise ValueError(f"has a {name}, which a CSV file does not need; leave it out")
        return self


class DataSection(Section):
    """Bars that the workflow runs on.

    market : as `market` of config/foundry.yaml; None takes that
    test_fraction : last part of the days, kept for out-of-sample phases
    """

    market: Text | None = None
    source: SourceSection | None = None
    symbols: tuple[Text, ...] | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    timeframe: Literal["1s", "1m", "5m", "15m", "30m", "1h", "4h", "1d"] = "1d"
    max_bars: Count | None = None
    test_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.3

    @model_validator(mode="after")
    def _usable(self) -> DataSection:
        if self.market is not None and self.source is not None:
            raise ValueError("has both market and source; leave one out")
        if self.timeframe != "1d":
            raise ValueError(f"has timeframe {self.timeframe!r}; only daily bars, 1d, are held")
        if self.start_date and self.end_date and self.start_date >= self.end_date:
            raise ValueError("has a start_date that is not before its end_date")
        if self.symbols is not None and not self.symbols:
            raise ValueError("has an empty list of symbols; leave it out to take all")
        return self


class StrategySection(Section):
    """One strategy.

    type : a name of `alphafoundry.backtest.STRATEGIES`, `module:attribute` of a Strategy of your
        own, or "expression" with a template
    template : FASTEXPR with placeholders: ts_mean(close, {fast}) - ts_mean(close, {slow})
    allocation : share of the capital; left out, all enabled strategies get the same
    """

    type: Text
    name: FileName | None = None
    enabled: bool = True
    allocation: Annotated[Number, Field(ge=0, le=1)] | None = None
    template: Text | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, ParameterSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _template(self) -> StrategySection:
        if (self.type == "expression") != (self.template is not None):
            raise ValueError("has a template exactly where its type is expression")
        return self


class RiskParameters(Section):
    """Sizes and stops; fractions, 0.05 is 5 %."""

    position_size_pct: Annotated[Number, Field(ge=0.001, le=1)] = 0.05
    max_positions: Count | None = None
    max_exposure_pct: Annotated[Number, Field(ge=0.1, le=5)] = 1.0
    stop_loss_pct: Annotated[Number, Field(ge=0.001, le=0.5)] | None = None
    take_profit_pct: Annotated[Number, Field(ge=0.001, le=2)] | None = None
    max_drawdown_pct: Annotated[Number, Field(ge=0.01, le=0.5)] | None = None


class RiskSection(Section):
    """Risk management."""

    params: RiskParameters = RiskParameters()


class ExecutionSection(Section):
    """What trading costs."""

    order_type: Literal["market"] = "market"
    slippage_bps: Annotated[Number, Field(ge=0, le=500)] = 10.0
    commission_per_share: Annotated[Number, Field(ge=0)] = 0.01
    commission_bps: Annotated[Number, Field(ge=0, le=500)] = 0.0


class PortfolioSection(Section):
    """Capital.

    currency : what equity is labelled with; nothing is converted
    """

    initial_capital: Annotated[Number, Field(gt=0)] = 100_000.0
    currency: Annotated[str, AfterValidator(_currency)] = "USD"
    leverage: Annotated[Number, Field(gt=0, le=10)] = 1.0


class MetricBounds(Section):
    """What a trial's metric must keep to count."""

    min: Number | None = None
    max: Number | None = None


class ConstraintSection(Section):
    """What a trial must keep to.

    parameters : comparisons of two parameters or of one with a number: "fast < slow"
    performance : metric to bounds, a trial outside them is not chosen
    """

    parameters: tuple[
        Annotated[
            str,
            StringConstraints(
                pattern=r"^\s*[A-Za-z_]\w*\s*(<|<=|>|>=|!=|==)\s*([A-Za-z_]\w*|-?[0-9]+(\.[0-9]+)?)\s*$"
            ),
        ],
        ...,
    ] = ()
    performance: dict[str, MetricBounds] = Field(default_factory=dict)


Method = Literal[
    "grid",
    "random",
    "tpe",
    "bayesian",
    "genetic",
    "differential_evolution",
    "qmc",
    "signal_replay",
]
Objective = Literal["sharpe", "sortino", "calmar", "cvar", "total_return"]


class OptimizationSection(Section):
    """Defaults of every search in the workflow.

    parameters : parameter (or "strategy.parameter") to its range: [min, max], a list of choices,
        or {min, max, step, points, log, choices}
    n_trials : needed for every method but grid, unless the phase has container_count
    """

    method: Method | None = None
    objective: Objective | None = None
    parameters: dict[str, ParameterSpec] = Field(default_factory=dict)
    n_trials: TrialCount | None = None
    constraints: ConstraintSection = ConstraintSection()


WindowType = Literal["fixed", "expanding", "percentage", "adaptive"]


class WalkForwardSection(Section):
    """Windows of a walk-forward test, in trading days."""

    train_period_days: Annotated[Whole, Field(ge=30, le=2000)] = 252
    test_period_days: Annotated[Whole, Field(ge=5, le=500)] = 63
    step_days: Annotated[Whole, Field(ge=1, le=200)] = 63
    window_type: WindowType = "fixed"
    min_train_days: Annotated[Whole, Field(ge=30, le=2000)] | None = None
    optimization: OptimizationSection = OptimizationSection()


class InfrastructureSection(Section):
    """Where the work runs.

    task_runner : in_process (one after another), threads, processes (isolated, with limits) or
        dask; auto chooses
    scheduler_address : of a running Dask cluster; left out, one is started on this machine
    """

    task_runner: TaskRunnerName = "auto"
    max_workers: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    max_memory_gb: Annotated[Number, Field(gt=0)] | None = None
    max_cpu_cores: Annotated[Number, Field(gt=0)] | None = None
    container_pool_size: Annotated[Whole, Field(ge=1, le=1000)] = 100
    container_timeout_seconds: Annotated[Number, Field(gt=0)] = 3600.0
    scheduler_address: Text | None = None
    batch_size: Annotated[Whole, Field(ge=1, le=10_000)] | None = None


class AlertSection(Section):
    """Thresholds that raise an alert; percentages, seconds for trial_seconds."""

    memory_percent: Annotated[Number, Field(gt=0, le=100)] = 90.0
    cpu_percent: Annotated[Number, Field(gt=0)] = 101.0
    disk_percent: Annotated[Number, Field(gt=0, le=100)] = 95.0
    failed_trials_percent: Annotated[Number, Field(ge=0, le=100)] = 10.0
    trial_seconds: Annotated[Number, Field(gt=0)] | None = None


class MonitoringSection(Section):
    """What is measured while the workflow runs; intervals in seconds."""

    enable_metrics: bool = True
    metrics_interval: Annotated[Number, Field(ge=0.1)] = 10.0
    health_check_interval: Annotated[Number, Field(ge=0.1)] = 30.0
    alerts: AlertSection = AlertSection()


class ResourceLimits(Section):
    """What one trial (the document's container) may use.

    memory_per_container : "512MB", "2GB"
    cpu_per_container : cores
    cpu_seconds : processor time, None is without a limit
    """

    memory_per_container: Bytes | None = None
    memory_gb: Annotated[Number, Field(gt=0)] | None = None
    cpu_per_container: Annotated[Number, Field(gt=0)] | None = None
    cpu_cores: Annotated[Number, Field(gt=0)] | None = None
    cpu_seconds: Annotated[Number, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _once(self) -> ResourceLimits:
        if self.memory_per_container is not None and self.memory_gb is not None:
            raise ValueError("has both memory_per_container and memory_gb; leave one out")
        if self.cpu_per_container is not None and self.cpu_cores is not None:
            raise ValueError("has both cpu_per_container and cpu_cores; leave one out")
        return self

    @property
    def memory(self) -> int | None:
        """Bytes, None without a limit."""
        if self.memory_gb is not None:
            return int(self.memory_gb * 1024**3)
        return self.memory_per_container

    @property
    def cores(self) -> float | None:
        """Cores, None where nothing is said."""
        return self.cpu_cores if self.cpu_cores is not None else self.cpu_per_container


class PhaseSection(Section):
    """One phase; `config` holds the keys of its type.

    inputs : "phase.key", the key may be nested
    outputs : keys that other programs rely on; checked against what the type gives
    container_count : trials
    """

    name: PhaseName
    type: Text
    method: Method | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[Text, ...] = ()
    outputs: tuple[Text, ...] = ()
    container_count: TrialCount | None = None
    container_type: ContainerType | None = None
    execution_mode: PhaseMode | None = None
    resources: ResourceLimits = ResourceLimits()
    timeout_hours: Annotated[Number, Field(gt=0)] | None = None


class PhaseLimits(Section):
    """What `coordinator.phases` says of a phase; type and inputs where no list of phases does."""

    type: Text | None = None
    execution_mode: PhaseMode | None = None
    max_containers: TrialCount | None = None
    resources: ResourceLimits = ResourceLimits()
    inputs: tuple[Text, ...] = ()
    timeout_hours: Annotated[Number, Field(gt=0)] | None = None


class ReproducibilitySection(Section):
    """Seeds. The order is always deterministic: no result depends on it."""

    master_seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 42
    deterministic_order: Literal[True] = True


class CoordinatorResources(Section):
    """Limits of the whole workflow."""

    max_memory_gb: Annotated[Number, Field(gt=0)] | None = None
    max_cpu_cores: Annotated[Number, Field(gt=0)] | None = None
    container_pool_size: Annotated[Whole, Field(ge=1, le=1000)] | None = None


class FaultSection(Section):
    """What happens when trials fail.

    max_container_failures : retries of one trial before it is left out
    auto_restart : False retries nothing
    checkpoint_interval : seconds; every finished batch is a checkpoint anyway
    max_failed_fraction : part of a phase's trials that may be left out before the phase fails
    """

    max_container_failures: Annotated[Whole, Field(ge=0, le=100)] = 3
    auto_restart: bool = True
    checkpoint_interval: Annotated[Number, Field(gt=0)] = 300.0
    max_failed_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.5


class CoordinatorSection(Section):
    """Settings of the coordinator, and the second shape of phases."""

    execution_mode: ExecutionMode | None = None
    reproducibility: ReproducibilitySection = ReproducibilitySection()
    resources: CoordinatorResources = CoordinatorResources()
    monitoring: MonitoringSection | None = None
    fault_tolerance: FaultSection = FaultSection()
    phases: dict[PhaseName, PhaseLimits] = Field(default_factory=dict)


class WorkflowSection(Section):
    """What kind of workflow it is.

    container_count : trials of a workflow without a list of phases
    signal_capture : the signals of a search's best trials are stored when it ends
    signal_replay : checked against the phases: true needs one that replays signals, false none
    """

    type: WorkflowType | None = None
    name: FileName | None = None
    execution_mode: ExecutionMode | None = None
    container_count: TrialCount | None = None
    parallel_execution: bool = True
    signal_capture: bool = False
    signal_replay: bool | None = None
    phases: tuple[PhaseSection, ...] = ()


class ReportingSection(Section):
    """What is made at the end.

    top_trials : best trials shown and passed on
    """

    plots: bool = True
    top_trials: Annotated[Whole, Field(ge=1, le=1000)] = 20
    journal: bool = True


class WorkflowDocument(Section):
    """A whole file."""

    version: Text = "1.0.0"
    name: FileName | None = None
    description: str = ""
    workflow: WorkflowSection = WorkflowSection()
    coordinator: CoordinatorSection = CoordinatorSection()
    data: DataSection = DataSection()
    strategies: tuple[StrategySection, ...] = Field(default=(), max_length=20)
    risk_management: RiskSection = RiskSection()
    execution: ExecutionSection = ExecutionSection()
    portfolio: PortfolioSection = PortfolioSection()
    optimization: OptimizationSection = OptimizationSection()
    walk_forward: WalkForwardSection = WalkForwardSection()
    infrastructure: InfrastructureSection = InfrastructureSection()
    monitoring: MonitoringSection | None = None
    reporting: ReportingSection = ReportingSection()
    phases: tuple[PhaseSection, ...] = ()

    @property
    def phase_list(self) -> tuple[PhaseSection, ...]:
        """The phases as a list gives them; () where `coordinator.phases` or nothing does."""
        return self.workflow.phases or self.phases
