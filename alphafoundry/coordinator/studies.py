"""Searches as Optuna studies that optuna-dashboard opens, written at once in a journal file.

Optuna's SQLite storage costs 25 ms per trial and its journal some milliseconds; here the journal
is made in memory and written some hundred trials at a time, so that many take no more memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alphafoundry.coordinator.phase_outputs import SearchedTrial
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.sampling import distributions
from alphafoundry.coordinator.workflow import Workflow

CHUNK = 500
"""Trials that are in memory as Optuna's at a time."""


def write_studies(
    workflow: Workflow, results: Mapping[str, PhaseResult], folder: Path
) -> list[Path]:
    """Write one journal per search phase, with one study per strategy; return the files.

    Open one with `optuna-dashboard FILE`.
    """
    written = []
    for phase in workflow.phases:
        searches = type_of(phase).searches
        if searches is None or phase.name not in results:
            continue
        trials = results[phase.name].outputs.trial_list
        objectives = max((len(trial.scores or ()) for trial in trials), default=0) or 1
        uses = searches(phase, workflow)
        path = folder / f"{phase.name}.journal"
        by_strategy = {
            use.name: [trial for trial in trials if trial.strategy == use.name] for use in uses
        }
        spaces = {use.name: distributions(use) for use in uses}
        _write_journal(path, workflow.name, phase.name, by_strategy, spaces, objectives)
        written.append(path)
    return written


def _write_journal(
    path: Path,
    workflow: str,
    phase: str,
    by_strategy: Mapping[str, list[SearchedTrial]],
    spaces: Mapping[str, Mapping[str, Any]],
    objectives: int,
) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

    class Collected(BaseJournalBackend):
        """A journal in memory."""

        def __init__(self, logs: list[dict[str, Any]] | None = None) -> None:
            self.logs: list[dict[str, Any]] = [] if logs is None else logs

        def read_logs(self, log_number_from: int) -> Any:
            return self.logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self.logs.extend(logs)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    file = JournalFileBackend(str(draft))
    started = Collected()
    for strategy in by_strategy:
        optuna.create_study(
            study_name=f"{workflow}: {phase}: {strategy}",
            storage=JournalStorage(started),
            directions=["maximize"] * objectives,
        )
    file.append_logs(started.logs)
    for strategy, trials in by_strategy.items():
        for start in range(0, len(trials), CHUNK):
            # Optuna keeps every trial of a storage in memory, so each chunk gets its own, which
            # begins with the studies; a trial's number is its place in the file.
            collected = Collected(list(started.logs))
            storage = JournalStorage(collected)
            study = storage.get_study_id_from_name(f"{workflow}: {phase}: {strategy}")
            for trial in trials[start : start + CHUNK]:
                storage.create_new_trial(study, template_trial=_frozen(trial, spaces[strategy]))
            file.append_logs(collected.logs[len(started.logs) :])
    draft.replace(path)


def _frozen(trial: SearchedTrial, space: Mapping[str, Any]) -> Any:
    """Return the trial as Optuna keeps one that has ended."""
    import optuna

    states = optuna.trial.TrialState
    scores = trial.scores or (trial.score,)
    good = all(score is not None and math.isfinite(score) for score in scores)
    ended = states.PRUNED if trial.pruned else states.COMPLETE
    return optuna.trial.create_trial(
        state=ended if good else states.FAIL,
        values=[score for score in scores if score is not None] if good else None,
        params={name: trial.parameters[name] for name in space},
        distributions=dict(space),
        user_attrs={"trial": trial.number},
    )
