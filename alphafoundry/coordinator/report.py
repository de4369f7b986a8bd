"""The result of a workflow for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from alphafoundry.runs import Figure, Passage, Table

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
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    analysis: Mapping[str, Any] = field(default_factory=dict)
    best_trials: tuple[dict[str, str], ...] = ()
    pictures: tuple[Figure, ...] = field(default=(), repr=False, compare=False)

    @property
    def key(self) -> str:
        """Of the page among the artifacts."""
        return f"workflow-{artifact_key(self.workflow)}"

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
            Table(
                "Best trials",
                self.best_trials,
                key=f"{self.key}-trials",
                places=frozenset({"artifact"}),
                description=f"best trials. {self.market}",
            ),
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
        values = asdict(replace(self, pictures=(), best_trials=()))
        del values["pictures"], values["best_trials"]
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
                f"{self.workflow}: {_counted(len(self.phases), 'phase')}, "
                f"{_counted(self.trials, 'trial')}",
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


def artifact_key(text: str) -> str:
    """Return an artifact's key: lower-case letters, digits and dashes."""
    return "-".join(
        "".join(char if char.isascii() and char.isalnum() else " " for char in text.lower()).split()
    )


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _shown(folder: str) -> str:
    """Return a folder as one would type it here."""
    path, here = Path(folder), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else folder


def metrics_line(numbers: Mapping[str, float | None]) -> str:
    """Return the main numbers in one line."""

    def shown(name: str, form: str) -> str:
        value = numbers.get(name)
        return "none" if value is None else format(value, form)

    known = numbers.get("turnover") is not None
    turnover = f", turnover {shown('turnover', '.1%')} a day" if known else ""
    return (
        f"sharpe {shown('sharpe', '.2f')}, return {shown('total_return', '+.1%')}, "
        f"drawdown {shown('max_drawdown', '.1%')}{turnover}"
    )


def result_line(kind: str, outputs: Mapping[str, Any]) -> str:
    """Return what a phase found, in a few words."""
    if kind == "optimization":
        best = outputs["best_strategy"]
        parameters = ", ".join(f"{k}={_short(v)}" for k, v in outputs["best_params"][best].items())
        return f"{best} ({parameters}): {outputs['objective']} {outputs['best_score'][best]:.3f}"
    if kind == "analysis":
        return f"{len(outputs['regimes'])} regimes, {len(outputs['components'])} components"
    if kind == "signal_replay":
        held = sum(weight > 0 for weight in outputs["final_weights"]["all"].values())
        return f"{_counted(held, 'component')} with weight; {metrics_line(outputs['metrics'])}"
    if kind == "signal_generation":
        return f"{len(outputs['components'])} components stored"
    return metrics_line(outputs["metrics"]) if "metrics" in outputs else ""


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def build_report(
    *,
    workflow: str,
    market: str,
    folder: str,
    runner: str,
    kinds: Mapping[str, str],
    results: Mapping[str, Mapping[str, Any]],
    analysis: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> WorkflowReport:
    """Return the report.

    kinds : phase to its kind, in the order of the phases; results : phase to its result
    notes : lines beside those of the phases
    """
    lines = []
    failures: list[str] = []
    said = list(notes)
    measured: Mapping[str, float | None] | None = None
    sample: str | None = None
    for name, kind in kinds.items():
        result = results[name]
        lines.append(
            PhaseLine(
                name=name,
                kind=kind,
                trials=result["trials"],
                left_out=len(result["failures"]),
                seconds=result["seconds"],
                restored=result["restored"],
                result=result_line(kind, result["outputs"]),
            )
        )
        failures += [
            f"{name} {failure['number']}: {failure['message']} ({failure['attempts']} attempts)"
            for failure in result["failures"]
        ]
        said += result["notes"]
        if kind in ("backtest", "validation", "walk_forward"):
            measured, sample = result["outputs"]["metrics"], result["outputs"]["sample"]
    return WorkflowReport(
        workflow=workflow,
        market=market,
        folder=folder,
        runner=runner,
        phases=tuple(lines),
        out_of_sample=measured if sample == "out_of_sample" else None,
        measured=measured,
        sample=sample,
        failures=tuple(failures),
        notes=tuple(dict.fromkeys(said)),
        analysis=dict(analysis),
    )
