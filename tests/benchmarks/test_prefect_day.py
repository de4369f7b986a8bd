"""Prefect's database after a day of the platform, small and whole."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from benchmarks.prefect_day import COUNTED, MOST_MB, Day, Sizes, measure


def measured(folder: Path, day: Day) -> Sizes:
    """Measure in a new process: one sender of events serves all that a process has talked to."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
        return apart.submit(measure, folder, day).result()


@pytest.mark.long
def test_retention_keeps_what_is_young_and_gives_room_back(tmp_path: Path) -> None:
    found = measured(tmp_path, Day(rounds=80, tasks=4, turns=4, report_bytes=500_000))
    assert found.young_events_lost == 0 and found.events_after > 0
    # Rounds of the last six hours: a quarter, each with the task run that stands for it.
    assert found.task_runs_before == 80 * 5
    assert found.task_runs_after == 20 * 5
    # Each task wrote a line, and so did Prefect of its end; lines go after their run has.
    assert found.logs_before - found.logs_after >= 60 * 4 * 2
    # Of four reports in events, artifacts and the collection, those in old events are gone.
    assert found.after_mb < found.before_mb - 1


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_day_of_the_platform_stays_below_200_mb(tmp_path: Path) -> None:
    found = measured(tmp_path, COUNTED)
    assert found.after_mb < MOST_MB and found.young_events_lost == 0
