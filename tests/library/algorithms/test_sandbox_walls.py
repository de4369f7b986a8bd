"""The walls of the process, each alone: no check of the source, no hook, raw system calls."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alphafoundry.algorithms.leader_board import missing_wall
from alphafoundry.algorithms.sandbox import Sandbox
from alphafoundry.algorithms.sandbox_child_seccomp import SYSTEMS, filter_program
from tests.library.algorithms.hostile import in_call
from tests.some_cases import one_in
from tests.working_folder import wait_until

linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in SYSTEMS, reason="needs Linux seccomp"
)

BEHIND_THE_FILTER = """
import ctypes, json, os, platform, sys
from alphafoundry.algorithms import sandbox_child_seccomp as seccomp
libc = ctypes.CDLL(None, use_errno=True)
call = lambda *a: libc.syscall(*[ctypes.c_long(x) for x in a])
number = lambda on_x86, on_arm: on_x86 if platform.machine() == "x86_64" else on_arm
path = ctypes.create_string_buffer(b"/etc/passwd")
results = {}
for name, body in json.load(sys.stdin).items():
    answer, child_end = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(child_end, 3)
        assert seccomp.install(libc, read_fd=0, write_fd=3)
        os.write(3, b"before ")
        outcome = eval(body)
        os.write(3, f"{outcome} {ctypes.get_errno()}".encode())
        os._exit(0)
    os.close(child_end)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    results[name] = status, os.read(answer, 1000).decode()
    os.close(answer)
json.dump(results, sys.stdout)
"""

KILLED = {
    "openat": "call(number(257, 56), -100, ctypes.addressof(path), 0)",
    "openat2": "call(437, -100, ctypes.addressof(path), 0, 24)",
    "getdents64": "call(number(217, 61), 0, 0, 0)",
    "socket": "call(number(41, 198), 2, 1, 0)",
    "connect": "call(number(42, 203), 0, 0, 0)",
    "clone": "call(number(56, 220), 17, 0, 0, 0, 0)",
    "clone3": "call(435, 0, 0)",
    "execve": "call(number(59, 221), 0, 0, 0)",
    "execveat": "call(number(322, 281), 0, 0, 0, 0, 0)",
    "kill": "call(number(62, 129), os.getpid(), 0)",
    "tgkill": "call(number(234, 131), os.getpid(), os.getpid(), 0)",
    "ptrace": "call(number(101, 117), 0, 0, 0, 0)",
    "process_vm_readv": "call(number(310, 270), os.getpid(), 0, 0, 0, 0, 0)",
    "mount": "call(number(165, 40), 0, 0, 0, 0, 0)",
    "unshare": "call(number(272, 97), 0x10000000)",
    "prctl": "call(number(157, 167), 22, 0, 0, 0, 0)",
    "prlimit64": "call(number(302, 261), 0, 9, 0, 0)",
    "io_uring_setup": "call(425, 1, 0)",
    "bpf": "call(number(321, 280), 0, 0, 0)",
    "pidfd_open": "call(434, os.getpid(), 0)",
    "memfd_create": "call(number(319, 279), 0, 0)",
    "pipe2": "call(number(293, 59), 0, 0)",
    "dup": "call(number(32, 23), 0)",
    "unlinkat": "call(number(263, 35), -100, 0, 0)",
    "write to stdout": "os.write(1, b'out')",
    "read from another descriptor": "os.read(3, 1)",
    "a number that does not exist": "call(9999)",
    "the other interface of an x86 processor": "call(0x40000000 + 2, 0, 0)",
}

ANSWERED = {
    "newfstatat": ("call(number(262, 79), -100, ctypes.addressof(path), 0, 0)", 13),
    "readlinkat": ("call(number(267, 78), -100, ctypes.addressof(path), 0, 0)", 13),
    "executable memory": ("call(number(9, 222), 0, 4096, 7, 0x22, -1, 0)", 1),
}


@pytest.fixture(scope="module")
def behind_the_filter() -> dict[str, tuple[int, str]]:
    """Exit status and words of a process per attempt, each behind the filter alone."""
    attempts = KILLED | {name: attempt for name, (attempt, _) in ANSWERED.items()}
    done = subprocess.run(
        [sys.executable, "-c", BEHIND_THE_FILTER],
        input=json.dumps(attempts),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return {name: (status, said) for name, (status, said) in json.loads(done.stdout).items()}


@linux
@pytest.mark.parametrize("name", one_in(4, KILLED))
def test_the_filter_kills(behind_the_filter: dict[str, tuple[int, str]], name: str) -> None:
    assert behind_the_filter[name] == (-signal.SIGSYS, "before ")


@linux
@pytest.mark.parametrize("name", ANSWERED)
def test_the_filter_answers_with_an_error(
    behind_the_filter: dict[str, tuple[int, str]], name: str
) -> None:
    assert behind_the_filter[name] == (0, f"before -1 {ANSWERED[name][1]}")


@pytest.mark.parametrize("machine", SYSTEMS)
def test_each_filter_fits_the_kernels_limits(machine: str) -> None:
    program = filter_program(SYSTEMS[machine], read_fd=0, write_fd=3)
    assert len(program) % 8 == 0
    assert len(program) // 8 <= 4096


BUILD_WALLS = """
import os, sys
import numpy as np
from alphafoundry.algorithms import sandbox_child_seccomp as seccomp
from alphafoundry.algorithms import sandbox_child_walls as walls
os.dup2(1, 3)
say = lambda text: os.write(3, text.encode() + b"\\n")
{before}
stand = walls.build_walls(memory_bytes=2**28, cpu_seconds=10, parent=os.getppid(), on_violation=say)
say(", ".join(stand))
{after}
say("after")
"""


def run_with_walls(folder: Path, *, before: str = "", after: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BUILD_WALLS.format(before=before, after=after)],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
        timeout=30,
    )
    return done.stdout.decode().splitlines()


@pytest.mark.long
def test_a_machine_without_the_filter_says_so_and_still_refuses(tmp_path: Path) -> None:
    stand, refused = run_with_walls(tmp_path, before="seccomp.SYSTEMS.clear()", after="os.fork()")
    assert "seccomp" not in stand
    assert "audit" in stand
    assert refused == "os.fork is forbidden"


def test_without_filter_and_hook_the_file_system_and_processes_are_gone(tmp_path: Path) -> None:
    before = "seccomp.SYSTEMS.clear()\nsys.addaudithook = lambda hook: None"
    after = """
