"""`python -m flows.supervise` and `python -m flows.dashboard` with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from alphafoundry.supervisor import database
from flows.supervise import _tell_home
from tests.library.supervisor.mailbox import Mailbox
from tests.piped_commands import run_forked
from tests.working_folder import ROOT, plain_environment, wait_until

TREE = """
import subprocess, sys, time
subprocess.Popen(["sleep", "4711"])
subprocess.Popen(["setsid", "sleep", "4712"])
print("up", flush=True)
while True:
    time.sleep(1)
"""
FORKS = """
import os, subprocess, time
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while True:
    subprocess.Popen(["setsid", "-f", "setsid", "sleep", "60"])
    time.sleep(0.03)
"""
"""At every moment something is just becoming another program, and takes long where others work."""

WAIT = 300.0


class Folder:
    """A folder with processes to supervise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "config").mkdir()
        self.environment = plain_environment() | {
            "PYTHONPATH": str(ROOT),
            "FOUNDRY_HOME": str(path / "home"),
            "XDG_RUNTIME_DIR": str(path),
        }
        self.children: list[subprocess.Popen[str]] = []

    def write(self, configuration: str, **scripts: str) -> None:
        (self.path / "config/processes.yaml").write_text(configuration)
        for name, text in scripts.items():
            (self.path / f"{name}.py").write_text(text)

    def supervise(self, *flags: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.supervise", *flags],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=(self.path / "out.txt").open("a"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.children.append(child)
        return child

    def dashboard(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_forked("flows.dashboard", words, cwd=self.path, env=self.environment)

    def rows(self, text: str, *values: Any) -> list[Any]:
        path = self.path / "home/supervisor.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return connection.execute(text, values).fetchall()
            except sqlite3.OperationalError:
                return []  # the tables are about to be made

    def state(self, name: str) -> str | None:
        found = self.rows("SELECT state FROM processes WHERE name = ?", name)
        return found[0]["state"] if found else None

    def becomes(self, name: str, state: str) -> None:
        wait_until(lambda: self.state(name) == state, WAIT, f"{name} {state}\n{self.output()}")

    def output(self) -> str:
        return (self.path / "out.txt").read_text()

    def core(self) -> int:
        return int(json.loads((self.path / "home/supervisor/running.json").read_text())["core"])

    def left(self) -> list[str]:
        """Return the command lines of whatever runs in this folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                here = process.pid != os.getpid() and process.cwd() == str(self.path)
                if here and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
        return found

    def ends_with_nothing_left(self) -> None:
        wait_until(lambda: not self.left(), WAIT, "the end of every process")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for child in made.children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            child.send_signal(signal.SIGTERM)
            child.wait(WAIT)


@pytest.mark.slow
def test_the_faults_of_the_first_version(folder: Folder) -> None:
    folder.write(
        """
processes:
  - {name: gone, script: gone.py, priority: 1}
  - {name: collector, script: once.py, requires_loop: true, loop_interval: 1}
  - {name: demo, script: once.py}
  - {name: broken, script: broken.py, restart_delay: 0.5}
  - {name: tree, script: tree.py}
""",
        once="print('fetched')",
        broken="import sys\nprint('row 17', file=sys.stderr)\nimport performance_tracker\n",
        tree=TREE,
    )
    begun = time.monotonic()
    child = folder.supervise("--runtime", "0.12")
    assert child.wait(WAIT) == 0, folder.output()
    assert time.monotonic() - begun >= 0.12 * 60
    folder.ends_with_nothing_left()
    lives = {
        row["name"]: row for row in folder.rows("SELECT * FROM processes WHERE supervision != ''")
    }
    # A script that is not there is told once, and held nobody up.
    assert (lives["gone"]["state"], lives["gone"]["restarts"]) == ("quarantined", 0)
    assert "there is no script gone.py" in lives["gone"]["why"]
    # One that ends is no crash: turns for one, the end for the other.
    assert lives["collector"]["turns"] >= 1 and lives["collector"]["restarts"] == 0
    assert (lives["demo"]["state"], lives["demo"]["life"]) == ("finished", 1)
    # What it wrote on stderr is kept with what stood before it.
    assert lives["broken"]["restarts"] >= 1
    errors = folder.rows("SELECT * FROM process_errors WHERE process = 'broken'")
    assert [row["sample"] for row in errors] == [
        "ModuleNotFoundError: No module named 'performance_tracker'"
    ]
    assert "row 17" in errors[0]["context"] and errors[0]["count"] >= 1
    causes = {
        (row["process"], row["cause"])
        for row in folder.rows("SELECT DISTINCT process, cause FROM process_runs")
    }
    assert {("collector", "turn"), ("demo", "finished"), ("broken", "crash")} <= causes
    assert folder.rows("SELECT * FROM process_output WHERE line = 'fetched'")
    told = folder.dashboard("--explain", "broken").stdout
    assert "ended by exit 1" in told and "make install" in told
    for suffix in ("txt", "md", "html", "json"):
        done = folder.dashboard("--report", "--output", f"status.{suffix}")
        assert done.returncode == 0, done.stderr
        text = (folder.path / f"status.{suffix}").read_text()
        assert "performance_tracker" in text and "gone" in text and "fetched" in text
    assert json.loads((folder.path / "status.json").read_text())["kind"] == "supervision"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_signal_ends_everything(folder: Folder, number: int) -> None:
    folder.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    child = folder.supervise()
    folder.becomes("tree", "running")
    child.send_signal(number)
    assert child.wait(WAIT) == 0, folder.output()
    folder.ends_with_nothing_left()
    assert [row["status"] for row in folder.rows("SELECT status FROM supervisions")] == [
        "interrupted"
    ]


@pytest.mark.long
def test_of_many_that_start_at_once_one_supervises(folder: Folder) -> None:
    folder.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    children = [folder.supervise("--no-session") for _ in range(4)]
    folder.becomes("tree", "running")
    wait_until(lambda: sum(one.poll() is None for one in children) == 1, WAIT, "one that is left")
    assert {one.poll() for one in children} <= {None, 0, 2}
    # Nothing of the one that runs was ended or overwritten by the others.
    supervisions = folder.rows("SELECT id FROM supervisions")
    plan = json.loads((folder.path / "home/supervisor/plan.json").read_text())
    assert [row["id"] for row in supervisions] == [plan["id"]]
    assert folder.rows("SELECT life FROM processes WHERE name = 'tree'")[0]["life"] == 1


def test_kill_9_of_the_main_process_leaves_nothing(folder: Folder) -> None:
    folder.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    child = folder.supervise()
    folder.becomes("tree", "running")
    assert len(folder.left()) >= 6  # guardian, core, matcher, and a tree of three
    child.kill()
    child.wait()
    folder.ends_with_nothing_left()


@pytest.mark.long
def test_kill_9_of_guardian_and_core_at_once_is_cleaned_up_by_the_next_start(
    folder: Folder,
) -> None:
    folder.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    child = folder.supervise()
    folder.becomes("tree", "running")
    os.kill(folder.core(), signal.SIGSTOP)
    core = folder.core()
    child.kill()
    os.kill(core, signal.SIGKILL)
    child.wait()
    assert any("4712" in line for line in folder.left())
    again = folder.supervise("--runtime", "0.05")
    assert again.wait(WAIT) == 0, folder.output()
    folder.ends_with_nothing_left()
    statuses = [row["status"] for row in folder.rows("SELECT * FROM supervisions ORDER BY rowid")]
    assert statuses == ["killed", "finished"]
    assert "had left behind" in folder.output()


@pytest.mark.long
def test_a_new_core_takes_over_what_runs_and_a_stop_stays(folder: Folder) -> None:
    folder.write(
        "processes:\n  - {name: counter, script: counter.py}\n  - {name: rest, script: tree.py}\n",
        counter="import itertools, time\n"
        "for n in itertools.count():\n    print(n, flush=True)\n    time.sleep(0.02)\n",
        tree=TREE,
    )
    folder.supervise()
    folder.becomes("counter", "running")
    folder.becomes("rest", "running")
    assert folder.dashboard("stop", "rest").returncode == 0
    folder.becomes("rest", "stopped")
    pid = folder.rows("SELECT pid FROM processes WHERE name = 'counter'")[0]["pid"]
    core = folder.core()
    os.kill(core, signal.SIGKILL)
    wait_until(lambda: folder.core() != core, WAIT, "a new core")
    told = folder.dashboard()
    wait_until(
        lambda: folder.rows("SELECT * FROM process_events WHERE kind = 'core'"), WAIT, "its word"
    )
    rows = {row["name"]: row for row in folder.rows("SELECT * FROM processes")}
    assert (rows["counter"]["pid"], rows["counter"]["life"]) == (pid, 1), told.stdout
    assert (rows["rest"]["state"], rows["rest"]["desired"]) == ("stopped", "stop")
    log = folder.path / "home/supervisor/logs/counter.log"
    seen = len(log.read_text().splitlines())
    wait_until(lambda: len(log.read_text().splitlines()) > seen + 20, WAIT, "more output")
    assert folder.dashboard("end").returncode == 0
    assert folder.children[0].wait(WAIT) == 0
    # The next supervision leaves it stopped, too, until a person starts it.
    folder.supervise()
    folder.becomes("counter", "running")
    assert folder.state("rest") == "stopped"
    assert folder.dashboard("start", "rest").returncode == 0
    folder.becomes("rest", "running")


@pytest.mark.long
def test_output_is_kept_whole(folder: Folder) -> None:
    folder.write(
        "processes: [{name: loud, script: loud.py, error_patterns: [{match: 'never'}]}]",
        loud="import sys\nfor n in range(200_000):\n    print(f'{n:09} {\"x\" * 40}')\n",
    )
    folder.supervise()
    folder.becomes("loud", "finished")
    assert folder.dashboard("end").returncode == 0
    folder.children[0].wait(WAIT)
    logs = sorted((folder.path / "home/supervisor/logs").glob("loud.log*"), reverse=True)
    lines = "".join(path.read_text() for path in logs).splitlines()
    assert [int(line[:9]) for line in lines] == list(range(200_000))
    life = folder.rows("SELECT * FROM process_runs WHERE process = 'loud'")[0]
    stored = folder.rows("SELECT count(*) AS n FROM process_output")[0]["n"]
    assert life["lines_not_stored"] + stored == 200_000 and stored >= 200


@pytest.mark.long
def test_ready_beats_probes_limits_and_patterns(folder: Folder) -> None:
    folder.write(
        """
sample_seconds: 0.2
processes:
  - {name: word, script: word.py, notify: true, watchdog_seconds: 1.5, restart_delay: 0.1}
  - {name: after, script: tree.py, depends_on: {word: ready}}
  - {name: port, command: [python3, -m, http.server, "0", --bind, 127.0.0.1],
     probe: {output: "Serving HTTP"}}
  - {name: greedy, script: greedy.py, resource_limits: {memory_mb: 150}, restart_delay: 0.1}
  - {name: limited, script: limited.py,
     error_patterns: [{match: "429", action: pause, at: 3, within: 60}]}
  - {name: files, script: files.py, resource_limits: {open_files: 77}}
  - {name: hoards, script: hoards.py, resource_limits: {open_files: 40}, restart_delay: 0.1}
  - {name: beats, script: beats.py, watchdog_seconds: 50}
  - {name: errors, script: errors.py}
  - {name: large, script: files.py, environment: {LARGE: "%s"}}
"""
        % ("x" * 200_000),
        files="import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE))\n",
        hoards="import contextlib, time\nkept = []\nwith contextlib.suppress(OSError):\n"
        "    while True:\n        kept.append(open('/dev/null'))\ntime.sleep(1000)\n",
        beats="import time, uuid\nfrom alphafoundry.supervisor import child\n"
        "child.flow_run('of nobody')\nchild.flow_run(uuid.UUID(int=7))\n"
        "child.beat()\ntime.sleep(1000)\n",
        errors="import time\nfor n in range(7):\n    print('ERROR: busy', flush=True)\n"
        "    time.sleep(0.1)\nprint('ValueError: wrong')\nraise SystemExit(1)\n",
        word="import time\nfrom alphafoundry.supervisor import child\n"
        "time.sleep(0.5)\nchild.status('at work')\nchild.ready()\nchild.beat()\ntime.sleep(1000)\n",
        tree=TREE,
        greedy="import time\nx = bytearray(400_000_000)\nx[::4096] = b'x' * len(x[::4096])\n"
        "time.sleep(1000)\n",
        limited="import time\nwhile True:\n    print('HTTP 429', flush=True)\n    time.sleep(.1)\n",
    )
    folder.supervise()
    folder.becomes("after", "running")
    folder.becomes("port", "running")
    folder.becomes("limited", "paused")

    def ended(name: str, cause: str) -> bool:
        text = "SELECT * FROM process_runs WHERE process = ? AND cause = ?"
        return bool(folder.rows(text, name, cause))

    wait_until(lambda: ended("word", "watchdog"), WAIT, "the watchdog")
    wait_until(lambda: ended("greedy", "limit"), WAIT, "the limit")
    wait_until(lambda: ended("hoards", "limit"), WAIT, "the limit of files")
    folder.becomes("beats", "running")
    wait_until(
        lambda: "runs, flow run 00000000-" in folder.dashboard("--explain", "beats").stdout,
        WAIT,
        "its flow run",
    )
    folder.becomes("errors", "backing off")
    counts = "SELECT sample, count FROM process_errors WHERE process = 'errors' AND count > ?"
    wait_until(lambda: folder.rows(counts, 6), WAIT, "seven errors")
    assert {tuple(row) for row in folder.rows(counts, 0)} == {
        ("ERROR: busy", 7),
        ("ValueError: wrong", 1),
    }
    assert folder.rows("SELECT * FROM process_output WHERE line = '(77, 77)'")
    large = folder.rows("SELECT * FROM processes WHERE name = 'large'")[0]
    assert large["state"] == "backing off" and "more than 128 KB" in large["why"]
    word = folder.rows("SELECT * FROM processes WHERE name = 'word'")[0]
    assert word["status"] == "at work"
    stacks = folder.rows("SELECT context FROM process_errors WHERE process = 'word'")
    log = (folder.path / "home/supervisor/logs/word.log").read_text()
    assert "word.py" in log and "Fatal Python error: Aborted" in log, stacks
    text = "SELECT * FROM resource_usage WHERE process = 'after' AND processes = 3"
    wait_until(lambda: folder.rows(text), WAIT, "samples of the whole tree")


@pytest.mark.long
def test_reload_and_the_second_supervisor(folder: Folder) -> None:
    first = "processes:\n  - {name: a, script: tree.py}\n  - {name: b, script: tree.py}\n"
    folder.write(first, tree=TREE)
    folder.supervise()
    folder.becomes("b", "running")
    lives = "SELECT name, life FROM processes"
    folder.write(first.replace("b, script", "b, stop_seconds: 3, script") + "  - {name: c, bad: 1}")
    refused = folder.dashboard("reload")
    assert refused.returncode == 2 and "processes.yaml:4: processes[2].bad" in refused.stderr
    folder.write(first.replace("b, script", "b, stop_seconds: 3, script"))
    assert folder.dashboard("reload", "--check").stdout == "b changed\n"
    assert dict(tuple(row) for row in folder.rows(lives)) == {"a": 1, "b": 1}
    assert folder.dashboard("stop", "b", "--check").returncode == 2
    assert folder.dashboard("reload").stdout == "b changed\n"
    wait_until(
        lambda: dict(tuple(row) for row in folder.rows(lives)) == {"a": 1, "b": 2}, WAIT, "reload"
    )
    told = "retention changed (for the next start)\n"
    folder.write(
        (folder.path / "config/processes.yaml").read_text() + "retention: {output_days: 3}"
    )
    assert folder.dashboard("reload").stdout == told
    second = folder.supervise()
    assert second.wait(WAIT) == 0
    assert "a supervisor runs here already" in folder.output()


@pytest.mark.slow
def test_mistakes_are_one_line_and_start_nothing(folder: Folder) -> None:
    folder.write("processes:\n  - {name: a, script: a.py, max_restart: 1}")
    child = folder.supervise()
    assert child.wait(WAIT) == 2
    assert folder.output().startswith("error: config/processes.yaml:2: processes[0].max_restart:")
    folder.write("processes:\n  - {name: a, script: a.py}")
    assert folder.supervise("--only", "b").wait(WAIT) == 2
    assert folder.supervise("--check").wait(WAIT) == 0
    assert "MISSING: there is no script a.py" in folder.output()
    assert folder.supervise("--only", ",").wait(WAIT) == 2
    (folder.path / "home").mkdir(exist_ok=True)
    (folder.path / "home/supervisor.db").write_text("no database, but long enough to be read so")
    before = folder.output()
    assert folder.supervise().wait(WAIT) == 2
    told = folder.output().removeprefix(before)
    assert told.count("\n") == 1 and "supervisor.db: file is not a database" in told
    (folder.path / "home/supervisor.db").unlink()
    for words in (["stop", "x"], ["--explain", "x"], ["--logs", "x"], ["--report"], []):
        done = folder.dashboard(*words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


def test_programs_that_read_no_settings_find_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", "")
    for given, home, told in (
        ("", "data", str(tmp_path / "data")),
        ("", ".foundry", ""),
        ("elsewhere", "elsewhere", "elsewhere"),
    ):
        monkeypatch.setenv("FOUNDRY_HOME", given)
        _tell_home(Path(home))
        assert os.environ["FOUNDRY_HOME"] == told
    assert os.environ["PREFECT_HOME"] == str(tmp_path / ".foundry/prefect")


def test_the_list_that_comes_along_can_be_started() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.supervise", "--check"],
        cwd=ROOT,
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = yaml.safe_load((ROOT / "config" / "processes.yaml").read_text())["processes"]
    assert f"{len(listed)} processes, 360 minutes" in done.stdout
    assert "MISSING" not in done.stdout


@pytest.mark.long
def test_it_ends_when_whoever_started_it_is_gone(folder: Folder) -> None:
    folder.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    read, write = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.supervise", "--tied"],
        cwd=folder.path,
        env=folder.environment,
        stdin=read,
        stdout=(folder.path / "out.txt").open("a"),
        text=True,
    )
    folder.children.append(child)
    os.close(read)
    folder.becomes("tree", "running")
    os.close(write)
    assert child.wait(WAIT) == 0
    folder.ends_with_nothing_left()


@pytest.mark.long
def test_every_promise_is_kept_when_a_copy_is_broken(folder: Folder) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.supervise", "--drill"],
        cwd=folder.path,
        env=folder.environment,
        capture_output=True,
        text=True,
        timeout=450,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "11 of 11 promises kept" in done.stdout


def test_the_kernel_ends_what_takes_more_memory_than_it_may(folder: Folder) -> None:
    """Where the controller of memory is delegated to this user; elsewhere it is watched."""
    limits = "resource_limits: {memory_mb: 60}, restart_delay: 100"
    folder.write(
        f"processes: [{{name: hog, script: hog.py, {limits}}}]",
        hog="import time\nkept = bytearray(400_000_000)\ntime.sleep(100)\n",
    )
    folder.supervise()
    wait_until(
        lambda: folder.rows("SELECT 1 FROM process_runs"), WAIT, f"a life\n{folder.output()}"
    )
    for row in folder.rows("SELECT text FROM process_events WHERE kind = 'limits'"):
        if "memory" in row["text"].partition(" are watched")[0]:
            pytest.skip(row["text"])
    ended = "SELECT 1 FROM process_runs WHERE cause = 'limit'"
    wait_until(lambda: folder.rows(ended), WAIT, f"its end\n{folder.output()}")
    told = "SELECT 1 FROM process_events WHERE text LIKE '%the kernel has ended it at 60 MB%'"
    assert folder.rows(told)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_kills_at_random_moments_leave_nothing_and_lose_nothing(folder: Folder) -> None:
    folder.write(
        "processes:\n  - {name: tree, script: tree.py, restart_delay: 0}\n"
        "  - {name: turn, command: [echo, x], requires_loop: true, loop_interval: 0.1}\n"
        "  - {name: forks, script: forks.py, restart_delay: 0}\n",
        tree=TREE,
        forks=FORKS,
    )
    begun = (
        "SELECT 1 FROM process_runs r JOIN supervisions s ON s.id = r.supervision "
        "WHERE s.pid = ? AND s.status = 'running' AND r.process = 'tree'"
    )
    draw = random.Random(1)
    for _ in range(15):
        child = folder.supervise("--runtime", "0")
        wait_until(lambda: folder.rows(begun, child.pid), WAIT, f"a life\n{folder.output()}")  # noqa: B023
        time.sleep(2 * draw.random())
        core = folder.core()
        killed = draw.choice([[core], [child.pid], [core, child.pid]])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        if child.pid in killed:
            child.wait(WAIT)
        if killed == [child.pid]:
            folder.ends_with_nothing_left()
        if killed == [core]:
            wait_until(lambda: folder.core() != core, WAIT, f"a new core\n{folder.output()}")  # noqa: B023
            child.terminate()
            assert child.wait(WAIT) == 0, folder.output()
            folder.ends_with_nothing_left()
    assert folder.supervise("--runtime", "0.02").wait(WAIT) == 0
    folder.ends_with_nothing_left()
    twice = "SELECT 1 FROM process_runs GROUP BY supervision, process, life HAVING count(*) > 1"
    assert folder.rows(twice) == []
    assert folder.rows("SELECT 1 FROM process_runs WHERE ended_at IS NULL") == []
    assert folder.rows("PRAGMA integrity_check")[0][0] == "ok"


@pytest.mark.long
def test_a_new_core_goes_on_with_what_was_reloaded(folder: Folder) -> None:
    folder.write("processes: [{name: a, script: tree.py}]", tree=TREE)
    folder.supervise()
    folder.becomes("a", "running")
    # The probe passes until there is a file, so that it fails under the second core alone.
    probe = "probe: {command: [test, '!', -e, broken], interval: 0.2, failures: 2}"
    folder.write(
        "processes:\n  - {name: a, script: tree.py}\n"
        f"  - {{name: b, script: tree.py, restart_delay: 0, {probe}}}\n",
        tree=TREE,
    )
    assert folder.dashboard("reload").stdout == "b new\n"
    folder.becomes("b", "running")
    core = folder.core()
    os.kill(core, signal.SIGKILL)
    wait_until(lambda: folder.core() != core, WAIT, "a new core")
    folder.becomes("b", "running")
    (folder.path / "broken").touch()
    wait_until(
        lambda: folder.rows("SELECT 1 FROM process_runs WHERE cause = 'probe'"), WAIT, "a probe"
    )


@pytest.mark.long
def test_a_full_disk_ends_nothing_and_what_it_cost_is_told(folder: Folder) -> None:
    folder.write(
        """
machine: {tight_percent: 99, critical_percent: 100, least_disk_mb: 1}
sample_seconds: 1
processes:
  - {name: tree, script: tree.py, stop_seconds: 1}
  - {name: turn, command: [echo, printed], requires_loop: true, loop_interval: 0.2}
""",
        tree=TREE,
    )
    folder.supervise()
    folder.becomes("tree", "running")
    # To the core the disk is full: nothing that it writes may end behind the first page.
    limits = resource.prlimit(folder.core(), resource.RLIMIT_FSIZE)
    resource.prlimit(folder.core(), resource.RLIMIT_FSIZE, (4096, limits[1]))
    done = folder.dashboard("restart", "tree")
    assert "the disk refuses to note it" in done.stdout, done.stdout + done.stderr
    time.sleep(2)
    resource.prlimit(folder.core(), resource.RLIMIT_FSIZE, limits)
    told = "SELECT text FROM process_events WHERE kind = 'disk_refuses' AND text LIKE '%again%'"
    wait_until(lambda: folder.rows(told), WAIT, f"the end of the alert\n{folder.output()}")
    assert "of its rows and" in folder.rows(told)[0]["text"]
    # It was restarted once, though nothing could be noted, and the row is true again.
    folder.becomes("tree", "running")
    assert folder.rows("SELECT life FROM processes WHERE name = 'tree'")[0]["life"] == 2


@pytest.mark.slow
def test_people_are_told_of_alerts_and_no_child_or_file_has_the_address(folder: Folder) -> None:
    folder.write(
        """
machine: {tight_percent: 99, critical_percent: 100, least_disk_mb: 1}
processes:
  - {name: gone, script: gone.py}
  - {name: curious, command: [env]}
"""
    )
    (folder.path / "config/alerts.yaml").write_text("gather_seconds: 0\n")
    with contextlib.closing(database.open_for_writing(folder.path / "home/supervisor.db")) as made:
        made.execute(
            "INSERT INTO process_events (supervision, process, at, kind, severity, text) VALUES "
            "('earlier', '', '2026-03-02 12:00:00.000', 'disk', 'alert', '5 MB left'), "
            "('earlier', '', '2026-03-02 12:00:00.000', 'machine', 'alert', 'critical')"
        )
    mailbox = Mailbox()
    folder.environment["FOUNDRY_ALERTS"] = f"json://user:s3cret@127.0.0.1:{mailbox.port}"
    child = folder.supervise("--runtime", "0")
    wait_until(lambda: mailbox.taken, WAIT, f"the message\n{folder.output()}")
    assert "gone: is quarantined: there is no script gone.py" in mailbox.taken[0]["message"]
    folder.becomes("curious", "finished")
    over = "SELECT kind FROM process_events WHERE process = '' AND severity = 'info' AND kind = ?"
    wait_until(lambda: folder.rows(over, "disk"), WAIT, "the end of what an earlier one told")
    wait_until(lambda: folder.rows(over, "machine"), WAIT, "the end of what an earlier one told")
    child.terminate()
    assert child.wait(WAIT) == 0
    mailbox.server.server_close()
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"s3cret" in path.read_bytes()] == []
