"""The desk: claim a tick, ask the gate, run the agent, record the end.

`Desk.step` is all of it on a clock; Prefect only wakes it. The simulator calls the parts that it
is made of, in the same order, so that both decide alike.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple, Protocol, get_args

from alphafoundry.agents.book import LEASE, Record, TickBook
from alphafoundry.agents.due_times import due_times, is_due, last_due
from alphafoundry.agents.gate import Decision, Tick, decide
from alphafoundry.agents.health import Outcome
from alphafoundry.agents.hours import ExchangeHours, utc
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Control, Parameters
from alphafoundry.agents.schedule import Schedule, Task
from alphafoundry.agents.snapshot import DeskMode, Facts, Snapshot
from alphafoundry.configuration import read_part, suggest
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.yaml_document import YamlDocument

Status = Literal["not due", "known", "no place", "settled", "running"]

_UNCHANGED = AgentResult("unchanged")
_log = logging.getLogger("alphafoundry.agents")


class Floor(Protocol):
    """What a desk stands on: at least somebody who knows the facts."""

    def facts(self, now: int) -> Facts:
        """Return what the rows say at a moment of the desk's clock."""
        ...


class Clock(Protocol):
    """The time of a desk."""

    def now(self) -> int:
        """Return seconds since 1970."""
        ...

    def sleep_until(self, moment: int) -> None:
        """Return at that moment or after."""
        ...


class TimedOut(FoundryError):
    """An agent took longer than its time-out and was killed."""


class Runner(Protocol):
    """Runs an agent's function; kills it at its deadline where that can be done."""

    def __call__(self, agent: Agent, context: AgentContext) -> AgentResult: ...


class Step(NamedTuple):
    """How far a tick came.

    Attributes
    ----------
    status : "not due": no such due time, no row. "known": it has its row already. "no place": as
        many run as may; ask again. "settled": idle, blocked or missed. "running": claimed
    record : its record, None where there is none
    decision : of the gate
    context : for the agent, where it runs
    """

    status: Status
    record: Record | None = None
    decision: Decision | None = None
    context: AgentContext | None = None
    fills: int = 0


def in_process(agent: Agent, context: AgentContext) -> AgentResult:
    """Run an agent's function in this process; nothing kills it."""
    return agent.run(context)


