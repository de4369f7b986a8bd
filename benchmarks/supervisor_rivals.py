"""supervisord and circus on the work that `benchmarks.supervisor` gives to this supervisor."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from alphafoundry.supervisor import linux

WAIT = 120.0
SLEEP = "sleep 100000"


@dataclass(frozen=True)
class Rival:
    """A program that supervises.

    Attributes
    ----------
    name : of its package
    program : what is started, with the file of its configuration behind it
    write : makes the configuration of a folder for names and commands; `lasting` are restarted
    """

    name: str
    program: tuple[str, ...]
    write: Callable[[Path, Mapping[str, str], bool], str]


def _supervisord(folder: Path, commands: Mapping[str, str], lasting: bool) -> str:
    parts = [
        f"[supervisord]\nnodaemon=true\nlogfile={folder}/main.log\npidfile={folder}/pid\n"
        f"childlogdir={folder}\nminfds=4096\n"
    ]
    for name, command in commands.items():
        parts.append(
            f"[program:{name}]\ncommand={command}\ndirectory={folder}\nstartsecs=0\n"
            f"autorestart={'true' if lasting else 'false'}\nstopasgroup=true\nkillasgroup=true\n"
            f"stdout_logfile={folder}/{name}.out\nstdout_logfile_maxbytes=0\n"
        )
    return "\n".join(parts)


def _circus(folder: Path, commands: Mapping[str, str], lasting: bool) -> str:
    parts = [
        f"[circus]\nendpoint=ipc://{folder}/end\npubsub_endpoint=ipc://{folder}/pub\n"
        f"logoutput={folder}/main.log\n"
    ]
    for name, command in commands.items():
        parts.append(
            f"[watcher:{name}]\ncmd={command}\nworking_dir={folder}\nnumprocesses=1\n"
            f"stop_children=true\nrespawn={'true' if lasting else 'false'}\n"
            f"stdout_stream.class=FileStream\nstdout_stream.filename={folder}/{name}.out\n"
        )
    return "\n".join(parts)


_PROGRAMS = Path(sys.executable).parent
RIVALS = (
    Rival("supervisor", (str(_PROGRAMS / "supervisord"), "-c"), _supervisord),
    Rival("circus", (str(_PROGRAMS / "circusd"),), _circus),
)


@dataclass
class RivalRun:
    """One rival in a folder of its own."""

    rival: Rival
    folder: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self, commands: Mapping[str, str], *, lasting: bool = True) -> None:
        """Start it with these processes."""
        path = self.folder / "rival.ini"
        path.write_text(self.rival.write(self.folder, commands, lasting))
        with (self.folder / "said.txt").open("ab") as said:
            self.child = subprocess.Popen(
                [*self.rival.program, str(path)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def children(self) -> list[int]:
        """Return what runs in the folder besides the rival."""
        assert self.child is not None
        found = []
        for pid in linux.pids():
            with contextlib.suppress(OSError):
                here = Path("/proc", str(pid), "cwd").readlink() == self.folder
                one = linux.sample(pid)
                if here and pid != self.child.pid and one is not None and not one.zombie:
                    found.append(pid)
        return found

    def until(self, condition: Callable[[], object], what: str) -> float:
        """Wait for something, and return how many seconds it took."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > WAIT:
                said = (self.folder / "said.txt").read_text()
                raise SystemExit(f"error: {self.rival.name}: no {what} within {WAIT:.0f} s\n{said}")
            time.sleep(0.01)
        return time.monotonic() - begun

    def stop(self) -> float:
        """Ask it to end, and return how many seconds that took."""
        assert self.child is not None
        begun = time.monotonic()
        self.child.terminate()
        self.child.wait(WAIT)
        return time.monotonic() - begun


@contextlib.contextmanager
def rival_run(rival: Rival) -> Iterator[RivalRun]:
    """Give a rival a folder, and end all of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="foundry-rival-") as name:
        run = RivalRun(rival, Path(name).resolve())
        try:
            yield run
        finally:
            if run.child is not None:
                run.child.kill()
                run.child.wait()
                for pid in run.children():
                    linux.kill(pid)


Told = tuple[str, float]


def survivors_of_a_stop(run: RivalRun, tree: str) -> Told:
    """Stop it while it has a tree of three."""
    _start_tree(run, tree)
    run.stop()
    time.sleep(0.5)
    left = len(run.children())
    return str(left), left


def survivors_of_kill_9(run: RivalRun, tree: str) -> Told:
    """Kill it while it has a tree of three; what is left after two seconds has survived."""
    _start_tree(run, tree)
    assert run.child is not None
    run.child.kill()
    run.child.wait()
    time.sleep(2)
    left = len(run.children())
    return f"{left} left", left


def _start_tree(run: RivalRun, tree: str) -> None:
    (run.folder / "tree.py").write_text(tree)
    run.start({"tree": f"{sys.executable} tree.py"})
    run.until(lambda: len(run.children()) == 3, "tree of three")
    time.sleep(1)


def restart_after_a_crash(run: RivalRun, rounds: int = 10) -> Told:
    """Kill a child; the gap is from its end to the start of the next, by the kernel."""
    run.start({"sleeper": SLEEP})
    run.until(lambda: len(run.children()) == 1, "child")
    gaps = []
    for _ in range(rounds):
        (pid,) = run.children()
        time.sleep(0.5)
        killed = time.clock_gettime(time.CLOCK_BOOTTIME)
        linux.kill(pid)
        run.until(lambda before=pid: [one for one in run.children() if one != before], "restart")  # type: ignore[misc]
        found = linux.sample(next(one for one in run.children() if one != pid))
        assert found is not None
        gaps.append((found.started + 1) / linux.TICKS - killed)
    median = statistics.median(gaps)
    return f"median {median:.2f} s, worst {max(gaps):.2f} s", median


def output_of_100_mb(run: RivalRun, loud: str, size: int) -> Told:
    """Have 100 MB printed; the program measures how long it was held up."""
    (run.folder / "loud.py").write_text(loud)
    run.start({"loud": f"{sys.executable} loud.py"}, lasting=False)
    took = run.folder / "took.txt"
    run.until(lambda: took.exists() and took.read_text(), "end of the output")
    time.sleep(2)
    assert run.child is not None
    found = linux.sample(run.child.pid)
    assert found is not None
    run.stop()
    lost = size - (run.folder / "loud.out").stat().st_size
    seconds = float(took.read_text())
    return f"{seconds:.1f} s, {found.cpu:.1f} s of processor, {lost} bytes lost", seconds


def idle_children(run: RivalRun) -> Told:
    """Let 100 children sleep for half a minute."""
    _start_100(run)
    time.sleep(6)
    assert run.child is not None
    before, begun = linux.sample(run.child.pid), time.monotonic()
    time.sleep(30)
    after = linux.sample(run.child.pid)
    assert before is not None and after is not None
    share = 100 * (after.cpu - before.cpu) / (time.monotonic() - begun)
    return f"{share:.2f} % of a core, {after.rss / 2**20:.0f} MB", share


def stop_of_100(run: RivalRun) -> Told:
    """Stop it while it has 100 children."""
    _start_100(run)
    seconds = run.stop()
    return f"{seconds:.1f} s", seconds


def _start_100(run: RivalRun) -> None:
    run.start({f"s{number}": SLEEP for number in range(100)})
    run.until(lambda: len(run.children()) == 100, "100 children")
    time.sleep(2)
