"""Forked commands that a test talks to, as `subprocess.Popen` with pipes does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.working_folder import ROOT, TIMEOUT, fork_server

PROGRAM = "tests.piped_commands"
"""The module that runs a text, so that `python -c TEXT` can be forked, too."""


class PipedCommand:
    """A running `python -m module flags` with the other ends of its input and output.

    Parameters
    ----------
    stderr : descriptor for its errors; without one they go where those of the tests go

    Attributes
    ----------
    stdin, stdout : what it reads and what it writes, as text
    """

    def __init__(self, module: str, flags: Sequence[str], *, stderr: int = 2) -> None:
        their_stdin, stdin = os.pipe()
        stdout, their_stdout = os.pipe()
        self.stdin, self.stdout = os.fdopen(stdin, "w"), os.fdopen(stdout)
        try:
            self._command = fork_server().start(
                module,
                flags,
                cwd=Path.cwd(),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=their_stdin,
                stdout=their_stdout,
                stderr=stderr,
            )
        finally:
            os.close(their_stdin)
            os.close(their_stdout)
        self.poll = self._command.poll
        self.wait = self._command.wait
        self.kill = self._command.kill
        self.send_signal = self._command.send_signal

    def __enter__(self) -> PipedCommand:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.communicate()

    def communicate(self) -> str:
        """Say that nothing more comes, wait for its end, and return what it has yet printed."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        if self.stdout.closed:
            self.wait()
            return ""
        with self.stdout:
            said = self.stdout.read()
        self.wait()
        return said


def run_forked(
    module: str, flags: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module flags` to its end, in a folder and with a whole environment."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = fork_server().start(
            module, flags, cwd=cwd, env=env, stdout=out.fileno(), stderr=err.fileno()
        )
        try:
            status = command.wait(TIMEOUT)
        finally:
            command.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([module, *flags], status, out.read(), err.read())


def program(text: str, *arguments: str) -> PipedCommand:
    """Start `python -c text arguments`."""
    return PipedCommand(PROGRAM, [text, *arguments])


def status_of(text: str, *arguments: str) -> int:
    """Run `python -c text arguments` to its end; return its exit status, negative for a signal."""
    with program(text, *arguments) as running:
        running.communicate()
        return running.wait()


if __name__ == "__main__":
    text = sys.argv.pop(1)
    exec(compile(text, "<text>", "exec"), {"__name__": "__main__"})
