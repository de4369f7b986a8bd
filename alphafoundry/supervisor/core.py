"""The deciding process of a supervision: a loop around `Supervision`, the guardian's child."""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from alphafoundry.errors import ConfigurationError, os_error_in_one_line
from alphafoundry.supervisor import alerts, cgroups, child, control, database, linux, wire
from alphafoundry.supervisor.fingerprints import fingerprint
from alphafoundry.supervisor.leaks import memory_rise
from alphafoundry.supervisor.lives import (
    HEALTH_PATIENCE,
    HEALTH_SECONDS,
    LEAK_HORIZON,
    Life,
)
from alphafoundry.supervisor.matcher import ERRORS, Match, Matcher
from alphafoundry.supervisor.output import (
    PIECE,
    TAIL_LINES,
    Bucket,
    LogFiles,
    Stream,
    first_lines,
    plain,
)
from alphafoundry.supervisor.plan import read_plan, write_plan
from alphafoundry.supervisor.probes import Prober
from alphafoundry.supervisor.processes import (
    ErrorPattern,
    ProcessConfig,
    ResourceLimits,
    differences,
)
from alphafoundry.supervisor.reading import reading
from alphafoundry.supervisor.recording import Recorder
from alphafoundry.supervisor.sampling import (
    MEAN_SECONDS,
    Level,
    Meter,
    machine_level,
    machine_usage,
    slow_down,
)
from alphafoundry.supervisor.states import (
    Event,
    Exited,
    NotLaunched,
    Pause,
    Quarantine,
    Ready,
    Restart,
    Severity,
    Standing,
    Start,
    Stop,
    Unwell,
)
from alphafoundry.supervisor.supervision import Supervision
from alphafoundry.supervisor.worker_runs import WORKER
from alphafoundry.whole_file import replace_file

LOGS = "logs"
LOOK_SECONDS = 1.0
HELD_SECONDS = 0.02
FLUSH_SECONDS = 10.0
MEMORY_SECONDS = 60.0
CRITICAL_PAUSE = 10.0
SUSPENDED_SECONDS = 5.0
DOWN_FINISH_SECONDS = 5.0
"""What a turn under way gets where a person waits for the end."""

NOT_NOTED = "the disk refuses to note it, so it holds as long as this supervisor lives"

SOFT = 0.8
ROOM_AGAIN = 1.2
"""Of the least free disk: an alert about it is over from there on."""

MOST_LAST_WORDS = 400
"""Lives whose last line is remembered, until the matcher has answered for it."""

OWN_NAME = "supervisor"
"""Name under which core, guardian and matcher are measured."""

FROM_START = ("max_runtime_minutes", "prefect", "retention")
"""Keys of the file that a reload does not take over."""

_OOM_SCORES = (200, 900)
"""Of the first and of the last priority: what the kernel ends first when memory is gone."""

_AT_LEVEL: Mapping[Level, tuple[Severity, Literal["nothing", "low", "all"]]] = {
    "fine": ("info", "nothing"),
    "tight": ("warning", "low"),
    "critical": ("alert", "all"),
}


