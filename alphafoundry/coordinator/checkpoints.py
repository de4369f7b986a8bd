"""Names of checkpoints by all that they depend on, and checkpoints as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphafoundry.coordinator.batches import Batch, Setting
from alphafoundry.coordinator.identity import digest
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import CannotKeep
from alphafoundry.whole_file import replace_file


def batch_key(setting: Setting, batch: Batch, limits: Mapping[str, Any]) -> str:
    """Return the name of a batch's checkpoint: phase, number, and all that it depends on.

    limits : of a trial, as they decide which trials are left out
    """
    content = digest([setting.identity(), batch.to_json(), dict(limits)])
    return f"{batch.phase}-{batch.number:05d}-{content[:40]}"


def phase_keys(workflow: Workflow, setting: Setting, *, split: int) -> dict[str, str]:
    """Return phase to the name of its checkpoint: all that its numbers depend on.

    That is its own configuration, its strategies, data, code and seed, and the keys of the
    phases before. So a change in one phase changes the keys after it only.

    split : first row out of sample
    """
    keys: dict[str, str] = {}
    resolved = _resolved(workflow)
    for phase in workflow.phases:
        identity = {
            "phase": phase.identity(),
            "resolved": resolved,
            "setting": setting.identity(),
            "split": split,
            "seed": workflow.seed,
            "upstream": {above: keys[above] for above in workflow.needs[phase.name]},
            # The last of several searches or analyses above counts, so their order does too.
            "order": workflow.upstream(phase.name),
            "limits": limits_of(workflow, phase.name),
            "keep_returns": reader_of_returns(workflow, phase.name) is not None,
        }
        keys[phase.name] = f"{phase.name}-{digest(identity)[:40]}"
    return keys


def limits_of(workflow: Workflow, name: str) -> dict[str, Any]:
    """Return what decides which trials of a phase are left out."""
    phase, document = workflow.phase(name), workflow.document
    faults = document.coordinator.fault_tolerance
    return {
        "memory": phase.memory,
        "cpu_seconds": phase.cpu_seconds,
        "timeout": document.infrastructure.container_timeout_seconds,
        "retries": faults.max_container_failures if faults.auto_restart else 0,
    }


def reader_of_returns(workflow: Workflow, name: str) -> str | None:
    """Return the first later phase that needs the daily returns of this phase's trials."""
    return next(
        (
            phase.name
            for phase in workflow.phases
            if type_of(phase).needs_returns and name in workflow.upstream(phase.name)
        ),
        None,
    )


def _resolved(workflow: Workflow) -> dict[str, Any]:
    """Return the parts of the document, outside of the phases, that they may read."""
    document = workflow.document
    captured = {"signal_capture": True} if document.workflow.signal_capture else {}
    return captured | {
        "strategies": [
            {
                "name": use.name,
                "source": use.source.to_json(),
                "params": dict(use.params),
                "space": {key: spec.model_dump() for key, spec in use.space.items()},
                "allocation": use.allocation,
            }
            for use in workflow.strategies
        ],
        "optimization": document.optimization.model_dump(mode="json"),
        "walk_forward": document.walk_forward.model_dump(mode="json"),
        "top_trials": document.reporting.top_trials,
        "batch_size": document.infrastructure.batch_size,
        "failed": document.coordinator.fault_tolerance.max_failed_fraction,
    }


@dataclass(frozen=True)
class CheckpointFiles:
    """Checkpoints as JSON files of one folder, named by their keys."""

    folder: Path

    def read(self, key: str) -> Any:
        """Return what `write` kept, None where there is nothing that can be read."""
        try:
            return json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def write(self, key: str, value: Any) -> None:
        """Keep plain JSON values in one step; floats read back bit for bit.

        Raises CannotKeep where the file cannot be written.
        """
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(value).encode())
        except OSError as problem:
            raise CannotKeep(
                f"{path}: the checkpoint cannot be written ({problem.strerror}); free space or "
                "move the folder"
            ) from None

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
