"""A forked command is a command: what it finds, and how it ends, are as for `python -m`."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.forked_commands import ForkServer
from tests.piped_commands import PROGRAM, program
from tests.working_folder import ROOT, WorkingFolder, plain_environment, this_run, wait_until

MODULE = "tests.flows.tell_surroundings"


def found(place: WorkingFolder, *, new: bool) -> dict[str, Any]:
    done = place.run(MODULE, "3", new=new, PREFECT_LOGGING_LEVEL="ERROR", FOUNDRY_SIMULATIONS="4")
    assert (done.returncode, done.stderr) == (3, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_it_finds_the_same_around_itself(lonely_folder: WorkingFolder) -> None:
    forked = found(lonely_folder, new=False)
    assert forked == found(lonely_folder, new=True)
    assert forked["settings"]["home"] == str(lonely_folder.prefect_home)
    assert forked["settings"]["logging"]["level"] == "ERROR"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_it(lonely_folder: WorkingFolder, number: signal.Signals) -> None:
    with lonely_folder.start(MODULE, "wait") as process:
        wait_until(lambda: process.poll() is not None or lonely_folder.output(MODULE))
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == -number


def test_commands_at_the_same_time_have_an_end_each(lonely_folder: WorkingFolder) -> None:
    commands = [(MODULE, (str(status),), {"MARK": str(status)}) for status in range(5)]
    done = lonely_folder.run_each(*commands)
    assert [one.returncode for one in done] == list(range(5))
    marks = [json.loads(one.stdout)["environment"]["MARK"] for one in done]
    assert marks == [str(status) for status in range(5)]


def test_a_module_that_is_not_there_ends_as_in_python(lonely_folder: WorkingFolder) -> None:
    done = lonely_folder.run("flows.nowhere")
    assert done.returncode == 1 and "No module named flows.nowhere" in done.stderr


@pytest.mark.long
def test_all_processes_of_a_run_share_what_forks(tmp_path: Path) -> None:
    """And it goes on for the others when one of them has ended."""
    parent = "import os; print(os.getppid())"
    mine = program(parent).communicate()
    with tempfile.TemporaryFile("w+") as out:
        other = ForkServer(ROOT, {}, run=this_run())
        theirs = other.start(
            PROGRAM, [parent], cwd=tmp_path, env=plain_environment(), stdout=out.fileno(), stderr=2
        )
        assert theirs.wait(300) == 0
        other.close()
        out.seek(0)
        assert out.read() == mine == program(parent).communicate()
