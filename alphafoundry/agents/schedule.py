"""The schedule of a desk: `config/task_schedule.yaml` read, laid over, checked and made ready.

    schedule = load_schedule(Path("config/task_schedule.yaml"), environment="production")
    schedule.tasks["execution"].interval

A mistake is one line that names file, line and key, and what is meant.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time
from functools import cached_property
from pathlib import Path
from typing import Any

from alphafoundry.agents.conditions import Condition, read_condition
from alphafoundry.agents.rules import SECTION, DeskRules, read_rules
from alphafoundry.agents.schedule_file import (
    PRIORITIES,
    CatchUp,
    DependencySettings,
    EnvironmentSettings,
    OrchestratorSettings,
    Priority,
    ScheduleFile,
    TaskSettings,
)
from alphafoundry.configuration import mistake, read_part, suggest
from alphafoundry.errors import ConfigurationError
from alphafoundry.yaml_document import KeyPath, YamlDocument, dotted, read_yaml

SCHEDULE = Path("config/task_schedule.yaml")
ENVIRONMENT = "production"
DAY = 86_400
_SPREAD = 60
"""Ticks of different agents are spread over so many seconds, or over their interval."""


@dataclass(frozen=True)
class Task:
    """An agent's part of the schedule, ready to be used; lengths of time in whole seconds.

    Attributes
    ----------
    name, settings : as in the file
    interval : between ticks; a day for those that are due once a day or once a session
    offset : seconds after the interval's start, so that not all agents begin together
    at, before_close, after_open : see `TaskSettings`
    conditions : in the order of the file
    dependencies : agent to how fresh its success has to be
    closure : agents depended on, directly or through others, itself left out
    timeout, max_duration : seconds; max_duration None never warns
    rank : place among agents that are due at the same time: topological, priority, name
    """

    name: str
    settings: TaskSettings
    interval: int
    offset: int
    at: time | None
    before_close: int | None
    after_open: int | None
    conditions: tuple[Condition, ...]
    dependencies: Mapping[str, DependencySettings]
    closure: tuple[str, ...]
    timeout: int
    max_duration: int | None
    rank: int

    @cached_property
    def in_sessions(self) -> bool:
        """Whether it is due in sessions, and the half hour after them, only."""
        return (
            self.before_close is not None
            or self.after_open is not None
            or self.settings.conditions.get("market_hours") is True
        )

    @cached_property
    def priority(self) -> Priority:
        """critical, high, medium or low."""
        return self.settings.priority

    @cached_property
    def critical(self) -> bool:
        """Whether it may take the place that is kept free."""
        return self.settings.priority == "critical"

    @cached_property
    def instances(self) -> int:
        """How many of its ticks may be under way at a time."""
        return self.settings.max_instances if self.settings.concurrent_execution else 1

    @cached_property
    def timeless(self) -> bool:
        """Whether its gate says the same as long as facts, phase of the market and agents do."""
        ages = [rule.max_age for rule in self.dependencies.values()]
        return all(one.what.timeless for one in self.conditions) and not any(
            age is not None for age in ages
        )

    @cached_property
    def catch_up(self) -> CatchUp:
        """Which of the missed ticks are made up for."""
        return self.settings.catch_up

    @cached_property
    def window(self) -> int:
        """Seconds by which a tick may begin late."""
        given = self.settings.catch_up_window
        return self.interval if given is None else round(given * 60)


@dataclass(frozen=True)
class Schedule:
    """Every agent that has ticks, and what holds for all.

    Attributes
    ----------
    rules : limits and costs of the desk
    tasks : enabled ones, by name, in the order in which they go where they are due together
    disabled : those of the file that have no ticks
    values : the merged file, as plain values, with the factors of its environment
    origins : key to where its value comes from
    left_out : (key, why) of what the file asks for and nothing here can give
    environments : names of those that the file has
    lines : line of each key of the merged file
    """

    path: Path
    environment: str
    orchestrator: OrchestratorSettings
    rules: DeskRules
    tasks: Mapping[str, Task]
    disabled: Mapping[str, TaskSettings]
    values: Mapping[str, Any]
    origins: Mapping[KeyPath, str]
    left_out: tuple[tuple[str, str], ...] = field(default=())
    environments: tuple[str, ...] = ()
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False, compare=False)

    def wrong(self, key: KeyPath, complaint: str) -> ConfigurationError:
        """Return the error "file:line: key: complaint"."""
        return mistake(YamlDocument({}, dict(self.lines)), self.path, key, complaint)

    def shown(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, value, origin) for every value of the merged file."""
        for key in sorted(self.origins, key=dotted):
            value: Any = self.values
            for part in key:
                value = value[part]
            yield dotted(key), str(value), self.origins[key]


