"""The result of a workflow for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alphafoundry.coordinator.phase_types import Measured, type_of
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.wording import counted, metrics_line
from alphafoundry.coordinator.workflow import Workflow

SHOWN_FAILURES = 5

SAMPLES: Mapping[str, tuple[str, str]] = {
    "out_of_sample": ("out of sample", ""),
    "in_sample": ("in sample", ", on which the search looked too"),
    "given": ("backtest", "; the parameters were given, nothing was searched"),
}
"""What measured days are called, and what is said after the numbers."""


@dataclass(frozen=True)
class PhaseLine:
    """One phase: seconds of this run's clock; `restored` where a checkpoint had it already."""

    name: str
    kind: str
    trials: int
    left_out: int
    seconds: float
    restored: bool
    result: str


@dataclass(frozen=True)
class WorkflowReport:
    """What a workflow gave.

    Attributes
    ----------
    market : one line on the data, starts with SYNTHETIC where prices were generated
    out_of_sample : metrics of the last backtest or walk-forward, None without one and where its
        days were not kept from a search
    measured : metrics of that phase, on whatever days
    sample : what these days are: out_of_sample, in_sample (searched on), given (no search)
    failures : trials left out, "phase 17: why"
    analysis : times, use of the machine, bottlenecks, suggestions
    """

    workflow: str
    market: str
    folder: str
    runner: str
    phases: tuple[PhaseLine, ...]
    out_of_sample: Mapping[str, float | None] | None
    measured: Mapping[str, float | None] | None = None
    sample: str | None = None
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    analysis: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

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
            lines.append((subject, f"{metrics_line(self.measured)}{over}{rest}"))
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

    def to_markdown(self, plots: Mapping[str, str] | None = None) -> str:
        """Return a page; `plots` is title to the address of a picture."""
        parts = [f"# {self.workflow}", f"**{self.market}**", ""]
        parts += [f"- **{subject}**: {sentence}" for subject, sentence in self.summary()]
        parts += [
            "",
            "| phase | type | trials | left out | seconds |",
            "|---|---|---|---|---|",
        ]
        for phase in self.phases:
            seconds = "checkpoint" if phase.restored else f"{phase.seconds:.1f}"
            parts.append(
                f"| {phase.name} | {phase.kind} | {phase.trials} | {phase.left_out} | {seconds} |"
            )
        # A column of sentences would be cut off at the edge of the page.
        parts += ["", *(f"- **{phase.name}**: {phase.result}" for phase in self.phases)]
        if self.notes:
            parts += ["", "## Notes", "", *(f"- {note}" for note in self.notes)]
        for title, address in (plots or {}).items():
            parts += ["", f"## {title}", "", f"![{title}]({address})"]
        if self.analysis:
            parts += ["", "## Where the time went", ""]
            parts += [f"- {line}" for line in self.analysis.get("bottlenecks", ())]
            parts += [f"- {line}" for line in self.analysis.get("optimization_suggestions", ())]
            parts += [f"- alert: {line}" for line in self.analysis.get("alerts", ())]
        return "\n".join(parts) + "\n"


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
) -> WorkflowReport:
    """Return the report.

    results : phase to its result; phases without one are left out
    notes : lines beside those of the phases
    """
    lines = []
    failures: list[str] = []
    said = list(notes)
    last: Measured | None = None
    for phase in workflow.phases:
        if phase.name not in results:
            continue
        result, kind = results[phase.name], type_of(phase)
        lines.append(
            PhaseLine(
                name=phase.name,
                kind=phase.kind,
                trials=result.trials,
                left_out=len(result.failures),
                seconds=result.seconds,
                restored=result.restored,
                result=kind.result(result.outputs),
            )
        )
        failures += [
            f"{phase.name} {failure.number}: {failure.message} "
            f"({counted(failure.attempts, 'attempt')})"
            for failure in result.failures
        ]
        said += result.notes
        last = kind.measured(result.outputs) or last
    metrics = None if last is None else last.metrics
    sample = None if last is None else last.sample
    return WorkflowReport(
        workflow=workflow.name,
        market=market,
        folder=folder,
        runner=runner,
        phases=tuple(lines),
        out_of_sample=metrics if sample == "out_of_sample" else None,
        measured=metrics,
        sample=sample,
        failures=tuple(failures),
        notes=tuple(dict.fromkeys(said)),
        analysis=dict(analysis),
    )


def best_trials(
    workflow: Workflow, results: Mapping[str, PhaseResult], *, most: int = 100
) -> list[dict[str, str]]:
    """Return rows of a table of the best trials of every search, at most `most`."""
    rows = []
    for phase in workflow.phases:
        if phase.name not in results:
            continue
        for trial in type_of(phase).top_trials(results[phase.name].outputs):
            row = {"phase": phase.name, "trial": str(trial.number), "strategy": trial.strategy}
            row |= {key: str(value) for key, value in trial.parameters.items()}
            row["score"] = f"{trial.score:.3f}"
            rows.append(row)
    return rows[:most]
