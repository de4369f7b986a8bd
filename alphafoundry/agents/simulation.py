"""A desk that trades past sessions on a simulated clock, from its parts to its report."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from threadpoolctl import ThreadpoolController, threadpool_limits

from alphafoundry.agents.account import Account
from alphafoundry.agents.book import StoredBook, fresh_book
from alphafoundry.agents.clocks import ReplayClock
from alphafoundry.agents.closing import close_books
from alphafoundry.agents.decisions import differing_decisions
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.desk_account import broker_file, open_paper_account, order_limits
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import ExchangeHours, SessionHours, seconds, utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.living import LivingDesk, Punctuality
from alphafoundry.agents.rephrasing import Rephraser
from alphafoundry.agents.report import DeskReport, TickCount, decision_lines
from alphafoundry.agents.schedule import Schedule, stored_schedule
from alphafoundry.agents.shared_desk import DueAgent, SharedClock, due_agents, share_desk
from alphafoundry.agents.simulator import Simulator
from alphafoundry.agents.worker import FloorWorker, MakeFloor
from alphafoundry.errors import FoundryError
from alphafoundry.file_lock import file_lock
from alphafoundry.market.panel import Panel
from alphafoundry.store import RunRow, Store, is_alive, open_store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import (
    count_reasons,
    desk_transaction,
    open_agent_desk,
    read_agent_alerts,
    read_agent_desk,
    read_ticks,
    save_desk_report,
)
from alphafoundry.store.column_types import to_json
from alphafoundry.trading.portfolio import LiveStrategy

BEFORE_OPEN = 60 * 60
"""Seconds before the first open at which a desk begins."""


def sessions_of(
    panel: Panel, exchange: str, count: int
) -> tuple[ExchangeHours, list[SessionHours]]:
    """Return the exchange's hours over a market's days, and the market's last sessions.

    Raises FoundryError where the market has fewer days, or trades on days that the exchange does
    not.
    """
    first, last = panel.dates[0].item(), panel.dates[-1].item()
    if count >= len(panel.dates):
        raise FoundryError(
            f"{count} sessions: {panel.label} has {len(panel.dates)} days, and the search and the "
            f"risk model need those before; give fewer"
        )
    hours = ExchangeHours(exchange, first, last)
    wanted = set(panel.dates[-count:].tolist())
    found = [one for one in hours.between(first, last) if one.day in wanted]
    if len(found) != count:
        odd = sorted(wanted - {one.day for one in found})
        raise FoundryError(
            f"{panel.label}: {odd[0]} is no session of {exchange}; name the market's exchange as "
            "orchestrator.exchange of the schedule"
        )
    return hours, found


def cut_simulation(
    store: Store, settings: Mapping[str, Any], schedule: Schedule
) -> AgentDeskRow | None:
    """Return the newest simulation with these settings that was cut, None where there is none.

    One that another process is at work on is none.
    """
    query = (
        select(AgentDeskRow, RunRow)
        .join(RunRow, RunRow.id == AgentDeskRow.run_id)
        .where(AgentDeskRow.clock == "simulated", AgentDeskRow.report.is_(None))
        .order_by(AgentDeskRow.created_at.desc())
    )
    with store.session() as session:
        for found, run in session.execute(query):
            kept = {name: found.settings.get(name) for name in settings}
            begun = found.checkpoint is not None or found.ticks == 0
            same = kept == dict(settings) and found.schedule == plain_values(schedule)
            if begun and same and not is_alive(run):
                return found
    return None


def finished_simulation(store: Store, name: str | None) -> tuple[AgentDeskRow, dict[str, Any]]:
    """Return a simulation with a report, None is the newest desk, and what simulates it again.

    Raises FoundryError where the desk is no finished simulation, or one of an earlier version.
    """
    found = read_agent_desk(store, name)
    if found.clock != "simulated" or found.report is None:
        raise FoundryError(f"desk {found.name}: is no finished simulation; nothing to compare")
    names = ("sessions", "schedule", "environment", "cash", "market", "seed")
    given = {one: found.settings[one] for one in names if one in found.settings}
    if len(given) < len(names) or "strategies" not in found.settings:
        raise FoundryError(f"desk {found.name}: was made by an earlier version; simulate again")
    return found, given


def strategies_of(desk: AgentDeskRow) -> tuple[LiveStrategy, ...]:
    """Return the strategies that a desk was started with."""
    return tuple(map(LiveStrategy.from_json, desk.settings["strategies"]))


def plain_values(schedule: Schedule) -> dict[str, Any]:
    """Return the merged schedule as the store gives it back."""
    values: dict[str, Any] = json.loads(to_json(schedule.values))
    return values


def floor_for(
    schedule: Schedule,
    *,
    store: Store,
    desk: str,
    panel: Panel,
    hours: ExchangeHours,
    account: Account,
    strategies: Sequence[LiveStrategy],
    home: Path,
    simulated: bool,
    workers: int = 1,
    rephraser: Rephraser | None = None,
) -> TradingFloor:
    """Return the floor of a desk with this schedule."""
    return TradingFloor(
        store=store,
        desk=desk,
        panel=panel,
        hours=hours,
        account=account,
        strategies=strategies,
        home=home,
        simulated=simulated,
        workers=workers,
        rephraser=rephraser,
        rules=schedule.rules,
        sample_age=3 * round(schedule.orchestrator.health_check_interval_minutes * 60),
        samples_kept=timedelta(days=schedule.orchestrator.metrics_retention_days),
    )


@contextlib.contextmanager
def open_floor(
    kept: Mapping[str, Any] | None,
    *,
    desk: str,
    url: str | None,
    home: Path,
    load: Callable[[], Panel],
    rephrase: Callable[[], Rephraser | None] = lambda: None,
    prepare: bool = True,
) -> Iterator[TradingFloor]:
    """Give the floor of a desk that the store knows, for another process to run its agents on.

    Parameters
    ----------
    kept : what it knew when it was last left
    url, home : of the store
    load : loads the market
    rephrase : makes what rephrases explanations, with a key of the environment
    prepare : make the programme at once, which takes seconds, instead of where it is needed
    """
    with open_store(url, home=home) as store:
        found = read_agent_desk(store, desk)
        given = found.settings
        schedule = stored_schedule(found.schedule, environment=given["environment"])
        panel = load()
        hours, days = sessions_of(panel, schedule.orchestrator.exchange, given["sessions"])
        with open_paper_account(
            store,
            name=desk,
            panel=panel,
            hours=hours,
            sessions=days,
            cash=given["cash"],
            seed=given["seed"],
            limits=order_limits(schedule),
            rules=schedule.rules.broker,
            state=broker_file(home, desk),
            kept=None if kept is None else kept["account"],
        ) as account:
            floor = floor_for(
                schedule,
                store=store,
                desk=desk,
                panel=panel,
                hours=hours,
                account=account,
                strategies=strategies_of(found),
                home=home,
                simulated=False,
                rephraser=rephrase(),
            )
            if kept is not None:
                floor.restore(kept["floor"])
            if prepare:
                floor.prepare([one.day for one in days])
            yield floor


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let Python look for cycles a hundredth as often: of a million objects few are in one.

    Looking takes a twentieth of the session otherwise.
    """
    before = gc.get_threshold()
    gc.set_threshold(100 * before[0], *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class DeskSimulation:
    """One desk over some sessions.

    Attributes
    ----------
    name : of the desk in the store
    sessions : all of them, in order
    done : how many have been
    """

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        run_id: int | None,
        panel: Panel,
        schedule: Schedule,
        hours: ExchangeHours,
        sessions: Sequence[SessionHours],
        strategies: Sequence[LiveStrategy],
        account: Account,
        seed: int,
        home: Path,
        settings: Mapping[str, Any],
        replay_from: int | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        workers: int = 1,
        research: float = 0.0,
        rephraser: Rephraser | None = None,
    ) -> None:
        """Record the desk, and make it ready for its first session.

        Parameters
        ----------
        replay_from : moment at which a replay on a clock begins; None simulates
        checkpoint : of a simulation that was cut, which this one goes on from
        workers : threads that prepare what rebalancing needs; no row depends on it
        research : processor seconds that finding the strategies took, for the report
        rephraser : language model that rephrases explanations, None leaves them as they are
        """
        self.name = name
        self.sessions = tuple(sessions)
        self.done = 0 if checkpoint is None else checkpoint["sessions"]
        self._store = store
        self._research = research
        self._panel = panel
        self._schedule = schedule
        simulated = replay_from is None
        began_at = sessions[0].opens - BEFORE_OPEN if replay_from is None else replay_from
        open_agent_desk(
            store,
            name,
            market_label=panel.label,
            clock="simulated" if simulated else "replay",
            began_at=utc(began_at),
            schedule=schedule.values,
            settings={**settings, "seed": seed, "environment": schedule.environment},
            run_id=run_id,
        )
        self.floor = floor_for(
            schedule,
            store=store,
            desk=name,
            panel=panel,
            hours=hours,
            account=account,
            strategies=strategies,
            home=home,
            simulated=simulated,
            workers=workers,
            rephraser=rephraser,
        )
        intervals = {one.name: one.interval for one in schedule.tasks.values()}
        book = (
            fresh_book(intervals, began_at)
            if simulated
            else StoredBook(store, name, intervals, began_at)
        )
        self.desk = Desk(
            schedule,
            hours,
            known_agents(),
            book,
            self.floor,
            seed=seed,
            keep_facts=not simulated,
        )
        self.began_at = began_at
        self.simulator = Simulator(self.desk, began_at)
        self.ticks = TickCount()
        self.floor.began_with = account.equity()
        self._cpu = 0.0
        self._preparing = 0.0
        self._threads: tuple[int, ThreadpoolController] | None = None
        if checkpoint is not None:
            self._restore(checkpoint)

    def prepare(self) -> None:
        """Make what takes seconds, before the first session: signals, programme, risk models."""
        began = time.process_time()
        with threadpool_limits(1):
            self.floor.prepare([one.day for one in self.sessions[self.done :]])
        self._preparing = time.process_time() - began

    @property
    def unfinished(self) -> bool:
        """Whether sessions are left."""
        return self.done < len(self.sessions)

    def run_session(self, session: SessionHours) -> str:
        """Let one session happen, with the nights before it; return a line about it.

        All of it is one transaction: a process that dies within leaves the store as it was.
        """
        began = time.process_time()
        # Matrices of this size are slower on many threads, whose waiting takes the other cores.
        with self._one_thread(), _seldom_collected(), self._store.together():
            quiet = self.simulator.run_session(session)
            if session is self.sessions[-1]:
                self.simulator.finish()
                quiet = True
            ended = Counter(
                (one.agent, one.outcome, one.reason, one.only_safe) for one in self.desk.book.ended
            )
            for (agent, outcome, reason, only_safe), count in ended.items():
                self.ticks.add(agent, outcome or "running", reason, count, only_safe=only_safe)
            self._cpu += time.process_time() - began
            self.done += 1
            self._write(quiet=quiet)
        self.floor.account.save()
        evening = self.floor.evenings[-1] if self.floor.evenings else None
        if evening is None or evening.day != session.day:
            return f"{session.day}: its bars did not arrive"
        return f"{session.day}: equity {evening.equity:,.2f}, {evening.earned:+,.2f}"

    def replay(
        self, make: MakeFloor, *, speed: float, minutes: float, asked_to_stop: Callable[[], bool]
    ) -> Punctuality:
        """Let the time of one session go by on a clock; return how late its ticks began.

        Agents run in a process of their own, which is killed where one passes its time-out.

        Parameters
        ----------
        make : opens the floor over there, such as a `partial` of `open_floor`
        minutes : of the true time
        """
        kept = {"floor": self.floor.kept(), "account": self.floor.account.kept()}
        with FloorWorker(make, json.loads(to_json(kept)), speed=speed) as worker:
            self.desk = Desk(
                self._schedule,
                self.desk.hours,
                worker.agents(known_agents()),
                self.desk.book,
                worker,
                seed=self.desk.seed,
                keep_facts=True,
            )
            clock = ReplayClock(self.began_at, speed, asked_to_stop)
            living = LivingDesk(
                self.desk,
                clock,
                speed=speed,
                began_at=self.began_at,
                spent=lambda: time.process_time() + worker.cpu,
            )
            with threadpool_limits(1):
                living.run(self.began_at + round(minutes * 60 * speed), asked_to_stop)
            self.simulator.now = clock.now()
        assert worker.kept is not None
        self.floor.account.reload(worker.kept["account"])
        self.floor.restore(worker.kept["floor"])
        self._count_stored()
        for agent, spent in living.punctuality.cpu.items():
            self.simulator.cpu[agent] = sum(spent)
        return living.punctuality

    def share(self, *, speed: float, minutes: float) -> SharedClock:
        """Let other processes do its ticks, from now on; return the clock that they follow."""
        clock = SharedClock(
            time.time(),
            self.began_at,
            speed,
            minutes,
            self._panel.dates[0].item().isoformat(),
            self._panel.dates[-1].item().isoformat(),
        )
        kept = {"floor": self.floor.kept(), "account": self.floor.account.kept()}
        share_desk(self._store, self.name, clock, kept)
        return clock

    def take_back(self, clock: SharedClock) -> Punctuality:
        """Know what the processes that did its ticks have left; return how late these began.

        One that is still at a tick is waited for.
        """
        with file_lock(self.floor.home / "desks" / f"{self.name}.lock"):
            kept = read_agent_desk(self._store, self.name).checkpoint
        assert kept is not None
        self.floor.account.reload(kept["account"])
        self.floor.restore(kept["floor"])
        self.simulator.now = min(round(clock.shown(time.time())), clock.ends_at)
        self._count_stored()
        late = Punctuality()
        for row in read_ticks(self._store, self.name):
            if row.outcome != "missed" and row.wall_claimed is not None:
                due = clock.wall(seconds(row.due_at))
                late.late.append(row.wall_claimed.timestamp() - due)
        return late

    def due_agents(self, clock: SharedClock) -> list[DueAgent]:
        """Return when each agent is due while a shared clock runs."""
        return due_agents(self._schedule, self.desk.hours, clock)

    def decided_alike(self) -> str:
        """Return a line on the decisions of a replay, made again from what its rows say.

        Raises FoundryError with the first that differs.
        """
        rows = read_ticks(self._store, self.name)
        differing = list(differing_decisions(self._schedule, self.desk.hours, rows, self.began_at))
        if differing:
            raise FoundryError(
                f"desk {self.name}: {len(differing)} of {len(rows)} decisions differ when they are "
                f"made again: {differing[0]}"
            )
        due = {(row.agent, row.due_at) for row in rows}
        return (
            f"{len(rows):,} rows of {len(due):,} due times; decisions made again from them: all "
            "alike"
        )

    def report(self) -> DeskReport:
        """Return the report, and keep it with the desk."""
        digest = hashlib.sha256(self.desk.book.digest.encode())
        for line in self.floor.account.lines():
            digest.update(line.encode())
        assert self.floor.began_with is not None
        report = DeskReport(
            desk=self.name,
            label=self._panel.label,
            ticks=self.ticks,
            evenings=self.floor.evenings,
            totals=self.floor.account.totals(self.simulator.now),
            strategies=self.floor.strategies,
            mode=self.desk.book.mode,
            mode_reason=self.desk.book.mode_reason,
            decisions=decision_lines(self._store, self.name),
            risk=self.floor.results.get("risk_management", {}),
            synthetic=self._panel.synthetic,
            began_with=self.floor.began_with,
            seconds=self._cpu,
            preparing=self._preparing,
            research=self._research,
            cpu=dict(self.simulator.cpu),
            digest=digest.hexdigest(),
            left_out=self._schedule.left_out,
            clock="simulated" if self.floor.simulated else "replay",
        )
        # A desk with a report is done: a kill before would leave its last session untold.
        close_books(self.desk, self.floor, self.simulator.now)
        save_desk_report(self._store, self.name, report.to_json())
        return report

    def _one_thread(self) -> contextlib.AbstractContextManager[Any]:
        """Hold the libraries that are loaded to one thread each."""
        # Finding them takes milliseconds, and none comes but with a module.
        modules = len(sys.modules)
        if self._threads is None or self._threads[0] != modules:
            self._threads = modules, ThreadpoolController()
        found: contextlib.AbstractContextManager[Any] = self._threads[1].limit(limits=1)
        return found

    def _write(self, *, quiet: bool) -> None:
        book, samples = self.desk.book, self.floor.samples
        book.flush(self._store, self.name, now=self.simulator.now)
        with desk_transaction(self._store, self.name) as rows:
            rows.add_samples(samples, keep=self.floor.samples_kept)
            checkpoint = {
                "sessions": self.done,
                "floor": self.floor.kept(),
                "account": self.floor.account.kept(),
                "book": book.kept(),
                "simulator": self.simulator.kept(),
                "seconds": self._cpu,
            }
            # Rows that no checkpoint goes with cannot be gone on from.
            rows.put_desk(checkpoint=checkpoint if quiet else None)
        samples.clear()

    def _count_stored(self) -> None:
        for agent, outcome, reason, safe, count in count_reasons(self._store, self.name):
            self.ticks.add(agent, outcome, reason, count, only_safe=safe)

    def _restore(self, checkpoint: Mapping[str, Any]) -> None:
        # A simulation that was cut by an earlier version kept it beside the floor.
        self.floor.restore({"began_with": checkpoint.get("began_with"), **checkpoint["floor"]})
        self.desk.book.restore(checkpoint["book"])
        self.desk.remember_alerts(
            one.key for one in read_agent_alerts(self._store, self.name) if one.resolved_at is None
        )
        self.simulator.restore(checkpoint["simulator"])
        self._cpu = checkpoint["seconds"]
        self._count_stored()
