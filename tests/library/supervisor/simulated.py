"""A machine on which programs of a few words run in simulated time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alphafoundry.supervisor.processes import ProcessConfig, SupervisorSettings
from alphafoundry.supervisor.states import (
    Event,
    Exited,
    NotLaunched,
    Ready,
    Severity,
    Standing,
)
from alphafoundry.supervisor.supervision import Supervision

Program = Callable[[int], tuple[float, int | None] | None]
"""Number of a life to (seconds it lives, exit status, None for a signal); None: not there."""


def one_shot(seconds: float = 1.0, code: int = 0) -> Program:
    """Run for so many seconds."""
    return lambda life: (seconds, code)


def endless() -> Program:
    """Run until it is stopped."""
    return lambda life: (float("inf"), 0)


@dataclass
class SimulatedMachine:
    """Launcher, journal and clock in one.

    Attributes
    ----------
    stop_takes : seconds from the stop signal to the end, of all or of each by its name
    started : (moment, name, life) of every start
    told : (moment, name, kind, severity, text) of every event
    most_alive : name to the most lives it ever had at once
    """

    programs: Mapping[str, Program]
    stop_takes: float | Mapping[str, float] = 0.5
    now: float = 0.0
    started: list[tuple[float, str, int]] = field(default_factory=list)
    told: list[tuple[float, str, str, Severity, str]] = field(default_factory=list)
    most_alive: dict[str, int] = field(default_factory=dict)
    _alive: dict[tuple[str, int], bool] = field(default_factory=dict)
    _queue: list[tuple[float, int, str, int, Event]] = field(default_factory=list)
    _number: int = 0

    def supervise(self, settings: SupervisorSettings, **more: object) -> Supervision:
        """Return a supervision on this machine."""
        self.supervision = Supervision(
            settings,
            launcher=self,
            journal=self,
            draw=random.Random(0),
            now=self.now,
            **more,  # type: ignore[arg-type]
        )
        return self.supervision

    def launch(self, config: ProcessConfig, life: int) -> None:
        plan = self.programs[config.name](life)
        if plan is None:
            missing = NotLaunched("there is no script", permanent=True)
            self.supervision.handle(config.name, missing, self.now)
            return
        self.started.append((self.now, config.name, life))
        self._alive[config.name, life] = True
        alive = sum(1 for (name, _), on in self._alive.items() if on and name == config.name)
        self.most_alive[config.name] = max(alive, self.most_alive.get(config.name, 0))
        seconds, code = plan
        if seconds >= 1:
            self._later(1.0, config.name, life, Ready())
        if seconds != float("inf"):
            ended = Exited(code) if code is not None else Exited(None, 9)
            self._later(seconds, config.name, life, ended)

    def terminate(self, config: ProcessConfig, life: int) -> None:
        takes = self.stop_takes
        seconds = takes[config.name] if isinstance(takes, Mapping) else takes
        self._later(seconds, config.name, life, Exited(None, 15))

    def kill(self, config: ProcessConfig, life: int) -> None:
        self._later(0.01, config.name, life, Exited(None, 9))

    def tell(self, name: str, kind: str, text: str, severity: Severity, now: float) -> None:
        self.told.append((now, name, kind, severity, text))

    def changed(self, config: ProcessConfig, before: Standing, after: Standing) -> None:
        assert after.state != "running" or after.started is not None

    def _later(self, seconds: float, name: str, life: int, event: Event) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, name, life, event))

    def run(self, until: float) -> None:
        """Let time pass."""
        supervision = self.supervision
        supervision.advance(self.now)
        while supervision.phase != "over":
            moments = [one for one in (supervision.next_moment(),) if one is not None]
            if self._queue:
                moments.append(self._queue[0][0])
            self.now = min([*moments, until])
            while self._queue and self._queue[0][0] <= self.now:
                _, _, name, life, event = heapq.heappop(self._queue)
                if self._alive.get((name, life)):
                    if isinstance(event, Exited):
                        self._alive[name, life] = False
                    supervision.handle(name, event, self.now)
            supervision.advance(self.now)
            if self.now >= until:
                return

    def alive(self) -> set[str]:
        """Return the names of what lives."""
        return {name for (name, _), on in self._alive.items() if on}

    def events(self, kind: str, name: str | None = None) -> list[str]:
        """Return the texts of the events of a kind."""
        return [t for _, n, k, _, t in self.told if k == kind and name in (None, n)]


def processes(*configs: dict[str, object], **settings: object) -> SupervisorSettings:
    """Return settings with processes; each runs the command `true` unless it says otherwise."""
    full = [
        {"command": "true"} | config if not {"script", "module"} & config.keys() else config
        for config in configs
    ]
    return SupervisorSettings.model_validate({"processes": full, **settings})
