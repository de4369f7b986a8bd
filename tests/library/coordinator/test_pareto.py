"""Several objectives: the front, the rule that chooses from it, and trials given up early."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alphafoundry.coordinator import run_workflow
from alphafoundry.coordinator.pareto import chosen_of, front_of
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import ConfigurationError

Load = Callable[[str], Workflow]


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_front_is_what_nothing_dominates(objectives: int) -> None:
    draws = np.random.default_rng(objectives)
    scores = draws.integers(0, 9, (120, objectives)).astype(float)

    def dominated(row: int) -> bool:
        others = np.delete(scores, row, axis=0)
        worse = (others >= scores[row]).all(axis=1) & (others > scores[row]).any(axis=1)
        twin = any((scores[before] == scores[row]).all() for before in range(row))
        return bool(worse.any()) or twin

    expected = [row for row in range(len(scores)) if not dominated(row)]
    assert front_of(scores).tolist() == expected


def test_the_rules_choose_what_they_say() -> None:
    front = np.array([[10.0, 0.0], [9.0, 0.8], [5.0, 0.9], [0.0, 1.0]])
    assert chosen_of(front, "first") == 0
    assert chosen_of(front, "knee") == 1
    assert chosen_of(np.array([[1.0, 2.0], [1.0, 3.0]]), "first") == 1
    assert chosen_of(np.array([[1.0, 2.0]]), "knee") == 0


DOCUMENT: Mapping[str, Any] = {
    "name": "front",
    "data": {"market": "prices.csv"},
    "strategies": [
        {"type": "moving_average_cross", "name": "trend", "parameters": {"slow": [20, 50]}},
        {"type": "rsi", "name": "swing"},
    ],
    "optimization": {
        "method": "genetic",
        "objectives": [{"metric": "sharpe_ratio"}, {"metric": "max_drawdown"}],
        "parameters": {"position_size_pct": [0.02, 0.2]},
    },
    "phases": [
        {"name": "search", "type": "optimization", "container_count": 60},
        {"name": "later", "type": "validation", "inputs": ["search.best_params"]},
    ],
}


def test_a_search_for_two_objectives_keeps_its_front(place: Path) -> None:
    report = run_workflow(DOCUMENT)
    outputs = json.loads((Path(report.folder) / "results.json").read_text())
    found, front = outputs["search"], outputs["search"]["front"]
    assert front["objectives"] == {"sharpe": "maximize", "max_drawdown": "minimize"}
    points = [tuple(trial["values"].values()) for trial in front["trials"]]
    assert points == sorted(points, reverse=True), "more return goes with more drawdown"
    for trial in found["trial_list"]:
        sharpe, fall = trial["scores"]
        assert any(best >= sharpe and -deep >= fall for best, deep in points)
    chosen = next(trial for trial in front["trials"] if trial["number"] == front["chosen"])
    assert found["best_params"][chosen["strategy"]] == chosen["parameters"]
    assert set(outputs["later"]["components"]) == set(found["best_params"])
    (table,) = (table for table in report.tables() if table.title == "Front of search")
    assert f"{len(points)} of {len(points)} trial" in table.caption
    assert [table.rows[row]["trial"] for row in table.marked] == [str(front["chosen"])]
    assert report.to_json()["tables"]["Front of search"][0]["trial"]
    assert (Path(report.folder) / "plots" / "search-front.png").stat().st_size > 5_000

    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = str(Path(report.folder) / "studies" / "search.journal")
    study = optuna.load_study(
        study_name="front: search: trend", storage=JournalStorage(JournalFileBackend(journal))
    )
    assert len(study.directions) == 2
    assert study.best_trials


@pytest.mark.long
def test_hopeless_trials_are_measured_on_the_first_days_only(place: Path) -> None:
    document = {
        **DOCUMENT,
        "optimization": {"method": "random", "pruning": {"at": 0.25}},
        "phases": [{"name": "search", "type": "optimization", "container_count": 120}],
    }
    report = run_workflow(document)
    trials = json.loads((Path(report.folder) / "results.json").read_text())["search"]["trial_list"]
    given_up = [trial for trial in trials if trial["pruned"]]
    assert report.trials == len(trials) == 120
    assert 20 <= len(given_up) <= 60
    # Nothing is given up in the first generation of each of the two strategies.
    first = {"trend": 25, "swing": 25}
    for name, count in first.items():
        own = [trial for trial in trials if trial["strategy"] == name]
        assert not any(trial["pruned"] for trial in own[:count])
    assert not any(trial["kept"] for trial in given_up)
    assert report.notes[0].startswith(f"search: {len(given_up)} of 120 trials were given up after")
    again = run_workflow(document, task_runner="threads", restart=True)
    assert again.phases[0].result == report.phases[0].result


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("objective: sharpe, objectives: [{metric: sharpe}, {metric: cvar}]", "has both objective"),
        ("objectives: [{metric: sharpe}, {metric: sharpe_ratio}]", "has a metric twice"),
        ("objectives: [{metric: sharpe}]", "objectives"),
        ("objectives: [{metric: sharp}, {metric: cvar}]", "objectives[0].metric: 'sharp'"),
        ("selection: knee", "has a selection and no objectives"),
        (
            "method: differential_evolution, n_trials: 50, "
            "objectives: [{metric: sharpe}, {metric: cvar}]",
            "differential_evolution searches one objective",
        ),
        ("pruning: {at: 0.5}, objectives: [{metric: sharpe}, {metric: cvar}]", "has pruning"),
        ("pruning: {at: 1.5}", "optimization.pruning.at"),
    ],
)
def test_objectives_that_do_not_fit_are_told(load: Load, search: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        load(f"optimization: {{{search}}}\nphases: [{{name: s, type: optimization}}]\n")
    assert message in str(told.value)


def test_other_phases_say_what_they_cannot_do_with_them(load: Load) -> None:
    several = "optimization: {objectives: [{metric: sharpe}, {metric: cvar}], method: grid}\n"
    with pytest.raises(ConfigurationError, match="a walk_forward searches one objective"):
        load(several + "phases: [{name: w, type: walk_forward}]\n")
    with pytest.raises(ConfigurationError, match="phase 'r' reads the daily returns of every"):
        load(
            "optimization: {pruning: {at: 0.5}}\nphases:\n"
            "  - {name: s, type: optimization}\n"
            "  - {name: r, type: analysis, inputs: [s.best_params]}\n"
        )
