"""What is supervised, and how: `config/processes.yaml` as typed values."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from alphafoundry.configuration import mistake, number_only, read_part, suggest
from alphafoundry.yaml_document import YamlDocument, read_yaml

PROCESSES = Path("config/processes.yaml")

Condition = Literal["started", "ready", "finished"]
Slow = Literal["none", "nice", "turns", "stop"]
PatternAction = Literal["count", "alert", "restart", "stop", "quarantine", "pause"]

_SIGNAL_NAMES = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL")


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"is not a regular expression: {problem}") from None
    return value


def _command(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    try:
        words = _words(value)
    except ValueError as problem:
        raise ValueError(f"is no command: {problem}") from None
    if not words:
        raise ValueError("is no command: it is empty")
    return value


def _http_address(value: str) -> str:
    parts = urllib.parse.urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("is no address; write http://127.0.0.1:8787/health")
    return value


def _port(value: str) -> str:
    if not 1 <= int(value.rpartition(":")[2]) <= 65535:
        raise ValueError("has no port from 1 to 65535")
    return value


LARGEST = 1_000_000_000
"""Of any number: seconds of thirty years. More would leave what dates and SQLite can hold."""

LONGEST_KEPT = 36_500.0

Seconds = Annotated[
    float, BeforeValidator(number_only), Field(ge=0, le=LARGEST, allow_inf_nan=False)
]
Interval = Annotated[
    float, BeforeValidator(number_only), Field(gt=0, le=LARGEST, allow_inf_nan=False)
]
Kept = Annotated[float, BeforeValidator(number_only), Field(gt=0, le=LONGEST_KEPT)]
"""Days or hours for which something is kept."""

Whole = Annotated[int, BeforeValidator(number_only), Field(ge=0, le=LARGEST)]
Positive = Annotated[int, BeforeValidator(number_only), Field(ge=1, le=LARGEST)]
Text = Annotated[str, StringConstraints(min_length=1)]
Command = Annotated[str | tuple[Text, ...], AfterValidator(_command)]
Expression = Annotated[Text, AfterValidator(_expression)]
Address = Annotated[str, StringConstraints(pattern=r"^[^:\s]+:[0-9]{1,5}$"), AfterValidator(_port)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResourceLimits(_Part):
    """What a process and all that it starts may use; 80 % is told, all of it restarts.

    memory_mb, processes : over the whole tree, held by the kernel where it may, else watched
    cpu_percent : the same, mean of a minute; more slows it and never restarts it
    open_files, file_mb : of each process, held by the kernel
    """

    memory_mb: Positive | None = None
    cpu_percent: Positive | None = None
    open_files: Positive | None = None
    file_mb: Positive | None = None
    processes: Positive | None = None

    def of_tree(self) -> dict[str, int | None]:
        """Return what a control group can hold, memory in bytes; None is no limit."""
        return {
            "memory": None if self.memory_mb is None else self.memory_mb * 2**20,
            "cpu": self.cpu_percent,
            "processes": self.processes,
        }


class ErrorPattern(_Part):
    """A known error in the output: what to do when `at` lines match within `within` seconds."""

    match: Expression
    action: PatternAction = "count"
    at: Positive = 1
    within: Interval = 600.0
    stream: Literal["stdout", "stderr", "both"] = "both"


class Probe(_Part):
    """How a process is asked whether it is well; exactly one of http, tcp, command, output."""

    http: Annotated[Text, AfterValidator(_http_address)] | None = None
    tcp: Address | None = None
    command: Command | None = None
    output: Expression | None = None
    interval: Interval = 10.0
    timeout: Interval = 5.0
    failures: Positive = 3

    @model_validator(mode="after")
    def _one(self) -> Probe:
        given = [self.http, self.tcp, self.command, self.output]
        if sum(one is not None for one in given) != 1:
            raise ValueError("needs exactly one of http, tcp, command, output")
        return self


class ProcessConfig(_Part):
    """One process; `docs/supervisor.md` explains each key."""

    name: Name
    script: Text | None = None
    module: Text | None = None
    command: Command | None = None
    flow: Text | None = None
    args: tuple[str, ...] = ()
    environment: dict[Text, str] = Field(default_factory=dict)
    folder: Path = Path()
    priority: Annotated[int, BeforeValidator(number_only), Field(ge=-1, le=10)] = 5
    depends_on: dict[Name, Condition] = Field(default_factory=dict)
    with_dependency: Literal["keep", "restart"] = "keep"
    restart: Literal["on-failure", "always", "never"] = "on-failure"
    requires_loop: bool = False
    loop_interval: Interval = 120.0
    loop_from: Literal["end", "start"] = "end"
    max_restarts: Whole = 50
    restart_window: Interval = 21600.0
    restart_delay: Seconds = 30.0
    steady_seconds: Interval = 300.0
    quarantine_retry: Seconds = 3600.0
    start_seconds: Interval = 60.0
    probe: Probe | None = None
    notify: bool = False
    watchdog_seconds: Interval | None = None
    max_turn_seconds: Interval | None = None
    health_threshold: Annotated[float, BeforeValidator(number_only), Field(ge=0, le=1)] = 0.3
    resource_limits: ResourceLimits = ResourceLimits()
    error_patterns: tuple[ErrorPattern, ...] = ()
    stop_signal: Literal["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"] = "TERM"
    stop_main_only: bool = False
    stop_seconds: Interval = 10.0
    output: Literal["wait", "drop"] = "wait"
    store_lines: Whole = 20
    slow: Slow = "nice"

    @model_validator(mode="after")
    def _one_program(self) -> ProcessConfig:
        given = [
            key for key in ("script", "module", "command", "flow") if getattr(self, key) is not None
        ]
        if len(given) != 1:
            told = "none" if not given else " and ".join(given)
            raise ValueError(f"needs exactly one of script, module, command, flow; it has {told}")
        if self.requires_loop and self.restart == "always":
            raise ValueError("restart: always is for what never ends; requires_loop begins again")
        if self.slow == "turns" and not self.requires_loop:
            raise ValueError("slow: turns needs requires_loop")
        return self

    @property
    def stop_number(self) -> int:
        """The number of its stop signal."""
        return int(getattr(signal, f"SIG{self.stop_signal}"))

    def command_line(self) -> list[str]:
        """Return what is executed."""
        if self.script is not None:
            python = [sys.executable] if self.script.endswith(".py") else []
            return [*python, self.script, *self.args]
        if self.command is not None:
            return [*_words(self.command), *self.args]
        return [sys.executable, "-m", str(self.module or self.flow), *self.args]

    def missing(self, search: Iterable[str] = ()) -> str | None:
        """Return what is not there to be run, None where it can be started.

        search : folders in which modules are looked for besides its own folder
        """
        if not self.folder.is_dir():
            return f"there is no folder {self.folder}"
        if self.script is not None:
            return _missing_script(self.folder / self.script)
        if self.command is not None:
            word = _words(self.command)[0]
            found = shutil.which(str(self.folder / word) if "/" in word else word)
            return None if found else f"there is no command {word}"
        module = str(self.module or self.flow)
        parts = Path(*module.split("."))
        for folder in (self.folder, *map(Path, search)):
            if (folder / parts).with_suffix(".py").is_file() or (folder / parts).is_dir():
                return None
        return f"there is no module {module}"


def _missing_script(path: Path) -> str | None:
    if not path.is_file():
        return f"there is no script {path}"
    if path.suffix != ".py" and shutil.which(str(path.absolute())) is None:
        return f"the script {path} is not executable; chmod +x makes it so"
    return None


def _words(command: str | tuple[str, ...]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else list(command)


class Machine(_Part):
    """When the machine counts as tight and as critical, in percent of its memory."""

    tight_percent: Annotated[float, BeforeValidator(number_only), Field(gt=0, le=100)] = 85.0
    critical_percent: Annotated[float, BeforeValidator(number_only), Field(gt=0, le=100)] = 93.0
    low_priority: Annotated[int, BeforeValidator(number_only), Field(ge=1, le=10)] = 7
    least_disk_mb: Whole = 1024

    @model_validator(mode="after")
    def _in_order(self) -> Machine:
        if self.critical_percent <= self.tight_percent:
            raise ValueError("critical_percent must be above tight_percent")
        return self


class Retention(_Part):
    """How long what is recorded is kept."""

    samples_hours: Kept = 48.0
    minutes_days: Kept = 30.0
    output_days: Kept = 7.0
    output_mb: Positive = 500
    events_days: Kept = 90.0


class SupervisorSettings(_Part):
    """Everything in `config/processes.yaml`.

    max_runtime_minutes : 0 is without end
    finish_seconds : what a turn under way gets at the end, of the minute that the end may take
    prefect : auto runs a server of its own where a flow needs one and none runs; off never
    """

    max_runtime_minutes: Annotated[float, BeforeValidator(number_only), Field(ge=0, lt=1e7)] = 360.0
    finish_seconds: Annotated[float, BeforeValidator(number_only), Field(ge=0, le=45)] = 30.0
    sample_seconds: Interval = 5.0
    prefect: Literal["auto", "off"] = "auto"
    machine: Machine = Machine()
    retention: Retention = Retention()
    processes: tuple[ProcessConfig, ...] = ()


def load_processes(path: Path = PROCESSES) -> SupervisorSettings:
    """Return the settings in a file.

    Raises
    ------
    ConfigurationError : file, line and key of the first mistake: an unknown key, a wrong value, a
        name that stands twice, a dependency that is unknown or goes in a circle
    """
    document = read_yaml(path)
    settings = read_part(document, SupervisorSettings, path=path)
    _check(document, path, settings)
    return settings


def _check(document: YamlDocument, path: Path, settings: SupervisorSettings) -> None:
    seen: dict[str, int] = {}
    for position, process in enumerate(settings.processes):
        key = ("processes", position)
        if process.name in seen:
            raise mistake(document, path, (*key, "name"), f"{process.name!r} stands twice")
        if process.name in RESERVED:
            raise mistake(
                document,
                path,
                (*key, "name"),
                f"{process.name!r} is a name of the supervisor's own",
            )
        if process.priority < 1:
            raise mistake(document, path, (*key, "priority"), "is not at least 1")
        seen[process.name] = position
    known = [*seen, "prefect"]
    for position, process in enumerate(settings.processes):
        for other in process.depends_on:
            if other not in known:
                raise mistake(
                    document,
                    path,
                    ("processes", position, "depends_on", other),
                    f"there is no process {other!r}; {suggest(other, known)}",
                )
    circle = find_circle({one.name: tuple(one.depends_on) for one in settings.processes})
    if circle:
        raise mistake(
            document,
            path,
            ("processes", seen[circle[0]], "depends_on"),
            f"goes in a circle: {' needs '.join([*circle, circle[0]])}",
        )


RESERVED = ("prefect", "session", "deploy", "worker", "supervisor", "alerts", "metrics")
"""Names of the processes that the supervisor adds by itself."""


def find_circle(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return names that need each other in a circle; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, above: list[str]) -> list[str]:
        if name in above:
            return above[above.index(name) :]
        if name in done:
            return []
        for other in needs.get(name, ()):
            found = visit(other, [*above, name])
            if found:
                return found
        done.add(name)
        return []

    for name in needs:
        found = visit(name, [])
        if found:
            return found
    return []


def chosen(settings: SupervisorSettings, names: Iterable[str]) -> SupervisorSettings:
    """Return the settings with the named processes and those that they need.

    Raises
    ------
    KeyError : with the first name that is unknown
    """
    by_name = {one.name: one for one in settings.processes}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in by_name:
            raise KeyError(name)
        if name not in wanted:
            wanted.add(name)
            waiting.extend(one for one in by_name[name].depends_on if one in by_name)
    kept = tuple(one for one in settings.processes if one.name in wanted)
    return settings.model_copy(update={"processes": kept})


def differences(
    before: SupervisorSettings, after: SupervisorSettings
) -> dict[str, Literal["new", "gone", "changed"]]:
    """Return what a reload changes, by name."""
    old: dict[str, Any] = {one.name: one for one in before.processes}
    new: dict[str, Any] = {one.name: one for one in after.processes}
    found: dict[str, Literal["new", "gone", "changed"]] = {}
    for name in [*new, *(one for one in old if one not in new)]:
        if name not in old:
            found[name] = "new"
        elif name not in new:
            found[name] = "gone"
        elif old[name] != new[name]:
            found[name] = "changed"
    return found