class Desk:
    """Agents, their schedule and their book.

    Attributes
    ----------
    schedule : see schedule.py
    hours : of the exchange, over the days that the desk runs
    agents : the function behind each enabled name
    book : of the ticks
    floor : what the agents work on
    seed : of every draw
    """

    def __init__(
        self,
        schedule: Schedule,
        hours: ExchangeHours,
        agents: Mapping[str, Agent],
        book: TickBook,
        floor: Floor,
        *,
        seed: int = 0,
        run: Runner = in_process,
        keep_facts: bool = False,
    ) -> None:
        """Check that every enabled agent is there and takes its parameters.

        Parameters
        ----------
        keep_facts : whether each record keeps what the gate saw, to be replayed

        Raises ConfigurationError otherwise.
        """
        self.schedule = schedule
        self.hours = hours
        self.book = book
        self.floor = floor
        self.seed = seed
        self.agents = agents_of(schedule, agents)
        self._run = run
        self._keep_facts = keep_facts
        self._open_alerts: set[str] = set()
        self._decided: dict[str, tuple[object, Decision]] = {}
        _log.setLevel(schedule.orchestrator.log_level)
        self._parameters = read_parameters(schedule, self.agents)
        tasks = schedule.tasks
        self._timeless = {name: task.timeless for name, task in tasks.items()}
        # Seconds within which an agent that is due at an interval has no other due time.
        self._regular = {
            name: 0 if task.settings.interval_minutes is None else task.interval
            for name, task in tasks.items()
        }
        # Those depended on, and the seconds without a tick after which they have missed one.
        self._quiet = {
            name: tuple(
                (other, tasks[other].interval + tasks[other].window)
                for other in task.closure
                if tasks[other].catch_up != "all"
            )
            for name, task in tasks.items()
        }
        self._priorities = {
            name: task.priority
            for name, task in schedule.tasks.items()
            if task.settings.interval_minutes is not None
        }

    def begin(
        self,
        agent: str,
        now: int,
        *,
        due_at: int | None = None,
        known_due: bool = False,
        forced: bool = False,
        facts: Facts | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Step:
        """Claim a tick and decide what becomes of it, in one transaction.

        Parameters
        ----------
        due_at : the due time; None is the last one up to now, or now itself where `forced`
        known_due : whether `due_at` is of `all_due`, and need not be looked up
        forced : asked for by a person: conditions are skipped, limits are not
        facts : what the gate sees; None asks the floor
        parameters : over those of the schedule, for this run
        """
        task = self.schedule.tasks[agent]
        if due_at is None:
            due_at = now if forced else last_due(task, self.hours, now)
        if due_at is None or not (known_due or forced or is_due(task, self.hours, due_at)):
            return Step("not due")
        with self.book.transaction() as book:
            if book.running:
                self._release_dead(book, now)
            self._note_missed(book, task, due_at, now)
            if book.is_known(agent, due_at):
                return Step("known")
            seen = facts or self.floor.facts(now)
            if facts is None and now == due_at and not forced:
                decision = self._decide_as_before(book, task, now, seen)
            else:
                decision = self._decide(book, task, due_at, now, seen, forced=forced)
            record = Record(agent, due_at, 0, None, decision.reason, now)
            if decision.verdict == "run" and book.running:
                under_way = [one for one in book.running.values() if one.agent == agent]
                if len(under_way) >= task.instances:
                    since = utc(min(one.claimed_at for one in under_way))
                    decision = Decision("blocked", f"still running since {since:%H:%M:%S} UTC")
                    record.reason = decision.reason
                elif not self._has_place(book, task):
                    return Step("no place")
            own = book.states[agent]
            late = 0 if forced else now - due_at
            if late or own.late:
                own.begins(now, late)
            if self._keep_facts:
                stretched = {"stretch": own.stretch} if own.stretch > 1 else {}
                record.seen = _plain(seen) | {"mode": book.mode} | stretched
            if decision.verdict != "run":
                self._settle(book, task, record, decision, now)
                return Step("settled", record, decision)
            record.only_safe = decision.only_safe
            record.lease_until = now + task.timeout + LEASE
            book.add(record)
        context = AgentContext(
            self.floor,
            agent,
            due_at,
            now,
            now + task.timeout,
            self._with(agent, parameters),
            self.seed,
            decision.only_safe,
            book.mode,
            book.mode_actor,
            book.states,
            self._priorities,
        )
        return Step("running", record, decision, context, seen.fills or 0)

    def attempt(self, step: Step, now: int) -> AgentResult:
        """Run the agent of a claimed tick once; what it raises is its failure."""
        assert step.context is not None and step.record is not None
        step.record.attempts += 1
        agent = self.agents[step.record.agent]
        context = step.context if now == step.context.now else step.context._replace(now=now)
        if agent.inputs_version is not None and not step.context.only_safe:
            version = agent.inputs_version(context)
            state = self.book.states[agent.name]
            if version is not None and version == state.inputs_version:
                return _UNCHANGED
            result = self._run(agent, context)
            return replace(result, figures={**result.figures, "inputs_version": version})
        return self._run(agent, context)

    def retry_at(self, step: Step, now: int) -> int | None:
        """Return when a tick that failed is tried again, None where it is not.

        The delay doubles, give or take a tenth; the attempt must begin before the tick's deadline
        and before the agent's next due time.
        """
        assert step.context is not None and step.record is not None
        task = self.schedule.tasks[step.record.agent]
        done = step.record.attempts
        if done > task.settings.retry_count:
            return None
        draw = zlib.crc32(f"{self.seed} {task.name} {step.record.due_at} {done}".encode())
        jitter = 0.9 + 0.2 * draw / 0xFFFFFFFF
        delay: float = task.settings.retry_delay_minutes * 60 * 2.0 ** (done - 1) * jitter
        moment = now + max(1, round(delay))
        if moment >= min(step.context.deadline, step.record.due_at + task.interval):
            return None
        return moment

    def end(self, step: Step, now: int, ended: AgentResult | Exception) -> None:
        """Record how a claimed tick ended, in one transaction.

        An end that comes after the lease was taken away changes nothing.
        """
        assert step.record is not None and step.decision is not None
        record, task = step.record, self.schedule.tasks[step.record.agent]
        with self.book.transaction() as book:
            if (record.agent, record.due_at) not in book.running:
                return
            record.ended_at, record.lease_until = now, None
            took = now - record.claimed_at
            too_long = task.max_duration is not None and took > task.max_duration
            if isinstance(ended, AgentResult):
                record.outcome = "ran"
                why, summary = record.reason, ended.summary
                record.reason = f"{why}; {summary}" if why and summary else why or summary
                record.result = dict(ended.figures) or None
            else:
                record.outcome, record.reason = "failed", _reason(ended)
            book.end(record)
            state = book.states[task.name]
            tripped = book.fold(
                task.name,
                record.outcome,
                now,
                error_threshold=task.settings.error_threshold,
                too_long=too_long,
                took=took,
            )
            if isinstance(ended, AgentResult):
                state.fills_seen, state.score = step.fills, ended.score
                state.inputs_version = ended.figures.get("inputs_version", state.inputs_version)
                if ended.control is not None:
                    book.control(task.name, _still(ended.control, step, book), now)
            self._tell(book, task, record, now, tripped=tripped, too_long=too_long)

    def step(self, agent: str, clock: Clock, *, due_at: int | None = None, **given: Any) -> Step:
        """Do all of a tick on a clock: claim, gate, attempts, end."""
        step = self.begin(agent, clock.now(), due_at=due_at, **given)
        while step.status == "running":
            try:
                ended: AgentResult | Exception = self.attempt(step, clock.now())
            except Exception as problem:
                ended = problem
                moment = self.retry_at(step, clock.now())
                if moment is not None:
                    clock.sleep_until(moment)
                    continue
            self.end(step, clock.now(), ended)
            break
        return step

    def remember_alerts(self, keys: Iterable[str]) -> None:
        """Take alerts that are open already as told, so that their end is told too."""
        self._open_alerts.update(keys)

    def _decide_as_before(self, book: TickBook, task: Task, now: int, facts: Facts) -> Decision:
        """Return what becomes of a tick that begins in time; asked once for as long as it holds.

        Of the thousands of ticks of a simulated day nearly all find what the one before them found.
        """
        states = book.states
        own = states[task.name]
        if (
            self._keep_facts
            or own.stretch > 1
            or own.tripped_at is not None
            or not self._timeless[task.name]
        ):
            return self._decide(book, task, now, now, facts)
        for name in task.closure:
            if states[name].failures:
                # A health with failures in it comes back with time.
                return self._decide(book, task, now, now, facts)
        key = (facts, self.hours.phase(now), book.version, own.paused, own.fills_seen)
        before = self._decided.get(task.name)
        if before is None or before[0] != key:
            before = self._decided[task.name] = key, self._decide(book, task, now, now, facts)
        return before[1]

    def _decide(
        self,
        book: TickBook,
        task: Task,
        due_at: int,
        now: int,
        facts: Facts,
        *,
        forced: bool = False,
    ) -> Decision:
        late = now - due_at >= task.window
        latest = not late or last_due(task, self.hours, now) == due_at
        return decide(
            task,
            Tick(task.name, due_at, latest=latest, forced=forced),
            Snapshot(
                now=now,
                moment=self.hours.at(now),
                own=task.name,
                mode=book.mode,
                facts=facts,
                agents=book.states,
                closure=task.closure,
            ),
            safe=self.agents[task.name].safe,
            on=self.schedule.orchestrator.enabled,
        )

    def _has_place(self, book: TickBook, task: Task) -> bool:
        places = self.schedule.orchestrator.max_concurrent_tasks
        if not task.critical and places > 1:
            places -= 1
        return len(book.running) < places

    def _settle(
        self, book: TickBook, task: Task, record: Record, decision: Decision, now: int
    ) -> None:
        assert decision.verdict != "run"
        record.outcome, record.ended_at = decision.verdict, now
        book.add(record)
        book.fold(task.name, decision.verdict, now, eligible=decision.eligible)

    def _release_dead(self, book: TickBook, now: int) -> None:
        """End what has not ended although its lease is over: its process died."""
        for record in tuple(book.running.values()):
            if record.lease_until is not None and record.lease_until < now:
                record.outcome, record.ended_at = "failed", now
                record.reason = "its process died, or could not write its end"
                book.end(record)
                task = self.schedule.tasks.get(record.agent)
                if task is not None:
                    tripped = book.fold(
                        record.agent, "failed", now, error_threshold=task.settings.error_threshold
                    )
                    self._tell(book, task, record, now, tripped=tripped, too_long=False)

    def _note_missed(self, book: TickBook, task: Task, due_at: int, now: int) -> None:
        """Give a record to each due time that passed without one, here and up the dependencies."""
        seen_until = book.seen_until
        if task.catch_up != "all" and due_at > seen_until[task.name] + self._regular[task.name]:
            self._miss(book, task, due_at - 1, now)
        for name, quiet in self._quiet[task.name]:
            if now - seen_until[name] > quiet:
                other = self.schedule.tasks[name]
                until = now - other.window
                if other.catch_up == "latest":
                    until = (last_due(other, self.hours, until) or until) - 1
                self._miss(book, other, until, now)

    def _miss(self, book: TickBook, task: Task, until: int, now: int) -> None:
        since = book.seen_until[task.name]
        if until - since < self._regular[task.name]:
            return
        for moment in due_times(task, self.hours, since, until):
            if not book.is_known(task.name, moment):
                reason = "nobody was there at the time"
                book.add(Record(task.name, moment, 0, "missed", reason, now, now))
                book.fold(task.name, "missed", now)

    def _tell(
        self, book: TickBook, task: Task, record: Record, now: int, *, tripped: bool, too_long: bool
    ) -> None:
        """Write the alerts that the end of a tick calls for, and close those that are over."""
        state, settings = book.states[task.name], task.settings
        below = None
        if self.schedule.orchestrator.performance_monitoring:
            below = self._below(book, task, now)
        if below is None and not (too_long or tripped or self._open_alerts or self._keep_facts):
            # In a simulation no alert is open that was not told here.
            return
        if settings.performance_threshold is not None:
            self._alert(book, f"performance:{task.name}", now, below)
        took = None
        if too_long:
            took = f"took {now - record.claimed_at} s, more than {task.max_duration} s"
        self._alert(book, f"too_long:{task.name}", now, took)
        times = None
        if tripped:
            times = f"{state.failures_in_row} failures in a row, the last: {record.reason}"
        if tripped or record.outcome == "ran":
            self._alert(book, f"tripped:{task.name}", now, times)

    def _below(self, book: TickBook, task: Task, now: int) -> str | None:
        """Return how an agent falls short of its threshold, None where not; pause it if told so."""
        state, settings = book.states[task.name], task.settings
        low = settings.performance_threshold
        rate = state.score if state.score is not None else state.success_rate
        if low is None or rate is None or rate >= low:
            return None
        if settings.on_low == "pause" and state.paused is None:
            reason = f"performance {rate:.2f} is below {low:.2f}"
            evidence = {"performance": rate, "performance_threshold": low}
            book.control("desk", Control(reason, pause={task.name: reason}, evidence=evidence), now)
        return f"{rate:.2f} is below {low:.2f}"

    def _alert(self, book: TickBook, key: str, now: int, text: str | None) -> None:
        """Tell what is wrong; None is all well."""
        if not self.schedule.orchestrator.error_alerting:
            return
        if text is not None:
            self._open_alerts.add(key)
            book.alert(key, now, text)
            _log.warning("%s: %s", key, text)
        elif key in self._open_alerts or self._keep_facts:
            self._open_alerts.discard(key)
            book.resolve(key, now)

    def _with(self, agent: str, over: Mapping[str, Any] | None) -> Parameters:
        if not over:
            return self._parameters[agent]
        given = {**self.schedule.tasks[agent].settings.parameters, **over}
        form = self.agents[agent].parameters
        return read_part(YamlDocument(given, {}), form, path=f"parameters of {agent}")


def agents_of(schedule: Schedule, agents: Mapping[str, Agent]) -> dict[str, Agent]:
    """Return the agents of the enabled tasks.

    Raises ConfigurationError where one of them does not exist.
    """
    for name in schedule.tasks:
        if name not in agents:
            raise ConfigurationError(
                f"{schedule.path}: tasks.{name}: no agent of that name is there; "
                f"{suggest(name, agents)}, or set enabled: false"
            )
    return {name: agents[name] for name in schedule.tasks}


def read_parameters(schedule: Schedule, agents: Mapping[str, Agent]) -> dict[str, Parameters]:
    """Return each agent's parameters, typed.

    Raises ConfigurationError for a parameter that the agent does not know or take.
    """
    return {
        name: read_part(
            YamlDocument(
                {"tasks": {name: {"parameters": task.settings.parameters}}}, dict(schedule.lines)
            ),
            agents[name].parameters,
            path=schedule.path,
            key=("tasks", name, "parameters"),
        )
        for name, task in schedule.tasks.items()
    }


def _still(wanted: Control, step: Step, book: TickBook) -> Control:
    """Return what holds of a change although others may have changed the desk during the run.

    A state that is not the one that the agent saw is only made graver.
    """
    assert step.context is not None
    if wanted.mode is None:
        return wanted
    unchanged = (step.context.mode, step.context.mode_actor) == (book.mode, book.mode_actor)
    gravity = get_args(DeskMode).index
    graver = gravity(wanted.mode) > gravity(book.mode)
    holds = graver or (unchanged and wanted.mode != book.mode)
    return wanted if holds else replace(wanted, mode=None)


def _plain(facts: Facts) -> dict[str, Any]:
    values = asdict(facts)
    until = values["data_until"]
    return values | {"data_until": None if until is None else until.isoformat()}


def _reason(problem: Exception) -> str:
    """Return why a run failed; the text of a foreign exception might hold anything."""
    if isinstance(problem, FoundryError):
        return str(problem)
    return f"{type(problem).__name__} in the agent's code"


__all__ = ["Clock", "Desk", "Floor", "Outcome", "Runner", "Status", "Step", "TimedOut"]
