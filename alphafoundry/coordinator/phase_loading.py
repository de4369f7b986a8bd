"""A phase of a document: its type, config, inputs, and what they need of other phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alphafoundry.configuration import read_part, suggest
from alphafoundry.coordinator.document import PhaseSection
from alphafoundry.coordinator.document_file import DocumentFile
from alphafoundry.coordinator.document_values import Section
from alphafoundry.coordinator.outputs import Shape
from alphafoundry.coordinator.phase_types import (
    PhaseType,
    phase_type_named,
    phase_types,
    type_of,
)
from alphafoundry.coordinator.workflow import InputRef, Phase, Workflow
from alphafoundry.errors import ConfigurationError
from alphafoundry.yaml_document import KeyPath, YamlDocument

REPLAY = "signal_replay"
"""The type that an optimization with the method of this name becomes."""


def type_of_section(file: DocumentFile, section: PhaseSection, key: KeyPath) -> PhaseType:
    """Return what the phase does."""
    config_method = section.config.get("method")
    if section.method and config_method and section.method != config_method:
        raise file.wrong(
            (*key, "method"),
            f"config.method is {config_method!r}; leave one of them out",
        )
    method = section.method or config_method
    try:
        kind = phase_type_named(section.type)
    except ConfigurationError as problem:
        raise file.wrong((*key, "type"), str(problem)) from None
    replay = method == REPLAY or section.execution_mode == "SIGNAL_REPLAY"
    if replay and section.type not in ("optimization", REPLAY):
        raise file.wrong(
            (*key, "method" if method else "execution_mode"),
            f"a phase of type {section.type!r} replays no signals; use type optimization",
        )
    return phase_type_named(REPLAY) if replay else kind


def load_input(
    file: DocumentFile, text: str, key: KeyPath, phase: str, names: list[str]
) -> InputRef:
    """Return the input; the key inside is checked later, when the shapes are known."""
    name, *inner = text.split(".")
    if name not in names:
        raise file.wrong(key, f"{text!r}: there is no phase {name!r}; {suggest(name, names)}")
    if name == phase:
        raise file.wrong(key, f"{text!r}: a phase cannot take its own output")
    if not inner or not all(inner):
        raise file.wrong(key, f"{text!r} names no key; write {name}.KEY")
    return InputRef(name, tuple(inner))


def load_phase(
    file: DocumentFile,
    section: PhaseSection,
    key: KeyPath,
    kind: PhaseType,
    inputs: tuple[InputRef, ...],
) -> Phase:
    """Return the phase with its config checked by the model of its kind."""
    values = dict(section.config)
    if section.method is not None and "method" in kind.config.model_fields:
        values["method"] = section.method
    elif section.method is not None and section.method != REPLAY:
        raise file.wrong((*key, "method"), f"a phase of type {section.type!r} has no method")
    if kind.name == REPLAY:
        values.pop("method", None)
    part = YamlDocument(
        {"config": values},
        {
            ("config", *line_key[len(key) + 1 :]): line
            for line_key, line in file.yaml.lines.items()
            if line_key[: len(key) + 1] == (*key, "config")
        },
    )
    config = _read_config(file, part, kind, key)
    container = section.container_type
    if container is not None and container not in kind.container_types:
        raise file.wrong(
            (*key, "container_type"),
            f"{container!r} does not fit a phase of type {section.type!r}",
        )
    limits = section.resources
    return Phase(
        name=section.name,
        kind=kind.name,
        code=kind.code,
        config=config,
        inputs=inputs,
        trials=section.container_count,
        mode=section.execution_mode,
        memory=limits.memory,
        cores=limits.cores,
        cpu_seconds=limits.cpu_seconds,
        timeout_hours=section.timeout_hours,
    )


def _read_config(file: DocumentFile, part: YamlDocument, kind: PhaseType, key: KeyPath) -> Section:
    """Read the config; its mistakes name the key from the top of the file."""
    shifted = YamlDocument(
        _nested(key, part.values),
        {(*key, *line_key): line for line_key, line in part.lines.items()}
        | {key: file.yaml.lines.get(key, 1)},
    )
    return read_part(shifted, kind.config, path=file.path, key=(*key, "config"))


def check_phase(
    file: DocumentFile, workflow: Workflow, section: PhaseSection, key: KeyPath
) -> None:
    """Check what needs the other phases: keys of inputs, dependencies, outputs."""
    phase = workflow.phase(section.name)
    for place, ref in enumerate(phase.inputs):
        source = workflow.phase(ref.phase)
        where = (*key, "inputs", place)
        _check_key(file, ref.text, ref.key, type_of(source).keys(source, workflow), where)
    kind = type_of(phase)
    above = [type_of(workflow.phase(name)) for name in workflow.upstream(phase.name)]
    if kind.needs and not any(issubclass(item.outputs, kind.needs) for item in above):
        fitting = [name for name, item in phase_types().items() if item.outputs in kind.needs]
        raise file.wrong(
            (*key, "inputs") if section.inputs else key,
            f"phase {phase.name!r} of type {section.type!r} depends on a phase of type "
            f"{' or '.join(fitting)}; add one of its outputs to inputs",
        )
    given = kind.keys(phase, workflow)
    for place, output in enumerate(section.outputs):
        _check_key(file, output, tuple(output.split(".")), given, (*key, "outputs", place))
    try:
        kind.check(phase, workflow)
    except ConfigurationError as problem:
        raise file.wrong(key, str(problem)) from None


def check_replay(file: DocumentFile, workflow: Workflow) -> None:
    """Refuse `signal_replay` that is not what the phases do."""
    said = file.document.workflow.signal_replay
    replays = [phase.name for phase in workflow.phases if phase.kind == REPLAY]
    if said and not replays:
        raise file.wrong(
            ("workflow", "signal_replay"),
            "no phase replays signals; add a phase of type signal_replay after the search, or "
            "leave this out",
        )
    if said is False and replays:
        raise file.wrong(
            ("workflow", "signal_replay"),
            f"the phase {replays[0]!r} replays signals; leave this out, or that phase",
        )


def _check_key(
    file: DocumentFile, text: str, inner: tuple[str, ...], shape: Shape, key: KeyPath
) -> None:
    """Follow a nested key into the shape of a phase's outputs."""
    for depth, part in enumerate(inner):
        if shape is None:
            return
        if part not in shape:
            above = ".".join(inner[:depth])
            where = f" in {above}" if above else ""
            raise file.wrong(
                key, f"{text!r}: there is no key {part!r}{where}; {suggest(part, shape)}"
            )
        shape = shape[part]


def _nested(key: KeyPath, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values at a key, as `read_part` walks it; a list index becomes a mapping's key."""
    inner: dict[Any, Any] = dict(values)
    for part in reversed(key):
        inner = {part: inner}
    return inner
