"""The main process of a supervision: the parent of every child, and of the core that decides.

It forks, reaps, signals and ends whole trees, and does nothing else: standard library, one thread.
When the core dies or hangs, the children keep running and a new core takes their pipes over. When
the guardian dies, the kernel ends its children and the core ends what they had started.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from alphafoundry.supervisor import cgroups, child, linux, wire

BEAT_LIMIT = 30.0
"""Seconds of silence after which the core counts as hung."""

END_LIMIT = 75.0
"""Seconds after the first signal within which the core must have ended everything."""

EXIT_STOPPED = 130
EXIT_BUG = 1

_CORE_DEATHS = 3
_CORE_WINDOW = 60.0
_LATE = 5.0
_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""Pieces of output go back to the system at once; otherwise the core's heap grows for days."""

_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
_MOST_FILES = 65_536
_DUMP_SECONDS = 2.0
_OWN_VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    # They hold passwords; the core gives them to the process that sends alerts.
    linux.ALERTS,
    linux.HEARTBEAT,
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Life:
    """One child, from its start until the core has heard of its end.

    Attributes
    ----------
    mark : id/name:number, as in the marker variable
    pipes : reading ends of its standard output and error
    group : its control group, where there is one
    """

    mark: str
    pid: int
    started: int
    pipes: tuple[int, int]
    group: Path | None = None
    ended: bool = False
    told: list[wire.Message] = field(default_factory=list)


