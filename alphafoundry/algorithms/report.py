"""The report of a run: who wrote what, how the race ended, what the requests took."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alphafoundry.algorithms.generation import Generation
from alphafoundry.algorithms.leader_board import (
    RaceResult,
    Row,
    leader_board_rows,
    leader_board_table,
)
from alphafoundry.algorithms.program_files import new_folder, save_generation
from alphafoundry.algorithms.studio import Studio
from alphafoundry.llm import ModelMetrics
from alphafoundry.store import RaceLine, mark_candidates, record_race


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
    candidates : names of the best, which other flows can use
    folder : where the programs are, None where there are none
    """

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

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; NaN becomes None."""
        document = asdict(self)
        document["metrics"] = [_without_nan(asdict(one)) for one in self.metrics]
        return document

    def to_markdown(self, picture: str | None = None) -> str:
        """Return the report as a page; `picture` is the address of a plot to show in it."""
        lines = [f"## algorithms: run {self.run_id}", "", f"**{_cell(self.headline)}**", ""]
        lines += ["| | |", "|---|---|"]
        lines += [f"| **{name}** | {_cell(text)} |" for name, text in self.summary()]
        if self.board_markdown:
            lines += ["", "### Leader board", "", self.board_markdown]
        if picture is not None:
            lines += ["", f"![equity]({picture})"]
        if self.metrics:
            rows = self.metrics_rows()
            lines += ["", f"### Requests at {_cell(self.endpoint)}", ""]
            lines.append("| " + " | ".join(rows[0]) + " |")
            lines.append("|" + "---|" * len(rows[0]))
            lines += [
                "| " + " | ".join(_cell(cell) for cell in row.values()) + " |" for row in rows
            ]
        lines += ["", "### Directives", "", "| model | strategy | form | status |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| {_cell(one.model)} | {one.strategy} | {one.signature} | {one.status} |"
            for one in self.models
        ]
        lines += ["", f"### Prompt of the first model ({self.prompt_version})", ""]
        lines += [f"    {line}" for line in self.example_prompt.splitlines()]
        return "\n".join([*lines, ""])


def build_report(studio: Studio, result: RaceResult | None) -> AlgorithmsReport:
    """Return the report of a run; saves the programs in a folder of their own."""
    models = tuple(
        ModelLine(
            one.model,
            written.status,
            one.prompt.directives.strategy,
            one.prompt.directives.signature,
            written.reason,
            written.requests,
            one.position in studio.taken_over,
        )
        for one in studio.assignments
        if (written := studio.results.get(one.position)) is not None
    )
    provider = studio.endpoint.provider
    panel = studio.course.panel
    first = studio.assignments[0].prompt
    folder = None
    if studio.results:
        generation = Generation(
            provider.label,
            first.version,
            tuple(studio.results[position] for position in sorted(studio.results)),
        )
        path = new_folder(studio.settings.home, studio.course.tickers[0])
        save_generation(generation, path)
        folder = str(path)
    notes = [studio.course.note] if studio.course.note else []
    if provider.name == "templates":
        notes.append(
            f"{provider.label}; set OPENROUTER_API_KEY, or give --base-url or --provider ollama, "
            "to ask language models"
        )
    return AlgorithmsReport(
        run_id=studio.run_id,
        seed=studio.settings.seed,
        written_by=provider.label,
        endpoint=provider.endpoint,
        market=panel.label,
        synthetic=panel.synthetic,
        tickers=studio.course.tickers,
        prompt_version=first.version,
        example_prompt=first.text,
        models=models,
        metrics=tuple(studio.metrics()),
        asking_seconds=studio.asking_seconds,
        seconds=time.monotonic() - studio.started,
        lowest_concurrency=studio.endpoint.concurrency.lowest,
        cap=studio.endpoint.concurrency.cap,
        leader_board=[] if result is None else leader_board_rows(result),
        board_markdown="" if result is None else leader_board_table(result),
        candidates=()
        if result is None
        else tuple(row.name for row in result.best(studio.settings.algorithms.candidates)),
        folder=folder,
        notes=tuple(notes),
    )


def keep_race(studio: Studio, result: RaceResult, names: Mapping[int, str]) -> None:
    """Record the leader board, and mark the best as candidates.

    Parameters
    ----------
    names : position of an algorithm to its name in the race
    """
    ids = {name: studio.row_id(position) for position, name in names.items()}
    record_race(
        studio.store,
        studio.run_id,
        [
            _race_line(row, rank, ids.get(row.name), result)
            for rank, row in enumerate(result.rows, 1)
        ],
        market_label=result.label,
        tickers=result.tickers,
    )
    best = result.best(studio.settings.algorithms.candidates)
    mark_candidates(studio.store, [ids[row.name] for row in best])


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


def _cell(text: str) -> str:
    for character in "\\`*_[]|":
        text = text.replace(character, "\\" + character)
    return text.replace("<", "&lt;").replace("\n", " ")
