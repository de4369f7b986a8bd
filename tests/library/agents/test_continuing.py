"""A simulation that was cut goes on, and ends as one that was not."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from alphafoundry.errors import StoreError
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_desk
from tests.library.agents.small_desks import small_desk, small_panel
from tests.piped_commands import status_of


def killed_within_a_session(home: Path, after: int) -> None:
    """Simulate, and die by SIGKILL in the middle of the session after `after` others."""
    with open_store(home=home) as store, small_desk(store, small_panel(), home, sessions=2) as desk:
        for session in desk.sessions[:after]:
            desk.run_session(session)
        execute = desk.floor.account.execute

        def die(*given: object, **named: object) -> object:
            done = execute(*given, **named)  # type: ignore[arg-type]
            if done.figures.get("fills"):
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        desk.floor.account.execute = die  # type: ignore[method-assign]
        desk.run_session(desk.sessions[after])


def out_of_space_within_a_session(home: Path, after: int) -> None:
    """Simulate until no file may grow any more, and end with status 3 where that was told."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open_store(home=home) as store, small_desk(store, small_panel(), home, sessions=2) as desk:
        for session in desk.sessions[:after]:
            desk.run_session(session)
        largest = max(one.stat().st_size for one in home.rglob("*") if one.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
        try:
            desk.run_session(desk.sessions[after])
        except StoreError as problem:
            told = "\n" not in str(problem) and "space" in str(problem)
            os._exit(3 if told else 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "end"),
    [
        (1, killed_within_a_session),
        pytest.param(0, killed_within_a_session, marks=pytest.mark.long),
        pytest.param(1, out_of_space_within_a_session, marks=pytest.mark.long),
    ],
)
def test_a_simulation_that_was_cut_ends_like_one_that_was_not(tmp_path, after, end):
    panel = small_panel()
    with (
        open_store(home=tmp_path / "whole") as store,
        small_desk(store, panel, tmp_path / "whole", sessions=2) as desk,
    ):
        for session in desk.sessions:
            desk.run_session(session)
        whole = desk.report()
    assert whole.totals.differences == [] and whole.totals.orders["filled"] > 20

    home = tmp_path / "cut"
    program = f"from {__name__} import *; {end.__name__}(Path({str(home)!r}), {after})"
    expected = -signal.SIGKILL if end is killed_within_a_session else 3
    assert status_of(program) == expected
    with open_store(home=home) as store:
        found = read_agent_desk(store, "small")
        assert (found.checkpoint or {"sessions": 0})["sessions"] == after
        kept = found.checkpoint
        with small_desk(store, panel, home, sessions=2, checkpoint=kept) as desk:
            for session in desk.sessions[desk.done :]:
                desk.run_session(session)
            report = desk.report()
    assert report.digest == whole.digest
    assert report.totals == whole.totals
    assert report.evenings == whole.evenings
