"""The phase types by name. A new type is one function with `@phase_type(...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from alphafoundry.configuration import suggest
from alphafoundry.coordinator.document import Section
from alphafoundry.errors import ConfigurationError

if TYPE_CHECKING:
    from alphafoundry.coordinator.context import PhaseContext
    from alphafoundry.coordinator.workflow import Phase, Workflow

Shape: TypeAlias = "Mapping[str, Shape] | None"
"""What is inside an output: a mapping with these keys, or None where only the run can tell."""

RunPhase = Callable[["PhaseContext"], dict[str, Any]]


@dataclass(frozen=True)
class PhaseType:
    """A kind of phase.

    Attributes
    ----------
    name : as `type` in the YAML names it
    config : model of the phase's `config`
    run : does the work and returns the outputs, plain JSON values
    outputs : the keys that the phase gives, from the phase and its workflow
    trials : how many trials it runs, from the phase, its workflow and the number of days of its
        bars; raises BacktestError where these days are too few
    needs : names of types, one of which must be among the phases that it depends on; () for none
    check : raises ConfigurationError for what the config's model does not see
    """

    name: str
    config: type[Section]
    run: RunPhase
    outputs: Callable[[Phase, Workflow], Mapping[str, Shape]]
    trials: Callable[[Phase, Workflow, int], int]
    needs: tuple[str, ...] = ()
    check: Callable[[Phase, Workflow], None] | None = None


_TYPES: dict[str, PhaseType] = {}


def _one_trial(_phase: Phase, _workflow: Workflow, _days: int) -> int:
    return 1


def phase_type(
    name: str,
    *,
    config: type[Section],
    outputs: Callable[[Phase, Workflow], Mapping[str, Shape]],
    trials: Callable[[Phase, Workflow, int], int] = _one_trial,
    needs: tuple[str, ...] = (),
    check: Callable[[Phase, Workflow], None] | None = None,
) -> Callable[[RunPhase], RunPhase]:
    """Register the decorated function as what a phase of type `name` does."""

    def register(run: RunPhase) -> RunPhase:
        _TYPES[name] = PhaseType(name, config, run, outputs, trials, needs, check)
        return run

    return register


def phase_types() -> Mapping[str, PhaseType]:
    """Return every type by name."""
    import alphafoundry.coordinator.phases  # noqa: F401

    return dict(_TYPES)


def phase_type_named(name: str) -> PhaseType:
    """Return the type of that name; raises ConfigurationError with a suggestion."""
    known = phase_types()
    if name not in known:
        raise ConfigurationError(f"{name!r} is not a type of phase; {suggest(name, known)}")
    return known[name]
