"""A run: its row, its heartbeat, how it is asked to stop, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.errors import ConfigurationError, RunStopped, TakenOver
from alphafoundry.runs import NoProgress, Run, Stop, interrupt_open_runs, open_run, run
from alphafoundry.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(home=tmp_path) as opened:
        yield opened


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "foundry.sqlite", timeout=30)) as database:
        found = database.execute(query).fetchall()
        database.commit()
    return found


def until(condition: Any) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ENDING = "SELECT status, json_extract(report, '$.error') FROM runs"


def opened(store: Store, **options: Any) -> contextlib.AbstractContextManager[Run]:
    return open_run(store, flow="daily", service="local", **options)


def test_a_run_that_reaches_its_end_is_finished(store: Store, tmp_path: Path) -> None:
    with opened(store, settings={"seed": 1}) as one:
        assert rows(tmp_path, ENDING) == [("running", None)]
        one.report = {"best": 1.5}
    ((status, report),) = rows(tmp_path, "SELECT status, report FROM runs")
    assert (status, json.loads(report)) == ("finished", {"best": 1.5})


@pytest.mark.parametrize(
    ("problem", "ending"),
    [
        (ConfigurationError("no such market"), ("failed", "no such market")),
        (ZeroDivisionError("secret"), ("failed", "ZeroDivisionError")),
        (KeyboardInterrupt(), ("interrupted", None)),
        (asyncio.CancelledError(), ("interrupted", None)),
    ],
)
def test_how_it_ended_is_recorded_with_the_reason(
    store: Store, tmp_path: Path, problem: BaseException, ending: tuple[str, str | None]
) -> None:
    with pytest.raises(type(problem)), opened(store):
        raise problem
    assert rows(tmp_path, ENDING) == [ending]


def test_a_stop_makes_it_interrupted_whatever_is_raised(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RunStopped, match="run the same command again"), opened(store) as one:
        one.check_not_stopped()
        one.stop.set("Ctrl-C")
        one.check_not_stopped()
    assert rows(tmp_path, ENDING) == [("interrupted", None)]


def test_a_busy_event_loop_does_not_starve_the_heartbeat(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HEARTBEAT_SECONDS", 0.02)

    async def busy() -> None:
        with opened(store):
            (first,) = rows(tmp_path, "SELECT heartbeat_at FROM runs")
            # The loop does not turn while this waits.
            until(lambda: rows(tmp_path, "SELECT heartbeat_at FROM runs") != [first])

    asyncio.run(busy())


def test_a_run_presumed_dead_stops_and_leaves_its_row_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HEARTBEAT_SECONDS", 0.02)
    said: list[str] = []

    class Told(NoProgress):
        def say(self, message: str) -> None:
            said.append(message)

    with (
        pytest.raises(TakenOver, match="this run was presumed dead; another has taken over"),
        opened(store, progress=Told()) as one,
    ):
        rows(tmp_path, "UPDATE runs SET status = 'interrupted', finished_at = '2020-01-01'")
        until(one.stop.is_set)
        one.report = {"kept": True}
    ((status, finished, report),) = rows(tmp_path, "SELECT status, finished_at, report FROM runs")
    assert (status, finished) == ("interrupted", "2020-01-01")
    assert json.loads(report) == {"kept": True}
    assert len(said) == 1 and "presumed dead" in said[0]


def test_it_is_noticed_at_the_end_at_the_latest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TakenOver), opened(store):
        rows(tmp_path, "UPDATE runs SET status = 'interrupted'")


def test_a_database_that_is_away_for_a_while_does_not_end_the_heartbeat(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HEARTBEAT_SECONDS", 0.02)
    beats = 0
    beat = run.beat

    def sometimes(*arguments: Any) -> bool:
        nonlocal beats
        beats += 1
        if beats < 3:
            raise OSError("no route to host")
        return beat(*arguments)

    monkeypatch.setattr(run, "beat", sometimes)
    with opened(store) as one:
        until(lambda: beats >= 5)
        assert not one.stop.is_set()
    assert rows(tmp_path, ENDING) == [("finished", None)]


def test_a_process_that_must_leave_records_its_runs_and_waits_for_nothing(
    store: Store, tmp_path: Path
) -> None:
    hangs = threading.Event()
    with opened(store) as one:
        interrupt_open_runs()
        assert rows(tmp_path, ENDING) == [("interrupted", None)]
        one.end("finished")
        assert rows(tmp_path, ENDING) == [("interrupted", None)], "a run ends once"
    with opened(store) as other:
        other.end = lambda *_: hangs.wait()  # type: ignore[method-assign, assignment]
        interrupt_open_runs(0.05)
        hangs.set()
        del other.end


async def test_a_stop_from_another_thread_wakes_whoever_waits() -> None:
    stop = Stop()
    waiting = [asyncio.create_task(stop.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    threading.Thread(target=stop.set, args=("presumed dead",)).start()
    async with asyncio.timeout(300):
        await asyncio.gather(*waiting)
    await stop.wait()
    stop.set("later")
    assert stop.is_set() and stop.reason == "presumed dead"
