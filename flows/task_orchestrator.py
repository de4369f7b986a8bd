"""Desks under the names of the Task Orchestrator's documentation.

    orchestrator = await start_orchestrator()
    await orchestrator.execute_task_now("market_analysis")
    orchestrator.get_system_status()["performance_metrics"]["overall_health"]
    await orchestrator.stop()

Starting begins `python -m flows.desk run` in a process of its own; everything else reads and writes
the store. So status is synchronous, answers inside a running event loop, and needs no Prefect
server. docs/desk.md lists what is otherwise than in that documentation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select

from alphafoundry.agents.plain_status import last_tick, next_due, plain_agent, plain_status
from alphafoundry.agents.schedule import ENVIRONMENT, SCHEDULE
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.status import read_states
from alphafoundry.agents.trying import try_agent
from alphafoundry.configuration import suggest
from alphafoundry.errors import ConfigurationError, FoundryError, StoreError
from alphafoundry.research.run import load_simulated_market
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import Store, open_store
from alphafoundry.store.agent_tables import AgentDeskRow, AgentTickRow
from alphafoundry.store.agents import read_agent_desk, read_ticks
from alphafoundry.whole_file import replace_file

START_SECONDS = 600.0
STOP_SECONDS = 60.0
EXECUTIONS = 1000
"""Ticks that `task_executions` looks back at."""

_log = logging.getLogger("core.task_orchestrator")


@dataclass(frozen=True)
class TaskExecution:
    """One tick of an agent.

    Attributes
    ----------
    status : ran, failed, idle, blocked, missed, or running
    error_message : why it failed or did not run; None where it ran
    """

    execution_id: str
    task_name: str
    status: str
    error_message: str | None
    start_time: datetime
    end_time: datetime | None
    result: Mapping[str, Any] | None

    @classmethod
    def of(cls, row: AgentTickRow) -> TaskExecution:
        """Return the tick of a row."""
        return cls(
            f"{row.agent}@{row.due_at:%Y-%m-%dT%H:%M:%S}",
            row.agent,
            row.outcome,
            None if row.outcome in ("ran", "running") else row.reason,
            row.claimed_at,
            row.ended_at,
            row.result,
        )


class TaskOrchestrator:
    """A desk by its schedule.

    Parameters
    ----------
    path : of the schedule
    environment : laid over it
    settings : None reads those of this process
    desk : name of a desk that is there already, None is the one that `start` begins, or the newest
    options : further flags of `python -m flows.desk run`, such as `["--speed", "10"]`

    Raises ConfigurationError for a schedule that is wrong.
    """

    def __init__(
        self,
        path: str | Path = SCHEDULE,
        *,
        environment: str = ENVIRONMENT,
        settings: FoundrySettings | None = None,
        desk: str | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.path = Path(path)
        self.environment = environment
        self.settings = settings or load_settings()
        self.desk = desk
        self._options = options
        self._schedule = checked_schedule(self.path, environment=environment)
        self._process: asyncio.subprocess.Process | None = None
        self._output: Path | None = None

    def __repr__(self) -> str:
        return f"TaskOrchestrator({str(self.path)!r}, desk={self.desk!r})"

    @property
    def is_running(self) -> bool:
        """Whether the desk that this object started still runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def task_executions(self) -> Mapping[str, TaskExecution]:
        """The newest 1000 ticks of the desk by their id, the oldest first, as they are now."""
        with self._opened() as (store, desk):
            rows = [] if desk is None else read_ticks(store, desk.name, limit=EXECUTIONS)
        return {one.execution_id: one for one in map(TaskExecution.of, rows)}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Store, AgentDeskRow | None]]:
        """Give the store and the desk's row, None where there is no desk yet."""
        url = self.settings.database_url
        given = None if url is None else url.get_secret_value()
        with open_store(given, home=self.settings.home) as store:
            desk = None
            with contextlib.suppress(StoreError):
                desk = read_agent_desk(store, self.desk)
            yield store, desk

    async def start(self) -> None:
        """Begin a desk in a process of its own; return when it has its row in the store.

        Raises FoundryError with the process's last lines where it ends before.
        """
        if self.is_running:
            return
        before = self._desks()
        folder = self.settings.home / "desks"
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "orchestrator.log"
        command = [
            *(sys.executable, "-m", "flows.desk", "run"),
            *("--schedule", str(self.path), "--environment", self.environment),
            *self._options,
        ]
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=output, start_new_session=True
            )
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            new = self._desks() - before
            if new:
                self.desk = max(new)[0]
                _log.info("desk %s runs as process %d", self.desk, self._process.pid)
                return
            if self._process.returncode is not None:
                raise FoundryError(f"the desk did not start: {self._last_lines()}")
            await asyncio.sleep(0.2)
        await self.stop()
        raise FoundryError(f"no desk within {START_SECONDS:.0f} s; see {self._output}")

    async def stop(self) -> None:
        """Ask the desk to end, and wait for it; by force after a minute."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def execute_task_now(
        self,
        task_name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        force: bool = False,
    ) -> str:
        """Run an agent once, as a tick of the desk; return the id of its execution.

        Parameters
        ----------
        parameters : over those of the schedule, for this run
        force : skip its conditions and dependencies; never a pause, a rest or a limit

        Raises FoundryError for an agent that moves the desk's account: that one process has it.
        """
        self._task(task_name)
        return await asyncio.to_thread(self._execute, task_name, parameters, force)

    def _execute(self, name: str, parameters: Mapping[str, Any] | None, force: bool) -> str:
        with self._opened() as (store, desk):
            if desk is None:
                raise FoundryError("there is no desk yet; start one first")
            own = self.settings.model_copy(update={"market": desk.settings["market"]})
            row = try_agent(
                store,
                desk,
                name,
                home=self.settings.home,
                load=lambda: load_simulated_market(own, _log.info),
                parameters=parameters,
                force=force,
                at=datetime.now(UTC),
            )
        return TaskExecution.of(row).execution_id

    def get_system_status(self) -> dict[str, Any]:
        """Return state, health, agents and alerts of the desk; plain values."""
        with self._opened() as (store, desk):
            found: dict[str, Any] = {
                "desk": None,
                "state": "no desk yet",
                "performance_metrics": {"overall_health": 1.0, "ticks": 0},
                "agents": {},
                "alerts": [],
            }
            if desk is not None:
                found = plain_status(store, desk)
        return {
            "orchestrator": {
                "running": self.is_running,
                "schedule": str(self.path),
                "environment": self.environment,
                "enabled": self._schedule.orchestrator.enabled,
                "tasks": len(self._schedule.tasks),
            },
            **found,
        }

    def get_task_status(self, task_name: str) -> dict[str, Any]:
        """Return one task's settings, success rate, health, next due time and last tick.

        Raises ConfigurationError for a name that the schedule does not have.
        """
        settings = self._task(task_name)
        with self._opened() as (store, desk):
            state = None if desk is None else read_states(store, desk.name).get(task_name)
            last = None if desk is None else last_tick(store, desk.name, task_name)
        now = datetime.now(UTC) if desk is None or desk.clock == "wall" else desk.seen_until
        task = self._schedule.tasks.get(task_name)
        found = {"health": 1.0, "success_rate": None, "last": None}
        if state is not None:
            found = plain_agent(state, last, int(now.timestamp()))
        return {
            "name": task_name,
            "enabled": settings.enabled,
            "priority": settings.priority,
            "interval_minutes": settings.interval_minutes,
            "dependencies": list(settings.dependencies),
            "next_due": None
            if task is None
            else next_due(self._schedule, task, int(now.timestamp())),
            **found,
        }

    def update_task_config(self, task_name: str, updates: Mapping[str, Any]) -> None:
        """Change a task's settings; they hold from the next start on.

        The changed schedule is written beside the desks, as whole as the file is, and checked as
        it is. Raises ConfigurationError for what it does not take; then nothing is changed.
        """
        self._task(task_name)
        values = _document(self.path)
        values["tasks"][task_name] = {**(values["tasks"][task_name] or {}), **updates}
        folder = self.settings.home / "desks"
        folder.mkdir(parents=True, exist_ok=True)
        tried, path = folder / "orchestrator-tried.yaml", folder / "orchestrator.yaml"
        try:
            replace_file(tried, yaml.safe_dump(values, sort_keys=False).encode())
            self._schedule = checked_schedule(tried, environment=self.environment)
            tried.replace(path)
        finally:
            tried.unlink(missing_ok=True)
        self.path = path
        _log.info("%s: changed %s", task_name, ", ".join(updates))

    def export_status_report(self) -> str:
        """Write the status as a JSON file; return its path."""
        status = self.get_system_status()
        status["exported_at"] = datetime.now(UTC).isoformat()
        path = self.settings.home / "desks" / f"{status['desk'] or 'no-desk'}-status.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(status, indent=2).encode())
        return str(path)

    def _task(self, name: str) -> Any:
        known = {**self._schedule.disabled}
        known |= {task: one.settings for task, one in self._schedule.tasks.items()}
        if name not in known:
            raise ConfigurationError(f"{self.path}: tasks: no {name!r}; {suggest(name, known)}")
        return known[name]

    def _desks(self) -> set[tuple[str, int | None]]:
        """Return each desk on a clock with its run, which is new where a desk is taken up again."""
        query = select(AgentDeskRow.name, AgentDeskRow.run_id)
        with self._opened() as (store, _), store.session() as session:
            rows = session.execute(query.where(AgentDeskRow.clock != "simulated"))
            return {(name, run) for name, run in rows}

    def _last_lines(self) -> str:
        if self._output is None:
            return ""
        lines = self._output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _document(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def create_task_orchestrator(path: str | Path = SCHEDULE, **options: Any) -> TaskOrchestrator:
    """Return an orchestrator of a schedule, not yet started; see `TaskOrchestrator`."""
    return TaskOrchestrator(path, **options)


async def start_orchestrator(path: str | Path = SCHEDULE, **options: Any) -> TaskOrchestrator:
    """Return an orchestrator of a schedule whose desk runs."""
    found = TaskOrchestrator(path, **options)
    await found.start()
    return found
