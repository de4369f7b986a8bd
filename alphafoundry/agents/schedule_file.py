"""The form of `config/task_schedule.yaml`: keys, their types and limits."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from alphafoundry.configuration import NumbersOnly

Priority = Literal["critical", "high", "medium", "low"]
CatchUp = Literal["latest", "none", "all"]

PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")

_SPAN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|sec|min|minutes?|h|hours?)?\s*")
_UNITS = {"s": 1 / 60, "sec": 1 / 60, "h": 60.0, "hour": 60.0, "hours": 60.0}


def _minutes(given: object) -> object:
    """Read "20 min", "90 s" or "2 h" as minutes; a plain number is minutes."""
    found = _SPAN.fullmatch(given) if isinstance(given, str) else None
    if isinstance(given, str | bool) and found is None:
        raise ValueError("is not a length of time; write minutes, or such as 20 min or 2 h")
    return given if found is None else float(found[1]) * _UNITS.get(found[2] or "min", 1.0)


def _at_least_a_second(minutes: float) -> float:
    if minutes * 60 < 1:
        raise ValueError("is less than a second, the shortest interval of a desk")
    return minutes


def _time_of_day(given: object) -> object:
    try:
        found = time.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        found = None
    if not isinstance(found, time):
        raise ValueError('is not a time of day; write it as "20:00"')
    if found.tzinfo is not None:
        raise ValueError('names a zone; it is a time of the exchange\'s zone: write it as "20:00"')
    return found


Minutes = Annotated[float, BeforeValidator(_minutes), Field(gt=0, le=60 * 24 * 31)]
Interval = Annotated[Minutes, AfterValidator(_at_least_a_second)]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


class _Section(NumbersOnly):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OrchestratorSettings(_Section):
    """What holds for all agents.

    Attributes
    ----------
    enabled : False lets nothing run; every tick is blocked
    max_concurrent_tasks : ticks under way at a time; one place is kept for priority critical
    default_timeout_minutes : of an agent that gives none
    health_check_interval_minutes : a sample of the host older than three of these is not believed
    performance_monitoring : whether success rates are held against performance_threshold
    error_alerting : whether alerts are written
    log_level : of the logger alphafoundry.agents
    metrics_retention_days : days that samples of the host are kept
    exchange : whose sessions and whose time of day; ISO 10383
    """

    enabled: bool = True
    max_concurrent_tasks: int = Field(default=5, ge=1)
    default_timeout_minutes: Minutes = 15.0
    health_check_interval_minutes: Minutes = 5.0
    performance_monitoring: bool = True
    error_alerting: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    metrics_retention_days: int = Field(default=30, ge=1)
    exchange: str = "XNYS"


class DependencySettings(_Section):
    """How fresh another agent's success has to be.

    Attributes
    ----------
    missed : fewer of its eligible ticks than this were missed since its last success
    max_age : its last success is at most so old; None has no limit
    """

    missed: int = Field(default=2, ge=1)
    max_age: Minutes | None = None


def _dependencies(given: object) -> object:
    if isinstance(given, list):
        if any(isinstance(name, list | dict) for name in given):
            raise ValueError("holds what is no name of an agent; write it as [data_sync]")
        return {name: {} for name in given}
    if isinstance(given, dict):
        return {name: {} if value is None else value for name, value in given.items()}
    raise ValueError("is not a list of agents; write it as [data_sync]")


class TaskSettings(_Section):
    """One agent. When it is due: exactly one of interval_minutes, at, before_close, after_open.

    Attributes
    ----------
    enabled : False: it has no ticks
    interval_minutes : between ticks, counted in UTC, so that a change of clocks changes nothing
    at : time of day in the exchange's zone
    before_close, after_open : once a session, so long before its close or after its open
    priority : who goes first where several are due, and who may take the last place
    max_duration_minutes : longer is told, and costs score
    timeout_minutes : longer is killed
    retry_count, retry_delay_minutes : of one tick; the delay doubles, within the time-out
    dependencies : names, or name to {missed, max_age}
    conditions : see conditions.py
    parameters : of the agent
    concurrent_execution : whether a tick may begin while an earlier one runs
    max_instances : how many may then run
    error_threshold : failures in a row at which the agent rests until a probe succeeds
    performance_threshold : least share of successes, or least score of its own
    on_low : what happens below it
    catch_up : which of the ticks that were missed are made up for
    catch_up_window : how late a tick may begin; None is one interval
    """

    enabled: bool = True
    interval_minutes: Interval | None = None
    at: TimeOfDay | None = None
    before_close: Minutes | None = None
    after_open: Minutes | None = None
    priority: Priority = "medium"
    max_duration_minutes: Minutes | None = None
    timeout_minutes: Minutes | None = None
    retry_count: int = Field(default=0, ge=0, le=100)
    retry_delay_minutes: float = Field(default=1.0, gt=0, alias="retry_delay_minutes")
    dependencies: Annotated[dict[str, DependencySettings], BeforeValidator(_dependencies)] = Field(
        default_factory=dict
    )
    conditions: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    concurrent_execution: bool = False
    max_instances: int = Field(default=2, ge=2)
    error_threshold: int | None = Field(default=None, ge=1)
    performance_threshold: float | None = Field(default=None, ge=0, le=1)
    on_low: Literal["alert", "pause"] = "alert"
    catch_up: CatchUp = "none"
    catch_up_window: Minutes | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_name_for_the_delay(cls, given: Any) -> Any:
        if isinstance(given, dict) and "retry_delay" in given:
            if "retry_delay_minutes" in given:
                raise ValueError("retry_delay and retry_delay_minutes are the same; keep one")
            given = dict(given)
            given["retry_delay_minutes"] = given.pop("retry_delay")
        return given

    @model_validator(mode="after")
    def _due_in_one_way(self) -> TaskSettings:
        ways = ("interval_minutes", "at", "before_close", "after_open")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"needs exactly one of {', '.join(ways)}; it has {found}")
        return self


class EnvironmentSettings(_Section):
    """What differs in an environment.

    Attributes
    ----------
    error_threshold_factor, performance_threshold_factor : multiply those of every agent
    orchestrator, tasks, desk : keys that stand over those of the file
    """

    error_threshold_factor: float = Field(default=1.0, gt=0)
    performance_threshold_factor: float = Field(default=1.0, gt=0)
    orchestrator: dict[str, Any] = Field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    desk: dict[str, Any] = Field(default_factory=dict)


class ScheduleFile(_Section):
    """The whole file; `desk` has its form in rules.py."""

    orchestrator: OrchestratorSettings = Field(default_factory=OrchestratorSettings)
    tasks: dict[str, TaskSettings]
    desk: dict[str, Any] = Field(default_factory=dict)
    environments: dict[str, EnvironmentSettings] = Field(default_factory=dict)
