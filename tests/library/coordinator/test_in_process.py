"""Workflows without Prefect: numbers, checkpoints, interruptions."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from alphafoundry.backtest import Bars, backtest, strategy_named
from alphafoundry.coordinator import run_workflow
from alphafoundry.coordinator.reproducibility import compare
from alphafoundry.errors import ConfigurationError, PhaseFailed
from tests.library.coordinator.conftest import keep_prices
from tests.piped_commands import PROGRAM as TEXTS
from tests.piped_commands import PipedCommand
from tests.some_cases import one_in
from tests.working_folder import TIMEOUT, wait_until

DOCUMENT: Mapping[str, Any] = {
    "name": "mine",
    "workflow": {"type": "multi_phase", "execution_mode": "COMPOSABLE"},
    "data": {"market": "prices.csv"},
    "strategies": [
        {"type": "moving_average_cross", "parameters": {"fast": [2, 9], "slow": [20, 50]}}
    ],
    "infrastructure": {"batch_size": 8},
    "reporting": {"plots": False},
    "phases": [
        {"name": "search", "type": "optimization", "container_count": 30, "method": "tpe"},
        {"name": "regimes", "type": "analysis", "inputs": ["search.best_params"]},
        {
            "name": "mix",
            "type": "signal_replay",
            "container_count": 12,
            "inputs": ["regimes.regime_weights"],
        },
        {"name": "later", "type": "validation", "inputs": ["mix.final_weights"]},
    ],
}


pytestmark = pytest.mark.usefixtures("place")


def results(folder: str) -> Any:
    return json.loads((Path(folder) / "results.json").read_text())


def same(one: Any, other: Any) -> bool:
    return compare(one, other, {}, {}).equal


async def test_inside_a_running_loop_and_again_from_checkpoints(bars: Bars) -> None:
    """As in a notebook, where an event loop runs."""
    first = run_workflow(DOCUMENT)
    assert [phase.restored for phase in first.phases] == [False] * 4
    assert repr(first).startswith("WorkflowReport('mine', 4 phases, ")
    printed = str(first)
    assert printed.startswith(first.market) and "{" not in printed
    assert all(phase.result in printed for phase in first.phases)
    found = results(first.folder)
    best = found["search"]["best_params"]["moving_average_cross"]
    alone = backtest(bars.between(0, 210), strategy_named("moving_average_cross"), best)
    assert first.out_of_sample is not None and first.out_of_sample["days"] == 90
    scores = [trial["score"] for trial in found["search"]["trial_list"]]
    assert max(scores) == found["search"]["best_score"]["moving_average_cross"]
    assert alone.days[-1] == bars.days[209]
    again = run_workflow(DOCUMENT)
    assert [phase.restored for phase in again.phases] == [True] * 4
    assert same(found, results(again.folder))
    restarted = run_workflow(DOCUMENT, restart=True, task_runner="processes")
    assert [phase.restored for phase in restarted.phases] == [False] * 4
    assert same(found, results(restarted.folder))


def test_signal_capture_stores_the_signals_of_the_best_trials(place: Path) -> None:
    def stored(captured: bool) -> int:
        workflow = {"type": "optimization", "signal_capture": captured, "container_count": 12}
        document = {**DOCUMENT, "workflow": workflow, "phases": []}
        run_workflow({**document, "reporting": {"plots": False, "top_trials": 5}})
        return len(list((place / "home" / "coordinator" / "signals").rglob("*.signals")))

    assert stored(False) == 0
    assert stored(True) == 5


def test_the_document_of_the_folder_runs_again() -> None:
    report = run_workflow(DOCUMENT)
    again = run_workflow(Path(report.folder) / "workflow.yaml")
    assert again.folder == report.folder
    assert all(phase.restored for phase in again.phases)


@pytest.mark.parametrize("content", one_in(5, ["", "{", "[]", '{"outputs": {}}', '{"results": 3}']))
def test_checkpoints_that_cannot_be_read_are_made_again(content: str, place: Path) -> None:
    first = results(run_workflow(DOCUMENT).folder)
    kept = list((place / "home" / "coordinator" / "checkpoints").iterdir())
    assert len(kept) > 8
    for path in kept:
        path.write_text(content)
    again = run_workflow(DOCUMENT)
    assert not any(phase.restored for phase in again.phases)
    assert same(first, results(again.folder))


def test_mistakes_are_found_before_anything_runs(place: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^workflow.yaml: phases\[0\].type: 'serch' is"):
        run_workflow({"phases": [{"name": "a", "type": "serch"}]})
    with pytest.raises(ConfigurationError, match=r"absent.yaml: no such file"):
        run_workflow("absent.yaml")
    with pytest.raises(ConfigurationError, match="dask needs Prefect"):
        run_workflow(DOCUMENT, task_runner="dask")
    assert not (place / "home" / "coordinator" / "checkpoints").exists()


def test_a_phase_that_fails_says_why() -> None:
    document = {
        **DOCUMENT,
        "optimization": {"constraints": {"performance": {"sharpe": {"min": 99}}}},
    }
    with pytest.raises(PhaseFailed, match="phase search: no trial has a sharpe and keeps to"):
        run_workflow(document)


PROGRAM = """
import sys
from alphafoundry.coordinator import run_workflow
document = {
    "data": {"market": "prices.csv"},
    "workflow": {"execution_mode": "TRADITIONAL"},
    "strategies": [{"type": "tests.own_strategies:SLOW", "params": {"seconds": 0.15},
                    "parameters": {"lookback": {"min": 2, "max": 31, "step": 1}}}],
    "infrastructure": {"batch_size": 3},
    "reporting": {"plots": False},
    "phases": [{"name": "search", "type": "optimization"}],
}
if __name__ == "__main__":
    print(run_workflow(document, task_runner=sys.argv[1]).trials)
