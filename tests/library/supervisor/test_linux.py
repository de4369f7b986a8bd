"""Whole trees are ended, and what hides for a moment is found."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from functools import partial

import pytest

from alphafoundry.supervisor import linux

AGAIN = 'exec sh -c "$0" "$0"'
"""A program that becomes itself, again and again: often the kernel shows no environment of it."""


def becoming(mark: str) -> subprocess.Popen[bytes]:
    """Start a marked process that is in the midst of `exec` for a good part of its time."""
    return subprocess.Popen(
        ["/bin/sh", "-c", AGAIN, AGAIN], env=os.environ | {linux.SUPERVISION: mark}
    )


def test_a_process_is_found_in_the_midst_of_becoming_another_program() -> None:
    child = becoming("night")
    hidden, reader = 0, linux.MarkReader()
    try:
        while hidden < 10:  # as often as it could be missed, and it never is
            hidden += not linux.marks(child.pid, linux.SUPERVISION)
            assert reader.read([child.pid], linux.SUPERVISION) == {child.pid: ["night"]}
    finally:
        child.kill()
        child.wait()


@pytest.mark.long
def test_what_becomes_another_program_all_the_time_is_ended_each_time() -> None:
    left = 0
    for number in range(200):
        mark, reader = f"night-{number}", linux.MarkReader()
        child = becoming(mark)
        time.sleep(0.1)
        linux.kill_until_gone(partial(reader.marked, linux.SUPERVISION, mark), child.poll)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)
        left += child.poll() is None
        child.kill()
        child.wait()
    assert left == 0  # of one look that ended the search, one in a hundred


def test_a_process_that_never_has_variables_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    pause = time.sleep
    with subprocess.Popen(["sleep", "1000"], env={}) as child:
        reader = linux.MarkReader()
        monkeypatch.setattr(linux.time, "sleep", lambda one: (pauses.append(one), pause(one)))
        found = [reader.read([child.pid], linux.SUPERVISION)]
        first = len(pauses)
        found += [reader.read([child.pid], linux.SUPERVISION) for _ in range(3)]
        assert found == 4 * [{child.pid: []}]
        assert 0 < first == len(pauses)
        child.kill()


def test_what_forked_while_nobody_was_seen_is_looked_for_again() -> None:
    looks = iter([[], [], [1 << 30], [], [], [], [7]])
    assert linux.kill_until_gone(lambda: next(looks)) == 0
    assert list(looks) == [[7]]