class Guardian:
    """Runs until the core says that all is over; `run` returns the exit status."""

    def __init__(self, folder: Path, supervision: str, *, tied: bool = False) -> None:
        self._folder = folder
        self._id = supervision
        self._lives: dict[str, Life] = {}
        self._by_pid: dict[int, Life] = {}
        self._groups: cgroups.Groups | None = None
        self._reader = linux.MarkReader()
        self._core = 0
        self._channel: socket.socket | None = None
        self._waiting: collections.deque[tuple[wire.Message, tuple[int, ...]]] = collections.deque()
        self._core_deaths: list[float] = []
        self._beat = 0.0
        self._looked = time.monotonic()
        self._asked: float | None = None
        self._status: int | None = None
        self._tied = tied
        self._said_ready = False
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)

    def run(self) -> int:
        """Start the core and serve it."""
        linux.adopt_orphans()
        self._obey_signals()
        self._groups = cgroups.open_groups(self._id)
        try:
            self._start_core()
            while self._status is None:
                self._wait()
                self._reap()
                self._watch_core()
        finally:
            self._end_everything()
        return self._status

    def _obey_signals(self) -> None:
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda given, _: self._stop(given))

    def _stop(self, number: int) -> None:
        if self._asked is not None:
            self._status = EXIT_STOPPED
            return
        self._asked = time.monotonic()
        child.stopping()
        self._tell({"say": "stop", "signal": number})

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._channel is not None:
            wants = select.POLLIN | (select.POLLOUT if self._waiting else 0)
            poll.register(self._channel, wants)
        if self._tied:
            poll.register(0, select.POLLIN | select.POLLHUP)
        for descriptor, _ in poll.poll(1000):
            if descriptor == self._woken.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            elif descriptor == 0:
                self._look_at_input()
            elif self._channel is not None and descriptor == self._channel.fileno():
                self._serve_core()

    def _look_at_input(self) -> None:
        """Standard input has closed: whoever had started this supervision is gone."""
        if not os.read(0, 4096):
            self._tied = False
            self._stop(signal.SIGTERM)

    def _serve_core(self) -> None:
        assert self._channel is not None
        self._send_waiting()
        with contextlib.suppress(BlockingIOError):
            while self._channel is not None:
                message, _ = wire.receive(self._channel)
                if message is None:
                    self._channel.close()
                    self._channel = None
                else:
                    self._obey(message)

    def _obey(self, message: wire.Message) -> None:
        self._beat = time.monotonic()
        order = message["do"]
        if order == "beat":
            # Where systemd started this, it hears that core and guardian are both alive.
            (child.beat if self._said_ready else child.ready)()
            self._said_ready = True
        elif order == "start":
            try:
                self._start(message)
            except OSError as problem:  # no room for another process, or for its pipes
                why = problem.strerror or str(problem)
                self._tell({"say": "failed", "life": message["life"], "why": why})
        elif order == "signal":
            life = self._lives.get(message["life"])
            if life is not None and not life.ended:
                send = linux.kill if message["main_only"] else linux.kill_group
                send(life.pid, message["signal"])
        elif order == "kill":
            life = self._lives.get(message["life"])
            if life is not None and not life.ended:
                self._kill_tree(life)
        elif order == "forget":
            self._forget(message["life"])
        elif order == "over":
            self._status = int(message["status"])

    def _tell(self, message: wire.Message, descriptors: tuple[int, ...] = ()) -> None:
        self._waiting.append((message, descriptors))
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self._channel is not None:
            try:
                wire.send(self._channel, *self._waiting[0])
            except BlockingIOError:
                return
            except OSError:
                return  # the core is gone; a new one is told everything again
            self._waiting.popleft()

    def _start_core(self) -> None:
        """Start a core, and hand over to it what there is."""
        if self._channel is not None:
            self._channel.close()
        own, other = wire.channel()
        own.setblocking(False)
        inherited = os.environ.get(linux.SUPERVISION)
        environment = dict(os.environ)
        environment[linux.SUPERVISION] = f"{inherited}:{self._id}" if inherited else self._id
        environment.pop("NOTIFY_SOCKET", None)
        for name, value in _MEMORY.items():
            environment.setdefault(name, value)
        pid = os.fork()
        if pid == 0:
            self._become_core(other, environment)
        other.close()
        self._core, self._channel = pid, own
        self._beat = time.monotonic()
        self._waiting.clear()
        for life in self._lives.values():
            self._tell(
                {"say": "alive", "life": life.mark, "pid": life.pid, "started": life.started},
                life.pipes,
            )
            for message in life.told:
                self._tell(message)
        held = list(self._groups.held) if self._groups is not None else []
        self._tell({"say": "that is all", "held": held})
        if self._asked is not None:
            self._tell({"say": "stop", "signal": int(signal.SIGTERM)})

    def _become_core(self, end: socket.socket, environment: dict[str, str]) -> NoReturn:
        try:
            os.setsid()
            _plain_signals()
            descriptor = os.dup2(end.fileno(), 3)
            os.set_inheritable(descriptor, True)
            _close_from(4)
            core = "alphafoundry.supervisor.core"
            command = [sys.executable, "-X", "faulthandler", "-m", core]
            os.execve(
                sys.executable,
                [*command, str(self._folder), self._id, str(descriptor)],
                environment,
            )
        finally:
            os._exit(EXIT_BUG)

    def _watch_core(self) -> None:
        now = time.monotonic()
        if now - self._looked > _LATE:  # this process itself was held up
            self._beat += now - self._looked
        self._looked = now
        if self._core and now - self._beat > BEAT_LIMIT:
            self._say(f"the core was silent for {BEAT_LIMIT:.0f} s; its stacks follow")
            self._beat = now
            linux.kill(self._core, signal.SIGABRT)
            deadline = now + _DUMP_SECONDS
            while time.monotonic() < deadline and linux.sample(self._core) is not None:
                time.sleep(0.05)
                self._reap()
                if not self._core:
                    break
            if self._core:
                linux.kill(self._core)
        if self._core == 0 and self._status is None:
            self._replace_core(now)
        if self._asked is not None and now - self._asked > END_LIMIT and self._status is None:
            self._say("the core did not end in time; everything is ended now")
            self._status = EXIT_STOPPED

    def _replace_core(self, now: float) -> None:
        self._core_deaths = [one for one in self._core_deaths if now - one < _CORE_WINDOW] + [now]
        if len(self._core_deaths) >= _CORE_DEATHS:
            self._say(f"the core died {_CORE_DEATHS} times within a minute; everything is ended")
            self._status = EXIT_BUG
            return
        self._say("the core died; a new one takes over, the children keep running")
        self._start_core()

    def _start(self, order: wire.Message) -> None:
        """Fork a child, and tell the core its pid and pipes, or why there is none."""
        mark = order["life"]
        opened: list[int] = []
        try:
            for _ in range(3):
                opened += os.pipe()
            out_read, out_write, err_read, err_write, fail_read, fail_write = opened
            for end in (out_write, err_write):
                linux.widen_pipe(end)
            guardian = os.getpid()
            group = self._groups.make(mark, order["most"]) if self._groups is not None else None
            pid = os.fork()
        except OSError:
            for end in opened:
                os.close(end)
            raise
        if pid == 0:
            _become_child(order, guardian, group, (out_write, err_write, fail_write))
        for end in (out_write, err_write, fail_write):
            os.close(end)
        failure = os.read(fail_read, 500).decode("utf-8", "replace")
        os.close(fail_read)
        found = linux.sample(pid)
        if failure:
            os.close(out_read)
            os.close(err_read)
            if group is not None:
                cgroups.remove(group)
            self._tell({"say": "failed", "life": mark, "why": failure})
            return
        life = Life(mark, pid, found.started if found else 0, (out_read, err_read), group)
        self._lives[mark] = life
        self._by_pid[pid] = life
        self._tell(
            {"say": "started", "life": mark, "pid": pid, "started": life.started}, life.pipes
        )

    def _reap(self) -> None:
        ended: list[tuple[Life, int, resource.struct_rusage]] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._core:
                self._core = 0
                if self._channel is not None:
                    self._serve_core()  # "over" may be among what it had still sent
                continue
            life = self._by_pid.pop(pid, None)
            if life is not None:
                life.ended = True
                linux.kill_group(life.pid)
                if life.group is not None:
                    cgroups.kill(life.group)
                ended.append((life, status, usage))
        if ended:
            left = self._end_orphans([life for life, _, _ in ended])
            for life, status, usage in ended:
                self._tell_end(life, status, usage, left)

    def _tell_end(self, life: Life, status: int, usage: resource.struct_rusage, left: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        message: wire.Message = {
            "say": "exited",
            "life": life.mark,
            "code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak": usage.ru_maxrss * 1024,
            "left": left,
            "memory_gone": life.group is not None and cgroups.killed_for_memory(life.group),
        }
        if life.group is not None:
            cgroups.remove(life.group)
        life.told.append(message)
        self._tell(message)

    def _end_orphans(self, lives: list[Life]) -> int:
        """Kill what lives that have ended have left; return how many cannot be killed.

        Whatever loses its parent becomes a child of this process, detached or not, so its children
        are all that has to be looked at.
        """
        marks = {life.mark for life in lives}
        sessions = {life.pid for life in lives}

        def orphans() -> list[int]:
            found, others = [], []
            for pid in linux.children(os.getpid()):
                if pid == self._core or pid in self._by_pid:
                    continue
                one = linux.sample(pid)
                if one is None:
                    continue
                if one.zombie:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
                elif one.session in sessions:
                    found.append(pid)
                else:
                    others.append(pid)
            read = self._reader.read(others, linux.PROCESS)
            return found + [pid for pid, parts in read.items() if marks.intersection(parts)]

        return linux.kill_until_gone(orphans)

    def _kill_tree(self, life: Life) -> None:
        """Kill a child that lives, and all that it has started."""
        children = linux.children_of(linux.sample_all())
        for pid in linux.tree_of(life.pid, children):
            linux.kill(pid)
        linux.kill_group(life.pid)
        if life.group is not None:
            cgroups.kill(life.group)

    def _forget(self, mark: str) -> None:
        life = self._lives.pop(mark, None)
        if life is not None:
            for end in life.pipes:
                os.close(end)

    def _end_everything(self) -> None:
        for life in self._lives.values():
            if not life.ended:
                linux.kill_group(life.pid)
        own = os.getpid()

        def descendants() -> list[int]:
            samples = linux.sample_all()
            living = {pid: one for pid, one in samples.items() if not one.zombie}
            below = linux.tree_of(own, linux.children_of(living))[1:]
            return [*below, *self._reader.marked(linux.SUPERVISION, self._id)]

        def reap_all() -> None:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass

        linux.kill_until_gone(descendants, reap_all)
        if self._groups is not None:
            self._groups.close()

    def _say(self, text: str) -> None:
        # A full disk or a closed terminal must not end the guardian.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"guardian: {text}\n")
            sys.stderr.flush()


def _become_child(
    order: wire.Message, guardian: int, group: Path | None, ends: tuple[int, int, int]
) -> NoReturn:
    """Turn a fork of the guardian into the program of an order, or say why not."""
    out_write, err_write, fail_write = ends
    step = "start"
    try:
        os.setsid()
        linux.die_with_parent(guardian)
        if group is not None:
            cgroups.enter(group)
        _plain_signals()
        os.umask(0o077)
        step = "chdir"
        os.chdir(order["folder"])
        resource.setrlimit(resource.RLIMIT_NOFILE, _FILES)
        for kind, size in order["limits"].items():
            number = getattr(resource, f"RLIMIT_{kind}")
            hard = resource.getrlimit(number)[1]
            wanted = size if hard == resource.RLIM_INFINITY else min(size, hard)
            resource.setrlimit(number, (wanted, wanted))
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(str(order["oom_score"]), "ascii")
        inherited = {k: v for k, v in os.environ.items() if k not in _OWN_VARIABLES}
        environment = inherited | order["environment"]
        if "WATCHDOG_USEC" in environment:
            environment["WATCHDOG_PID"] = str(os.getpid())
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(out_write, 1)
        os.dup2(err_write, 2)
        os.dup2(fail_write, 3, inheritable=False)
        _close_from(4)
        fail_write = 3
        step = "exec"
        command = order["command"]
        os.execvpe(command[0], command, environment)
    except BaseException as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        where = order["folder"] if step == "chdir" else order["command"][0]
        with contextlib.suppress(OSError):
            os.write(fail_write, f"{where}: {reason or type(problem).__name__}".encode()[:500])
    finally:
        os._exit(127)


def _most_files() -> int:
    hard = _FILES[1]
    return _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)


def _plain_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (*_SIGNALS, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _close_from(first: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= first:
            with contextlib.suppress(OSError):
                os.close(int(name))


def sweep(supervision: str) -> int:
    """End what an earlier supervision has left behind; return how many processes it was."""
    reader = linux.MarkReader()
    found: set[int] = set()

    def left() -> list[int]:
        seen = reader.marked(linux.SUPERVISION, supervision)
        found.update(seen)
        return seen

    linux.kill_until_gone(left)
    cgroups.sweep(supervision)
    return len(found)


def main() -> None:
    """Guard a supervision whose plan lies in a folder."""
    parser = argparse.ArgumentParser(prog="python -m alphafoundry.supervisor.guardian")
    parser.add_argument("folder", type=Path)
    parser.add_argument("supervision")
    parser.add_argument(
        "--lock", type=int, required=True, help="descriptor of the lock that is held"
    )
    parser.add_argument("--tied", action="store_true", help="end when standard input closes")
    given = parser.parse_args()
    # Two pipes for each child: with the usual 1024 files there would be room for 500.
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most_files(), _FILES[1]))
    os.set_inheritable(given.lock, False)
    status = Guardian(given.folder, given.supervision, tied=given.tied).run()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