def load_schedule(path: Path = SCHEDULE, *, environment: str = ENVIRONMENT) -> Schedule:
    """Return the schedule of a file, an environment laid over it.

    Parameters
    ----------
    environment : a name under `environments`

    Raises ConfigurationError for anything that is wrong, in one line.
    """
    return _made(read_yaml(path), path, environment)


def stored_schedule(values: Mapping[str, Any], *, environment: str) -> Schedule:
    """Return the schedule whose `values` were stored, whatever its file says by now.

    Raises ConfigurationError where this version does not take them any more.
    """
    return _made(YamlDocument(dict(values), {}), Path("the desk's schedule"), environment)


def _made(document: YamlDocument, path: Path, environment: str) -> Schedule:
    whole = read_part(document, ScheduleFile, path=path)
    if environment not in whole.environments and (whole.environments or environment != ENVIRONMENT):
        raise ConfigurationError(
            f"{path}: environments: there is no {environment!r}; "
            f"{suggest(environment, whole.environments)}"
        )
    chosen = whole.environments.get(environment, EnvironmentSettings())
    merged, origins = _laid_over(document, environment, path)
    read = read_part(merged, ScheduleFile, path=path)
    tasks = {name: _scaled(task, chosen) for name, task in read.tasks.items()}
    _check_dependencies(tasks, merged, path)
    enabled = {name: task for name, task in tasks.items() if task.enabled}
    order = _topological(enabled, merged, path)
    ready = {name: _task(name, enabled, order, read, merged, path) for name in order}
    return Schedule(
        path=path,
        environment=environment,
        orchestrator=read.orchestrator,
        rules=read_rules(merged, path),
        tasks=ready,
        disabled={name: task for name, task in tasks.items() if not task.enabled},
        values={
            **merged.values,
            "environments": {
                environment: {
                    "error_threshold_factor": chosen.error_threshold_factor,
                    "performance_threshold_factor": chosen.performance_threshold_factor,
                }
            },
        },
        origins=origins,
        environments=tuple(whole.environments),
        lines=merged.lines,
    )


def _laid_over(
    document: YamlDocument, environment: str, path: Path
) -> tuple[YamlDocument, dict[KeyPath, str]]:
    """Return the file with the keys of an environment over it, and where each value is from."""
    values: dict[str, Any] = copy.deepcopy(document.values)
    lines = dict(document.lines)
    origins = {
        key: f"{path}:{document.lines[key]}"
        for key in _leaves(values)
        if key[0] != "environments" and key in document.lines
    }
    overlay = ((values.get("environments") or {}).get(environment)) or {}
    for section in ("orchestrator", "tasks", SECTION):
        above: KeyPath = ("environments", environment, section)
        part = overlay.get(section) or {}
        _check_names(values, part, section, document, path, above)
        for key in list(_leaves(part)):
            value: Any = part
            for name in key:
                value = value[name]
            _put(values, (section, *key), copy.deepcopy(value))
            line = document.lines.get((*above, *key))
            for cut in range(1, len(key) + 1):
                lines[(section, *key[:cut])] = document.lines.get((*above, *key[:cut]), line or 1)
            origins[(section, *key)] = f"{path}:{line} (environment {environment})"
    return YamlDocument(values, lines), origins


def _check_names(
    values: Mapping[str, Any],
    part: Mapping[str, Any],
    section: str,
    document: YamlDocument,
    path: Path,
    above: KeyPath,
) -> None:
    if section == "tasks":
        for name in part:
            if name not in values.get("tasks", {}):
                complaint = f"is no task of this file; {suggest(name, values.get('tasks', {}))}"
                raise mistake(document, path, (*above, name), complaint)


def _leaves(values: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)


