"""The walls that the child process of the sandbox builds around itself before it sees any code."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alphafoundry.algorithms import sandbox_child_seccomp as seccomp
from alphafoundry.algorithms.sandbox_wire import RESPONSE_FD

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWNET: Final = 0x40000000
PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
CAPABILITY_VERSION: Final = 0x20080522
NOBODY: Final = 65534

FORBIDDEN_EVENTS: Final = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "ctypes.",
    "mmap.",
    "signal.",
    "_thread.",
    "fcntl.",
    "gc.",
    "pty.",
    "resource.",
    "shutil.",
    "glob.",
    "pathlib.",
    "syslog.",
    "sys.addaudithook",
    "sys.setprofile",
    "sys.settrace",
    "marshal.",
    "pickle.",
    "sqlite3.",
    "code.__new__",
    "winreg.",
    "msvcrt.",
)
"""Audit events (the table in Python's documentation) that end an algorithm, by prefix."""


def build_walls(
    *,
    memory_bytes: int,
    cpu_seconds: int,
    parent: int,
    on_violation: Callable[[str], None],
) -> list[str]:
    """Give up everything but computing; return the names of the walls that stand.

    Parameters
    ----------
    memory_bytes : address space above what is in use now
    cpu_seconds : processor time from now on; the kernel kills the process after that
    parent : process id of the starter; this process dies with it
    on_violation : called with a description of a forbidden audit event; the process ends after it

    The working folder must be an empty folder of the process's own.
    """
    walls: list[str] = []
    libc: ctypes.CDLL | None = None
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
    root = os.geteuid() == 0
    missing = _limit_resources(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
    if libc is not None:
        if _separate_network(libc):
            walls.append("network namespace")
        if _empty_root():
            walls.append("empty root")
        if _become_nobody():
            walls.append("user nobody")
        elif root and "processes" not in missing:
            # The kernel does not count root's processes.
            missing.append("processes")
        if _drop_capabilities(libc):
            walls.append("no capabilities")
        unused = ctypes.c_ulong(0)
        libc.prctl(PR_SET_DUMPABLE, unused, unused, unused, unused)
        libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), unused, unused, unused)
        if os.getppid() != parent:
            os._exit(1)
    walls.insert(0, f"limits without {', '.join(missing)}" if missing else "limits")
    armed: list[bool] = []
    sys.addaudithook(_watcher(armed, on_violation))
    _empty_interpreter()
    if libc is not None and seccomp.install(libc, read_fd=0, write_fd=RESPONSE_FD):
        walls.append("seccomp")
    armed.append(True)
    walls.append("audit")
    return walls


def _limit_resources(*, memory_bytes: int, cpu_seconds: int) -> list[str]:
    """Set every limit; return the names of those that this system does not have."""
    used = _address_space()
    spent = int(sum(os.times()[:2])) + 1
    limits = {
        "core files": (resource.RLIMIT_CORE, 0, 0),
        "file size": (resource.RLIMIT_FSIZE, 0, 0),
        # The kernel says why at the first limit and kills without a word at the second.
        "processor time": (resource.RLIMIT_CPU, spent + cpu_seconds, spent + cpu_seconds + 2),
        "memory": (resource.RLIMIT_AS, used + memory_bytes, used + memory_bytes),
        "descriptors": (resource.RLIMIT_NOFILE, 0, 0),
        "processes": (resource.RLIMIT_NPROC, 0, 0),
    }
    missing = []
    for name, (kind, soft, hard) in limits.items():
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError):
            missing.append(name)
    return missing


def _address_space() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[0]) * resource.getpagesize()
    return 2**32


def _separate_network(libc: ctypes.CDLL) -> bool:
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNET | CLONE_NEWIPC) == 0:
        return True
    return bool(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0)


def _empty_root() -> bool:
    try:
        os.chroot(".")
        os.chdir("/")
    except OSError:
        return False
    return True


def _become_nobody() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return False
    return True


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    return bool(libc.capset(header, none) == 0)


def _empty_interpreter() -> None:
    # What is not loaded by now stays out: an import that finds nothing says so, where one that
    # meets a closed file system would be taken for an escape.
    os.environ.clear()
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.argv[:] = [""]
    sys.dont_write_bytecode = True
    gc.freeze()


def _watcher(
    armed: list[bool], on_violation: Callable[[str], None]
) -> Callable[[str, tuple[object, ...]], None]:
    forbidden, end = FORBIDDEN_EVENTS, os._exit

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if armed and event.startswith(forbidden):
            first = arguments[0] if arguments else ""
            detail = f" {first!r:.80}" if first and isinstance(first, (str, bytes, int)) else ""
            try:
                on_violation(f"{event}{detail} is forbidden")
            finally:
                end(1)

    return watch
