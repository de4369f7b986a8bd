"""Trials that fail: alone they are left out, with others they sink nobody."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.backtest import Bars, run_trials, strategy_named
from alphafoundry.coordinator.batches import METRICS, Batch, Setting, metrics_to_json, perform
from alphafoundry.coordinator.isolation import Failure, TrialFailed, carry_out
from alphafoundry.coordinator.worker_pool import WorkerPool
from alphafoundry.errors import PhaseFailed
from tests.own_strategies import KINDS
from tests.some_cases import one_in

CROSS = {"type": "moving_average_cross", "template": None, "defaults": []}
OWN = {"type": "tests.own_strategies:MISBEHAVING", "template": None, "defaults": []}


def batch(items: list[Any], strategy: dict[str, Any] = CROSS, **options: Any) -> Batch:
    return Batch(
        "search",
        0,
        "trials",
        tuple(items),
        tuple(range(len(items))),
        {"strategy": strategy, **options},
    )


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 3))
def test_exactly_the_bad_ones_are_left_out(needed: list[int], retries: int) -> None:
    """Trial i works from its attempt needed[i] on when alone; 3 never does."""
    alone: dict[int, int] = {}

    def attempt(part: Batch) -> dict[str, Any]:
        if len(part.items) == 1:
            alone[part.numbers[0]] = alone.get(part.numbers[0], 0) + 1
        for number in part.numbers:
            if needed[number] and (needed[number] == 3 or alone.get(number, 0) <= needed[number]):
                raise TrialFailed("raised", f"trial {number}")
        return {"results": list(part.numbers), "file": None, "seconds": 1.0, "peak": 1}

    items = batch(list(range(len(needed))))
    outcome = carry_out(items, attempt, retries=retries)
    lost = {i for i, need in enumerate(needed) if need == 3 or need > retries}
    assert outcome.results == [None if i in lost else i for i in range(len(needed))]
    assert {failure.number for failure in outcome.failures} == lost
    assert all(failure.attempts == retries + 1 for failure in outcome.failures)
    assert all(f.message == f"trial {f.number}" for f in outcome.failures)


def test_workers_give_what_this_process_gives(setting: Setting, bars: Bars) -> None:
    sets = [{"fast": fast, "slow": 40} for fast in (3, 5, 9)]
    expected = [
        metrics_to_json(trial.metrics)
        for trial in run_trials(bars, strategy_named("moving_average_cross"), sets)
    ]
    with WorkerPool(1) as pool:
        done = pool.run(setting.to_json(), batch(sets, keep_returns=True).to_json())
        assert done["results"] == expected
        assert dict(zip(METRICS, expected[0], strict=True))["days"] == 300
        kept = np.load(Path(setting.returns) / done["file"])
        assert kept.shape == (3, 300)
        pids = pool.pids()
        pool.run(setting.to_json(), batch(sets).to_json())
        assert pool.pids() == pids, "workers are used again"
    assert not psutil.pid_exists(pids[0])


def test_whatever_a_trial_does_the_pool_goes_on(setting: Setting) -> None:
    said: dict[str, tuple[str, str]] = {}
    with WorkerPool(1) as pool:
        for kind in (*KINDS, "fine"):
            items = batch([{"kind": kind, "lookback": 5}], OWN).to_json()
            timeout = 3.0 if kind == "hangs" else 60.0
            try:
                pool.run(setting.to_json(), items, memory=256 * 1024**2, timeout=timeout)
                said[kind] = ("done", "")
            except TrialFailed as problem:
                said[kind] = (problem.kind, problem.message)
    assert said == {
        "fine": ("done", ""),
        "raises": ("raised", "ValueError: this trial always raises"),
        "memory": ("memory", "needed more memory than 256 MB"),
        "hangs": ("timeout", "took longer than 3 s"),
        "dies": ("signal", "its process died by SIGKILL"),
    }


def attempts_in(
    pool: WorkerPool, setting: Setting, asked: list[tuple[int, ...]], timeout: float
) -> Callable[[Batch], dict[str, Any]]:
    """Return what does a batch in the pool and keeps the numbers of the trials it was given."""

    def attempt(part: Batch) -> dict[str, Any]:
        asked.append(part.numbers)
        return pool.run(setting.to_json(), part.to_json(), timeout=timeout)

    return attempt


@pytest.mark.long
def test_the_one_that_hangs_is_charged_and_its_siblings_are_not(setting: Setting) -> None:
    """Trial 5 of 12 hangs: it is tried alone at once, and nothing else is ever left out."""
    sets = [{"kind": "hangs" if place == 5 else "fine", "lookback": 5} for place in range(12)]
    asked: list[tuple[int, ...]] = []
    with WorkerPool(1) as pool:
        attempt = attempts_in(pool, setting, asked, 5.0)
        outcome = carry_out(batch(sets, OWN), attempt, retries=1)
    (failure,) = outcome.failures
    assert failure == Failure(number=5, kind="timeout", message="took longer than 5 s", attempts=2)
    fine = outcome.results[0]
    assert fine is not None
    assert outcome.results == [None if place == 5 else fine for place in range(12)]
    everything = tuple(range(12))
    assert asked == [everything, everything[:5], (5,), (5,), everything[6:]]


def test_a_worker_of_other_code_gives_no_numbers_and_blames_no_trial(setting: Setting) -> None:
    asked: list[tuple[int, ...]] = []
    older = replace(setting, code="0" * 16)
    with (
        WorkerPool(1) as pool,
        pytest.raises(PhaseFailed, match=r"search: a worker runs other code .*; install the same"),
    ):
        carry_out(
            batch([{"fast": 3, "slow": 9}] * 2), attempts_in(pool, older, asked, 60.0), retries=2
        )
    assert asked == [(0, 1)]


@pytest.mark.long
def test_the_time_of_a_trial_is_not_that_of_its_batch(setting: Setting) -> None:
    """Eight trials of half a second end well with 2.5 s for each."""
    slow = {"type": "tests.own_strategies:SLOW", "template": None, "defaults": []}
    sets = [{"lookback": 5 + place, "seconds": 0.5} for place in range(8)]
    asked: list[tuple[int, ...]] = []
    with WorkerPool(1) as pool:
        outcome = carry_out(batch(sets, slow), attempts_in(pool, setting, asked, 2.5), retries=0)
    assert asked == [tuple(range(8))]
    assert outcome.failures == []


def test_a_trial_that_is_measured_twice_begins_twice(setting: Setting, bars: Bars) -> None:
    """So each part has the whole time, and what fails in the second is charged to its trial."""
    own = {"type": "tests.own_strategies:SLOW", "template": None, "defaults": []}
    sets = [{"lookback": lookback, "seconds": 0.0} for lookback in (5, 20, 40, 60)]
    told = {"until": 100, "objective": "total_return", "below": None}
    asked = batch(sets, own, pruning=told, rows=[0, bars.shape[0]]).to_json()
    asked["kind"] = "pruned trials"
    begun: list[int] = []
    found = perform(setting.to_json(), asked, begun.append)["results"]
    assert begun == [0, 1, 2, 3, 0, 1, 2, 3]
    asked["options"]["pruning"]["below"] = sorted(early for *_, early, _ in found)[2]
    begun.clear()
    found = perform(setting.to_json(), asked, begun.append)["results"]
    assert begun == [0, 1, 2, 3, *(place for place, (*_, gone) in enumerate(found) if not gone)]
    assert len(begun) == 6


@pytest.mark.parametrize("objective", ["sharpe", "total_return", "cvar"])
def test_a_trial_whose_windows_are_not_full_is_not_given_up(
    setting: Setting, bars: Bars, objective: str
) -> None:
    told = {"until": 40, "objective": objective, "below": 1000.0}
    sets = [{"fast": 3, "slow": 10}, {"fast": 5, "slow": 60}]
    asked = batch(sets, pruning=told, rows=[0, bars.shape[0]]).to_json()
    asked["kind"] = "pruned trials"
    quick, slow = perform(setting.to_json(), asked)["results"]
    assert quick[-2] < 1000.0 and quick[-1] == 1
    assert slow[-2:] == [None, 0]
    assert slow[METRICS.index("days")] == bars.shape[0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.booleans())
def test_nobody_is_lost_however_the_suspect_is_told(bad: list[int], known: bool) -> None:
    """Trials marked 3 always fail; the suspect is named, or is not."""

    def attempt(part: Batch) -> dict[str, Any]:
        for place, number in enumerate(part.numbers):
            if bad[number] == 3:
                raise TrialFailed("signal", f"trial {number}", place if known else None)
        return {"results": list(part.numbers), "file": None, "seconds": 0.0, "peak": 0}

    outcome = carry_out(batch(list(range(len(bad)))), attempt, retries=0)
    expected = [None if mark == 3 else number for number, mark in enumerate(bad)]
    assert outcome.results == expected


@pytest.mark.long
def test_processor_time_is_limited(setting: Setting) -> None:
    spinning = {
        "type": "tests.library.coordinator.test_isolation:SPIN",
        "template": None,
        "defaults": [],
    }
    with WorkerPool(1) as pool, pytest.raises(TrialFailed) as caught:
        pool.run(setting.to_json(), batch([{}], spinning).to_json(), cpu_seconds=1, timeout=60)
    assert (caught.value.kind, caught.value.message) == (
        "cpu",
        "used more processor time than it may",
    )


def _spin(bars: Any, values: Any, out: Any) -> None:
    while True:
        os.getpid()


def __getattr__(name: str) -> Any:
    from alphafoundry.backtest import Strategy

    if name == "SPIN":
        return Strategy(name="spin", parameters={}, description="spins", fill=_spin)
    raise AttributeError(name)


@pytest.mark.long
@pytest.mark.parametrize("kind", one_in(2, ["trials", "signals"]))
def test_a_full_disk_is_no_fault_of_a_trial(setting: Setting, kind: str) -> None:
    """A file where the folder should be stands for a disk that takes nothing."""
    Path(setting.returns if kind == "trials" else setting.signals).write_text("")
    items: list[Any] = [{"fast": 3, "slow": 9}, {"fast": 4, "slow": 9}]
    given = batch(items, keep_returns=True)
    if kind == "signals":
        components = tuple({"strategy": CROSS, "parameters": values} for values in items)
        given = replace(given, kind="signals", items=components, options={})
    asked: list[tuple[int, ...]] = []
    with WorkerPool(1) as pool, pytest.raises(PhaseFailed, match=r"^phase search: .* cannot "):
        carry_out(given, attempts_in(pool, setting, asked, 60.0), retries=3)
    assert asked == [(0, 1)]
