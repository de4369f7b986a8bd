"""Faults injected into a copy, and a promise each: `python -m flows.supervise --drill`.

The copy has a folder, processes and a database of its own; what runs elsewhere is not touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphafoundry.errors import FoundryError
from alphafoundry.supervisor import database, linux
from alphafoundry.supervisor.control import ask, folder_of, is_running

WAIT = 60.0
PAUSE = 0.02

TREE = """
import subprocess, time
subprocess.Popen(["sleep", "100000"])
subprocess.Popen(["setsid", "sleep", "100000"])
time.sleep(100000)
"""
COUNTER = """
import itertools, time
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.05)
"""


class BrokenPromise(Exception):
    """What was promised did not happen."""


class TrialRun:
    """A supervision of its own in a folder of its own, for drills and measurements."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        (folder / "config").mkdir()
        self.child: subprocess.Popen[bytes] | None = None

    def write(self, configuration: str, **scripts: str) -> None:
        """Write what is supervised; scripts are Python files by name."""
        (self.folder / "config/processes.yaml").write_text(configuration, "utf-8")
        for name, text in scripts.items():
            (self.folder / f"{name}.py").write_text(text, "utf-8")

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start the supervisor."""
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        # Nobody is told what breaks on purpose.
        told = (linux.ALERTS, linux.HEARTBEAT)
        environment = {name: text for name, text in os.environ.items() if name not in told} | {
            "PYTHONPATH": path,
            "FOUNDRY_HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.folder),
        }
        with (self.folder / "out.txt").open("ab") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "flows.supervise", "--no-session", *flags],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self.child

    def core(self) -> int:
        """Return the pid of the deciding process."""
        text = (folder_of(self.home) / "running.json").read_text("utf-8")
        return int(json.loads(text)["core"])

    def rows(self, text: str, *values: Any) -> list[Any]:
        """Return what the database says; nothing where it is not there yet."""
        path = self.home / database.FILE
        try:
            with contextlib.closing(database.open_for_reading(path)) as connection:
                return connection.execute(text, values).fetchall()
        except (FileNotFoundError, sqlite3.OperationalError):
            return []

    def state(self, name: str) -> str:
        """Return the state of a process, "" where it has none yet."""
        found = self.rows("SELECT state FROM processes WHERE name = ?", name)
        return str(found[0]["state"]) if found else ""

    def until(self, condition: Callable[[], object], what: str, wait: float = WAIT) -> float:
        """Wait for something, and return how many seconds it took.

        Raises
        ------
        BrokenPromise : it did not happen in time
        """
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > wait:
                raise BrokenPromise(f"no {what} within {wait:.0f} s")
            time.sleep(PAUSE)
        return time.monotonic() - begun

    def becomes(self, name: str, state: str) -> None:
        """Wait until a process is in a state."""
        self.until(lambda: self.state(name) == state, f"{name} {state}")

    def left(self) -> list[int]:
        """Return what runs in the folder."""
        found = []
        for pid in linux.pids():
            with contextlib.suppress(OSError):
                here = Path("/proc", str(pid), "cwd").readlink() == self.folder
                one = linux.sample(pid)
                if here and pid != os.getpid() and one is not None and not one.zombie:
                    found.append(pid)
        return found

    def end(self) -> None:
        """End it, whatever state it is in."""
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for pid in self.left():
            linux.kill(pid)


@contextlib.contextmanager
def trial_run() -> Iterator[TrialRun]:
    """Give a supervision of its own, and end all of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="foundry-drill-") as name:
        run = TrialRun(Path(name).resolve())
        try:
            yield run
        finally:
            run.end()


def _tree(run: TrialRun) -> None:
    run.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    run.start()
    run.becomes("tree", "running")


def clean_stop(run: TrialRun) -> str:
    """After SIGTERM nothing is left of a tree of three, a detached process among them."""
    _tree(run)
    assert run.child is not None
    run.child.terminate()
    run.child.wait(WAIT)
    left = run.left()
    if left or run.child.returncode:
        raise BrokenPromise(f"{len(left)} left, exit {run.child.returncode}")
    return "0 left, exit 0"


def kill_main(run: TrialRun) -> str:
    """After kill -9 of the main process nothing is left."""
    _tree(run)
    assert run.child is not None
    run.child.kill()
    run.child.wait()
    return f"0 left after {run.until(lambda: not run.left(), 'end of all'):.2f} s"


def kill_core(run: TrialRun) -> str:
    """After kill -9 of the deciding process what runs goes on, and a new one takes over."""
    run.write("processes: [{name: counter, script: counter.py}]", counter=COUNTER)
    run.start()
    run.becomes("counter", "running")
    pid, core = run.rows("SELECT pid FROM processes")[0]["pid"], run.core()
    os.kill(core, signal.SIGKILL)
    took = run.until(lambda: run.core() != core, "new core")
    ask(run.home, {"do": "ping"}, wait=WAIT)
    row = run.rows("SELECT * FROM processes")[0]
    if (row["pid"], row["life"]) != (pid, 1):
        raise BrokenPromise("the process was started again")
    return f"same process, new core after {took:.2f} s"


def kill_both(run: TrialRun) -> str:
    """After kill -9 of both at once the next start ends what was left."""
    _tree(run)
    assert run.child is not None
    core = run.core()
    os.kill(core, signal.SIGSTOP)
    run.child.kill()
    os.kill(core, signal.SIGKILL)
    run.child.wait()
    before = len(run.left())
    run.start("--runtime", "0.02").wait(WAIT)
    if run.left():
        raise BrokenPromise(f"{len(run.left())} left")
    return f"{before} left behind, 0 after the next start"


