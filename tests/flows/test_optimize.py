"""Workflows from the command line and in process: results, checkpoints, kills, failing trials."""

from __future__ import annotations

import json
import math
import random
import signal
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from alphafoundry.backtest import backtest
from alphafoundry.coordinator import run_workflow
from alphafoundry.coordinator.data import first_test_row, load_bars_of
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.coordinator.report import WorkflowReport
from alphafoundry.coordinator.reproducibility import compare
from alphafoundry.errors import ConfigurationError, PhaseFailed, RunStopped
from alphafoundry.runs import Stop
from tests.library.coordinator.test_workflows import FOUR_PHASES
from tests.own_strategies import LOG
from tests.working_folder import WorkingFolder, wait_until

RUNNERS = ("in_process", "threads", "processes", "dask")

SLOW = FOUR_PHASES.replace(
    """  - type: moving_average_cross
    parameters: {fast: [2, 20], slow: [30, 90]}
optimization: {method: tpe, objective: sharpe}
""",
    """  - type: tests.own_strategies:SLOW
    name: slow
    params: {seconds: 0.04}
    parameters: {lookback: [2, 49]}
optimization: {method: grid, objective: sharpe}
""",
)


LASTING = SLOW.replace("0.04", "1.0").replace("batch_size: 8", "batch_size: 2")
"""Lasts until a signal, a cancel or a takeover has been noticed, however busy the machine is; what
is in flight is done soon."""


