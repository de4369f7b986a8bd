"""The result of a workflow for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from alphafoundry.coordinator.luck import deflated
from alphafoundry.coordinator.phase_types import Measured, type_of
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.run_folder import file_stem
from alphafoundry.coordinator.wording import counted, metrics_line
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.runs import Figure, Passage, Table, data_table, to_text

if TYPE_CHECKING:
    from alphafoundry.market.screen import DataScreen

SHOWN_FAILURES = 5

SAMPLES: Mapping[str, tuple[str, str]] = {
    "out_of_sample": ("out of sample", ""),
    "in_sample": ("in sample", ", on which the search looked too"),
    "given": ("backtest", "; the parameters were given, nothing was searched"),
}
"""What measured days are called, and what is said after the numbers."""


@dataclass(frozen=True)
class PhaseLine:
    """One phase: seconds of this run's clock; `restored` where a checkpoint had it already.

    deflated : DSR of what it chose or measured: its own trials and all before them counted where
        it chose, or where it measured days that were searched on, otherwise one; None without a
        Sharpe ratio
    """

    name: str
    kind: str
    trials: int
    left_out: int
    seconds: float
    restored: bool
    result: str
    deflated: float | None = None


@dataclass(frozen=True)
class WorkflowReport:
    """What a workflow gave.

    Attributes
    ----------
    market : one line on the data, starts with SYNTHETIC where prices were generated
    out_of_sample : metrics of the last backtest or walk-forward, None without one and where its
        days were not kept from a search
    measured : metrics of that phase, on whatever days
    benchmark : metrics of buying and holding the same names on these days
    sample : what these days are: out_of_sample, in_sample (searched on), given (no search)
    deflated : probability that their Sharpe ratio is more than the luck of `deflated_trials`, which
        are all trials where the days were searched on, and otherwise one
    failures : trials left out, "phase 17: why"
    analysis : times, use of the machine, bottlenecks, suggestions
    screen : what the market's data are
    found : tables of the phases: fronts, returns by month; in JSON rows by title
    best_trials, pictures : shown in the UI; not among the JSON values
    """

    kind: ClassVar[str] = "workflow"
    version: ClassVar[int] = 1

    workflow: str
    market: str
    folder: str
    runner: str
    phases: tuple[PhaseLine, ...]
    out_of_sample: Mapping[str, float | None] | None
    measured: Mapping[str, float | None] | None = None
    sample: str | None = None
    benchmark: Mapping[str, float | None] | None = None
    deflated: float | None = None
    deflated_trials: int = 1
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    analysis: Mapping[str, Any] = field(default_factory=dict)
    screen: DataScreen | None = None
    found: tuple[Table, ...] = ()
    best_trials: tuple[dict[str, str], ...] = ()
    pictures: tuple[Figure, ...] = field(default=(), repr=False, compare=False)

    def __repr__(self) -> str:
        return (
            f"WorkflowReport({self.workflow!r}, {counted(len(self.phases), 'phase')}, "
            f"{counted(self.trials, 'trial')}, folder={self.folder!r})"
        )

    def __str__(self) -> str:
        """What the command prints of it, without frames."""
        return to_text(self)

    @property
    def key(self) -> str:
        """Of the page among the artifacts."""
        return f"workflow-{file_stem(self.workflow)}"

    @property
    def title(self) -> str:
        """Names the workflow."""
        return self.workflow

    @property
    def headline(self) -> str:
        """The market."""
        return self.market

    def tables(self) -> list[Table]:
        """Return the phases, and the best trials."""
        phases = [
            {
                "phase": phase.name,
                "type": phase.kind,
                "trials": str(phase.trials),
                "left out": str(phase.left_out),
                "seconds": "checkpoint" if phase.restored else f"{phase.seconds:.1f}",
            }
            for phase in self.phases
        ]
        # A column of sentences would be cut off at the edge of the page.
        with_results = [
            row | {"result": phase.result} for row, phase in zip(phases, self.phases, strict=True)
        ]
        return [
            Table("Phases", with_results, places=frozenset({"terminal"}), wide="result"),
            Table("Phases", phases, places=frozenset({"page"})),
            *self.found,
            Table(
                "Best trials",
                self.best_trials,
                key=f"{self.key}-trials",
                places=frozenset({"artifact"}),
                description=f"the best {len(self.best_trials)} of {counted(self.trials, 'trial')}. "
                f"{self.market}",
            ),
            *([data_table(self.screen.rows())] if self.screen else []),
        ]

    def figures(self) -> tuple[Figure, ...]:
        """Return the plots of the phases."""
        return self.pictures

    def passages(self) -> list[Passage]:
        """Return what each phase found, and where the time went."""
        found = Passage("Results", [f"{phase.name}: {phase.result}" for phase in self.phases])
        if not self.analysis:
            return [found]
        lines = [
            *self.analysis.get("bottlenecks", ()),
            *self.analysis.get("optimization_suggestions", ()),
            *(f"alert: {line}" for line in self.analysis.get("alerts", ())),
        ]
        return [found, Passage("Where the time went", lines)]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = asdict(replace(self, pictures=(), best_trials=(), found=(), screen=None))
        del values["pictures"], values["best_trials"], values["found"]
        values["tables"] = {table.title: [dict(row) for row in table.rows] for table in self.found}
        values["screen"] = None if self.screen is None else self.screen.to_json()
        return {"kind": self.kind, "version": self.version, **values}

    @property
    def trials(self) -> int:
        """Trials of all phases."""
        return sum(phase.trials for phase in self.phases)

    def summary(self) -> list[tuple[str, str]]:
        """Return (subject, sentence) lines."""
        total = self.analysis.get("total_execution_time", 0.0)
        restored = sum(phase.restored for phase in self.phases)
        lines = [
            (
                "workflow",
                f"{self.workflow}: {counted(len(self.phases), 'phase')}, "
                f"{counted(self.trials, 'trial')}",
            ),
            ("time", f"{total:.1f} s with {self.runner}"),
        ]
        if restored:
            lines.append(
                ("checkpoints", f"{restored} of {len(self.phases)} phases were done already")
            )
        if self.measured is not None:
            subject, rest = SAMPLES[self.sample or "given"]
            days = self.measured.get("days")
            over = "" if days is None else f" over {days:g} days"
            lines.append((subject, f"{metrics_line(self.measured)}{over}{rest}{self._luck()}"))
        if self.benchmark is not None:
            lines.append(("buy and hold", f"{metrics_line(self.benchmark)}, without costs"))
        if self.failures:
            shown = "; ".join(self.failures[:SHOWN_FAILURES])
            more = len(self.failures) - SHOWN_FAILURES
            rest = f" and {more} more" if more > 0 else ""
            lines.append(
                (
                    "left out",
                    f"{len(self.failures)} trials: {shown}{rest}",
                )
            )
        lines.append(("folder", _shown(self.folder)))
        return lines

    def _luck(self) -> str:
        if self.deflated is None:
            return ""
        counted_trials = (
            f"after {counted(self.deflated_trials, 'trial')} on these days"
            if self.deflated_trials > 1
            else "of one trial, since no search saw these days"
        )
        return f"; DSR {self.deflated:.2f} {counted_trials}"


def _shown(folder: str) -> str:
    """Return a folder as one would type it here."""
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else folder


def build_report(
    workflow: Workflow,
    results: Mapping[str, PhaseResult],
    *,
    market: str,
    folder: str,
    runner: str,
    analysis: Mapping[str, Any],
    notes: Sequence[str] = (),
    bars_a_year: float = 252.0,
) -> WorkflowReport:
    """Return the report.

    results : phase to its result; phases without one are left out
    notes : lines beside those of the phases
    """
    lines = []
    failures: list[str] = []
    said = list(notes)
    tables: list[Table] = []
    last: Measured | None = None
    searched = 0
    for phase in workflow.phases:
        if phase.name not in results:
            continue
        result, kind = results[phase.name], type_of(phase)
        most = workflow.document.reporting.top_trials
        tables += kind.tables(result.outputs, phase, most)
        measured = kind.measured(result.outputs)
        last = measured or last
        searched += result.trials
        counted_in = searched if measured and measured.sample == "in_sample" else 1
        chosen = kind.chosen(result.outputs)
        if chosen is not None:
            counted_in = searched
        numbers = chosen or (measured.metrics if measured else None)
        dsr = (
            None
            if numbers is None
            else deflated(numbers, trials=counted_in, bars_a_year=bars_a_year)
        )
        lines.append(
            PhaseLine(
                name=phase.name,
                kind=phase.kind,
                trials=result.trials,
                left_out=len(result.failures),
                seconds=result.seconds,
                restored=result.restored,
                result=kind.result(result.outputs)
                + ("" if dsr is None else f", DSR {dsr:.2f} of {counted(counted_in, 'trial')}"),
                deflated=dsr,
            )
        )
        failures += [
            f"{phase.name} {failure.number}: {failure.message} "
            f"({counted(failure.attempts, 'attempt')})"
            for failure in result.failures
        ]
        said += result.notes
    metrics = None if last is None else last.metrics
    sample = None if last is None else last.sample
    trials = sum(line.trials for line in lines) if sample == "in_sample" else 1
    return WorkflowReport(
        workflow=workflow.name,
        market=market,
        folder=folder,
        runner=runner,
        phases=tuple(lines),
        out_of_sample=metrics if sample == "out_of_sample" else None,
        measured=metrics,
        sample=sample,
        benchmark=None if last is None else last.benchmark,
        deflated=None
        if metrics is None
        else deflated(metrics, trials=trials, bars_a_year=bars_a_year),
        deflated_trials=max(trials, 1),
        failures=tuple(failures),
        notes=tuple(dict.fromkeys(said)),
        analysis=dict(analysis),
        found=tuple(tables),
    )


def best_trials(
    workflow: Workflow,
    results: Mapping[str, PhaseResult],
    *,
    bars_a_year: float,
    most: int = 100,
) -> list[dict[str, str]]:
    """Return rows of a table of the best trials of every search, at most `most`.

    Beside each score stands the deflated Sharpe ratio, with all trials of its phase counted.
    """
    rows = []
    for phase in workflow.phases:
        if phase.name not in results:
            continue
        for trial in type_of(phase).top_trials(results[phase.name].outputs):
            row = {"phase": phase.name, "trial": str(trial.number), "strategy": trial.strategy}
            row["score"] = f"{trial.score:.3f}"
            trials = results[phase.name].trials
            dsr = deflated(trial.metrics, trials=trials, bars_a_year=bars_a_year)
            row["DSR"] = "" if dsr is None else f"{dsr:.2f} of {trials}"
            row |= {key: str(value) for key, value in trial.parameters.items()}
            rows.append(row)
    return rows[:most]