def missing_script(run: TrialRun) -> str:
    """A script that is not there is put aside at once and holds nobody up."""
    run.write(
        "processes: [{name: gone, script: gone.py, priority: 1}, {name: tree, script: tree.py}]",
        tree=TREE,
    )
    run.start()
    run.becomes("tree", "running")
    if run.state("gone") != "quarantined":
        raise BrokenPromise(f"it is {run.state('gone')}")
    return "quarantined, the other runs"


def one_shot(run: TrialRun) -> str:
    """A script that ends with 0 takes turns and costs no restart."""
    run.write(
        "processes: [{name: turn, script: turn.py, requires_loop: true, loop_interval: 0.2}]",
        turn="print('done')",
    )
    run.start()
    run.until(lambda: run.rows("SELECT 1 FROM processes WHERE turns >= 5"), "five turns")
    row = run.rows("SELECT * FROM processes")[0]
    if row["restarts"]:
        raise BrokenPromise(f"{row['restarts']} restarts")
    return f"{row['turns']} turns, 0 restarts"


def hung(run: TrialRun) -> str:
    """A process that gives no sign of life is restarted."""
    run.write(
        "processes: [{name: hung, script: hung.py, watchdog_seconds: 1, restart_delay: 0}]",
        hung="import time\nfrom alphafoundry.supervisor import child\n"
        "child.ready()\nchild.beat()\ntime.sleep(100000)\n",
    )
    run.start()
    text = "SELECT seconds FROM process_runs WHERE cause = 'watchdog'"
    run.until(lambda: run.rows(text), "restart by the watchdog")
    return f"restarted {run.rows(text)[0]['seconds']:.1f} s after its start, 1 s allowed"


def leak(run: TrialRun) -> str:
    """A process that takes 10 MB a second is restarted at its limit."""
    run.write(
        "sample_seconds: 0.5\n"
        "processes: [{name: leak, script: leak.py, resource_limits: {memory_mb: 60}}]",
        leak="import time\nkept = []\nwhile True:\n"
        "    kept.append(b'x' * 1_000_000)\n    time.sleep(0.1)\n",
    )
    run.start()
    text = "SELECT peak_bytes FROM process_runs WHERE cause = 'limit'"
    run.until(lambda: run.rows(text), "restart at the limit")
    return f"restarted at {run.rows(text)[0]['peak_bytes'] / 2**20:.0f} MB, 60 allowed"


def flood(run: TrialRun) -> str:
    """A flood of 20 MB of output is kept whole, and the database gets its share."""
    run.write(
        "processes: [{name: loud, script: loud.py}]",
        loud="for number in range(400_000):\n    print(f'{number:09}', 'x' * 40)\n",
    )
    run.start()
    run.becomes("loud", "finished")
    assert run.child is not None
    run.child.terminate()
    run.child.wait(WAIT)
    logs = sorted((folder_of(run.home) / "logs").glob("loud.log*"), reverse=True)
    count = sum(path.read_bytes().count(b"\n") for path in logs)
    if count != 400_000:
        raise BrokenPromise(f"{400_000 - count} of 400,000 lines lost")
    stored = run.rows("SELECT count(*) AS n FROM process_output")[0]["n"]
    return f"400,000 lines kept, {stored} in the database"


def persons_stop(run: TrialRun) -> str:
    """What a person stops during its back-off stays stopped, over a new core too."""
    run.write(
        "processes: [{name: fails, script: fails.py, restart_delay: 1}]",
        fails="raise SystemExit(1)",
    )
    run.start()
    run.becomes("fails", "backing off")
    ask(run.home, {"do": "stop", "name": "fails"}, wait=WAIT)
    lives = run.rows("SELECT life FROM processes")[0]["life"]
    core = run.core()
    os.kill(core, signal.SIGKILL)
    run.until(lambda: run.core() != core, "new core")
    ask(run.home, {"do": "ping"}, wait=WAIT)
    time.sleep(2.5)
    row = run.rows("SELECT * FROM processes")[0]
    if (row["state"], row["life"]) != ("stopped", lives):
        raise BrokenPromise(f"it is {row['state']}")
    return "stopped"


def stubborn_end(run: TrialRun) -> str:
    """The runtime holds within a minute, though a process ignores every signal."""
    run.write(
        "finish_seconds: 1\nprocesses: [{name: deaf, script: deaf.py, stop_seconds: 2}]",
        deaf="import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(100000)\n",
    )
    begun = time.monotonic()
    child = run.start("--runtime", "0.05")
    child.wait(WAIT + 10)
    took = time.monotonic() - begun
    if took > 63 or is_running(run.home) or run.left():
        raise BrokenPromise(f"it took {took:.0f} s")
    return f"3 s of runtime, ended after {took:.1f} s"


@dataclass(frozen=True)
class Promise:
    """A promise and what shows whether it is kept."""

    check: Callable[[TrialRun], str]

    @property
    def text(self) -> str:
        """What is promised."""
        return (self.check.__doc__ or "").strip()


PROMISES = tuple(
    Promise(check)
    for check in (
        clean_stop,
        kill_main,
        kill_core,
        kill_both,
        missing_script,
        one_shot,
        hung,
        leak,
        flood,
        persons_stop,
        stubborn_end,
    )
)


def drill() -> int:
    """Break things one after the other, and print which promises hold; 1 where one does not."""
    broken = 0
    for promise in PROMISES:
        with trial_run() as run:
            try:
                told, kept = promise.check(run), True
            except (BrokenPromise, FoundryError, OSError, subprocess.TimeoutExpired) as problem:
                told, kept = str(problem), False
        broken += not kept
        print(f"{'pass' if kept else 'FAIL'}  {promise.text}  ({told})", flush=True)
    print(f"{len(PROMISES) - broken} of {len(PROMISES)} promises kept")
    return 1 if broken else 0