@pytest.fixture
def place(in_process: WorkingFolder) -> Iterator[WorkingFolder]:
    """A working directory with checkpoints of its own."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: in_process.home / "storage"}):
        yield in_process


def write(place: WorkingFolder, text: str, name: str = "flow.yaml") -> str:
    (place.path / name).write_text(textwrap.dedent(text))
    return name


async def run(place: WorkingFolder, text: str, **options: Any) -> WorkflowReport:
    """Run a document in this process."""
    from flows.optimize import optimize

    report = await optimize(write(place, text), **options)
    assert isinstance(report, WorkflowReport)
    return report


def results(report: WorkflowReport) -> Any:
    return json.loads((Path(report.folder) / "results.json").read_text())


def differences(one: Any, other: Any) -> tuple[str, ...]:
    return compare(one, other, {}, {}).differences


async def test_what_is_best_and_how_it_does_later(place: WorkingFolder) -> None:
    text = """
        workflow: {type: multi_phase}
        data: {market: calibration, symbols: [SYN001, SYN002, SYN003], test_fraction: 0.25}
        optimization: {method: grid, parameters: {fast: [5, 10, 15], slow: [40, 80, 120]}}
        phases:
          - {name: search, type: optimization}
          - {name: later, type: validation, inputs: [search.best_params]}
        """
    report = await run(place, text)
    found = results(report)
    workflow = load_workflow(place.path / "flow.yaml")
    bars = load_bars_of(
        workflow.document.data, market="calibration", cache_dir=place.home / "cache"
    )
    split = first_test_row(bars, workflow.document.data)
    assert split == 1260 - 315
    strategy = workflow.strategies[0].strategy
    alone = {
        (fast, slow): backtest(
            bars.between(0, split), strategy, {"fast": fast, "slow": slow}, workflow.execution
        ).statistics.sharpe
        for fast in (5, 10, 15)
        for slow in (40, 80, 120)
    }
    best = max(alone, key=lambda pair: alone[pair])
    chosen = found["search"]["best_params"]["moving_average_cross"]
    assert (chosen["fast"], chosen["slow"]) == best
    assert found["search"]["best_score"]["moving_average_cross"] == alone[best]
    later = backtest(bars, strategy, chosen, workflow.execution, measured=(split, 1260))
    assert found["later"]["metrics"]["sharpe"] == later.statistics.sharpe
    assert found["later"]["metrics"]["total_return"] == later.statistics.total_return
    assert found["later"]["period"] == [str(bars.days[split]), str(bars.days[-1])]
    assert report.market.startswith("SYNTHETIC")


@pytest.mark.long
async def test_runners_and_modes_agree(place: WorkingFolder) -> None:
    kept = {}
    for runner in RUNNERS:
        report = await run(place, FOUR_PHASES, task_runner=runner, restart=True)
        kept[runner] = results(report)
        assert report.runner.startswith(runner)
        assert not any(phase.restored for phase in report.phases)
    traditional = FOUR_PHASES.replace("COMPOSABLE", "TRADITIONAL")
    kept["TRADITIONAL"] = results(await run(place, traditional, restart=True))
    for name, found in kept.items():
        assert differences(kept["in_process"], found) == (), name
    assert len(kept["dask"]["search"]["trial_list"]) == 48


@pytest.mark.long
async def test_without_prefect_the_numbers_are_the_same(place: WorkingFolder) -> None:
    found = results(await run(place, FOUR_PHASES))
    alone = place.path / "alone"
    alone.mkdir()
    (alone / "cache").symlink_to((place.home / "cache").resolve())
    report = run_workflow("flow.yaml", home=alone)
    assert differences(found, results(report)) == ()
    keys = [
        json.loads((Path(folder) / "reproducibility.json").read_text())["checkpoints"]
        for folder in (next((place.home / "workflows").iterdir()), report.folder)
    ]
    assert keys[0] == keys[1]


@pytest.mark.long
async def test_checkpoints_of_other_code_are_made_again(place: WorkingFolder) -> None:
    """Files of Prefect that are whole and hold something else."""
    first = results(await run(place, FOUR_PHASES))
    changed = 0
    for file in (place.home / "storage").iterdir():
        record = json.loads(file.read_text()) if file.is_file() else {}
        if "result" in record:
            file.write_text(json.dumps({**record, "result": json.dumps({"best": 1})}))
            changed += 1
    assert changed > 8
    again = await run(place, FOUR_PHASES)
    assert not any(phase.restored for phase in again.phases)
    assert differences(first, results(again)) == ()


@pytest.mark.long
async def test_only_what_changed_runs_again(place: WorkingFolder) -> None:
    first = await run(place, FOUR_PHASES)
    assert [phase.restored for phase in first.phases] == [False] * 4
    again = await run(place, FOUR_PHASES)
    assert [phase.restored for phase in again.phases] == [True] * 4
    assert differences(results(first), results(again)) == ()
    changed = FOUR_PHASES.replace("container_count: 30", "container_count: 31")
    third = await run(place, changed)
    assert [phase.restored for phase in third.phases] == [True, True, False, False]
    executions = dict(
        place.rows("SELECT phase, max(executions) FROM workflow_trials GROUP BY phase")
    )
    assert executions["search"] == 1
    restarted = await run(place, FOUR_PHASES, restart=True)
    assert not any(phase.restored for phase in restarted.phases)
    assert differences(results(first), results(restarted)) == ()


@pytest.mark.long
async def test_damaged_checkpoints_are_made_again(place: WorkingFolder) -> None:
    first = results(await run(place, FOUR_PHASES))
    for file in (place.home / "coordinator" / "returns").iterdir():
        file.unlink()
    for file in (place.home / "coordinator" / "signals").rglob("*.signals"):
        file.write_bytes(file.read_bytes()[:100])
    for file in (place.home / "storage").glob("validation-*"):
        file.write_bytes(file.read_bytes()[:50])
    again = await run(place, FOUR_PHASES)
    assert [phase.restored for phase in again.phases] == [False, True, False, False]
    assert differences(first, results(again)) == ()


@pytest.mark.long
async def test_trials_that_misbehave_are_left_out(
    place: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = place.path / "calls.log"
    monkeypatch.setenv(LOG, str(log))
    text = """
        workflow: {execution_mode: AUTO}
        data: {market: calibration, symbols: [SYN001, SYN002, SYN003], max_bars: 300}
        strategies:
          - type: tests.own_strategies:MISBEHAVING
            parameters:
              kind: [fine, raises, memory, hangs, dies]
              lookback: 5
        coordinator:
          fault_tolerance: {max_container_failures: 1, max_failed_fraction: 0.8}
        infrastructure: {container_timeout_seconds: 30, max_workers: 2}
        phases:
          - {name: search, type: optimization, resources: {memory_per_container: 512MB}}
        """
    report = await run(place, text)
    assert report.runner.startswith("processes")
    (line,) = report.phases
    assert (line.trials, line.left_out) == (5, 4)
    rows = place.rows("SELECT item, status, attempts, message FROM workflow_trials ORDER BY number")
    said = {
        json.loads(item)["kind"]: (status, attempts, message)
        for item, status, attempts, message in rows
        if "strategy" not in item
    }
    assert said["fine"] == ("done", 1, None)
    for kind, words in {
        "raises": "ValueError: this trial always raises",
        "memory": "needed more memory than 512 MB",
        "hangs": "took longer than 30 s",
        "dies": "its process died by SIGKILL",
    }.items():
        status, attempts, message = said[kind]
        assert (status, attempts) == ("left_out", 2)
        assert words in message
    assert any("this trial always raises" in failure for failure in report.failures)
    alerts = place.rows("SELECT kind FROM workflow_alerts")
    assert ("failed_trials_percent",) in alerts
    assert not [
        child
        for child in psutil.Process().children(recursive=True)
        if "alphafoundry.coordinator.worker" in " ".join(child.cmdline())
    ], "no worker is left behind"


@pytest.mark.long
async def test_a_phase_fails_where_too_few_trials_are_left(place: WorkingFolder) -> None:
    text = """
        workflow: {type: optimization, execution_mode: TRADITIONAL}
        data: {market: calibration, symbols: [SYN001], max_bars: 300}
        strategies:
          - type: tests.own_strategies:MISBEHAVING
            parameters: {kind: [raises, fine], lookback: {choices: [5, 10, 15]}}
        coordinator: {fault_tolerance: {max_container_failures: 0, max_failed_fraction: 0.4}}
        """
    with pytest.raises(PhaseFailed, match=r"optimization: 3 of 6 trials were left out, more than"):
        await run(place, text)
    assert place.rows("SELECT status FROM workflow_phases") == [("failed",)]
    assert place.rows("SELECT status FROM runs") == [("failed",)]


@pytest.mark.long
async def test_a_stop_keeps_what_had_finished(place: WorkingFolder) -> None:
    from flows.optimize import optimize
    from tasks.prefect.server import Server
    from tasks.run import running_from_terminal

    class Stopping:
        """Asks for a stop when the first trials are there."""

        def __init__(self, stop: Stop) -> None:
            self.stop = stop

        def update(self, phase: str, done: int, total: int, note: str = "") -> None:
            if done:
                self.stop.set()

        def say(self, message: str) -> None:
            return None

    name = write(place, FOUR_PHASES)
    stop = Stop()
    server = Server("", temporary=False, alone=False)
    with (
        running_from_terminal(progress=Stopping(stop), stop=stop, server=server),
        pytest.raises(RunStopped, match=r"\(it was at: phase search, \d+ of 48 trials\); run the"),
    ):
        await optimize(name)
    assert place.rows("SELECT status FROM runs") == [("interrupted",)]
    done = place.count("SELECT count(*) FROM workflow_trials")
    assert 0 < done < 48
    kept = [path for path in (place.home / "storage").glob("search-0*") if path.is_file()]
    assert len(kept) >= done // 8, "a batch is a checkpoint before its phase ends"
    await run(place, FOUR_PHASES)
    executions = place.rows(
        "SELECT DISTINCT executions FROM workflow_trials WHERE phase = 'search'"
    )
    assert executions == [(1,)]


async def test_a_second_run_of_the_same_workflow_waits_outside(place: WorkingFolder) -> None:
    report = await run(place, FOUR_PHASES)
    from alphafoundry.coordinator.run_folder import RunFolder
    from alphafoundry.errors import WorkflowError

    folder = RunFolder(Path(report.folder), place.home / "coordinator")
    with folder.locked(), pytest.raises(WorkflowError, match="another run of this workflow"):
        await run(place, FOUR_PHASES)


@pytest.mark.long
def test_killed_many_times_the_numbers_are_the_same(
    working_folder: WorkingFolder, tmp_path: Path
) -> None:
    """`kill -9` at random moments; then the same command to its end."""
    times = 10
    place = working_folder
    place.env["PREFECT_LOCAL_STORAGE_PATH"] = str(place.home / "storage")
    name = write(place, SLOW)
    draws = random.Random(20)
    log = tmp_path / "calls.log"
    killed = 0
    for _ in range(times):
        begun = place.count("SELECT count(*) FROM workflow_phases")
        with place.start("flows.optimize", name, **{LOG: str(log)}) as process:
            wait_until(
                lambda process=process, begun=begun: (
                    process.poll() is not None
                    or place.count("SELECT count(*) FROM workflow_phases") > begun
                )
            )
            time.sleep(draws.uniform(0.0, 1.2))
            children = psutil.Process(process.pid).children() if process.poll() is None else []
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_until(
            lambda children=children: not any(map(_lives, children)), 60, "the end of the workers"
        )
    assert killed >= times // 2
    done = place.run("flows.optimize", name, "--json", "report.json", **{LOG: str(log)})
    assert done.returncode == 0, done.stderr
    after = json.loads((Path(place.json("report.json")["folder"]) / "results.json").read_text())
    assert place.rows("PRAGMA integrity_check") == [("ok",)]
    finished = place.rows(
        "SELECT key, count(*) FROM workflow_phases WHERE status = 'finished' GROUP BY key"
    )
    assert [times for _, times in finished] == [1] * len(finished)
    later = place.rows(
        """SELECT count(*) FROM workflow_phases AS later JOIN workflow_phases AS first
           ON later.key = first.key AND later.id > first.id
           WHERE first.status IN ('finished', 'restored') AND later.executed > 0"""
    )
    assert later == [(0,)], "a finished phase was worked on again"
    calls = len(log.read_text().splitlines())
    trials = place.count("SELECT count(*) FROM workflow_trials WHERE phase = 'search'")
    assert trials == 48
    # Only what was under way at a kill is done again: a batch per worker, and the signals.
    workers, batch, components = 2, 8, 20
    # Each phase that asks the strategy checks with three calls that it does not look ahead.
    phases = 4
    assert calls <= trials + 2 * components + 3 * (phases + killed) + killed * workers * batch
    again = place.rows(
        "SELECT sum(executions) - count(*) FROM workflow_trials WHERE phase = 'search'"
    )
    assert again == [(0,)], "a batch whose trials were recorded was worked on again"
    # An uninterrupted run without Prefect, in a home of its own.
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "cache").symlink_to((place.home / "cache").resolve())
    report = run_workflow(place.path / name, home=alone)
    assert not any(phase.restored for phase in report.phases)
    assert differences(results(report), after) == ()


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_command_line(lonely_folder: WorkingFolder) -> None:
    """Mistakes are one line; --check and --schema run nothing."""
    place = lonely_folder
    wrong, check, schema = place.run_each(
        ("flows.optimize", (write(place, "workflow: {type: fast}", "wrong.yaml"),), {}),
        ("flows.optimize", ("config/workflows/multi_phase.yaml", "--check"), {}),
        ("flows.optimize", ("--schema",), {}),
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: wrong.yaml:1: workflow.type: 'fast' is not a valid")
    assert wrong.stderr.count("\n") == 1
    assert check.returncode == 0, check.stderr
    assert "parameter_discovery" in check.stdout and "1000" in check.stdout
    assert not (place.home / "workflows").exists()
    assert json.loads(schema.stdout)["title"] == "Alpha Foundry workflow"


@pytest.mark.long
def test_the_workflow_that_comes_along_runs_on_its_own_server(lonely_folder: WorkingFolder) -> None:
    place = lonely_folder
    report = place.report("flows.optimize", "config/workflows/multi_phase.yaml")
    assert [phase["trials"] for phase in report["phases"]] == [1000, 0, 100, 0]
    assert report["out_of_sample"]["days"] == 378
    folder = Path(report["folder"])
    assert {path.stem for path in (folder / "plots").iterdir()} == {
        "parameter-discovery-moving-average-cross-parameters",
        "regime-analysis-regimes",
        "validation-equity",
        "validation-weights",
    }
    state = json.loads((folder / "reproducibility.json").read_text())
    assert state["master_seed"] == 42
    assert len(state["phase_seeds"]["parameter_discovery"]) == 1000
    samples = place.count("SELECT count(*) FROM workflow_samples")
    assert samples >= 2


async def test_dask_that_is_not_there(
    place: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)
    with pytest.raises(ConfigurationError, match=r"make install EXTRAS=dask"):
        await run(place, FOUR_PHASES, task_runner="dask")


@pytest.mark.long
def test_a_reproduction_tells_a_changed_number(working_folder: WorkingFolder) -> None:
    """Exit 0 where every number is the same, also after --restart; 3 where a stored one is not."""
    place = working_folder
    name = write(
        place,
        """
        workflow: {type: optimization}
        data: {market: calibration, symbols: [SYN001, SYN002], max_bars: 200}
        optimization: {method: grid, parameters: {fast: [3, 5, 8], slow: [20, 30, 40]}}
        reporting: {plots: false, journal: false}
        """,
    )
    folder = Path(place.report("flows.optimize", name)["folder"])
    assert place.report("flows.optimize", name, "--restart")["folder"] == str(folder)
    same = place.run("flows.optimize", "--reproduce", str(folder))
    assert same.returncode == 0, same.stderr
    assert "numbers are the same, bit for bit" in same.stdout
    stored = folder / "results.json"
    changed = json.loads(stored.read_text())
    numbers = changed["optimization"]["best_metrics"]["moving_average_cross"]
    numbers["sharpe"] = math.nextafter(numbers["sharpe"], math.inf)
    stored.write_text(json.dumps(changed))
    differs = place.run("flows.optimize", "--reproduce", str(folder))
    assert differs.returncode == 3, differs.stderr
    assert "not reproduced, values that differ: 1" in differs.stdout
    assert "best_metrics.moving_average_cross.sharpe" in "".join(differs.stdout.split())
    assert json.loads(stored.read_text()) == changed, "what is compared with stays"
    assert (folder / "reproduced-results.json").is_file()
