"""The process in which agents run: killed at a time-out with all it started, and begun again."""

from __future__ import annotations

import os

import psutil
import pytest

from alphafoundry.agents.desk import TimedOut
from alphafoundry.agents.registry import AgentContext, registered_agents
from alphafoundry.agents.snapshot import Facts
from alphafoundry.agents.worker import FloorWorker
from alphafoundry.errors import FoundryError
from tests.library.agents import hanging


def context(name: str, *, seconds: int = 600, seed: int = 0) -> AgentContext:
    return AgentContext(None, name, 0, 0, seconds, None, seed)


@pytest.mark.long
def test_what_hangs_is_killed_with_its_children_and_the_next_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_OF_HANGING", str(tmp_path))
    with FloorWorker(hanging.counting_floor, None) as worker:
        agents = worker.agents(registered_agents())
        first = worker.pid
        assert agents["counts_in_test"].run(context("counts_in_test")).summary == f"1 of {first}"
        assert worker.facts(0) == Facts(positions=1)

        with pytest.raises(TimedOut, match="killed after 4 s"):
            agents["hangs_in_test"].run(context("hangs_in_test", seconds=4))
        told = tmp_path / "pids"
        # On a very busy machine it may be killed before it has told.
        pids = [int(one) for one in told.read_text().split()] if told.exists() else []
        for pid in pids:
            gone = not psutil.pid_exists(pid)
            assert gone or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        left = [one for one in psutil.process_iter(["pid"]) if _in_group(one.pid, first)]
        assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []

        # Another process goes on from what the last run that ended had kept.
        assert worker.pid not in (None, first) and worker.kills == 1
        assert worker.kept["account"]["version"] == 1
        found = agents["counts_in_test"].run(context("counts_in_test"))
        assert found.summary == f"2 of {worker.pid}"
        last = worker.pid
    assert not psutil.pid_exists(last)


def test_failures_come_back_as_one_line_and_a_death_too():
    with FloorWorker(hanging.counting_floor, None) as worker:
        run = worker.agents(registered_agents())["fails_in_test"].run
        with pytest.raises(FoundryError, match=r"^no bars today$"):
            run(context("fails_in_test", seed=1))
        with pytest.raises(FoundryError, match=r"^ValueError in the agent's code$"):
            run(context("fails_in_test"))
        with pytest.raises(FoundryError, match=r"died \(exit status 7\)"):
            run(context("fails_in_test", seed=2))
        # Within a claim nothing is started, and nothing is known.
        assert worker.facts(0) == Facts()
        again = worker.agents(registered_agents())["counts_in_test"]
        assert again.run(context("counts_in_test")).summary.startswith("1 of ")


def _in_group(pid: int, group: int | None) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False
