"""The workflow document as it is written in YAML: one model per section, unknown keys refused.

Two shapes are taken: phases inside `workflow` (or at the top), and `coordinator.phases` with
limits per phase. `loading.load_workflow` brings both to one form.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    Field,
    model_validator,
)

from alphafoundry.backtest.execution import Fill, Stops
from alphafoundry.coordinator.document_values import (
    Count,
    Currency,
    Day,
    FileName,
    Number,
    PhaseName,
    Section,
    Text,
    TrialCount,
    Whole,
)
from alphafoundry.coordinator.machine_sections import (
    InfrastructureSection,
    MonitoringSection,
    ResourceLimits,
)
from alphafoundry.coordinator.parameter_space import ParameterSpec
from alphafoundry.coordinator.search_sections import Method, OptimizationSection, WalkForwardSection

ExecutionMode = Literal["TRADITIONAL", "AUTO", "COMPOSABLE", "HYBRID"]
PhaseMode = Literal["PARALLEL", "SIGNAL_REPLAY", "TRADITIONAL"]
WorkflowType = Literal["backtest", "optimization", "multi_phase", "walk_forward"]
ContainerType = Literal["full_backtest", "simple_backtest", "signal_generation", "signal_replay"]


MOST_PHASES: Final = 50
"""Phases of a document: each one's grid is counted before anything runs."""


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
    symbols : the instruments that it sees and trades; left out, all of `data`
    params, parameters : fixed values and ranges, of the strategy's own parameters and of
        position_size_pct, stop_loss_pct, take_profit_pct and trailing_stop_pct
    allocation : share of the capital; left out, all enabled strategies get the same
    """

    type: Text
    name: FileName | None = None
    enabled: bool = True
    allocation: Annotated[Number, Field(ge=0, le=1)] | None = None
    template: Text | None = None
    symbols: tuple[Text, ...] | None = Field(default=None, min_length=1)
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
    trailing_stop_pct: Annotated[Number, Field(ge=0.001, le=0.5)] | None = None
    max_drawdown_pct: Annotated[Number, Field(ge=0.01, le=0.5)] | None = None


class RiskSection(Section):
    """Risk management."""

    params: RiskParameters = RiskParameters()


class ExecutionSection(Section):
    """What trading costs, and at which prices it happens.

    fill : at the close of the signal's day, or at the next open
    stops : on closes, or on each day's high and low, with gaps filled at the open
    borrow_pct : what a year of a short position costs, a fraction of its value
    """

    order_type: Literal["market"] = "market"
    fill: Fill = "close"
    stops: Stops = "close"
    borrow_pct: Annotated[Number, Field(ge=0, le=10)] = 0.0
    slippage_bps: Annotated[Number, Field(ge=0, le=500)] = 10.0
    commission_per_share: Annotated[Number, Field(ge=0)] = 0.01
    max_commission_pct: Annotated[Number, Field(ge=0, le=1)] = 0.01
    commission_bps: Annotated[Number, Field(ge=0, le=500)] = 0.0


class PortfolioSection(Section):
    """Capital.

    currency : what equity is labelled with; nothing is converted
    """

    initial_capital: Annotated[Number, Field(gt=0)] = 100_000.0
    currency: Currency = "USD"
    leverage: Annotated[Number, Field(gt=0, le=10)] = 1.0


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
    phases: dict[PhaseName, PhaseLimits] = Field(default_factory=dict, max_length=MOST_PHASES)


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
    phases: tuple[PhaseSection, ...] = Field(default=(), max_length=MOST_PHASES)


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
    phases: tuple[PhaseSection, ...] = Field(default=(), max_length=MOST_PHASES)

    @property
    def phase_list(self) -> tuple[PhaseSection, ...]:
        """The phases as a list gives them; () where `coordinator.phases` or nothing does."""
        return self.workflow.phases or self.phases
