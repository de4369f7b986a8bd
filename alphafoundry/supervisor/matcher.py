"""Looks for error patterns in output, in a process of its own: a bad pattern holds nobody up.

Standard input has frames, a line of JSON with the size of the text that follows; standard output
has a line of JSON for each: what matched, and which patterns were too slow and are off.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import IO

from alphafoundry.supervisor.fingerprints import fingerprint

LONGEST_LINE = 4096
SLOW_SECONDS = 1.0
"""Processor seconds that one pattern may take for one piece of output."""

GLANCE_SECONDS = 0.2
"""Processor seconds after which a pattern is not tried on whole pieces any more."""

HUNG_SECONDS = 15.0
ROOM = 8 * 2**20
"""Bytes that may wait for the matcher."""

MOST_MATCHES = 20
"""Lines of one piece and pattern that are given back; the rest is counted."""

ERRORS = (
    r"^[ \t]*[\w.]*(?:Error|Exception|KeyboardInterrupt)\b(?::|$)"
    r"|\b(?:ERROR|CRITICAL|FATAL)\b|^(?:error|fatal|Error|Fatal)(?:\s?\[\w*\])?:"
)
"""What counts as an error in every output, whatever patterns a process has."""

_SIGNS = ("rror", "xception", "ERROR", "CRITICAL", "FATAL", "atal", "KeyboardInterrupt")
"""A text without any of these has no line that `ERRORS` matches; finding that out is fast."""

_NOT_SIMPLE = re.compile(r"\(\?(?!:)|\\[AZz]|[+*?}]\+")

CONTEXT_LINES = 50
_REMEMBERED = 8192
_MOST_STREAMS = 400


class _TooSlow(Exception):
    pass


def _alarm(_number: int, _frame: FrameType | None) -> None:
    raise _TooSlow


def search(pattern: re.Pattern[str], lines: Iterable[str]) -> tuple[list[int], bool]:
    """Return the numbers of the lines that match, and whether the pattern was too slow."""
    found: list[int] = []
    matches = pattern.search
    try:
        signal.setitimer(signal.ITIMER_PROF, SLOW_SECONDS)
        for number, line in enumerate(lines):
            if matches(line):
                found.append(number)
    except _TooSlow:
        return found, True
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return found, False


def simple(expression: str) -> bool:
    """Return whether an expression that matches in a line does so in a text of many lines, too.

    Not where it looks around or ahead, gives nothing back, or asks for the ends of the whole text.
    """
    return not _NOT_SIMPLE.search(expression)


class Glance:
    """Says of a whole text that no line of it matches: for most output that is all there is to say.

    It may be wrong the other way round, as a match may go over the end of a line.
    """

    def __init__(self, expression: str) -> None:
        self._pattern = re.compile(expression, re.MULTILINE) if simple(expression) else None

    def finds_nothing(self, text: str) -> bool:
        """Return whether no line matches; False where that is not clear within `GLANCE_SECONDS`."""
        if self._pattern is None:
            return False
        try:
            signal.setitimer(signal.ITIMER_PROF, GLANCE_SECONDS)
            return self._pattern.search(text) is None
        except _TooSlow:
            # Over many lines it takes longer than line by line.
            self._pattern = None
            return False
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def same_errors(lines: Iterable[str]) -> list[tuple[str, int]]:
    """Return the first line of each different error, and how many lines are the same."""
    counts: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for line in lines:
        mark = fingerprint(line)
        firsts.setdefault(mark, line)
        counts[mark] = counts.get(mark, 0) + 1
    return [(first, counts[mark]) for mark, first in firsts.items()]


def serve(source: IO[bytes], answer: IO[bytes]) -> None:
    """Match frame by frame until the input closes."""
    signal.signal(signal.SIGPROF, _alarm)
    compiled: dict[str, re.Pattern[str]] = {}
    glances: dict[str, Glance] = {}
    off: set[str] = set()
    before: dict[str, str] = {}
    for header in iter(source.readline, b""):
        frame = json.loads(header)
        text = source.read(frame["size"]).decode("utf-8", "replace")
        lines: list[str] | None = None
        matches, slow = [], []
        counted: set[int] = set()
        for expression in frame["patterns"]:
            if expression in off:
                continue
            if expression == ERRORS and not any(sign in text for sign in _SIGNS):
                continue
            if expression not in glances:
                glances[expression] = Glance(expression)
            if glances[expression].finds_nothing(text):
                continue
            if lines is None:
                lines = [line[:LONGEST_LINE] for line in text.split("\n")]
            if expression not in compiled:
                compiled[expression] = re.compile(expression)
            found, too_slow = search(compiled[expression], lines)
            if too_slow:
                off.add(expression)
                slow.append(expression)
            if found:
                # A line that several patterns match is one error.
                errors = same_errors(lines[number] for number in found if number not in counted)
                counted.update(found)
                earlier = before.get(frame["key"], "").split("\n")[-CONTEXT_LINES:]
                context = [*earlier, *lines[: found[0] + 1]][-CONTEXT_LINES:]
                matches.append(
                    {
                        "pattern": expression,
                        "lines": [lines[number] for number in found[:MOST_MATCHES]],
                        "count": len(found),
                        "context": context,
                        "errors": errors,
                    }
                )
        if len(before) >= _MOST_STREAMS and frame["key"] not in before:
            del before[next(iter(before))]  # the oldest; its life is over most likely
        rest = f"{before.get(frame['key'], '')}\n{text}"[-_REMEMBERED:]
        before[frame["key"]] = rest.strip("\n")
        told = {"frame": frame["frame"], "matches": matches, "slow": slow}
        answer.write(json.dumps(told).encode() + b"\n")
        answer.flush()


@dataclass(frozen=True)
class Match:
    """Lines that matched a pattern.

    Attributes
    ----------
    key : what `submit` was given
    lines : the first of them
    context : the first with the lines before it
    errors : first line of each different error, and its count; what an earlier pattern of the same
        piece has matched is not counted again
    """

    key: str
    pattern: str
    lines: list[str]
    count: int
    context: list[str]
    errors: list[tuple[str, int]]


@dataclass
class _Frame:
    key: str
    patterns: list[str]
    size: int
    sent: float


class Matcher:
    """The matcher's process as the core sees it; `poll` gives what was found.

    Attributes
    ----------
    off : patterns that were too slow
    unseen : bytes of output that no pattern has seen
    """

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.unseen = 0
        self._frames: dict[int, _Frame] = {}
        self._number = 0
        self._outgoing = bytearray()
        self._incoming = b""
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "alphafoundry.supervisor.matcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        for end in (self._input, self._output):
            os.set_blocking(end, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._input, 1031, 1 << 18)

    @property
    def descriptors(self) -> tuple[int, int]:
        """Where it answers, and where it is written to."""
        return self._output, self._input

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def wants_to_write(self) -> bool:
        """Whether something waits for room in the pipe."""
        return bool(self._outgoing)

    @property
    def has_room(self) -> bool:
        """Whether it keeps up."""
        return len(self._outgoing) < ROOM

    def submit(self, key: str, patterns: Iterable[str], text: bytes) -> None:
        """Have whole lines looked at; what finds no room is counted as unseen."""
        wanted = [one for one in patterns if one not in self.off]
        if not wanted:
            return
        if not self.has_room:
            self.unseen += len(text)
            return
        self._number += 1
        header = {"frame": self._number, "key": key, "size": len(text), "patterns": wanted}
        self._frames[self._number] = _Frame(key, wanted, len(text), time.monotonic())
        self._outgoing += json.dumps(header).encode() + b"\n" + text
        self.write()

    def write(self) -> None:
        """Write what the pipe takes."""
        try:
            while self._outgoing:
                sent = os.write(self._input, self._outgoing[: 1 << 18])
                del self._outgoing[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._replace()

    def read(self) -> Iterator[Match | str]:
        """Give what was found, and the patterns that are off from now on."""
        try:
            data = os.read(self._output, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._replace()
            return
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            frame = self._frames.pop(told["frame"], None)
            for pattern in told["slow"]:
                if pattern not in self.off:
                    self.off.add(pattern)
                    yield pattern
            if frame is not None:
                for one in told["matches"]:
                    one["errors"] = [(line, count) for line, count in one["errors"]]
                    yield Match(frame.key, **one)

    def watch(self, now: float) -> Iterator[str]:
        """Replace the process where it hangs; give the patterns that are off for it."""
        oldest = min(self._frames.values(), key=lambda one: one.sent, default=None)
        if oldest is None or now - oldest.sent < HUNG_SECONDS:
            return
        for pattern in oldest.patterns:
            if pattern != ERRORS and pattern not in self.off:
                self.off.add(pattern)
                yield pattern
        self._replace()

    def _replace(self) -> None:
        """Start a new process; what the old one had not answered stays unseen."""
        self.unseen += sum(one.size for one in self._frames.values())
        self.close()
        self._frames.clear()
        self._outgoing.clear()
        self._incoming = b""
        self._start()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
