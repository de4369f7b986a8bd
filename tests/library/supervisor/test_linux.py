"""Whole trees are ended, and what hides for a moment is found."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from alphafoundry.supervisor import linux

AGAIN = 'exec sh -c "$0" "$0"'
"""A program that becomes itself, again and again: often the kernel shows no environment of it."""


@pytest.fixture
def becoming() -> Iterator[subprocess.Popen[bytes]]:
    """A marked process that is in the midst of `exec` for a good part of its time."""
    # The more variables, the longer the kernel takes until it shows them.
    many = {f"V{number}": "x" * 50 for number in range(1000)}
    child = subprocess.Popen(
        ["/bin/sh", "-c", AGAIN, AGAIN], env=os.environ | many | {linux.SUPERVISION: "night"}
    )
    yield child
    child.kill()
    child.wait()


def test_a_process_is_found_in_the_midst_of_becoming_another_program(
    becoming: subprocess.Popen[bytes],
) -> None:
    hidden, reader = 0, linux.MarkReader()
    while hidden < 2:  # as often as it could be missed, and it never is
        hidden += not linux.marks(becoming.pid, linux.SUPERVISION)
        assert reader.read([becoming.pid], linux.SUPERVISION) == {becoming.pid: ["night"]}


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
