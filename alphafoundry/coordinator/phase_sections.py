"""The phases of a document, whichever of its two shapes they are written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alphafoundry.configuration import suggest
from alphafoundry.coordinator.document import PhaseLimits, PhaseSection
from alphafoundry.coordinator.document_file import DocumentFile
from alphafoundry.coordinator.phase_types import (
    phase_type_named,
    phase_types,
)
from alphafoundry.yaml_document import KeyPath

DOCUMENT_TYPES: Mapping[str, str] = {
    "parameter_discovery": "optimization",
    "regime_analysis": "analysis",
    "ensemble_optimization": "signal_replay",
    "validation": "validation",
    "final_validation": "validation",
    "walk_forward": "walk_forward",
}
"""Types of the phases of `coordinator.phases` that bear a name of the document."""


def phase_sections(file: DocumentFile) -> list[tuple[PhaseSection, KeyPath]]:
    """Return the phases with the place of each in the file, limits merged in."""
    document = file.document
    inside, top = document.workflow.phases, document.phases
    if inside and top:
        raise file.wrong(("phases",), "phases are listed in workflow.phases too; leave one out")
    base: KeyPath = ("workflow", "phases") if inside else ("phases",)
    listed = [(section, (*base, place)) for place, section in enumerate(inside if inside else top)]
    limits = document.coordinator.phases
    if not listed and limits:
        return _from_limits(file, limits)
    if not listed:
        return [(_single(file), ("workflow",))]
    types = {section.type for section, _ in listed}
    if document.workflow.type not in (None, "multi_phase") and types != {document.workflow.type}:
        raise file.wrong(
            ("workflow", "type"),
            f"a workflow of type {document.workflow.type!r} has phases of that type alone; "
            "write multi_phase, or leave the type out",
        )
    names = [section.name for section, _ in listed]
    for name in limits:
        if name not in names:
            raise file.wrong(
                ("coordinator", "phases", name),
                f"there is no phase {name!r}; {suggest(name, names)}",
            )
    return [(_merged(file, section, limits.get(section.name)), key) for section, key in listed]


def _merged(file: DocumentFile, section: PhaseSection, limits: PhaseLimits | None) -> PhaseSection:
    """Return the section with the limits that `coordinator.phases` sets."""
    if limits is None:
        return section
    key = ("coordinator", "phases", section.name)
    if limits.type is not None and limits.type != section.type:
        raise file.wrong((*key, "type"), f"the phase is of type {section.type!r}")
    update: dict[str, Any] = {}
    if section.execution_mode is None:
        update["execution_mode"] = limits.execution_mode
    if section.container_count is None:
        update["container_count"] = limits.max_containers
    elif limits.max_containers is not None:
        update["container_count"] = min(section.container_count, limits.max_containers)
    if "resources" not in section.model_fields_set:
        update["resources"] = limits.resources
    if section.timeout_hours is None:
        update["timeout_hours"] = limits.timeout_hours
    return section.model_copy(update=update)


def _from_limits(
    file: DocumentFile, limits: Mapping[str, PhaseLimits]
) -> list[tuple[PhaseSection, KeyPath]]:
    """Make phases of `coordinator.phases` alone: the document's second shape."""
    result: list[tuple[PhaseSection, KeyPath]] = []
    previous: PhaseSection | None = None
    for name, given in limits.items():
        key = ("coordinator", "phases", name)
        replay = given.execution_mode == "SIGNAL_REPLAY"
        found = given.type or ("signal_replay" if replay else DOCUMENT_TYPES.get(name))
        if found is None:
            raise file.wrong(
                key, f"phase {name!r} has no type; add type: one of {', '.join(phase_types())}"
            )
        inputs = given.inputs
        if not inputs and previous is not None:
            inputs = (f"{previous.name}.{phase_type_named(previous.type).passes}",)
        section = PhaseSection(
            name=name,
            type=found,
            inputs=inputs,
            container_count=given.max_containers,
            execution_mode=given.execution_mode,
            resources=given.resources,
            timeout_hours=given.timeout_hours,
        )
        result.append((section, key))
        previous = section
    return result


def _single(file: DocumentFile) -> PhaseSection:
    """Return the one phase of a workflow without a list of phases."""
    document = file.document
    kind = document.workflow.type or "backtest"
    if kind == "multi_phase":
        raise file.wrong(
            ("workflow", "phases"), "a workflow of type multi_phase lists its phases; add them"
        )
    return PhaseSection(name=kind, type=kind, container_count=document.workflow.container_count)
