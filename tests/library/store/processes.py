"""Start other processes and let them go at the same moment."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def child(what: str, url: str, gate: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `child.py`; killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.library.store.child", what, url, str(gate), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def race(what: str, url: str, gate: Path, *arguments: tuple[str, ...]) -> list[list[str]]:
    """Run one child for each argument list, all from the same moment; return what each printed."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(child(what, url, gate, *given)) for given in arguments]
        for process in children:
            assert line(process) == "ready"
        gate.touch()
        printed = [line(process).split() for process in children]
        for process in children:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=60) == 0
        return printed


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
