"""Searches as Optuna studies that optuna-dashboard opens, written at once in a journal file.

Optuna's SQLite storage costs 25 ms per trial and its journal some milliseconds; here the journal
is made in memory and written in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alphafoundry.coordinator.phases.optimization import uses_of
from alphafoundry.coordinator.sampling import distributions
from alphafoundry.coordinator.workflow import Workflow


def write_studies(
    workflow: Workflow, results: Mapping[str, Mapping[str, Any]], folder: Path
) -> list[Path]:
    """Write one journal per search phase, with one study per strategy; return the files.

    Open one with `optuna-dashboard FILE`.
    """
    written = []
    for phase in workflow.phases:
        if phase.kind.name != "optimization" or phase.name not in results:
            continue
        trials = results[phase.name]["outputs"]["trial_list"]
        path = folder / f"{phase.name}.journal"
        by_strategy = {
            use.name: [trial for trial in trials if trial["strategy"] == use.name]
            for use in uses_of(phase, workflow)
        }
        spaces = {use.name: distributions(use) for use in uses_of(phase, workflow)}
        _write_journal(path, workflow.name, phase.name, by_strategy, spaces)
        written.append(path)
    return written


def _write_journal(
    path: Path,
    workflow: str,
    phase: str,
    by_strategy: Mapping[str, list[dict[str, Any]]],
    spaces: Mapping[str, Mapping[str, Any]],
) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

    class Collected(BaseJournalBackend):
        """A journal in memory."""

        def __init__(self) -> None:
            self.logs: list[dict[str, Any]] = []

        def read_logs(self, log_number_from: int) -> Any:
            return self.logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self.logs.extend(logs)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    collected = Collected()
    storage = JournalStorage(collected)
    for strategy, trials in by_strategy.items():
        study = optuna.create_study(
            study_name=f"{workflow}: {phase}: {strategy}", storage=storage, direction="maximize"
        )
        space = spaces[strategy]
        for trial in trials:
            score = trial["score"]
            good = score is not None and math.isfinite(score)
            frozen = optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if good else optuna.trial.TrialState.FAIL,
                value=score if good else None,
                params={name: trial["parameters"][name] for name in space},
                distributions=dict(space),
                user_attrs={"trial": trial["number"]},
            )
            storage.create_new_trial(study._study_id, template_trial=frozen)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    JournalFileBackend(str(draft)).append_logs(collected.logs)
    draft.replace(path)
