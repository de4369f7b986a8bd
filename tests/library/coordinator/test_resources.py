"""Admission, measurements, studies, comparison and files."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.backtest import Bars
from alphafoundry.coordinator import studies
from alphafoundry.coordinator.bars_folder import load_bars, save_bars
from alphafoundry.coordinator.data import load_bars_of
from alphafoundry.coordinator.document import DataSection, SourceSection
from alphafoundry.coordinator.monitoring import Monitor
from alphafoundry.coordinator.phase_outputs import SearchedTrial
from alphafoundry.coordinator.planning import manager_of, plan_workflow
from alphafoundry.coordinator.reproducibility import compare
from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.strategies import StrategySource, source_from_json
from alphafoundry.coordinator.studies import write_studies
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import BacktestError, MarketError, UnknownStrategy
from alphafoundry.store import (
    TrialRecord,
    begin_phase,
    begin_run,
    count_executions,
    finish_phase,
    open_store,
    read_alerts,
    read_phases,
    read_samples,
    read_trials,
    record_trials,
)
from tests.library.coordinator.searches import search_outputs
from tests.working_folder import wait_until

Load = Callable[[str], Workflow]
MEGABYTE = 1024**2


def test_a_thousand_trials_of_512_megabytes_on_a_budget_of_4_gigabytes() -> None:
    manager = ResourceManager(memory=4096 * MEGABYTE, cores=16, available=lambda: 2**60)
    lock, inside, most, done = threading.Lock(), 0, 0, 0

    def trial(_: int) -> None:
        nonlocal inside, most, done
        with manager.admit(memory=512 * MEGABYTE, cores=0.1):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.0005)
            with lock:
                inside -= 1
                done += 1

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(trial, range(1000)))
    assert done == 1000
    assert 1 < most <= 8
    usage = manager.usage()
    assert usage.peak_memory <= 4096 * MEGABYTE
    assert (usage.memory, usage.cores) == (0, 0.0), "everything was released"


def test_what_is_larger_than_the_budget_runs_alone() -> None:
    manager = ResourceManager(memory=100 * MEGABYTE, cores=2, available=lambda: 2**60)
    assert manager.at_once(500 * MEGABYTE, None) == 1
    assert manager.fitting(500 * MEGABYTE) == 100 * MEGABYTE
    with manager.admit(memory=500 * MEGABYTE, cores=8):
        assert manager.usage().memory == 100 * MEGABYTE


def test_work_is_let_in_when_other_work_is_released() -> None:
    manager = ResourceManager(memory=100 * MEGABYTE, cores=2, available=lambda: 2**60)
    order = []

    def second() -> None:
        with manager.admit(memory=80 * MEGABYTE):
            order.append("second")

    with manager.admit(memory=80 * MEGABYTE):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    assert manager.usage().waits == 1


def test_the_mode_auto_says_why(load: Load, bars: Bars) -> None:
    limited = load(
        """
        workflow: {execution_mode: AUTO}
        coordinator: {resources: {max_memory_gb: 1, max_cpu_cores: 2}}
        phases:
          - {name: a, type: optimization, container_count: 40, config: {method: random},
             resources: {memory_per_container: 700MB}}
        """
    )
    plan = plan_workflow(limited, bars, manager_of(limited), trial_seconds=0.01)
    assert (plan.runner.name, plan.runner.workers) == ("processes", 1)
    assert plan.runner.why == "phase a limits a trial's memory or time"
    assert plan.trials == 40
    assert plan.seconds == pytest.approx(0.4)
    plain = load("workflow: {execution_mode: AUTO}")
    assert plan_workflow(plain, bars, manager_of(plain)).runner.name == "threads"
    traditional = load("workflow: {execution_mode: TRADITIONAL}")
    assert plan_workflow(traditional, bars, manager_of(traditional)).runner.name == "in_process"
    many = plan_workflow(plain, bars, manager_of(plain), trial_seconds=60.0)
    assert many.runner.name == "processes"


def test_bars_come_back_bit_for_bit(bars: Bars, tmp_path: Path) -> None:
    folder = save_bars(bars, tmp_path)
    again = load_bars(str(folder))
    assert again.fingerprint == bars.fingerprint
    assert (again.label, again.synthetic, again.symbols) == (bars.label, True, bars.symbols)
    assert save_bars(bars, tmp_path) == folder
    # A folder from before there were groups says nothing of them.
    about = json.loads((folder / "about.json").read_text())
    del about["groups"]
    (folder / "about.json").write_text(json.dumps(about))
    load_bars.cache_clear()
    assert load_bars(str(folder)).fingerprint == bars.fingerprint
    (folder / "close.npy").unlink()
    load_bars.cache_clear()
    with pytest.raises(BacktestError, match="cannot be read"):
        load_bars(str(folder))


def test_numbers_are_compared_by_their_bits() -> None:
    before = {"a": {"x": [0.1, 2], "y": 0.0, "z": None, "t": "text"}}
    same = compare(before, {"a": {"x": [0.1, 2], "y": 0.0, "z": None, "t": "text"}}, {}, {})
    assert same.equal
    for other in (
        {"a": {"x": [0.1 + 2**-56, 2], "y": -0.0, "z": None, "t": "text"}},
        {"a": {"x": [0.1, 2.0], "y": 0.0, "z": None, "t": "text"}},
        {"a": {"x": [0.1], "y": 0.0, "z": None, "t": "text"}},
        {"a": {"x": [0.1, 2], "y": 0.0, "z": 1.0, "t": "text"}},
    ):
        assert not compare(before, other, {"data": 1}, {"data": 2}).equal
    assert compare(before, before, {"data": 1}, {"data": 2}).changed == ("data",)


def test_optuna_opens_the_studies(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    monkeypatch.setattr(studies, "CHUNK", 4)
    workflow = load("workflow: {type: optimization, name: mine}")
    trials = [
        SearchedTrial(
            number=number,
            strategy="moving_average_cross",
            parameters={"fast": 10 + number, "slow": 100, "direction": "long_short"},
            score=None if number == 3 else float(number),
            kept=True,
        )
        for number in range(10)
    ]
    results = {"optimization": PhaseResult(search_outputs(trial_list=trials), trials=10)}
    (path,) = write_studies(workflow, results, tmp_path)
    (path2,) = write_studies(workflow, results, tmp_path)
    assert path == path2
    study = optuna.load_study(
        study_name="mine: optimization: moving_average_cross",
        storage=JournalStorage(JournalFileBackend(str(path))),
    )
    assert len(study.trials) == 10
    assert study.best_params["fast"] == 19
    assert study.trials[3].state == optuna.trial.TrialState.FAIL
    assert [trial.number for trial in study.trials] == list(range(10))
    assert [trial.params["fast"] for trial in study.trials] == list(range(10, 20))


def test_measurements_and_alerts_are_kept(load: Load, tmp_path: Path) -> None:
    document = load(
        """
        monitoring:
          metrics_interval: 0.1
          health_check_interval: 0.1
          alerts: {memory_percent: 0.01, failed_trials_percent: 20, trial_seconds: 5}
        """
    ).document
    with open_store(home=tmp_path) as store:
        run = begin_run(store, flow="optimize", service="workflow:x")
        with Monitor(store, run.id, document, home=tmp_path) as monitor:
            monitor.begin("search")
            monitor.count(trials=10, left_out=3, seconds=80.0)
            wait_until(lambda: len(read_samples(store, run.id)) >= 3, what="three samples")
            monitor.end("search")
        samples = read_samples(store, run.id)
        assert len(samples) >= 3
        assert samples[1].phase == "search"
        assert (samples[1].trials_done, samples[1].trials_left_out) == (10, 3)
        assert samples[1].trial_seconds == 8.0
        assert samples[1].workflow_memory > 10 * MEGABYTE
        alerts = [alert.kind for alert in read_alerts(store, run.id)]
    assert sorted(alerts) == ["failed_trials_percent", "memory_percent", "trial_seconds"]


def test_trials_are_kept_once_and_executions_counted(tmp_path: Path) -> None:
    records = [
        TrialRecord(0, 0, 7, {"fast": 1}, {"sharpe": 0.5}, 1, None),
        TrialRecord(1, 0, 8, {"fast": 2}, None, 4, "it raised"),
    ]
    with open_store(home=tmp_path) as store:
        run = begin_run(store, flow="optimize", service="workflow:x")
        shared = {"run_id": run.id, "workflow": "x", "phase": "search", "phase_key": "k"}
        phase = begin_phase(store, run_id=run.id, workflow="x", phase="search", key="k")
        record_trials(store, records, executed=False, **shared)  # type: ignore[arg-type]
        record_trials(store, records, executed=False, **shared)  # type: ignore[arg-type]
        assert count_executions(store, "x") == {"search": (2, 2)}
        record_trials(store, records, executed=True, **shared)  # type: ignore[arg-type]
        assert count_executions(store, "x") == {"search": (2, 4)}
        first, second = read_trials(store, "k")
        assert (first.status, first.metrics, first.seed) == ("done", {"sharpe": 0.5}, 7)
        assert (second.status, second.metrics, second.message) == ("left_out", None, "it raised")
        finish_phase(store, phase, "finished", trials=2, executed=2, left_out=1, seconds=1.5)
        (row,) = read_phases(store, run_id=run.id)
        assert (row.status, row.trials, row.left_out, row.seconds) == ("finished", 2, 1, 1.5)


DAYS = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2020-01-01", periods=40)]


def test_columns_of_a_file_replace_those_that_bear_their_names(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    rows = [f"A,{day},{10 + n % 3},{5 + n % 4}" for n, day in enumerate(DAYS)]
    file.write_text("\n".join(["ticker,day,close,adjusted", *rows]))
    source = SourceSection(
        path=str(file),
        symbol_column="ticker",
        timestamp_column="day",
        price_columns={"close": "adjusted", "open": "adjusted"},
    )
    bars = load_bars_of(DataSection(source=source), market="none", cache_dir=tmp_path / "cache")
    assert bars.symbols == ("A",)
    np.testing.assert_array_equal(bars.close[:, 0], [5 + n % 4 for n in range(40)])
    np.testing.assert_array_equal(bars.open[:, 0], bars.close[:, 0])
    wrong = source.model_copy(update={"price_columns": {"close": "settled"}})
    with pytest.raises(MarketError, match="no column 'settled'; it has ticker, day"):
        load_bars_of(DataSection(source=wrong), market="none", cache_dir=tmp_path / "cache")


def test_codes_of_a_source_stay_as_written(tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    codes = ("000001", "000600", "NA")
    rows = [f"{day},{code},{10 + n % 3}" for n, day in enumerate(DAYS) for code in codes]
    file.write_text("\n".join(["day,code,close", *rows]))
    source = SourceSection(path=str(file), symbol_column="code", timestamp_column="day")
    section = DataSection(source=source, symbols=("000001", "NA"))
    bars = load_bars_of(section, market="none", cache_dir=tmp_path / "cache")
    assert bars.symbols == ("000001", "NA")


def test_a_source_says_how_its_dates_are_written(tmp_path: Path) -> None:
    file = tmp_path / "ABC.csv"
    days = [f"{number:02d}/{month:02d}/2020" for month in (1, 2, 3, 4) for number in range(1, 13)]
    file.write_text("\n".join(["Date,Close", *(f"{day},{9 + n}" for n, day in enumerate(days))]))
    section = DataSection(source=SourceSection(path=str(file), date_format="%d/%m/%Y"))
    bars = load_bars_of(section, market="none", cache_dir=tmp_path / "cache")
    assert (str(bars.days[0]), str(bars.days[-1])) == ("2020-01-01", "2020-04-12")
    section = DataSection(source=SourceSection(path=str(file)))
    with pytest.raises(MarketError, match="date_format"):
        load_bars_of(section, market="none", cache_dir=tmp_path / "cache")


def test_own_strategies_are_told_apart_by_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "own_strategies.py").read_text()
    (tmp_path / "first_rules.py").write_text(text)
    (tmp_path / "second_rules.py").write_text(text + "\n# changed\n")
    (tmp_path / "broken_rules.py").write_text("def")
    monkeypatch.syspath_prepend(str(tmp_path))
    first, second = (StrategySource(f"{name}_rules:SLOW") for name in ("first", "second"))
    assert first.to_json()["code"] != second.to_json()["code"]
    assert first.strategy().identity != second.strategy().identity
    assert source_from_json(first.to_json()) == first
    with pytest.raises(UnknownStrategy, match="SyntaxError"):
        StrategySource("broken_rules:SLOW").strategy()