class Core:
    """Everything that the deciding process holds."""

    def __init__(self, folder: Path, supervision: str, descriptor: int) -> None:
        now = time.monotonic()
        self._folder = folder
        self._plan = read_plan(folder)
        self._id = supervision
        self._channel = socket.socket(fileno=descriptor)
        self._channel.setblocking(True)
        settings = self._plan.supervised()
        path = folder.parent / database.FILE
        earlier, self._kept_stopped, again = _remembered(path, supervision)
        self._writer = database.Writer(path, settings.retention)
        self._recorder = Recorder(self._writer, supervision, self._plan.commit)
        self._logs = LogFiles(folder / LOGS)
        self._matcher = Matcher()
        self._prober = Prober()
        self._selector = selectors.DefaultSelector()
        self._lives: dict[str, Life] = {}
        self._sockets = Path(self._plan.sockets)
        self._own = Meter()
        self._level: Level = "fine"
        self._stopped_one_at = 0.0
        self._sample_at = now
        self._flush_at = now + FLUSH_SECONDS
        self._beat_at = 0.0
        self._ahead = _ahead()
        self._told: set[str] = set()
        self._stood = _alerts_of_machine(path)
        self._last_words: dict[str, str] = {}
        self._interrupted = False
        self._told_lost = 0
        self._guardian_gone = False
        self._held: tuple[str, ...] = ()
        self._supervision = Supervision(
            settings,
            launcher=self,
            journal=self._recorder,
            draw=random.Random(),
            now=now,
            standings=earlier,
        )
        self._recorder.waits_for = self._supervision.waits_for
        self._recorder.pid_of = self._pid_of
        self._begin(now, again=again)

    def _begin(self, now: float, *, again: bool) -> None:
        self._server = control.ControlServer(self._sockets / "control")
        running = {"socket": str(self._sockets / "control"), "core": os.getpid(), "id": self._id}
        replace_file(self._folder / control.RUNNING, json.dumps(running).encode())
        for end, react in (
            (self._channel, self._hear_guardian),
            (self._server, self._hear_newcomer),
            (self._prober, self._hear_probes),
        ):
            self._selector.register(end, selectors.EVENT_READ, react)
        self._watch_matcher()
        if again:
            self._recorder.tell("", "core", "a new core has taken over", "warning", now)
        else:
            self._record_beginning()
            self._supervision.keep_desired(self._kept_stopped, now)
            for name in self._kept_stopped & set(self._supervision.configs):
                text = f"stays stopped, as a person wants it; start it: `dashboard start {name}`"
                self._recorder.tell(name, "stopped", text, "warning", now)
        self._take_over(now)
        if not again:
            self._tell_how_limits_hold(now)
        for name, config in self._supervision.configs.items():
            self._recorder.put(
                self._recorder.standing_rows(config, self._supervision.standings[name])
            )

    def _tell_how_limits_hold(self, now: float) -> None:
        """Say which limits the kernel holds, and which are only looked at."""
        asked = [one.resource_limits.of_tree() for one in self._supervision.configs.values()]
        watched = [
            name
            for name in ResourceLimits().of_tree()
            if name not in self._held and any(one[name] is not None for one in asked)
        ]
        if watched:
            every = self._supervision.settings.sample_seconds
            text = (
                f"limits of {', '.join(watched)} are watched every {every:g} s; the kernel holds "
            )
            text += f"{', '.join(self._held) or 'none'}: no cgroup v2 controller is delegated here"
            self._recorder.tell("", "limits", text, "info", now)

    def _record_beginning(self) -> None:
        at = database.stamp(datetime.now(UTC))
        plan = self._plan
        self._recorder.put(
            [
                (
                    "UPDATE supervisions SET status = 'killed', ended_at = coalesce(ended_at, ?), "
                    "why = coalesce(why, 'all of it died at once') WHERE status = 'running'",
                    (at,),
                ),
                (
                    "UPDATE process_runs SET ended_at = ?, cause = 'supervisor died' "
                    "WHERE ended_at IS NULL",
                    (at,),
                ),
                (
                    "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, "
                    "config, git_commit) VALUES (?, ?, 'running', ?, ?, ?, ?, ?)",
                    (
                        self._id,
                        at,
                        plan.runtime_minutes,
                        socket.gethostname(),
                        os.getppid(),
                        plan.config,
                        plan.commit or None,
                    ),
                ),
            ]
        )

    def _take_over(self, now: float) -> None:
        """Hear from the guardian what lives, and put each process where it is."""
        alive: dict[str, tuple[wire.Message, list[int]]] = {}
        later: list[wire.Message] = []
        while True:
            message, descriptors = wire.receive(self._channel)
            if message is None:
                self._guardian_gone = True
                break
            if message["say"] == "alive":
                alive[message["life"]] = (message, descriptors)
            elif message["say"] == "that is all":
                self._held = tuple(message["held"])
                break
            else:
                later.append(message)
        for mark, (message, descriptors) in alive.items():
            name, number = _name_and_number(mark)
            if name not in self._supervision.configs:
                self._order({"do": "kill", "life": mark})
                continue
            life = self._new_life(name, number, now)
            self._attach(life, message, descriptors)
            standing = self._supervision.standings[name]
            if standing.life != number or not standing.alive:
                # The life had begun just before the core died, and nothing of it was written.
                standing = replace(
                    standing,
                    state="starting",
                    life=number,
                    since=now,
                    started=now,
                    until=now + life.config.start_seconds,
                    ready=False,
                )
                self._supervision.restore(name, standing)
            life.ready = standing.ready
            self._watch(life, now)
        for name, standing in self._supervision.standings.items():
            if standing.alive and name not in self._by_name():
                self._supervision.restore(name, Standing(life=standing.life, since=now))
        for message in later:
            self._obey(message, [])
        self._channel.setblocking(False)

    def run(self) -> int:
        """Supervise until the end; return the exit status."""
        while self._supervision.phase != "over" and not self._guardian_gone:
            for key, mask in self._selector.select(self._wait()):
                if self._selector.get_map().get(key.fd) is not key:
                    continue  # what came before in this round has closed it
                react: Callable[[int], None] = key.data
                react(mask)
                if self._guardian_gone:
                    break
            self._do_what_is_due()
        if self._guardian_gone:
            self._end_what_is_left()
            return 1
        self._finish()
        return 0

    def _wait(self) -> float:
        now = time.monotonic()
        moments = [now + LOOK_SECONDS, self._sample_at, self._flush_at]
        moment = self._supervision.next_moment()
        if moment is not None:
            moments.append(moment)
        for life in self._lives.values():
            for one in (life.ready_at(), life.probe_at):
                if one is not None:
                    moments.append(one)
            if life.held:
                moments.append(now + HELD_SECONDS)
        return max(0.0, min(moments) - now)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if now - self._beat_at >= LOOK_SECONDS:
            self._beat_at = now
            self._order({"do": "beat"})
            self._look_at_clocks(now)
            for pattern in self._matcher.watch(now):
                self._pattern_off(pattern, now)
        self._watch_matcher()
        for life in list(self._lives.values()):
            self._look_at(life, now)
        if now >= self._sample_at:
            self._sample(now)
        if now >= self._flush_at:
            self._flush_at = now + FLUSH_SECONDS
            self._recorder.flush_samples()
        if self._runtime_over():
            minutes = self._plan.runtime_minutes
            self._supervision.end(now, f"the runtime of {minutes:g} minutes is over")
        self._supervision.advance(now)

    def _runtime_over(self) -> bool:
        if not self._plan.runtime_minutes or self._supervision.phase != "running":
            return False
        elapsed = time.clock_gettime(time.CLOCK_BOOTTIME) - self._plan.begun
        return elapsed >= 60 * self._plan.runtime_minutes

    def _look_at_clocks(self, now: float) -> None:
        """Begin anew with everything that counts silence after the machine has slept."""
        ahead = _ahead()
        if ahead - self._ahead > SUSPENDED_SECONDS:
            slept = ahead - self._ahead
            self._recorder.tell("", "suspended", f"the machine slept {slept:.0f} s", "warning", now)
            for life in self._lives.values():
                life.beat_at = None if life.beat_at is None else now
                life.unwell = 0
        self._ahead = ahead

    # --- launching: what Supervision asks for

    def launch(self, config: ProcessConfig, life: int) -> None:
        """Have the guardian start a life, where there is something to start."""
        now = time.monotonic()
        missing = config.missing(self._plan.search)
        if missing is not None:
            self._supervision.handle(config.name, NotLaunched(missing, permanent=True), now)
            return
        new = self._new_life(config.name, life, now)
        try:
            order = self._start_order(new)
        except (OSError, ValueError) as problem:
            self._drop(new)
            self._supervision.handle(config.name, NotLaunched(str(problem)), now)
        else:
            self._order(order)

    def _start_order(self, new: Life) -> wire.Message:
        """Return what the guardian needs to start a life, with its socket open.

        Raises
        ------
        ValueError : command and environment are too large
        OSError : there is no socket to be had
        """
        config = new.config
        inherited = os.environ.get(linux.PROCESS)
        environment = {
            **config.environment,
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            linux.PROCESS: f"{inherited} {new.mark}" if inherited else new.mark,
            linux.SUPERVISION: os.environ[linux.SUPERVISION],
            "NOTIFY_SOCKET": new.open_notify(self._sockets),
        }
        if config.name == alerts.NAME:
            secret = (linux.ALERTS, linux.HEARTBEAT)
            environment |= {name: os.environ[name] for name in secret if name in os.environ}
        if config.watchdog_seconds is not None:
            environment["WATCHDOG_USEC"] = str(int(config.watchdog_seconds * 1e6))
        assert new.notify is not None
        self._selector.register(
            new.notify, selectors.EVENT_READ, lambda _mask: self._hear_life(new)
        )
        limits: dict[str, int] = {"CORE": 0}
        most = config.resource_limits
        if most.open_files is not None:
            limits["NOFILE"] = most.open_files
        if most.file_mb is not None:
            limits["FSIZE"] = most.file_mb * 2**20
        first, last = _OOM_SCORES
        order = {
            "do": "start",
            "life": new.mark,
            "command": config.command_line(),
            "folder": str(config.folder.absolute()),
            "environment": environment,
            "limits": limits,
            "most": most.of_tree(),
            "oom_score": first + max(0, config.priority - 1) * (last - first) // 9,
        }
        if len(json.dumps(order)) > wire.LARGEST:
            raise ValueError(f"args and environment are more than {wire.LARGEST // 1024} KB")
        return order

    def terminate(self, config: ProcessConfig, life: int) -> None:
        """Have the stop signal sent; one that writes its stacks ends by that."""
        of_life = self._lives.get(self._mark(config.name, life))
        if of_life is not None and of_life.aborted:
            return
        self._order(
            {
                "do": "signal",
                "life": self._mark(config.name, life),
                "signal": config.stop_number,
                "main_only": config.stop_main_only,
            }
        )

    def kill(self, config: ProcessConfig, life: int) -> None:
        """Have the whole tree killed."""
        self._order({"do": "kill", "life": self._mark(config.name, life)})

    def _mark(self, name: str, life: int) -> str:
        return f"{self._id}/{name}:{life}"

    def _order(self, message: wire.Message) -> None:
        self._channel.setblocking(True)
        try:
            wire.send(self._channel, message)
        except OSError:
            self._guardian_gone = True
        finally:
            self._channel.setblocking(False)

    def _new_life(self, name: str, number: int, now: float) -> Life:
        config = self._supervision.configs[name]
        life = Life(config, number, self._mark(name, number), now)
        life.bucket = Bucket(config.store_lines)
        life.checked_at = now
        self._lives[life.mark] = life
        return life

    def _by_name(self) -> dict[str, Life]:
        return {life.config.name: life for life in self._lives.values()}

    def _pid_of(self, name: str) -> int | None:
        life = self._by_name().get(name)
        return life.pid or None if life is not None else None

    # --- what the guardian says

    def _hear_guardian(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while not self._guardian_gone:
                message, descriptors = wire.receive(self._channel)
                if message is None:
                    self._guardian_gone = True
                else:
                    self._obey(message, descriptors)

    def _obey(self, message: wire.Message, descriptors: list[int]) -> None:
        now = time.monotonic()
        said = message["say"]
        if said == "stop":
            number = signal.Signals(message["signal"]).name
            self._interrupted = True
            self._supervision.end(now, f"asked to end by {number}; again: at once")
            return
        life = self._lives.get(message.get("life", ""))
        if life is None:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        if said == "started":
            self._attach(life, message, descriptors)
            self._recorder.begun(life.config.name, life.number, life.pid, life.begun)
            self._record(life.config.name)
            if not life.config.requires_loop:
                self._recorder.tell(life.config.name, "started", f"pid {life.pid}", "info", now)
            self._watch(life, now)
        elif said == "failed":
            self._drop(life)
            self._handle(life, NotLaunched(f"could not be started: {message['why']}"), now)
        elif said == "exited":
            self._ended(life, message, now)

    def _watch(self, life: Life, now: float) -> None:
        """Expect signs of life from now on, and begin to probe."""
        if life.config.watchdog_seconds is not None:
            life.beat_at = now
        if life.config.probe is not None and life.config.probe.output is None:
            life.probe_at = now

    def _attach(self, life: Life, message: wire.Message, descriptors: list[int]) -> None:
        life.pid, life.started = message["pid"], message["started"]
        for descriptor, name in zip(descriptors, ("stdout", "stderr"), strict=False):
            os.set_blocking(descriptor, False)
            life.streams[descriptor] = (name, Stream())
            self._listen(life, descriptor)
        if life.notify is None:
            life.open_notify(self._sockets)
            assert life.notify is not None
            self._selector.register(
                life.notify, selectors.EVENT_READ, lambda _mask: self._hear_life(life)
            )

    def _listen(self, life: Life, descriptor: int) -> None:
        self._selector.register(
            descriptor, selectors.EVENT_READ, lambda _mask: self._read(life, descriptor)
        )

    def _ended(self, life: Life, message: wire.Message, now: float) -> None:
        """Take what was still in the pipes, and let the process see its end."""
        self._hear_life(life)
        for descriptor in list(life.streams):
            self._read_to_the_end(life, descriptor)
        if message["memory_gone"]:
            most = life.config.resource_limits.memory_mb
            why = f"the kernel has ended it at {most} MB of memory"
            self._handle(life, Unwell("limit", why), now)
        before = self._supervision.standings[life.config.name]
        event = Exited(message["code"], message["signal"])
        if before.state != "stopping" and (event.code != 0):
            self._record_crash(life, event)
        size, not_stored = life.size, life.not_stored
        if life.dropped:
            text = f"{life.dropped} lines of its output were dropped: the disk was too slow"
            self._recorder.tell(life.config.name, "dropped", text, "warning", now)
        if message["left"]:
            text = f"{message['left']} processes of its tree cannot be killed"
            self._recorder.tell(life.config.name, "left", text, "alert", now)
        self._drop(life)
        self._handle(life, event, now)
        self._recorder.ended(
            life.config.name,
            self._supervision.standings[life.config.name],
            life=life.number,
            code=event.code,
            number=event.signal,
            seconds=now - life.begun,
            cpu=message["cpu"],
            peak=message["peak"],
            size=size,
            not_stored=not_stored,
        )

    def _drop(self, life: Life) -> None:
        """Forget a life that is over."""
        for descriptor in life.streams:
            if descriptor not in life.held:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(descriptor)
            os.close(descriptor)
        life.streams.clear()
        if life.notify is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(life.notify)
        life.forget_sockets()
        self._lives.pop(life.mark, None)
        self._order({"do": "forget", "life": life.mark})

    def _handle(self, life: Life, event: Event, now: float) -> None:
        """Let a process see an event of a life, unless a later life has begun."""
        standing = self._supervision.standings.get(life.config.name)
        if standing is not None and standing.life == life.number:
            self._supervision.handle(life.config.name, event, now)

    # --- output

    def _read(self, life: Life, descriptor: int) -> None:
        has_room = self._logs.has_room and self._matcher.has_room
        if not has_room and life.config.output == "wait":
            self._selector.unregister(descriptor)
            life.held.add(descriptor)
            return
        try:
            data = os.read(descriptor, PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        name, stream = life.streams[descriptor]
        if not data:
            self._take(life, name, stream.finish())
            self._selector.unregister(descriptor)
            life.held.discard(descriptor)
            os.close(descriptor)
            life.closed.append(life.streams.pop(descriptor))
            return
        life.size += len(data)
        self._take(life, name, stream.feed(data))

    def _read_to_the_end(self, life: Life, descriptor: int) -> None:
        name, stream = life.streams[descriptor]
        with contextlib.suppress(OSError):
            while data := os.read(descriptor, PIECE):
                life.size += len(data)
                self._take(life, name, stream.feed(data))
        self._take(life, name, stream.finish())

    def _take(self, life: Life, name: str, whole: bytes) -> None:
        """Pass whole lines on: to the file, to the patterns, some to the database."""
        if not whole:
            return
        if self._logs.has_room or life.config.output == "wait":
            self._logs.put(life.config.name, whole)
        else:
            life.dropped += whole.count(b"\n")
        count = whole.count(b"\n")
        kept = first_lines(whole, life.bucket.take(count, time.monotonic()))
        life.not_stored += count - len(kept)
        if kept:
            self._recorder.lines(life.config.name, life.number, name, kept)
        self._matcher.submit(f"{life.mark} {name}", self._patterns(life, name), whole)

    def _patterns(self, life: Life, stream: str) -> list[str]:
        found = [ERRORS]
        found += [one.match for one in life.config.error_patterns if one.stream in (stream, "both")]
        probe = life.config.probe
        if probe is not None and probe.output is not None and not life.ready:
            found.append(probe.output)
        return found

    def _watch_matcher(self) -> None:
        """Wait for the matcher's answers, and for room in its pipe while something waits."""
        answer, question = self._matcher.descriptors
        for descriptor, wanted, react in (
            (answer, True, self._hear_matcher),
            (question, self._matcher.wants_to_write, self._feed_matcher),
        ):
            known = descriptor in self._selector.get_map()
            kind = selectors.EVENT_READ if descriptor == answer else selectors.EVENT_WRITE
            if wanted and not known:
                self._selector.register(descriptor, kind, react)
            elif known and not wanted:
                self._selector.unregister(descriptor)

    def _feed_matcher(self, _mask: int) -> None:
        self._with_matcher(self._matcher.write)

    def _hear_matcher(self, _mask: int) -> None:
        now = time.monotonic()

        def hear() -> None:
            for found in self._matcher.read():
                if isinstance(found, str):
                    self._pattern_off(found, now)
                else:
                    self._matched(found, now)

        self._with_matcher(hear)

    def _with_matcher(self, do: Callable[[], None]) -> None:
        """Do something after which the matcher may be another process."""
        before = self._matcher.descriptors
        do()
        if self._matcher.descriptors != before:
            for descriptor in before:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(descriptor)
        self._watch_matcher()

    def _pattern_off(self, pattern: str, now: float) -> None:
        text = f"the pattern {pattern!r} takes too long and is off; write a simpler one"
        self._recorder.tell("", "pattern_off", text, "alert", now)

    def _matched(self, match: Match, now: float) -> None:
        mark, stream = match.key.split(" ")
        context = "\n".join(map(plain, match.context))
        name, number = _name_and_number(mark)
        life = self._lives.get(mark)
        if match.pattern == ERRORS or self._is_error_pattern(name, match.pattern):
            for line, count in match.errors:
                same = fingerprint(line)
                if life is not None:
                    life.seen.append(same)
                # The last line was counted when the life ended, if the matcher answers after that.
                known = life is None and self._last_words.get(mark) == same
                if known:
                    del self._last_words[mark]
                if count > known:
                    self._recorder.error(
                        name,
                        number,
                        stream,
                        fingerprint=same,
                        sample=line[:1000],
                        context=context,
                        count=count - known,
                    )
        if life is None:
            return
        if match.pattern == ERRORS:
            life.count_error(now, match.count)
        probe = life.config.probe
        if probe is not None and match.pattern == probe.output and not life.ready:
            self._now_ready(life, now)
        for position, pattern in enumerate(life.config.error_patterns):
            if pattern.match == match.pattern:
                self._act_on(life, position, pattern, match, now)

    def _is_error_pattern(self, name: str, expression: str) -> bool:
        config = self._supervision.configs.get(name)
        return config is not None and any(one.match == expression for one in config.error_patterns)

    def _act_on(
        self, life: Life, position: int, pattern: ErrorPattern, match: Match, now: float
    ) -> None:
        seen = life.matches.setdefault(position, deque(maxlen=pattern.at))
        seen.extend([now] * min(match.count, pattern.at))
        if len(seen) < pattern.at or seen[0] < now - pattern.within:
            return
        seen.clear()
        name = life.config.name
        line = match.lines[0][:200] if match.lines else ""
        why = f"{pattern.at} x {pattern.match!r}: {line}"
        if pattern.action == "alert":
            self._recorder.tell(name, "pattern", why, "alert", now)
        elif pattern.action == "restart":
            self._handle(life, Unwell("pattern", why), now)
        elif pattern.action == "stop":
            self._handle(life, Stop(why, by="pattern"), now)
        elif pattern.action == "quarantine":
            self._handle(life, Quarantine(why), now)
        elif pattern.action == "pause":
            self._handle(life, Pause(why), now)

    def _record_crash(self, life: Life, event: Exited) -> None:
        """Keep the last lines of a life that failed, with the last one as the error."""
        # stderr, then stdout
        streams = sorted([*life.streams.values(), *life.closed], key=lambda one: one[0])
        lines: list[str] = []
        stream = "stderr"
        for name, content in streams:
            lines = content.tail(TAIL_LINES)
            stream = name
            if any(lines):
                break
        sample = next((line for line in reversed(lines) if line.strip()), event.told())
        same = fingerprint(sample)
        if same in life.seen:
            return
        self._last_words[life.mark] = same
        if len(self._last_words) > MOST_LAST_WORDS:
            del self._last_words[next(iter(self._last_words))]
        self._recorder.error(
            life.config.name,
            life.number,
            stream,
            fingerprint=same,
            sample=sample[:1000],
            context="\n".join(lines),
            count=1,
        )

    # --- what processes say, and how they are

    def _hear_life(self, life: Life) -> None:
        now = time.monotonic()
        for line in life.heard():
            key, _, value = line.partition("=")
            if key == "READY" and value == "1":
                self._now_ready(life, now)
            elif key == "WATCHDOG" and value == "1":
                life.beat_at = now
                if not life.config.notify and life.config.probe is None:
                    self._now_ready(life, now)
            elif key == "STATUS":
                self._recorder.status(life.config.name, value[:200])
            elif key == child.FLOW_RUN:
                with contextlib.suppress(ValueError):
                    self._recorder.flow_run(life.config.name, life.number, UUID(value))

    def _now_ready(self, life: Life, now: float) -> None:
        if not life.ready:
            life.ready = True
            self._handle(life, Ready(), now)

    def _hear_probes(self, _mask: int) -> None:
        now = time.monotonic()
        for mark, passed in self._prober.results():
            life = self._lives.get(mark)
            if life is None or life.config.probe is None:
                continue
            life.probing = False
            life.probe_at = now + (life.config.probe.interval if life.ready else 0.5)
            if passed:
                life.probes.append(True)
                life.failed_probes = 0
                self._now_ready(life, now)
            elif life.ready:
                life.probes.append(False)
                life.failed_probes += 1
                if life.failed_probes >= life.config.probe.failures:
                    why = f"{life.failed_probes} probes in a row failed"
                    self._supervision.unwell(life.config.name, "probe", why, now)

    def _look_at(self, life: Life, now: float) -> None:
        if not life.pid:
            return
        for descriptor in list(life.held):
            if self._logs.has_room and self._matcher.has_room:
                life.held.discard(descriptor)
                self._listen(life, descriptor)
        moment = life.ready_at()
        if moment is not None and now >= moment:
            self._now_ready(life, now)
        if life.probe_at is not None and now >= life.probe_at and not life.probing:
            assert life.config.probe is not None
            life.probing, life.probe_at = True, None
            self._prober.submit(life.mark, life.config.probe, life.config.folder)
        self._look_at_watchdog(life, now)

    def _look_at_watchdog(self, life: Life, now: float) -> None:
        longest = life.config.watchdog_seconds
        if longest is None or life.beat_at is None or not life.ready:
            return
        if now - life.beat_at > longest and self._state(life) == "running":
            life.beat_at = None
            life.aborted = True
            # With PYTHONFAULTHANDLER a Python program writes its stacks before it ends.
            self._order(
                {"do": "signal", "life": life.mark, "signal": signal.SIGABRT, "main_only": True}
            )
            self._handle(life, Unwell("watchdog", f"no sign of life for {longest:g} s"), now)

    def _state(self, life: Life) -> str:
        return self._supervision.standings[life.config.name].state

    # --- measuring

    def _sample(self, now: float) -> None:
        interval = self._supervision.settings.sample_seconds
        self._sample_at = max(self._sample_at + interval, now + interval / 2)
        samples = linux.sample_all()
        children = linux.children_of(samples)
        sessions: dict[int, list[int]] = {}
        for one in samples.values():
            sessions.setdefault(one.session, []).append(one.pid)
        at = database.stamp(datetime.now(UTC))
        for life in list(self._lives.values()):
            if not life.pid:
                continue
            whole = [*linux.tree_of(life.pid, children), *sessions.get(life.pid, ())]
            theirs = self._measure_runs(life, samples, children, now, at)
            tree = [one for one in dict.fromkeys(whole) if one not in theirs]
            life.usage = life.meter.measure(life.pid, samples, tree, now)
            standing = self._supervision.standings[life.config.name]
            found = life.measure_health(standing, now)
            self._recorder.sample(life.config.name, life.usage, found, at)
            self._look_at_limits(life, now)
            self._look_at_memory(life, now)
            self._look_at_health(life, now)
        for name, standing in self._supervision.standings.items():
            if standing.state == "waiting":
                self._recorder.waiting(name, self._supervision.waits_for(name))
        own = [os.getppid(), *linux.tree_of(os.getpid(), children)]
        self._recorder.sample(OWN_NAME, self._own.measure(os.getpid(), samples, own, now), None, at)
        self._look_at_machine(now, at)

    def _measure_runs(
        self,
        life: Life,
        samples: dict[int, linux.ProcessSample],
        children: dict[int, list[int]],
        now: float,
        at: str,
    ) -> set[int]:
        """Measure the flow runs of the worker; return their processes, which are not its own."""
        if life.config.name != WORKER:
            return set()
        found, theirs = life.runs.measure(life.pid, samples, children, now)
        self._recorder.flow_runs(found, at)
        return theirs

    def _look_at_limits(self, life: Life, now: float) -> None:
        usage, limits = life.usage, life.config.resource_limits
        if usage is None or self._state(life) == "stopping":
            return
        for what, used, most in (
            ("memory", usage.rss / 2**20, limits.memory_mb),
            ("processes", float(usage.processes), limits.processes),
            ("open files", float(usage.open_files or 0), limits.open_files),
        ):
            if most is None:
                continue
            told = f"{what} {used:.0f} of {most}{' MB' if what == 'memory' else ''}"
            # The kernel lets nobody have more open files, so all of them is the limit.
            if used > most or (used == most and what == "open files"):
                self._handle(life, Unwell("limit", told), now)
                return
            if used > SOFT * most and what not in life.told:
                life.told.add(what)
                self._recorder.tell(life.config.name, "limit", f"is near: {told}", "warning", now)
        means, most = life.meter.means(), limits.cpu_percent
        if most is None or means is None or "cpu" in life.told or now - life.begun < MEAN_SECONDS:
            return
        if means[0] > most:
            life.told.add("cpu")
            slow_down([pid for pid, _ in life.members()])
            told = f"is slowed: {means[0]:.0f} % of a core, {most} allowed"
            self._recorder.tell(life.config.name, "limit", told, "warning", now)

    def _look_at_memory(self, life: Life, now: float) -> None:
        """Watch for memory that rises without end."""
        if life.usage is None or now < life.memory_at:
            return
        life.memory_at = now + MEMORY_SECONDS
        life.memory.append((now - life.begun, float(life.usage.rss)))
        most = life.config.resource_limits.memory_mb
        limit = None if most is None else most * 2.0**20
        life.rise = memory_rise(life.memory, limit=limit)
        if life.rise is None:
            return
        slope = life.rise.slope / 2**20
        hours = life.rise.hours_to_limit
        if "rise" not in life.told:
            life.told.add("rise")
            text = f"memory rises by {slope:.0f} MB an hour"
            text += "" if hours is None else f"; {hours:.1f} h until {most} MB"
            self._recorder.tell(life.config.name, "memory_rises", text, "warning", now)
        if hours is not None and hours < LEAK_HORIZON and "leak" not in life.told:
            life.told.add("leak")
            text = f"leaks: {slope:.0f} MB an hour, {hours:.1f} h until {most} MB"
            self._recorder.tell(life.config.name, "leak", text, "alert", now)
        if hours is not None and hours < 1 and not life.config.requires_loop:
            self._supervision.unwell(
                life.config.name, "leak", f"{hours:.1f} h until the limit", now
            )

    def _look_at_health(self, life: Life, now: float) -> None:
        """Restart what has been unwell for three checks, if a restart can mend it."""
        if now - life.checked_at < HEALTH_SECONDS or self._level == "critical":
            return
        life.checked_at = now
        found, config = life.health, life.config
        if found is None or found.mendable is None or found.mendable >= config.health_threshold:
            life.unwell = 0
            return
        life.unwell += 1
        if life.unwell < HEALTH_PATIENCE or self._state(life) != "running":
            return
        why = (
            f"health {found.mendable:.2f} below {config.health_threshold:g} for "
            f"{HEALTH_PATIENCE} checks, mostly {found.worst}; it lives, so health decides"
        )
        if self._supervision.unwell(config.name, "health", why, now):
            life.unwell = 0

    def _look_at_machine(self, now: float, at: str) -> None:
        usage = machine_usage(self._folder)
        limits = self._supervision.settings.machine
        before, self._level = self._level, machine_level(self._level, usage.memory_percent, limits)
        self._recorder.machine(usage, self._level, at)
        least = limits.least_disk_mb * 2**20
        if usage.disk_free < least:
            self._tell_once("disk", f"{usage.disk_free / 2**20:.0f} MB left on the disk", now)
        elif "disk" in self._told | self._stood and usage.disk_free > ROOM_AGAIN * least:
            self._told.discard("disk")
            self._stood.discard("disk")
            self._recorder.tell("", "disk", "there is room on the disk again", "info", now)
        self._look_at_losses(now)
        if self._matcher.unseen:
            text = "no pattern has seen part of the output: it came too fast, or the matcher ended"
            self._tell_once("output_unseen", text, now)
        if self._level != before or "machine" in self._stood:
            self._stood.discard("machine")
            text = f"the machine is {self._level}: {usage.memory_percent:.0f} % of memory"
            severity, held = _AT_LEVEL[self._level]
            self._recorder.tell("", "machine", text, severity, now)
            self._supervision.hold_back(held, now)
            if self._level != "fine":
                self._slow_low_ones(limits.low_priority)
        if self._level == "critical" and now - self._stopped_one_at >= CRITICAL_PAUSE:
            self._stopped_one_at = now
            self._supervision.stop_lowest("the machine has no room", now)

    def _look_at_losses(self, now: float) -> None:
        """Tell of what could not be kept: when it begins, and how much it was once it is over."""
        if self._logs.lost or self._writer.lost:
            text = "the disk refuses what is to be kept; output and rows of this database are lost"
            self._tell_once("disk_refuses", text, now)
        lost = self._writer.lost
        if lost > self._told_lost and not self._writer.refused:
            # Where this row is lost itself, it is told again: then more are lost than it tells.
            self._told_lost = lost
            text = (
                f"the database can be written again; until now {lost} of its rows and "
                f"{self._logs.lost} bytes of output are lost"
            )
            self._recorder.tell("", "disk_refuses", text, "alert", now)
            for name in self._supervision.configs:
                self._record(name)

    def _slow_low_ones(self, low: int) -> None:
        for life in self._lives.values():
            if life.config.priority >= low and life.config.slow in ("nice", "turns"):
                slow_down([pid for pid, _ in life.members()])

    def _tell_once(self, key: str, text: str, now: float) -> None:
        if key not in self._told:
            self._told.add(key)
            self._recorder.tell("", key, text, "alert", now)

    # --- what people ask for

    def _hear_newcomer(self, _mask: int) -> None:
        connection = self._server.accept()
        if connection is not None:
            self._selector.register(
                connection, selectors.EVENT_READ, lambda _mask: self._hear_person(connection)
            )

    def _hear_person(self, connection: control.Connection) -> None:
        try:
            request = connection.read()
        except (OSError, ValueError):
            self._selector.unregister(connection)
            connection.close()
            return
        if request is None:
            return
        self._selector.unregister(connection)
        try:
            told = self._serve(request, time.monotonic())
        except (control.SupervisorError, ConfigurationError) as problem:
            connection.answer({"error": str(problem)})
            return
        name = request.get("name")
        rows: list[database.Statement] = [
            (
                "INSERT INTO operator_actions (at, action, process, told) VALUES (?, ?, ?, ?)",
                (database.stamp(datetime.now(UTC)), request.get("do"), name, told),
            )
        ]
        if name in self._supervision.configs:
            config = self._supervision.configs[name]
            rows += self._recorder.standing_rows(config, self._supervision.standings[name])
        # What a person wants is on the disk before it is acknowledged.
        self._recorder.put(
            rows,
            then=lambda: connection.answer({"told": told}),
            otherwise=lambda: connection.answer({"told": f"{told}; {NOT_NOTED}"}),
        )

    def _serve(self, request: dict[str, Any], now: float) -> str:
        do, name = request.get("do"), request.get("name", "")
        if do == "end":
            soon = DOWN_FINISH_SECONDS if request.get("soon") else None
            why = str(request.get("why", "asked to end"))
            self._supervision.end(now, why, finish_seconds=soon)
            return "the supervision ends"
        if do == "ping":
            return f"pid {os.getppid()}, core {os.getpid()}, supervision {self._id}"
        if do == "reload":
            return self._reload(now, only_check=bool(request.get("check")))
        if do not in control.COMMANDS:
            raise control.SupervisorError(f"{do!r} is no command")
        if name not in self._supervision.configs:
            known = ", ".join(sorted(self._supervision.configs))
            raise control.SupervisorError(f"there is no process {name!r}; choose one of {known}")
        if self._supervision.phase != "running":
            raise control.SupervisorError("the supervision is ending")
        events: dict[str, Event] = {
            "start": Start(),
            "stop": Stop("stopped by a person"),
            "restart": Restart("restarted by a person"),
            "pause": Pause("paused by a person"),
        }
        before = self._supervision.standings[name].state
        self._supervision.handle(name, events[do], now)
        self._supervision.advance(now)
        after = self._supervision.standings[name]
        return (
            f"{name}: {before} -> {after.state}{', pauses after this turn' if after.held else ''}"
        )

    def _reload(self, now: float, *, only_check: bool) -> str:
        try:
            settings = self._plan.read_again()
        except KeyError as problem:
            raise control.SupervisorError(f"{self._plan.config}: no process {problem}") from None
        before = self._supervision.settings
        told = [f"{name} {change}" for name, change in differences(before, settings).items()]
        for key in type(settings).model_fields:
            if key != "processes" and getattr(before, key) != getattr(settings, key):
                told.append(f"{key} changed{' (for the next start)' if key in FROM_START else ''}")
        if not only_check:
            self._supervision.reload(settings, now)
            # A core that takes over later goes on with these.
            self._plan = replace(self._plan, settings=settings.model_dump(mode="json"))
            write_plan(self._folder, self._plan)
            for name in self._supervision.configs:
                self._record(name)
        return ", ".join(told) or "nothing has changed"

    def _record(self, name: str) -> None:
        config = self._supervision.configs[name]
        self._recorder.put(self._recorder.standing_rows(config, self._supervision.standings[name]))

    # --- the end

    def _finish(self) -> None:
        """Save everything, and tell how it went."""
        self._recorder.flush_samples()
        status = "interrupted" if self._interrupted else "finished"
        self._logs.close()
        self._recorder.put(
            [
                (
                    "UPDATE supervisions SET ended_at = ?, status = ?, why = ?, "
                    "statements_lost = ? WHERE id = ?",
                    (
                        database.stamp(datetime.now(UTC)),
                        status,
                        self._supervision.why,
                        self._writer.lost,
                        self._id,
                    ),
                )
            ]
        )
        self._writer.close()
        for line in self._summary():
            self._recorder.say(line)
        self._recorder.close()
        self._matcher.close()
        self._prober.close()
        self._server.close()
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._order({"do": "over", "status": 0})

    def _summary(self) -> Iterable[str]:
        width = max(map(len, self._supervision.configs), default=0)
        for name, config in sorted(self._supervision.configs.items()):
            one = self._supervision.standings[name]
            turns = f", {one.turns} turns" if config.requires_loop else ""
            late = f", {one.skipped} beats skipped" if one.skipped else ""
            yield (
                f"{name:<{width}}  {one.state}, {one.life} lives{turns}{late}, "
                f"{len(one.restarts)} restarts of {config.max_restarts}"
            )
        if self._logs.lost:
            yield f"{self._logs.lost} bytes of output are lost: the disk refused them"
        yield "report: python -m flows.dashboard --report"

    def _end_what_is_left(self) -> None:
        """The guardian is dead: the kernel has ended its children, this ends their children."""
        known = {one for life in self._lives.values() for one in life.members()}
        reader = linux.MarkReader()

        def left() -> list[int]:
            found = reader.marked(linux.SUPERVISION, self._id)
            for pid, started in known:
                one = linux.sample(pid)
                if one is not None and one.started == started and not one.zombie:
                    found.append(pid)
            matcher = self._matcher.pid
            return [pid for pid in dict.fromkeys(found) if pid not in (os.getpid(), matcher)]

        linux.kill_until_gone(left)
        cgroups.sweep(self._id)
        with contextlib.suppress(Exception):
            self._recorder.put(
                [
                    (
                        "UPDATE supervisions SET ended_at = ?, status = 'killed', why = ? "
                        "WHERE id = ?",
                        (database.stamp(datetime.now(UTC)), "its main process died", self._id),
                    )
                ]
            )
            self._writer.close(2.0)
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._matcher.close()


def _ahead() -> float:
    """Return by how much the clock that counts sleep is ahead of the one that does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _name_and_number(mark: str) -> tuple[str, int]:
    name, _, number = mark.rpartition("/")[2].rpartition(":")
    return name, int(number)


def _remembered(path: Path, supervision: str) -> tuple[dict[str, Standing], set[str], bool]:
    """Return where an earlier core of this supervision has left its processes.

    Also the names that a person has stopped, and whether there was such a core.
    """
    with contextlib.closing(database.open_for_writing(path)) as connection:
        rows = connection.execute(
            "SELECT name, supervision, desired, standing FROM processes"
        ).fetchall()
        again = connection.execute(
            "SELECT count(*) FROM supervisions WHERE id = ? AND status = 'running'", (supervision,)
        ).fetchone()[0]
    standings = {}
    if again:
        for name, of, _, text in rows:
            if of == supervision:
                values = json.loads(text)
                values["restarts"] = tuple(values["restarts"])
                standings[name] = Standing(**values)
    stopped = {name for name, _, desired, _ in rows if desired == "stop"}
    return standings, stopped, bool(again)


def _alerts_of_machine(path: Path) -> set[str]:
    """Return which alerts about the machine an earlier core has left standing.

    Only an event ends those, and their reason may have gone while nobody looked.
    """
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT kind, severity, max(id) FROM process_events "
            "WHERE process = '' AND kind IN (?, ?) GROUP BY kind",
            alerts.ENDED_BY_EVENT,
        ).fetchall()
    return {row["kind"] for row in rows if row["severity"] == "alert"}


def main() -> None:
    """Decide for a supervision: what the guardian starts."""
    folder, supervision, descriptor = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    status = 1
    try:
        core = Core(Path(folder), supervision, int(descriptor))
    except sqlite3.Error as problem:
        sys.stderr.write(f"error: {Path(folder).parent / database.FILE}: {problem}\n")
    except OSError as problem:
        sys.stderr.write(f"error: {os_error_in_one_line(problem)}\n")
    else:
        status = core.run()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
