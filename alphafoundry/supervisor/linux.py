"""What Linux tells about processes, and how their whole trees are ended. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUPERVISION = "FOUNDRY_SUPERVISION"
"""Variable with the ids of the supervisions of a process, outermost first, with `:` between."""

PROCESS = "FOUNDRY_PROCESS"
"""Variable with the lives that it belongs to, outermost first, with spaces: id/name:number."""

ALERTS = "FOUNDRY_ALERTS"
"""Variable with the addresses that alerts go to, with spaces between; they hold passwords."""

HEARTBEAT = "FOUNDRY_HEARTBEAT"
"""Variable with an address that is asked for every minute while the supervisor is well."""

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
PIPE_BYTES = 256 * 1024

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_F_SETPIPE_SZ = 1031
_ROUNDS = 200
_PAUSE = 0.005
_LOOKS = 3
_LONGEST_EXEC = 1.0
_ENVIRONMENT = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Be killed when the thread that forked this process ends; `parent` is the pid it has."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def widen_pipe(descriptor: int) -> None:
    """Ask for a larger pipe; the kernel may refuse."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, PIPE_BYTES)


@dataclass(frozen=True)
class ProcessSample:
    """One process at one moment.

    Attributes
    ----------
    started : moment of its start in clock ticks since the machine's; with the pid it names it
    cpu : processor seconds that it has used
    rss : bytes of memory
    """

    pid: int
    parent: int
    group: int
    session: int
    started: int
    cpu: float
    rss: int
    threads: int
    zombie: bool


def sample(pid: int) -> ProcessSample | None:
    """Return what /proc says of a process, None where there is no such process."""
    try:
        text = Path("/proc", str(pid), "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return ProcessSample(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        cpu=(int(fields[11]) + int(fields[12])) / TICKS,
        rss=int(fields[21]) * PAGE,
        threads=int(fields[17]),
        zombie=fields[0] == b"Z",
    )


def pids() -> Iterator[int]:
    """Yield the number of every process."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield int(name)


def sample_all() -> dict[int, ProcessSample]:
    """Return a sample of every process, by pid."""
    return {pid: found for pid in pids() if (found := sample(pid)) is not None}


def children(pid: int) -> list[int]:
    """Return the children of a process that has one thread."""
    try:
        text = Path("/proc", str(pid), "task", str(pid), "children").read_text("ascii")
    except OSError:  # a kernel that does not tell
        return children_of(sample_all()).get(pid, [])
    return [int(one) for one in text.split()]


def children_of(samples: dict[int, ProcessSample]) -> dict[int, list[int]]:
    """Return the pids of the children of each process."""
    children: dict[int, list[int]] = {}
    for one in samples.values():
        children.setdefault(one.parent, []).append(one.pid)
    return children


def tree_of(pid: int, children: dict[int, list[int]]) -> list[int]:
    """Return a process and all of its descendants."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(children.get(one, ()))
    return found


def marks(pid: int, variable: str) -> list[str]:
    """Return the parts of a marker variable of a process; none where it cannot be read."""
    return _parts(_environment(pid), variable)


def _environment(pid: int) -> bytes | None:
    """Return the variables of a process; cut off, or empty, where it becomes another program."""
    try:
        file = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
    except OSError:
        return None
    text = b""
    try:
        while part := os.read(file, _ENVIRONMENT):
            text += part
    except OSError:
        return None
    finally:
        os.close(file)
    return text


def _parts(environment: bytes | None, variable: str) -> list[str]:
    start = variable.encode() + b"="
    for entry in (environment or b"").split(b"\0"):
        if entry.startswith(start):
            text = entry[len(start) :].decode("utf-8", "replace")
            return text.split(":") if variable == SUPERVISION else text.split()
    return []


class MarkReader:
    """Reads marker variables for certain: of a process that is about to become another program too.

    In the midst of `exec` the kernel shows no environment, for a tenth of a second on a busy
    machine. What shows none is read again until it does; once for each process that never has any.
    """

    def __init__(self) -> None:
        self._bare: set[tuple[int, int]] = set()

    def read(self, pids: Iterable[int], variable: str) -> dict[int, list[str]]:
        """Return the parts of a marker variable of each process."""
        found: dict[int, list[str]] = {}
        waiting, deadline = list(pids), time.monotonic() + _LONGEST_EXEC
        while waiting:
            unsure: dict[int, tuple[int, int]] = {}
            for pid in waiting:
                environment = _environment(pid)
                found[pid] = _parts(environment, variable)
                whole = environment is None or environment.endswith(b"\0")
                one = None if whole else sample(pid)
                if one is not None and (pid, one.started) not in self._bare and _has_program(one):
                    unsure[pid] = (pid, one.started)
            if unsure and time.monotonic() > deadline:
                self._bare |= set(unsure.values())
                break
            waiting = list(unsure)
            if waiting:
                time.sleep(_PAUSE)
        return found

    def marked(self, variable: str, mark: str) -> list[int]:
        """Return the processes, this one left out, whose marker variable has a part `mark`."""
        own = os.getpid()
        found = self.read((pid for pid in pids() if pid != own), variable)
        return [pid for pid, parts in found.items() if mark in parts]


def _has_program(one: ProcessSample) -> bool:
    """Return whether a process lives and is none of the kernel's threads."""
    try:
        return not one.zombie and bool(Path("/proc", str(one.pid), "exe").readlink())
    except OSError:
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process group that may have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def kill_until_gone(
    find: Callable[[], Iterable[int]], after_each: Callable[[], object] = lambda: None
) -> int:
    """Kill what `find` returns until it returns nothing; give how many are left after a second.

    Looks again after each round, and more than once where it sees nothing: a process may have
    forked and died while its turn to be looked at had not come.
    """
    left: list[int] = []
    empty = 0
    for _ in range(_ROUNDS):
        left = list(find())
        empty = 0 if left else empty + 1
        if empty == _LOOKS:
            break
        if not left:
            continue
        for pid in left:
            kill(pid)
        time.sleep(_PAUSE)
        after_each()
    return len(left)
