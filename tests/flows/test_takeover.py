"""A run that another took for dead, and simulations that another run has finished."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from alphafoundry.errors import TakenOver
from alphafoundry.runs import run
from tests.flows.misbehaving import Service
from tests.flows.test_optimize import LASTING, write
from tests.library.llm.chat_server import program, running_chat_server
from tests.working_folder import WorkingFolder


async def run_while(place: WorkingFolder, url: str, statement: str) -> None:
    """Generate; carry out a statement on the database once a simulation has ended."""
    from flows.generate import generate

    run = asyncio.ensure_future(generate(simulations=40, brain=url))
    while not run.done() and not place.finished():
        await asyncio.sleep(0.05)
    with contextlib.closing(sqlite3.connect(place.home / "foundry.sqlite", timeout=30)) as database:
        database.execute(statement)
        database.commit()
    await run


def test_a_run_taken_for_dead_stops_and_says_why(
    place: WorkingFolder, service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HEARTBEAT_SECONDS", 0.1)
    with pytest.raises(TakenOver, match="this run was presumed dead"):
        asyncio.run(run_while(place, url, "UPDATE runs SET status = 'interrupted'"))
    assert place.rows("SELECT status FROM runs") == [("interrupted",)]
    assert 0 < place.finished() < 40, "it went on with what was not its own any more"


@pytest.mark.long
@pytest.mark.parametrize("in_groups", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_simulation_that_another_run_finished_is_left_alone(
    place: WorkingFolder, service: Service, url: str, in_groups: bool
) -> None:
    mine = "UPDATE simulations SET status = 'error', message = 'theirs' WHERE status = 'planned'"
    asyncio.run(run_while(place, "local" if in_groups else url, mine))
    assert place.rows("SELECT status FROM runs") == [("finished",)]
    theirs = place.count("SELECT count(*) FROM simulations WHERE message = 'theirs'")
    assert theirs > 0
    assert place.finished() == 40 - theirs


async def test_a_workflow_gives_signs_of_life_and_obeys(
    in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.optimize import optimize

    place = in_process
    monkeypatch.setattr(run, "HEARTBEAT_SECONDS", 0.1)
    running = asyncio.ensure_future(optimize(write(place, LASTING)))
    beats = "SELECT count(*) FROM runs WHERE heartbeat_at > started_at"
    while not running.done() and not place.count(beats):
        await asyncio.sleep(0.05)
    presume_dead(place)
    with pytest.raises(TakenOver, match="this run was presumed dead; another has taken over"):
        await running
    assert place.rows("SELECT status FROM runs") == [("interrupted",)]
    assert place.count("SELECT count(*) FROM workflow_trials") < 48


@pytest.mark.long
async def test_the_algorithms_flow_obeys(
    in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.algorithms import algorithms

    place = in_process
    monkeypatch.setattr(run, "HEARTBEAT_SECONDS", 0.1)
    with running_chat_server() as models:
        models.default = program(delay=120)
        running = asyncio.ensure_future(algorithms(models="a,b", base_url=models.url))
        while not running.done() and len(models.sent) < 2:
            await asyncio.sleep(0.05)
        presume_dead(place)
        with pytest.raises(TakenOver, match="this run was presumed dead"):
            await running
    assert place.rows("SELECT status FROM runs") == [("interrupted",)]
    assert place.count("SELECT count(*) FROM race_results") == 0


def presume_dead(place: WorkingFolder) -> None:
    """Do what a run on another host does with one that gave no sign of life for long."""
    with contextlib.closing(sqlite3.connect(place.home / "foundry.sqlite", timeout=30)) as database:
        database.execute("UPDATE runs SET status = 'interrupted'")
        database.commit()
