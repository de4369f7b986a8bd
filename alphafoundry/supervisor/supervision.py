"""All processes together: who may start, who waits for whom, and how everything ends.

Time, randomness, launching and recording are arguments, so that days pass in a second in a test.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal, Protocol

from alphafoundry.supervisor import states
from alphafoundry.supervisor.processes import ProcessConfig, SupervisorSettings, differences
from alphafoundry.supervisor.states import Event, Severity, Standing

STOP_SECONDS = 50.0
"""Everything is killed that long after stopping has begun."""

END_SECONDS = 55.0
"""The same after the end has begun, the turns under way included: within the minute, always."""

HEALTH_RESTARTS = 3
HEALTH_WINDOW = 600.0
"""At most so many restarts for bad health in so many seconds, over all processes."""

Phase = Literal["running", "finishing", "stopping", "over"]


class Launcher(Protocol):
    """What starts and ends processes; the answers come as events."""

    def launch(self, config: ProcessConfig, life: int) -> None:
        """Start a life."""
        ...

    def terminate(self, config: ProcessConfig, life: int) -> None:
        """Send its stop signal."""
        ...

    def kill(self, config: ProcessConfig, life: int) -> None:
        """Kill its whole tree."""
        ...


class Journal(Protocol):
    """Where is recorded what happens."""

    def tell(self, name: str, kind: str, text: str, severity: Severity, now: float) -> None:
        """Record one event; `name` is empty for the supervision itself."""
        ...

    def changed(self, config: ProcessConfig, before: Standing, after: Standing) -> None:
        """Record where a process stands."""
        ...


class Supervision:
    """Decides for all processes; fed with events, and asked to advance when time has passed.

    Attributes
    ----------
    standings : where each process stands, by name
    phase : how far the end is
    why : why it ends, "" while it does not
    """

    def __init__(
        self,
        settings: SupervisorSettings,
        *,
        launcher: Launcher,
        journal: Journal,
        draw: random.Random,
        now: float,
        standings: Mapping[str, Standing] | None = None,
    ) -> None:
        self._launcher = launcher
        self._journal = journal
        self._random = draw
        self.configs = {one.name: one for one in settings.processes}
        self._settings = settings
        known = standings or {}
        self.standings = {name: known.get(name, Standing(since=now)) for name in self.configs}
        self.phase: Phase = "running"
        self.why = ""
        self._finish_seconds = settings.finish_seconds
        self._phase_since = now
        self._end_since = now
        self._health_restarts: list[float] = []
        self._told_health = False
        self._held_back: Literal["nothing", "low", "all"] = "nothing"
        self._killed = False

    @property
    def settings(self) -> SupervisorSettings:
        """The settings that apply now."""
        return self._settings

    def handle(self, name: str, event: Event, now: float) -> None:
        """Let a process see an event, and do what follows."""
        config, before = self.configs[name], self.standings[name]
        after, actions = states.step(before, event, config, now=now, draw=self._random)
        self.standings[name] = after
        if after != before:
            self._journal.changed(config, before, after)
        for action in actions:
            self._do(config, after, action, now)
        self._draw_along(config, before, after, now)

    def _do(
        self, config: ProcessConfig, standing: Standing, action: states.Action, now: float
    ) -> None:
        if isinstance(action, states.Launch):
            self._launcher.launch(config, standing.life)
        elif isinstance(action, states.Terminate):
            self._launcher.terminate(config, standing.life)
        elif isinstance(action, states.Kill):
            self._launcher.kill(config, standing.life)
        else:
            self._journal.tell(config.name, action.kind, action.text, action.severity, now)

    def _draw_along(
        self, config: ProcessConfig, before: Standing, after: Standing, now: float
    ) -> None:
        """Restart what wants to be restarted with a process that has begun a new life."""
        if after.life in (before.life, 1) or self.phase != "running":
            return
        for other in self.configs.values():
            drawn = config.name in other.depends_on and other.with_dependency == "restart"
            if drawn and self.standings[other.name].state in ("starting", "running"):
                self.handle(other.name, states.Restart(f"{config.name} was restarted"), now)

    def advance(self, now: float) -> None:
        """Let time pass: what is due begins, what is too long is ended."""
        for name, standing in list(self.standings.items()):
            due = standing.until is not None and standing.until <= now
            if due and (self.phase == "running" or standing.alive):
                self.handle(name, states.Time(), now)
        if self.phase == "running":
            self._start_what_may(now)
        else:
            self._go_on_ending(now)

    def next_moment(self) -> float | None:
        """Return when `advance` has something to do by itself."""
        ending = self.phase != "running"
        moments = [
            one.until
            for one in self.standings.values()
            if one.until is not None and (one.alive or not ending)
        ]
        if self.phase == "finishing":
            moments.append(self._phase_since + self._finish_seconds)
        elif self.phase == "stopping" and not self._killed:
            moments.append(self._kill_at())
        return min(moments, default=None)

    def _start_what_may(self, now: float) -> None:
        """Start what waits: the lowest priority number first, equal ones side by side."""
        for config in sorted(self.configs.values(), key=lambda one: one.priority):
            standing = self.standings[config.name]
            if standing.state != "waiting" or standing.desired == "stop":
                continue
            may = self._missing_need(config) is None and self._may_start(config)
            if may and not self._earlier_one_starts(config):
                self.handle(config.name, states.Go(), now)

    def _earlier_one_starts(self, config: ProcessConfig) -> bool:
        """Return whether one that comes first is on its way up for the first time.

        What the supervisor adds for Prefect holds nobody up but those that say they need it.
        """
        if self.standings[config.name].life > 0:
            return False
        return any(
            1 <= other.priority < config.priority
            and not other.requires_loop
            and self.standings[other.name].life == 1
            and self.standings[other.name].state == "starting"
            for other in self.configs.values()
        )

    def _may_start(self, config: ProcessConfig) -> bool:
        if self._held_back == "all":
            return False
        low = config.priority >= self._settings.machine.low_priority
        return not (self._held_back == "low" and low and config.slow == "turns")

    def _missing_need(self, config: ProcessConfig) -> str | None:
        """Return what a process waits for, None where everything is there."""
        for name, condition in config.depends_on.items():
            if name not in self.standings:
                continue  # it is not supervised here
            other = self.standings[name]
            has_turned = other.turns > 0
            met = {
                "started": other.alive or has_turned or other.state == "finished",
                "ready": (other.state == "running" and other.ready) or has_turned,
                "finished": (other.state == "finished" and other.last_code == 0) or has_turned,
            }[condition]
            if not met:
                return f"{name} ({condition})"
        return None

    def waits_for(self, name: str) -> str | None:
        """Return what a waiting process waits for."""
        if self.standings[name].state != "waiting":
            return None
        missing = self._missing_need(self.configs[name])
        if missing is None and not self._may_start(self.configs[name]):
            return "room on the machine"
        return missing

    def unwell(self, name: str, cause: str, why: str, now: float) -> bool:
        """Restart a process for its health; False where there were too many such restarts.

        One at a time, at most three in ten minutes over all processes: where all are unwell at
        once, restarting them mends nothing.
        """
        if self.standings[name].state not in ("starting", "running"):
            return False
        recent = [one for one in self._health_restarts if one > now - HEALTH_WINDOW]
        under_way = any(
            one.state == "stopping" and one.cause == cause for one in self.standings.values()
        )
        if len(recent) >= HEALTH_RESTARTS:
            if not self._told_health:
                self._told_health = True
                text = (
                    f"{HEALTH_RESTARTS} restarts for bad health in {HEALTH_WINDOW / 60:.0f} min; "
                    f"{name} is unwell too and is not restarted: {why}"
                )
                self._journal.tell("", "unhealthy", text, "alert", now)
            return False
        if under_way or self.phase != "running":
            return False
        self._told_health = False
        self._health_restarts = [*recent, now]
        self.handle(name, states.Unwell(cause, why), now)
        return True

    def hold_back(self, what: Literal["nothing", "low", "all"], now: float) -> None:
        """Begin fewer processes while the machine has no room, and stop those that allow it."""
        before, self._held_back = self._held_back, what
        if what == "nothing" and before != "nothing":
            for name, standing in list(self.standings.items()):
                if standing.state == "stopped" and standing.cause == "machine":
                    self.handle(name, states.Start("the machine has room again"), now)

    def stop_lowest(self, why: str, now: float) -> str | None:
        """Stop the process of the lowest priority that allows it; return its name."""
        allowed = [
            one
            for one in self.configs.values()
            if one.slow == "stop" and self.standings[one.name].state in ("starting", "running")
        ]
        if not allowed:
            return None
        lowest = max(allowed, key=lambda one: one.priority)
        self.handle(lowest.name, states.Stop(why, by="machine"), now)
        return lowest.name

    def reload(self, settings: SupervisorSettings, now: float) -> dict[str, str]:
        """Take new settings over; only what has changed is restarted. Return what was done."""
        changes = differences(self._settings, settings)
        new = {one.name: one for one in settings.processes}
        for name, change in changes.items():
            if change == "gone":
                self._journal.tell(name, "reload", "is not in the file any more", "info", now)
                self.handle(name, states.Stop("it left the file", by="end"), now)
                if not self.standings[name].alive:
                    del self.standings[name], self.configs[name]
                continue
            self.configs[name] = new[name]
            self._journal.tell(name, "reload", f"is {change} in the file", "info", now)
            if change == "new":
                if name not in self.standings:
                    self.standings[name] = Standing(since=now)
                elif self.standings[name].desired == "run":  # it had left the file while it ran
                    self.handle(name, states.Start("it is in the file again"), now)
            elif self.standings[name].state in ("finished", "quarantined") or (
                self.standings[name].alive and self.standings[name].after != "stopped"
            ):
                self.handle(name, states.Restart("its settings have changed"), now)
        self._settings = settings
        return dict(changes)

    def end(self, now: float, why: str, *, finish_seconds: float | None = None) -> None:
        """Begin the end: no start, no restart, no turn; a turn under way may end.

        Parameters
        ----------
        finish_seconds : what such a turn gets, at most what the settings give
        """
        if self.phase != "running":
            return
        given = self._settings.finish_seconds
        self._finish_seconds = given if finish_seconds is None else min(given, finish_seconds)
        self.phase, self._phase_since, self._end_since = "finishing", now, now
        self.why = why
        self._journal.tell("", "ending", why, "info", now)
        for name in list(self.standings):
            self.handle(name, states.End(), now)
        self._go_on_ending(now)

    def kill_all(self, now: float) -> None:
        """Kill whatever lives."""
        for name, standing in list(self.standings.items()):
            if standing.alive:
                self.handle(name, states.Stop("the supervision ends", by="end"), now)
                self._launcher.kill(self.configs[name], standing.life)

    def _go_on_ending(self, now: float) -> None:
        for name, standing in list(self.standings.items()):
            if not standing.alive:
                self.handle(name, states.End(), now)
        if self.phase == "finishing":
            if self._turns_under_way() and now < self._phase_since + self._finish_seconds:
                return
            self.phase, self._phase_since = "stopping", now
            # Nothing waits for the end of a turn, so those that took too long end side by side.
            for name in self._turns_under_way():
                self.handle(name, states.Stop("the supervision ends", by="end"), now)
        if self.phase == "stopping":
            if now >= self._kill_at() and not self._killed:
                self._killed = True
                took = now - self._end_since
                self._journal.tell(
                    "", "killed", f"not all had ended after {took:.0f} s", "alert", now
                )
                self.kill_all(now)
            self._stop_next_level(now)

    def _kill_at(self) -> float:
        return min(self._phase_since + STOP_SECONDS, self._end_since + END_SECONDS)

    def _turns_under_way(self) -> list[str]:
        return [
            name
            for name, standing in self.standings.items()
            if standing.state in ("starting", "running") and self.configs[name].requires_loop
        ]

    def _stop_next_level(self, now: float) -> None:
        """Stop the last level that lives, side by side; the one above when it is gone.

        Turns are ending already. They hold up what they depend on, and what the supervisor adds,
        which comes last.
        """
        living = [name for name, one in self.standings.items() if one.alive]
        if not living:
            self.phase = "over"
            return
        needed = {
            need
            for name in living
            for need in self.configs[name].depends_on
            if need in self.standings
        }
        services = [name for name in living if not self.configs[name].requires_loop]
        if len(services) < len(living):
            services = [name for name in services if self.configs[name].priority >= 1]
        level = max((self.configs[name].priority for name in services), default=0)
        for name in self._last(services, level, needed):
            if self.standings[name].state != "stopping":
                self.handle(name, states.Stop("the supervision ends", by="end"), now)

    def _last(self, living: Iterable[str], level: int, needed: set[str]) -> list[str]:
        """Return what is stopped now: what nobody needs, of the last level where there is any."""
        names = list(living)
        of_level = [
            name for name in names if self.configs[name].priority == level and name not in needed
        ]
        return of_level or [name for name in names if name not in needed]

    def restore(self, name: str, standing: Standing) -> None:
        """Put a process where an earlier core has left it."""
        self.standings[name] = standing

    def keep_desired(self, stopped: Iterable[str], now: float) -> None:
        """Let what a person had stopped earlier stay stopped."""
        for name in stopped:
            if name in self.standings:
                kept = replace(
                    self.standings[name],
                    state="stopped",
                    desired="stop",
                    since=now,
                    why="a person has stopped it",
                )
                self.standings[name] = kept
