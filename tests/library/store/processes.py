"""Start other processes and let them go at the same moment."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.piped_commands import PipedCommand


def child(what: str, url: str, gate: Path, *arguments: str) -> PipedCommand:
    """Run `child.py`; killed at the end of the block."""
    return PipedCommand("tests.library.store.child", [what, url, str(gate), *arguments])


def race(what: str, url: str, gate: Path, *arguments: tuple[str, ...]) -> list[list[str]]:
    """Run one child for each argument list, all from the same moment; return what each printed."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(child(what, url, gate, *given)) for given in arguments]
        for process in children:
            assert line(process) == "ready"
        gate.touch()
        printed = [line(process).split() for process in children]
        for process in children:
            process.stdin.close()
            assert process.wait(300) == 0
        return printed


def line(process: PipedCommand) -> str:
    return process.stdout.readline().strip()