def _put(values: dict[str, Any], key: KeyPath, value: Any) -> None:
    for name in key[:-1]:
        inner = values.setdefault(str(name), {})
        values = inner if isinstance(inner, dict) else {}
    values[str(key[-1])] = value


def _scaled(task: TaskSettings, chosen: EnvironmentSettings) -> TaskSettings:
    """Return a task with the environment's factors on its thresholds."""
    changes: dict[str, Any] = {}
    if task.error_threshold is not None:
        changes["error_threshold"] = max(
            1, round(task.error_threshold * chosen.error_threshold_factor)
        )
    if task.performance_threshold is not None:
        changes["performance_threshold"] = min(
            1.0, task.performance_threshold * chosen.performance_threshold_factor
        )
    return task.model_copy(update=changes)


def _check_dependencies(
    tasks: Mapping[str, TaskSettings], document: YamlDocument, path: Path
) -> None:
    for name, task in tasks.items():
        for other in task.dependencies:
            key = ("tasks", name, "dependencies")
            if other not in tasks:
                raise mistake(document, path, key, f"{other!r} is no task; {suggest(other, tasks)}")
            if other == name:
                raise mistake(document, path, key, "an agent cannot wait for itself")
            if task.enabled and not tasks[other].enabled:
                raise mistake(
                    document,
                    path,
                    key,
                    f"{other!r} is not enabled, so this one could never run; "
                    "enable it or take it out of the dependencies",
                )


def _topological(
    tasks: Mapping[str, TaskSettings], document: YamlDocument, path: Path
) -> list[str]:
    """Return the names, dependencies first; among those that could go, priority and name."""
    waiting = dict(tasks)
    order: list[str] = []
    while waiting:
        free = [name for name in waiting if not set(waiting[name].dependencies) & set(waiting)]
        if not free:
            circle = _circle(waiting)
            complaint = f"{' -> '.join(circle)} wait for each other; break the circle"
            raise mistake(document, path, ("tasks", circle[0], "dependencies"), complaint)
        free.sort(key=lambda name: (PRIORITIES.index(waiting[name].priority), name))
        order.append(free[0])
        del waiting[free[0]]
    return order


def _circle(waiting: Mapping[str, TaskSettings]) -> list[str]:
    """Return a circle of tasks each of which waits for the next; the first is also the last."""
    seen: list[str] = []
    name = min(waiting)
    while name not in seen:
        seen.append(name)
        name = next(other for other in waiting[name].dependencies if other in waiting)
    return [*seen[seen.index(name) :], name]


def _closure(name: str, tasks: Mapping[str, TaskSettings]) -> tuple[str, ...]:
    found: list[str] = []
    to_see = list(tasks[name].dependencies)
    while to_see:
        other = to_see.pop()
        if other not in found and other != name:
            found.append(other)
            to_see.extend(tasks[other].dependencies)
    return tuple(sorted(found))


def _task(
    name: str,
    tasks: Mapping[str, TaskSettings],
    order: list[str],
    read: ScheduleFile,
    document: YamlDocument,
    path: Path,
) -> Task:
    settings = tasks[name]
    conditions = []
    for condition, given in settings.conditions.items():
        try:
            conditions.append(read_condition(condition, given))
        except ConfigurationError as problem:
            key = ("tasks", name, "conditions", condition)
            raise mistake(document, path, key, str(problem)) from None
    every = DAY if settings.interval_minutes is None else settings.interval_minutes * 60
    interval = max(1, round(every))
    timeout = settings.timeout_minutes or read.orchestrator.default_timeout_minutes
    longest = settings.max_duration_minutes
    return Task(
        name=name,
        settings=settings,
        interval=interval,
        offset=_offset(name, interval) if settings.interval_minutes is not None else 0,
        at=settings.at,
        before_close=None if settings.before_close is None else round(settings.before_close * 60),
        after_open=None if settings.after_open is None else round(settings.after_open * 60),
        conditions=tuple(conditions),
        dependencies=settings.dependencies,
        closure=_closure(name, tasks),
        timeout=max(1, round(timeout * 60)),
        max_duration=None if longest is None else max(1, round(longest * 60)),
        rank=order.index(name),
    )


def _offset(name: str, interval: int) -> int:
    return zlib.crc32(name.encode()) % min(_SPREAD, interval)