try:
    os.fork()
    say("forked")
except OSError as error:
    say(f"no process: {error.errno}")
try:
    say(str(os.listdir("/")))
    os.open("/etc/passwd", 0)
except OSError as error:
    say(f"no file: {type(error).__name__}")
try:
    print(os.open("x", os.O_CREAT | os.O_WRONLY))
except OSError as error:
    say(f"no new file: {type(error).__name__}")
"""
    stand, *said = run_with_walls(tmp_path, before=before, after=after)
    if "empty root" not in stand:
        pytest.skip("this machine lets nobody change the root folder")
    assert said[0].startswith("no process") or "limits without processes" in stand
    assert "passwd" not in "".join(said)
    assert "no file" in said[1] or "no file" in said[2]
    assert said[-2].startswith("no new file")


@pytest.mark.long
@linux
def test_threads_that_already_run_are_behind_the_filter(tmp_path: Path) -> None:
    before = """
import threading
go = threading.Event()
threading.Thread(target=lambda: (go.wait(), os.open("/", 0), say("opened")), daemon=True).start()
sys.addaudithook = lambda hook: None
"""
    (stand,) = run_with_walls(tmp_path, before=before, after="go.set()\nimport time; time.sleep(9)")
    assert "seccomp" in stand


@pytest.mark.long
@linux
def test_without_filter_and_hook_there_is_no_network(tmp_path: Path) -> None:
    before = (
        "import socket\n"
        "seccomp.SYSTEMS.clear()\nsys.addaudithook = lambda hook: None\n"
        "sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    )
    # The number of network devices that a namespace of its own has: only its own loopback, down.
    after = "say(str([name for _, name in NAMES()]))"
    before += "NAMES = socket.if_nameindex\nwalls._limit_resources = lambda **_: []"
    stand, devices, _ = run_with_walls(tmp_path, before=before, after=after)
    if "network namespace" not in stand:
        pytest.skip("this machine lets nobody make a network namespace")
    assert "eth" not in devices
    assert "lo" in devices


ORPHAN = """
import os
from alphafoundry.algorithms.contract import Validated
from alphafoundry.algorithms.sandbox import Call, Sandbox, SandboxLimits
import numpy as np
source = {source!r}
limits = SandboxLimits(call_seconds=60.0)
running = Sandbox(limits).start(Validated(source, "simple"), ["A"], {{"A": np.ones((1, 5))}})
print(running._process.pid, flush=True)
running.decide([Call(0, 0, (1.0, 1.0, 1.0, 1.0, 1.0), 1.0, 0)])
"""


@linux
def test_the_child_dies_with_an_arena_that_is_killed() -> None:
    source = in_call("while True: pass", before="")
    arena = subprocess.Popen(
        [sys.executable, "-c", ORPHAN.format(source=source)], stdout=subprocess.PIPE
    )
    assert arena.stdout is not None
    child = int(arena.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    arena.kill()
    arena.wait()
    arena.stdout.close()
    wait_until(lambda: not _alive(child), what="the end of the child")


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@linux
def test_the_walls_are_known_before_any_program_runs() -> None:
    walls = Sandbox().walls()
    assert "seccomp" in walls and missing_wall(walls) == ""
    assert "NO SYSTEM CALL FILTER" in missing_wall(("limits", "audit"))
