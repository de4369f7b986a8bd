"""A seccomp filter that leaves a process its memory, its clock and two pipes.

Source of the constants: Linux uapi headers seccomp.h, filter.h, audit.h, unistd.h.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from typing import Final, NamedTuple

PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1

KILL: Final = 0x80000000
ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000
EPERM: Final = 1
EACCES: Final = 13

LOAD: Final = 0x20
JUMP_EQUAL: Final = 0x15
JUMP_AT_LEAST: Final = 0x35
JUMP_ANY_BIT: Final = 0x45
RETURN: Final = 0x06

NUMBER: Final = 0
ARCHITECTURE: Final = 4
PROT_EXEC: Final = 4
X32: Final = 0x40000000


class System(NamedTuple):
    """System call numbers of one architecture.

    Attributes
    ----------
    architecture : AUDIT_ARCH value
    seccomp : the call that installs a filter
    read, write : restricted to the two pipes
    mapping : refused where they ask for executable memory
    allowed : pure computation
    refused : answered with EACCES; libraries ask on their own and go on without an answer
    """

    architecture: int
    seccomp: int
    read: int
    write: int
    mapping: tuple[int, ...]
    allowed: tuple[int, ...]
    refused: tuple[int, ...]


SYSTEMS: Final = {
    # allowed: munmap brk mremap madvise futex clock_gettime clock_nanosleep nanosleep setitimer
    # rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack getrandom sched_yield getpid gettid
    # exit exit_group restart_syscall gettimeofday getrusage sched_getaffinity close membarrier
    # refused: stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
    # getcwd ioctl lseek fcntl sysinfo uname
    "x86_64": System(
        architecture=0xC000003E,
        seccomp=317,
        read=0,
        write=1,
        mapping=(9, 10),
        allowed=(
            *(11, 12, 25, 28, 202, 228, 230, 35, 38, 13, 14, 15, 131, 318, 24, 39, 186, 60, 231),
            *(219, 96, 98, 204, 3, 324, 201),
        ),
        refused=(*(4, 5, 6, 262, 332, 21, 269, 439, 89, 267, 79, 16, 8, 72, 99, 63),),
    ),
    "aarch64": System(
        architecture=0xC00000B7,
        seccomp=277,
        read=63,
        write=64,
        mapping=(222, 226),
        allowed=(
            *(215, 214, 216, 233, 98, 113, 115, 101, 103, 134, 135, 139, 132, 278, 124, 172, 178),
            *(93, 94, 128, 169, 165, 123, 57, 283),
        ),
        refused=(80, 79, 291, 48, 439, 78, 17, 29, 62, 25, 179, 160),
    ),
}


def filter_program(system: System, *, read_fd: int, write_fd: int) -> bytes:
    """Return the BPF program: struct sock_filter of 8 bytes each.

    What is in no list kills the process with SIGSYS. There is no call among the allowed ones that
    makes a process, a thread, a descriptor or a connection, or that names another process.
    """
    argument = 16
    code = [
        _step(LOAD, ARCHITECTURE),
        _step(JUMP_EQUAL, system.architecture, 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER),
        _step(JUMP_AT_LEAST, X32, 0, 1),
        _step(RETURN, KILL),
    ]
    for number, descriptor in ((system.read, read_fd), (system.write, write_fd)):
        code += [
            _step(JUMP_EQUAL, number, 0, 4),
            _step(LOAD, argument),
            _step(JUMP_EQUAL, descriptor, 0, 1),
            _step(RETURN, ALLOW),
            _step(RETURN, KILL),
        ]
    for number in system.allowed:
        code += [_step(JUMP_EQUAL, number, 0, 1), _step(RETURN, ALLOW)]
    for number in system.mapping:
        code += [
            _step(JUMP_EQUAL, number, 0, 4),
            _step(LOAD, argument + 16),
            _step(JUMP_ANY_BIT, PROT_EXEC, 0, 1),
            _step(RETURN, REFUSE | EPERM),
            _step(RETURN, ALLOW),
        ]
    for number in system.refused:
        code += [_step(JUMP_EQUAL, number, 0, 1), _step(RETURN, REFUSE | EACCES)]
    code.append(_step(RETURN, KILL))
    return b"".join(code)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def install(libc: ctypes.CDLL, *, read_fd: int, write_fd: int) -> bool:
    """Put all threads of this process behind the filter, for good; False where there is none."""
    system = SYSTEMS.get(platform.machine())
    if system is None:
        return False
    code = filter_program(system, read_fd=read_fd, write_fd=write_fd)
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(held))
    unused = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), unused, unused, unused):
        return False
    call, mode = ctypes.c_long(system.seccomp), ctypes.c_ulong(SECCOMP_SET_MODE_FILTER)
    every_thread = ctypes.c_ulong(SECCOMP_FILTER_FLAG_TSYNC)
    return bool(libc.syscall(call, mode, every_thread, ctypes.byref(program)) == 0)
