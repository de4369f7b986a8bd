"""The report of a run: who wrote what, how the race ended, what the requests took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from alphafoundry.algorithms.generation import GeneratedAlgorithm, Generation
from alphafoundry.algorithms.leader_board import (
    RaceResult,
    Row,
    leader_board_plot,
    leader_board_rows,
    leader_board_table,
    measured_on,
)
from alphafoundry.algorithms.program_files import new_folder, save_generation
from alphafoundry.algorithms.run import AlgorithmsRun
from alphafoundry.llm import ModelMetrics
from alphafoundry.runs import Figure, Passage, Table, data_table
from alphafoundry.store import RaceLine, mark_candidates, record_race

if TYPE_CHECKING:
    from alphafoundry.market.screen import DataScreen


@dataclass(frozen=True)
class ModelLine:
    """One model in the report.

    Attributes
    ----------
    status : "ready", "refused", "failed" or "skipped"
    strategy, signature : what its prompt asked for
    reason : one line, None where it is ready
    requests : sent for it
    taken_over : whether it had answered in an interrupted run
    """

    model: str
    status: str
    strategy: str
    signature: str
    reason: str | None
    requests: int
    taken_over: bool


@dataclass(frozen=True)
class AlgorithmsReport:
    """What a run did.

    Attributes
    ----------
    written_by : what wrote the algorithms; says so where it was no language model
    market : one line on the data; starts with SYNTHETIC where it is
    prompt_version : of the prompt's templates
    example_prompt : the first model's prompt, whole
    asking_seconds, seconds : until all models were done, and until the end
    lowest_concurrency, cap : fewest requests that the service let through, and the cap
    leader_board : lines of the race as texts, best first; empty where there was none
    board_markdown : the same for a page
    measured_on : what the race was, in a line; empty where there was none
    candidates : names of the best, which other flows can use
    folder : where the programs are, None where there are none
    kept_apart : what is said of the days after the race
    screen : what the market's data are
    stopped : why and where the run was asked to end; empty where it was not
    pictures : drawn when the report is shown; not among the JSON values
    """

    kind: ClassVar[str] = "algorithms"
    version: ClassVar[int] = 1
    key: ClassVar[str] = "algorithms-report"

    run_id: int
    seed: int
    written_by: str
    endpoint: str
    market: str
    synthetic: bool
    tickers: tuple[str, ...]
    prompt_version: str
    example_prompt: str
    models: tuple[ModelLine, ...]
    metrics: tuple[ModelMetrics, ...]
    asking_seconds: float
    seconds: float
    lowest_concurrency: int
    cap: int
    leader_board: list[dict[str, str]] = field(default_factory=list)
    board_markdown: str = ""
    candidates: tuple[str, ...] = ()
    folder: str | None = None
    notes: tuple[str, ...] = ()
    measured_on: str = ""
    kept_apart: str = ""
    screen: DataScreen | None = None
    stopped: str = ""
    pictures: tuple[Figure, ...] = field(default=(), repr=False, compare=False)

    @property
    def title(self) -> str:
        """Names the run."""
        return f"algorithms: run {self.run_id}"

    @property
    def headline(self) -> str:
        """One line: what wrote the algorithms, and what they raced on."""
        return f"{self.written_by}. {self.market}"

    def summary(self) -> list[tuple[str, str]]:
        """Return (subject, sentence) pairs that tell the run at a glance."""
        counts = Counter(one.status for one in self.models)
        told = ", ".join(f"{counts[status]} {status}" for status in counts)
        taken = sum(one.taken_over for one in self.models)
        if taken:
            told += f"; {taken} had answered in an interrupted run and were not asked again"
        rows = [
            *([("stopped", self.stopped)] if self.stopped else []),
            ("written by", self.written_by),
            (
                "models",
                f"{len(self.models)} in {self.asking_seconds:.1f} s: "
                + (told or "none had answered when the run was stopped"),
            ),
        ]
        for one in self.models:
            if one.reason:
                rows.append((one.status, f"{one.model}: {one.reason}"))
        where = f"on {', '.join(self.tickers)}" if self.leader_board else "none was run"
        rows.append(("race", f"{where}; {self.seconds:.1f} s in all"))
        if self.leader_board:
            apart = f"; {self.kept_apart}" if self.kept_apart else ""
            rows.append(("sure", f"every number is in sample, since these days rank them{apart}"))
        if self.lowest_concurrency < self.cap:
            rows.append(
                (
                    "concurrency",
                    f"lowered to {self.lowest_concurrency} of {self.cap} because of 429 answers",
                )
            )
        if self.leader_board:
            rows.append(("candidates", ", ".join(self.candidates) or "none beat buy-and-hold"))
        rows.append(("prompt", self.prompt_version))
        if self.folder:
            rows.append(("programs", self.folder))
        return rows

    def metrics_rows(self) -> list[dict[str, str]]:
        """Return the metrics of each model as texts."""
        return [
            {
                "model": one.model,
                "requests": str(one.requests),
                "retries": str(one.retries),
                "cached": str(one.cached),
                "success": _number(one.success_rate, ".0%"),
                "p50": _number(one.p50, ".2f"),
                "p90": _number(one.p90, ".2f"),
                "p99": _number(one.p99, ".2f"),
                "tokens in": "" if one.prompt_tokens is None else str(one.prompt_tokens),
                "tokens out": "" if one.completion_tokens is None else str(one.completion_tokens),
                "cost": "" if one.cost is None else f"${one.cost:.4f}",
            }
            for one in self.metrics
        ]

    def tables(self) -> list[Table]:
        """Return the leader board, the requests of each model, and what each was asked for."""
        asked = [
            {
                "model": one.model,
                "strategy": one.strategy,
                "form": one.signature,
                "status": one.status,
            }
            for one in self.models
        ]
        return [
            Table(
                "Leader board",
                self.leader_board,
                key="algorithms-leader-board",
                caption=self.measured_on,
                description=self.headline,
            ),
            Table(
                f"Requests at {self.endpoint}",
                self.metrics_rows(),
                key="algorithms-models",
                description=f"Requests per model at {self.endpoint}",
            ),
            Table("Directives", asked, places=frozenset({"page"})),
            *([data_table(self.screen.rows())] if self.screen else []),
        ]

    def figures(self) -> tuple[Figure, ...]:
        """Return the equity of the best, where there was a race."""
        return self.pictures

    def passages(self) -> list[Passage]:
        """Return the first model's prompt."""
        title = f"Prompt of the first model ({self.prompt_version})"
        return [Passage(title, self.example_prompt.splitlines(), verbatim=True)]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; NaN becomes None."""
        values = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name != "pictures"
        }
        return {
            "kind": self.kind,
            "version": self.version,
            **values,
            "screen": None if self.screen is None else self.screen.to_json(),
            "models": [asdict(one) for one in self.models],
            "metrics": [_without_nan(asdict(one)) for one in self.metrics],
        }


def build_report(run: AlgorithmsRun, result: RaceResult | None) -> AlgorithmsReport:
    """Return the report of a run; saves the programs in a folder of their own."""
    models = tuple(
        ModelLine(
            one.model,
            written.status,
            one.prompt.directives.strategy,
            one.prompt.directives.signature,
            written.reason,
            written.requests,
            one.position in run.taken_over,
        )
        for one in run.assignments
        if (written := run.results.get(one.position)) is not None
    )
    provider = run.endpoint.provider
    panel = run.course.panel
    first = run.assignments[0].prompt
    folder = None
    if run.results:
        generation = Generation(
            provider.label,
            first.version,
            tuple(run.results[position] for position in sorted(run.results)),
        )
        path = new_folder(run.settings.home, run.course.tickers[0])
        save_generation(generation, path)
        folder = str(path)
    notes = [run.course.note] if run.course.note else []
    if provider.name == "templates":
        notes.append(
            f"{provider.label}; set OPENROUTER_API_KEY, or give --base-url or --provider ollama, "
            "to ask language models"
        )
    return AlgorithmsReport(
        run_id=run.run_id,
        seed=run.settings.seed,
        written_by=provider.label,
        endpoint=provider.endpoint,
        market=panel.label,
        synthetic=panel.synthetic,
        tickers=run.course.tickers,
        prompt_version=first.version,
        example_prompt=first.text,
        models=models,
        metrics=tuple(run.metrics()),
        asking_seconds=run.asking_seconds,
        seconds=run.record.seconds,
        lowest_concurrency=run.endpoint.concurrency.lowest,
        cap=run.endpoint.concurrency.cap,
        leader_board=[] if result is None else leader_board_rows(result),
        board_markdown="" if result is None else leader_board_table(result),
        candidates=()
        if result is None
        else tuple(row.name for row in result.best(run.settings.algorithms.candidates)),
        folder=folder,
        notes=tuple(notes),
        measured_on="" if result is None else measured_on(result),
        kept_apart=run.course.kept_apart,
        screen=panel.screen(),
        stopped=run.stop.told(
            "the race" if len(run.results) == len(run.assignments) else "asking the models"
        ),
        pictures=()
        if result is None
        else (Figure("Equity of the best", lambda: leader_board_plot(result)),),
    )


def entry_names(written: Sequence[GeneratedAlgorithm]) -> dict[int, str]:
    """Return a name for each position that no other algorithm of the race has."""
    times = Counter(one.model for one in written)
    names = {}
    for one in written:
        name = one.model
        while times[name] > (name == one.model):
            name = f"{name} ({one.position + 1})"
        times[name] += name != one.model
        names[one.position] = name
    return names


def keep_race(run: AlgorithmsRun, result: RaceResult, names: Mapping[int, str]) -> None:
    """Record the leader board, and mark the best as candidates.

    Parameters
    ----------
    names : position of an algorithm to its name in the race
    """
    ids = {name: run.row_id(position) for position, name in names.items()}
    record_race(
        run.store,
        run.run_id,
        [
            _race_line(row, rank, ids.get(row.name), result)
            for rank, row in enumerate(result.rows, 1)
        ],
        market_label=result.label,
        tickers=result.tickers,
    )
    best = result.best(run.settings.algorithms.candidates)
    mark_candidates(run.store, [ids[row.name] for row in best])


def _race_line(row: Row, rank: int, algorithm_id: int | None, result: RaceResult) -> RaceLine:
    statistics = asdict(row) | {"out": None if row.out is None else str(row.out)}
    statistics["equity"] = [round(float(value), 2) for value in result.equity[row.name]]
    statistics["first_day"], statistics["last_day"] = str(result.dates[0]), str(result.dates[-1])
    return RaceLine(
        name=row.name,
        algorithm_id=algorithm_id,
        rank=rank if row.out is None else None,
        total_return=row.total_return,
        sharpe=row.sharpe,
        drawdown=row.drawdown,
        trades=row.trades,
        seconds_per_call=row.seconds_per_call,
        failure=None if row.out is None else str(row.out),
        statistics=statistics,
    )


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