"""


@pytest.mark.parametrize(
    "runner", ["in_process", pytest.param("processes", marks=pytest.mark.long)]
)
def test_interrupted_it_goes_on_where_it_was(
    place: Path, runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle: what had finished is not done again."""
    log, errors = place / "calls.log", place / "errors.txt"
    monkeypatch.setenv("OWN_STRATEGY_LOG", str(log))
    kept = place / "home" / "coordinator" / "checkpoints"

    @contextlib.contextmanager
    def started() -> Iterator[PipedCommand]:
        with (
            errors.open("w") as file,
            PipedCommand(TEXTS, [PROGRAM, runner], stderr=file.fileno()) as process,
        ):
            yield process

    def has_a_checkpoint() -> bool:
        return process.poll() is not None or (kept.is_dir() and any(kept.iterdir()))

    with started() as process:
        wait_until(has_a_checkpoint, what="a checkpoint")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) != 0, "it ended before a checkpoint was seen"
    assert "KeyboardInterrupt" in errors.read_text()
    done = 3 * len(list(kept.iterdir()))
    assert 0 < done < 30
    with started() as process:
        printed = process.communicate()
    assert (process.wait(), printed) == (0, "30\n"), errors.read_text()
    assert len(log.read_text().splitlines()) <= 30 + 3


@pytest.mark.parametrize(
    "phase", ["{name: s, type: optimization, container_count: 3}", "{name: b, type: backtest}"]
)
def test_a_strategy_that_looks_ahead_is_told(phase: str) -> None:
    document = {
        **DOCUMENT,
        "strategies": [{"type": "tests.own_strategies:CHEAT", "parameters": {"lookback": [2, 9]}}],
        "phases": [yaml.safe_load(phase)],
    }
    if "backtest" in phase:
        document["strategies"][0] = {
            "type": "tests.own_strategies:CHEAT",
            "params": {"lookback": 5},
        }
    with pytest.raises(PhaseFailed, match=r"CHEAT looks ahead: the signal of \w on 2020"):
        run_workflow(document, task_runner="in_process")


def test_a_check_for_look_ahead_that_fails_is_a_note(place: Path) -> None:
    document = {
        **DOCUMENT,
        "strategies": [
            {"type": "tests.own_strategies:WANTS_ALL_DAYS", "parameters": {"days": [150, 151]}}
        ],
        "coordinator": {"fault_tolerance": {"max_container_failures": 0}},
        "phases": [{"name": "s", "type": "optimization", "container_count": 2}],
    }
    report = run_workflow(document, task_runner="in_process")
    (note,) = report.notes
    assert note.startswith("s: whether strategy tests.own_strategies:WANTS_ALL_DAYS looks ahead is")
    assert "too few days" in note
    assert (report.trials, report.failures) == (2, ())
    with sqlite3.connect(place / "home" / "foundry.sqlite") as database:
        assert database.execute("SELECT count(*) FROM workflow_trials").fetchone() == (2,)


def test_a_field_that_only_other_symbols_have_is_told_before_anything_runs(bars: Bars) -> None:
    volume = bars.volume.copy()
    volume[:, 0] = math.nan
    keep_prices(replace(bars, volume=volume), Path("prices.csv"))
    strategy = {"type": "expression", "template": "ts_delta(volume, 5)", "symbols": ["A"]}
    with pytest.raises(ConfigurationError, match="needs volume, which"):
        run_workflow(
            {**DOCUMENT, "strategies": [strategy], "phases": [{"name": "b", "type": "backtest"}]}
        )
