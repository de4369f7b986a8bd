"""A workflow in the form in which it runs: its phases in their order, strategies and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alphafoundry.backtest import Execution
from alphafoundry.coordinator.document import WorkflowDocument
from alphafoundry.coordinator.document_values import Section
from alphafoundry.coordinator.graph import ancestors
from alphafoundry.coordinator.strategies import StrategyUse


@dataclass(frozen=True)
class InputRef:
    """One input: key (nested) of another phase."""

    phase: str
    key: tuple[str, ...]

    @property
    def text(self) -> str:
        """As written."""
        return ".".join((self.phase, *self.key))


@dataclass(frozen=True)
class Phase:
    """One phase, ready to run.

    Attributes
    ----------
    kind : name of its type; `optimization` with the method signal_replay is of kind
        signal_replay
    config : the checked model of the kind
    code : digest of the source of a type of the user's own, None for one of this library
    trials : trials asked for, None as the type decides
    memory, cores, cpu_seconds : limits of one trial, None without
    """

    name: str
    kind: str
    config: Section
    inputs: tuple[InputRef, ...] = ()
    trials: int | None = None
    mode: str | None = None
    memory: int | None = None
    cores: float | None = None
    cpu_seconds: float | None = None
    timeout_hours: float | None = None
    code: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return what the phase's numbers depend on, beside data, strategies and seed."""
        found = {
            "name": self.name,
            "kind": self.kind,
            "config": self.config.model_dump(mode="json"),
            "inputs": [ref.text for ref in self.inputs],
            "trials": self.trials,
        }
        return found if self.code is None else {**found, "code": self.code}


@dataclass(frozen=True)
class Workflow:
    """A whole workflow.

    Attributes
    ----------
    path : the file; name : of the workflow; version : of the document
    document : the file's model
    phases : in an order in which each comes after what it depends on
    generations : names of phases; those of one generation are independent
    strategies : enabled ones
    seed : master seed
    """

    path: str
    name: str
    version: str
    document: WorkflowDocument
    phases: tuple[Phase, ...]
    generations: tuple[tuple[str, ...], ...]
    strategies: tuple[StrategyUse, ...]
    execution: Execution
    seed: int
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def phase(self, name: str) -> Phase:
        """Return the phase of that name."""
        return next(phase for phase in self.phases if phase.name == name)

    def upstream(self, name: str) -> list[str]:
        """Return every phase that `name` depends on, in the order of `phases`."""
        found = ancestors(name, self.needs)
        return [phase.name for phase in self.phases if phase.name in found]

    @property
    def mode(self) -> str:
        """Execution mode, TRADITIONAL where the document says nothing."""
        given = self.document.workflow.execution_mode or self.document.coordinator.execution_mode
        return given or "TRADITIONAL"

    @property
    def parallel(self) -> bool:
        """Whether independent phases run at once."""
        return self.mode != "TRADITIONAL" and self.document.workflow.parallel_execution
