"""The result of a phase, as its checkpoint holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alphafoundry.coordinator.isolation import Failure
from alphafoundry.coordinator.outputs import outputs_from_json, outputs_to_json
from alphafoundry.errors import UnreadableCheckpoint


@dataclass(frozen=True)
class PhaseResult:
    """What came of a phase.

    Attributes
    ----------
    outputs : of the class that its type declares
    trials : how many it ran; failures : those left out
    files : {file, numbers} of the daily returns that were kept
    notes : lines for the report
    work_seconds : of its trials; peak : most memory of a process, bytes
    seconds : of this run's clock; restored : whether a checkpoint had it already
    """

    outputs: Any
    trials: int
    failures: tuple[Failure, ...] = ()
    files: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    work_seconds: float = 0.0
    peak: int = 0
    seconds: float = 0.0
    restored: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint holds: not the clock of the run that made it."""
        return {name: outputs_to_json(getattr(self, name)) for name in _KEPT} | {
            "outputs": outputs_to_json(self.outputs)
        }

    @staticmethod
    def from_json(given: object, outputs: type[Any]) -> PhaseResult:
        """Return the result that `to_json` gave; raises UnreadableCheckpoint."""
        if not isinstance(given, Mapping):
            raise UnreadableCheckpoint(f"a {type(given).__name__}, not the result of a phase")
        rest = outputs_from_json(_Rest, {**given, "outputs": None})
        found = outputs_from_json(outputs, given.get("outputs"))
        return PhaseResult(found, **{name: getattr(rest, name) for name in _KEPT})


_KEPT = ("trials", "failures", "files", "notes", "work_seconds", "peak")


@dataclass(frozen=True)
class _Rest:
    trials: int
    failures: tuple[Failure, ...]
    files: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    work_seconds: float
    peak: int
    outputs: None = field(default=None)
