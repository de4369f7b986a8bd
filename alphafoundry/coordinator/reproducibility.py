"""What a result depends on, kept with it; and the comparison of two results, bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.batches import Setting
from alphafoundry.coordinator.identity import (
    code_version,
    digest,
    git_commit,
    package_versions,
)
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import WorkflowError
from alphafoundry.seeds import seed_number

STATE_FILE = "reproducibility.json"
RESULTS_FILE = "results.json"


def reproducibility_state(
    workflow: Workflow,
    *,
    setting: Setting,
    bars: Bars,
    market: str,
    keys: Mapping[str, str],
    trials: Mapping[str, int],
) -> dict[str, Any]:
    """Return what is needed to repeat a run and to tell why a repetition differs.

    Parameters
    ----------
    keys : phase to the name of its checkpoint
    trials : phase to its number of trials; their seeds follow from the master seed and names
    """
    return {
        "workflow": workflow.name,
        "document": Path(workflow.path).name,
        "master_seed": workflow.seed,
        "seed_rule": "SeedSequence([master_seed, sha256(phase, trial)[:16]]).generate_state(1)",
        "phase_seeds": {
            name: [seed_number(workflow.seed, name, number) for number in range(min(count, 10_000))]
            for name, count in trials.items()
        },
        "execution_order": [phase.name for phase in workflow.phases],
        "config_hash": digest(workflow.document.model_dump(mode="json")),
        "config_version": workflow.version,
        "data": {
            "market": market,
            "label": bars.label,
            "synthetic": bars.synthetic,
            "fingerprint": setting.fingerprint,
            "shape": list(bars.shape),
            "first_day": str(bars.days[0]),
            "last_day": str(bars.days[-1]),
        },
        "code_version": code_version(),
        "packages": package_versions(),
        "git_commit": git_commit(),
        "checkpoints": dict(keys),
    }


@dataclass(frozen=True)
class Comparison:
    """Two results side by side.

    Attributes
    ----------
    numbers : how many numbers were compared
    differences : "phase.key: before -> after", at most the first hundred
    changed : parts of the state that differ: data, code, packages, configuration
    """

    numbers: int
    differences: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every number is the same, bit for bit."""
        return not self.differences


def read_state(folder: Path) -> dict[str, Any]:
    """Return the reproducibility state of a run's folder; raises WorkflowError."""
    return _read(folder / STATE_FILE)


def read_results(folder: Path) -> dict[str, Any]:
    """Return the results of a run's folder; raises WorkflowError."""
    return _read(folder / RESULTS_FILE)


def document_of(folder: Path) -> Path:
    """Return the workflow document of a run's folder; raises WorkflowError."""
    name = str(read_state(folder).get("document"))
    path = folder / name
    if not path.is_file():
        raise WorkflowError(f"{folder}: no {name}; give the folder of a finished run")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise WorkflowError(
            f"{path.parent}: no {path.name}; give the folder of a finished run"
        ) from None
    except (OSError, ValueError) as problem:
        raise WorkflowError(f"{path}: cannot be read: {problem}") from None
    if not isinstance(found, dict):
        raise WorkflowError(f"{path}: holds no mapping")
    return found


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    state_before: Mapping[str, Any],
    state_after: Mapping[str, Any],
) -> Comparison:
    """Compare every value of two results; floats by their bits, so -0.0 and 0.0 differ."""
    one, other = dict(_leaves(before)), dict(_leaves(after))
    differences = []
    for key in {**one, **other}:
        if key not in one or key not in other:
            where = "was not there before" if key not in one else "is not there any more"
            differences.append(f"{key}: {where}")
        elif not _same(one[key], other[key]):
            differences.append(f"{key}: {one[key]!r} -> {other[key]!r}")
    changed = [
        name
        for name in ("config_hash", "data", "code_version", "packages", "master_seed")
        if state_before.get(name) != state_after.get(name)
    ]
    numbers = sum(
        isinstance(value, int | float) and not isinstance(value, bool) for value in one.values()
    )
    return Comparison(numbers, tuple(differences[:100]), tuple(changed))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one.hex() == other.hex() or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield f"{key}.length", len(value)
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{place}]")
    else:
        yield key, value
