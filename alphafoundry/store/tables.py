"""The tables. An object read from the store is a snapshot: changing it changes no row."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, Literal, get_args

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from alphafoundry.store.column_types import FiniteFloat, PlainText, UtcDateTime

RunStatus = Literal["running", "finished", "failed", "interrupted"]
SimulationStatus = Literal[
    "planned",
    "sending",
    "sent",
    "deferred",
    "complete",
    "warning",
    "error",
    "timeout",
    "failed",
    "cancelled",
]
SubmissionStatus = Literal["intended", "accepted", "rejected", "failed"]
AlphaSource = Literal["simulated", "import"]
AlgorithmStatus = Literal["asking", "ready", "refused", "failed"]
PhaseStatus = Literal["running", "finished", "restored", "failed", "interrupted"]
TrialStatus = Literal["done", "left_out"]
VerdictName = Literal["found", "unproven", "not confirmed"]
MirrorName = Literal["none", "all", "residual"]

UNFINISHED: tuple[SimulationStatus, ...] = ("planned", "sending", "sent", "deferred")


def one_of(column: str, choices: object) -> CheckConstraint:
    """Return the constraint that a column holds one of the names of a Literal."""
    listed = ", ".join(f"'{choice}'" for choice in get_args(choices))
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Table(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: PlainText,
        float: FiniteFloat,
        datetime: UtcDateTime,
        date: Date,
        bytes: LargeBinary,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class MarketRow(Table):
    """A market as it lasts: it keeps its id when a day is added.

    id : 16 hex digits, or the name of a service whose data we do not have
    source, universe, adjustment : what makes it this market
    label : what the first run of its newest data version called it
    """

    __tablename__ = "markets"

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    universe: Mapped[str]
    adjustment: Mapped[str]
    label: Mapped[str]
    created_at: Mapped[datetime]

    def __repr__(self) -> str:
        return f"MarketRow({self.id!r}, {self.source!r})"


class DataVersionRow(Table):
    """One content of a market.

    first_day, last_day : None where they were never recorded
    label : what the first run of this content called it; None where that was never recorded
    """

    __tablename__ = "data_versions"

    market_id: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    first_day: Mapped[date | None]
    last_day: Mapped[date | None]
    label: Mapped[str | None]
    seen_at: Mapped[datetime]

    def __repr__(self) -> str:
        return f"DataVersionRow({self.fingerprint!r}, to {self.last_day})"


class MarketSplitRow(Table):
    """Where a market's search days end and its sealed days begin; written once, never moved.

    share, embargo_days : the settings that it was made by
    """

    __tablename__ = "market_splits"

    market_id: Mapped[str] = mapped_column(primary_key=True)
    search_to: Mapped[date]
    sealed_from: Mapped[date]
    share: Mapped[float]
    embargo_days: Mapped[int]
    created_at: Mapped[datetime]

    def __repr__(self) -> str:
        return f"MarketSplitRow({self.market_id!r}, sealed from {self.sealed_from})"


class OfData:
    """Columns of a row that was computed from market data; None where that is not known.

    market_id, data_version : keys of `MarketRow` and `DataVersionRow`
    data_until : last day of the data behind the row: nothing that it says was known earlier
    """

    market_id: Mapped[str | None]
    data_version: Mapped[str | None]
    data_until: Mapped[date | None]


class RunRow(OfData, Table):
    """One run of a flow, and the process that it lives in.

    host, pid, process_started : identity of the process; process_started is seconds since 1970
    heartbeat_at : last sign of life, which counts where another host asks
    search_from, search_to, sealed_from, sealed_to : of the market's split; None without one
    """

    __tablename__ = "runs"
    __table_args__ = (one_of("status", RunStatus), Index(None, "status"))

    id: Mapped[int] = mapped_column(primary_key=True)
    flow: Mapped[str]
    service: Mapped[str]
    market_label: Mapped[str | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    settings: Mapped[dict[str, Any]]
    host: Mapped[str]
    pid: Mapped[int]
    process_started: Mapped[float]
    heartbeat_at: Mapped[datetime]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    status: Mapped[RunStatus] = mapped_column(PlainText)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    search_from: Mapped[date | None]
    search_to: Mapped[date | None]
    sealed_from: Mapped[date | None]
    sealed_to: Mapped[date | None]

    def __repr__(self) -> str:
        return f"RunRow({self.id}, {self.flow!r}, {self.status})"


class SimulationRow(OfData, Table):
    """One simulation; its key is unique within a service, so it is never paid for twice.

    key : of the canonical expression and the settings, by `simulation_key`
    variation : what the miner changed in the parent
    correlation_to_parent : of daily PnL; gain : fitness over the parent's
    attempts : how often it was sent; a request that the service refused does not count
    """

    __tablename__ = "simulations"
    __table_args__ = (
        UniqueConstraint("service", "key"),
        one_of("status", SimulationStatus),
        Index(None, "run_id", "status"),
        Index(None, "service", "status"),
        Index(None, "service", "alpha_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service: Mapped[str]
    key: Mapped[str]
    canonical: Mapped[str]
    expression: Mapped[str]
    settings: Mapped[dict[str, Any]]
    origin: Mapped[str]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    parent_alpha_id: Mapped[str | None]
    variation: Mapped[str | None]
    correlation_to_parent: Mapped[float | None]
    gain: Mapped[float | None]
    status: Mapped[SimulationStatus] = mapped_column(PlainText)
    location: Mapped[str | None]
    alpha_id: Mapped[str | None]
    message: Mapped[str | None]
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"SimulationRow({self.id}, {self.status}, {self.expression!r})"


class AlphaRow(OfData, Table):
    """A simulated or imported alpha with the statistics that the service gave.

    turnover, returns, drawdown, margin : fractions; pnl : dollars; None where unknown or NaN
    mined_at : when the miner had looked at it, None before
    planted : share of the PnL by planted effect, on calibration data only
    expected_sharpe : the true Sharpe ratio, on synthetic markets only
    train, test : statistics of both parts where the settings have a test period
    """

    __tablename__ = "alphas"
    __table_args__ = (
        one_of("source", AlphaSource),
        Index(None, "service", "hopeful", "fitness"),
    )

    service: Mapped[str] = mapped_column(primary_key=True)
    alpha_id: Mapped[str] = mapped_column(primary_key=True)
    expression: Mapped[str]
    settings: Mapped[dict[str, Any]]
    sharpe: Mapped[float | None]
    fitness: Mapped[float | None]
    turnover: Mapped[float | None]
    returns: Mapped[float | None]
    drawdown: Mapped[float | None]
    margin: Mapped[float | None]
    pnl: Mapped[float | None]
    long_count: Mapped[int | None]
    short_count: Mapped[int | None]
    grade: Mapped[str | None]
    checks: Mapped[list[Any]]
    hopeful: Mapped[bool]
    mined_at: Mapped[datetime | None]
    source: Mapped[AlphaSource] = mapped_column(PlainText)
    planted: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    expected_sharpe: Mapped[float | None]
    train: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    test: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    def __repr__(self) -> str:
        return f"AlphaRow({self.alpha_id!r}, fitness {self.fitness}, {self.expression!r})"


class PnlRow(Table):
    """Daily PnL of an alpha: int32 days since 1970 and float32 dollars, both little-endian.

    Rows that were written before revision 0005 hold float64 dollars; the lengths tell.
    """

    __tablename__ = "daily_pnl"
    __table_args__ = (
        ForeignKeyConstraint(["service", "alpha_id"], ["alphas.service", "alphas.alpha_id"]),
    )

    service: Mapped[str] = mapped_column(primary_key=True)
    alpha_id: Mapped[str] = mapped_column(primary_key=True)
    days: Mapped[bytes]
    amounts: Mapped[bytes]


class SubmissionRow(Table):
    """One alpha's submission, recorded as intended before it is sent.

    eastern_day : the day of US Eastern time that it counts for
    """

    __tablename__ = "submissions"
    __table_args__ = (
        UniqueConstraint("service", "alpha_id"),
        one_of("status", SubmissionStatus),
        Index(None, "service", "eastern_day"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service: Mapped[str]
    alpha_id: Mapped[str]
    eastern_day: Mapped[date]
    status: Mapped[SubmissionStatus] = mapped_column(PlainText)
    detail: Mapped[str | None]
    checks: Mapped[list[Any]]
    intended_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))

    def __repr__(self) -> str:
        return f"SubmissionRow({self.alpha_id!r}, {self.status}, {self.eastern_day})"


class OpeningRow(Table):
    """One look at the sealed days of a market: planned first, then done.

    number : 1 for the first look at these days; level : of its test
    trials : all trials ever made on the market's search days when the finalists were frozen
    finalists : SHA-256 of the finalists, so that the same ones are not looked at twice
    opened_at : when the results were written, None where a run died before that
    """

    __tablename__ = "openings"
    __table_args__ = (Index(None, "market_id"), Index(None, "service", "finalists"))

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    service: Mapped[str]
    market_id: Mapped[str]
    sealed_from: Mapped[date]
    sealed_to: Mapped[date]
    number: Mapped[int]
    level: Mapped[float]
    trials: Mapped[int]
    finalists: Mapped[str]
    planned_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"OpeningRow({self.id}, number {self.number}, to {self.sealed_to})"


class VerdictRow(Table):
    """A finalist as it was frozen, and what the sealed days said of it.

    position : from 0, the highest fitness to be expected first
    key : of the canonical expression and the settings, by `simulation_key`
    frozen_on : day from which on every day is clean for this alpha
    fitness_bound : 20 % quantile of its fitness on search days, of openings that ordered their
        finalists by it; None of all others
    search_days, sealed_days : of its PnL in each part
    dsr : deflated Sharpe ratio on search days, all trials counted
    shrunk_sharpe : annual, to be expected after what all trials say; None of openings before it
        was known
    sharpe, sealed_sharpe, settled_sharpe, net_sharpe : annual; of search days, of sealed days, of
        these without the first 63, and of these after the costs of the settings
    p : of the sealed test, adjusted over the finalists
    capacity : dollars of a book that trades 1 % of volume on the median sealed day; None where
        volume is not known
    impact_small, impact_middle, impact_large : sealed Sharpe ratio after costs and a square-root
        impact of coefficient 0.1, 0.5 and 1
    years, years_up, worst_year : calendar years of search and sealed days, those with a gain, and
        the least Sharpe ratio of one
    calm_sharpe, wild_sharpe : on halves of the sealed days by market volatility
    upper : 80 % bound of the sealed Sharpe ratio; days_needed : None where no number is enough
    pnl_days, pnl_amounts : daily PnL over search days and sealed days, as in `PnlRow`
    verdict and what is sealed : None until the opening is done
    """

    __tablename__ = "verdicts"
    __table_args__ = (one_of("verdict", VerdictName), Index(None, "service", "alpha_id"))

    opening_id: Mapped[int] = mapped_column(ForeignKey("openings.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    service: Mapped[str]
    alpha_id: Mapped[str]
    expression: Mapped[str]
    settings: Mapped[dict[str, Any]]
    key: Mapped[str]
    frozen_on: Mapped[date]
    fitness_bound: Mapped[float | None]
    search_days: Mapped[int]
    sharpe: Mapped[float | None]
    sharpe_low: Mapped[float | None]
    sharpe_high: Mapped[float | None]
    dsr: Mapped[float | None]
    shrunk_sharpe: Mapped[float | None]
    sealed_days: Mapped[int | None]
    sealed_sharpe: Mapped[float | None]
    sealed_low: Mapped[float | None]
    sealed_high: Mapped[float | None]
    settled_sharpe: Mapped[float | None]
    net_sharpe: Mapped[float | None]
    capacity: Mapped[float | None]
    impact_small: Mapped[float | None]
    impact_middle: Mapped[float | None]
    impact_large: Mapped[float | None]
    years: Mapped[int | None]
    years_up: Mapped[int | None]
    worst_year: Mapped[float | None]
    calm_sharpe: Mapped[float | None]
    wild_sharpe: Mapped[float | None]
    p: Mapped[float | None]
    upper: Mapped[float | None]
    days_needed: Mapped[float | None]
    pnl_days: Mapped[bytes | None]
    pnl_amounts: Mapped[bytes | None]
    verdict: Mapped[VerdictName | None] = mapped_column(PlainText)
    reason: Mapped[str | None]

    def __repr__(self) -> str:
        return f"VerdictRow({self.alpha_id!r}, {self.verdict})"


class PlaceboRow(Table):
    """One whole search, of the true prices or of mirrored ones.

    key : of the market's search days and of all that the search depends on
    mirror : "none" is the search of the true prices, which has the number 0
    number : from 1, the seed of the mirror
    budget : simulations that it could spend; trials : different alphas that it simulated
    unlike : how many of its best alphas are unlike each other, at most ten
    best_sharpe, best_dsr : of its best alpha by Sharpe ratio, None where it made none
    unlike_sharpe : mean of the unlike ones
    """

    __tablename__ = "placebos"
    __table_args__ = (one_of("mirror", MirrorName), Index(None, "market_id"))

    key: Mapped[str] = mapped_column(primary_key=True)
    mirror: Mapped[MirrorName] = mapped_column(PlainText, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    market_id: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    budget: Mapped[int]
    trials: Mapped[int]
    hopeful: Mapped[int]
    unlike: Mapped[int]
    best_sharpe: Mapped[float | None]
    best_dsr: Mapped[float | None]
    best_fitness: Mapped[float | None]
    unlike_sharpe: Mapped[float | None]
    made_at: Mapped[datetime]

    def __repr__(self) -> str:
        return f"PlaceboRow({self.mirror!r}, {self.number}, best {self.best_sharpe})"


class ScreenedRow(OfData, Table):
    """An idea that was screened on search days: a trial like a simulation, though no alpha of it.

    key : of the canonical expression and the settings, by `simulation_key`
    run_id : the run that screened it, or took it over from one that was cut short
    sharpe, fitness, turnover, returns, drawdown, margin : as of a simulation on `days` bars; None
        where `reason` says why there are none
    pnl_days, pnl_amounts : daily PnL of the best, as in `daily_pnl`
    chosen_at : when it was handed on to be simulated, None before
    """

    __tablename__ = "screened"
    __table_args__ = (Index(None, "service", "run_id"), Index(None, "service", "chosen_at"))

    service: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    canonical: Mapped[str]
    expression: Mapped[str]
    settings: Mapped[dict[str, Any]]
    origin: Mapped[str]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    sharpe: Mapped[float | None]
    fitness: Mapped[float | None]
    turnover: Mapped[float | None]
    returns: Mapped[float | None]
    drawdown: Mapped[float | None]
    margin: Mapped[float | None]
    days: Mapped[int | None]
    reason: Mapped[str]
    pnl_days: Mapped[bytes | None]
    pnl_amounts: Mapped[bytes | None]
    screened_at: Mapped[datetime]
    chosen_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"ScreenedRow({self.expression!r}, sharpe {self.sharpe})"


class RefusalRow(Table):
    """A text that a generator or the miner gave and that was not simulated."""

    __tablename__ = "refusals"
    __table_args__ = (Index(None, "run_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    origin: Mapped[str]
    text: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class AlgorithmRow(Table):
    """One trading algorithm that a model was asked for.

    batch : key of everything that the answers of one command depend on; a run takes over what
        an interrupted run of the same batch had finished
    position : place in the order in which the models were given, from 0
    label : what wrote it, in words for a report
    status : "asking" until the answer has been judged; "ready" passed the checks; "refused" is
        an answer that did not; "failed" gave no answer
    answer : the text as the model wrote it; source : the program in it
    reason : one line where it is refused or failed
    requests : how many were sent for it
    candidate : whether it was among the best of its race
    """

    __tablename__ = "algorithms"
    __table_args__ = (
        one_of("status", AlgorithmStatus),
        UniqueConstraint("run_id", "position"),
        Index(None, "batch", "status"),
        Index(None, "candidate"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    batch: Mapped[str]
    position: Mapped[int]
    model: Mapped[str]
    provider: Mapped[str]
    label: Mapped[str]
    prompt_version: Mapped[str]
    prompt: Mapped[str]
    status: Mapped[AlgorithmStatus] = mapped_column(PlainText)
    answer: Mapped[str | None]
    source: Mapped[str | None]
    signature: Mapped[str | None]
    reason: Mapped[str | None]
    requests: Mapped[int]
    candidate: Mapped[bool]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"AlgorithmRow({self.id}, {self.model!r}, {self.status})"


class ModelRequestRow(Table):
    """One request to a language model.

    number : 1 for the first request of an answer, 2 for its first retry, ...
    outcome : "answered", "cached", or what went wrong
    cost : US dollars, None where the service does not say
    """

    __tablename__ = "model_requests"
    __table_args__ = (Index(None, "run_id"), Index(None, "model"))

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    model: Mapped[str]
    provider: Mapped[str]
    endpoint: Mapped[str]
    number: Mapped[int]
    outcome: Mapped[str]
    status: Mapped[int | None]
    seconds: Mapped[float]
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost: Mapped[float | None]
    reason: Mapped[str | None]
    at: Mapped[datetime]


class RaceResultRow(OfData, Table):
    """One line of a race's leader board.

    algorithm_id : None for a benchmark such as buy-and-hold
    rank : from 1, None for what failed and for a benchmark
    statistics : every number of the line, and the equity at the end of each day
    """

    __tablename__ = "race_results"
    __table_args__ = (Index(None, "run_id"), Index(None, "algorithm_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    algorithm_id: Mapped[int | None] = mapped_column(ForeignKey("algorithms.id"))
    name: Mapped[str]
    market_label: Mapped[str]
    tickers: Mapped[list[Any]]
    rank: Mapped[int | None]
    total_return: Mapped[float | None]
    sharpe: Mapped[float | None]
    drawdown: Mapped[float | None]
    trades: Mapped[int | None]
    seconds_per_call: Mapped[float | None]
    failure: Mapped[str | None]
    statistics: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class PhaseRow(Table):
    """One phase of a workflow in one run.

    key : of all that its result depends on
    status : restored where the result came from a checkpoint
    trials : of the phase; executed : those that this run worked on
    seconds : wall-clock time of this run; work_seconds : of its trials, all workers together
    """

    __tablename__ = "workflow_phases"
    __table_args__ = (
        one_of("status", PhaseStatus),
        Index(None, "run_id"),
        Index(None, "key", "status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    workflow: Mapped[str]
    phase: Mapped[str]
    key: Mapped[str]
    status: Mapped[PhaseStatus] = mapped_column(PlainText)
    trials: Mapped[int]
    executed: Mapped[int]
    left_out: Mapped[int]
    seconds: Mapped[float | None]
    work_seconds: Mapped[float | None]
    message: Mapped[str | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"PhaseRow({self.workflow!r}, {self.phase!r}, {self.status})"


class TrialRow(OfData, Table):
    """One trial of a phase; the phase's key and its number identify it.

    executions : how often it was worked on, 1 where nothing was interrupted
    metrics : its numbers, None where it was left out
    strategy : whose parameters `item` are, as `StrategySource.to_json` gives it; None where it
        says so itself, or was written before that was kept
    """

    __tablename__ = "workflow_trials"
    __table_args__ = (one_of("status", TrialStatus), Index(None, "run_id"))

    phase_key: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    workflow: Mapped[str]
    phase: Mapped[str]
    batch: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    item: Mapped[Any] = mapped_column(JSON)
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    status: Mapped[TrialStatus] = mapped_column(PlainText)
    attempts: Mapped[int]
    executions: Mapped[int]
    message: Mapped[str | None]
    strategy: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    def __repr__(self) -> str:
        return f"TrialRow({self.phase!r}, {self.number}, {self.status})"


class SampleRow(Table):
    """What the machine and a workflow were doing at one moment.

    memory_percent, cpu_percent, disk_percent : of the machine
    workflow_memory : bytes held by the run and its workers
    trials_done, trials_left_out : so far; trial_seconds : mean work of one so far
    """

    __tablename__ = "workflow_samples"
    __table_args__ = (Index(None, "run_id", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[datetime]
    phase: Mapped[str]
    memory_percent: Mapped[float]
    cpu_percent: Mapped[float]
    disk_percent: Mapped[float]
    workflow_memory: Mapped[int] = mapped_column(BigInteger)
    workers: Mapped[int]
    trials_done: Mapped[int]
    trials_left_out: Mapped[int]
    trial_seconds: Mapped[float | None]


class AlertRow(Table):
    """A threshold that was crossed."""

    __tablename__ = "workflow_alerts"
    __table_args__ = (Index(None, "run_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[datetime]
    kind: Mapped[str]
    value: Mapped[float]
    threshold: Mapped[float]
    message: Mapped[str]
