"""A desk that trades past sessions on a simulated clock, from its parts to its report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from alphafoundry.agents.account import Account
from alphafoundry.agents.book import StoredBook, fresh_book
from alphafoundry.agents.clocks import ReplayClock
from alphafoundry.agents.closing import close_books
from alphafoundry.agents.decisions import differing_decisions
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import ExchangeHours, SessionHours, utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.living import LivingDesk, Punctuality
from alphafoundry.agents.rephrasing import Rephraser
from alphafoundry.agents.report import DeskReport, TickCount
from alphafoundry.agents.schedule import Schedule
from alphafoundry.agents.simulator import Simulator
from alphafoundry.errors import FoundryError
from alphafoundry.market.panel import Panel
from alphafoundry.store import Store
from alphafoundry.store.agents import (
    desk_transaction,
    open_agent_desk,
    read_control_decisions,
    read_ticks,
    save_desk_report,
)
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


class DeskSimulation:
    """One desk over some sessions.

    Attributes
    ----------
    name : of the desk in the store
    sessions : to come, in order
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
        rephraser: Rephraser | None = None,
    ) -> None:
        """Record the desk, and make it ready for its first session.

        Parameters
        ----------
        replay_from : moment at which a replay on a clock begins; None simulates
        rephraser : language model that rephrases explanations, None leaves them as they are
        """
        self.name = name
        self.sessions = tuple(sessions)
        self._store = store
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
        sample_age = 3 * round(schedule.orchestrator.health_check_interval_minutes * 60)
        self.floor = TradingFloor(
            store=store,
            desk=name,
            panel=panel,
            hours=hours,
            account=account,
            strategies=strategies,
            home=home,
            simulated=simulated,
            sample_age=sample_age,
            samples_kept=timedelta(days=schedule.orchestrator.metrics_retention_days),
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
        self._began_with = account.equity()
        self._cpu = 0.0

    def run_session(self, session: SessionHours) -> str:
        """Let one session happen, with the nights before it; return a line about it."""
        began = time.process_time()
        self.simulator.run_session(session)
        if session is self.sessions[-1]:
            self.simulator.finish()
        for one in self.desk.book.ended:
            self.ticks.add(one.agent, one.outcome or "running", one.reason)
        self._write()
        self._cpu += time.process_time() - began
        evening = self.floor.evenings[-1] if self.floor.evenings else None
        if evening is None or evening.day != session.day:
            return f"{session.day}: its bars did not arrive"
        return f"{session.day}: equity {evening.equity:,.2f}, {evening.earned:+,.2f}"

    def replay(
        self, clock: ReplayClock, speed: float, until: int, asked_to_stop: Callable[[], bool]
    ) -> Punctuality:
        """Let the time of one session go by on a clock; return how late its ticks began."""
        living = LivingDesk(self.desk, clock, speed=speed, began_at=self.began_at)
        living.run(until, asked_to_stop)
        self.simulator.now = clock.now()
        for row in read_ticks(self._store, self.name):
            self.ticks.add(row.agent, row.outcome, row.reason)
        for agent, spent in living.punctuality.cpu.items():
            self.simulator.cpu[agent] = sum(spent)
        return living.punctuality

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
        return f"{len(rows):,} decisions were made again from their rows: all alike"

    def report(self) -> DeskReport:
        """Return the report, and keep it with the desk."""
        digest = hashlib.sha256(self.desk.book.digest.copy().digest())
        for line in self.floor.account.lines():
            digest.update(line.encode())
        decisions = read_control_decisions(self._store, self.name)
        report = DeskReport(
            desk=self.name,
            label=self._panel.label,
            ticks=self.ticks,
            evenings=self.floor.evenings,
            totals=self.floor.account.totals(self.simulator.now),
            strategies=self.floor.strategies,
            mode=self.desk.book.mode,
            mode_reason=self.desk.book.mode_reason,
            decisions=[
                (
                    f"{one.at:%Y-%m-%d %H:%M}",
                    one.actor,
                    f"{one.subject} {one.before} -> {one.after}",
                    one.reason,
                )
                for one in reversed(decisions)
            ],
            risk=self.floor.results.get("risk_management", {}),
            synthetic=self._panel.synthetic,
            began_with=self._began_with,
            seconds=self._cpu,
            cpu=dict(self.simulator.cpu),
            digest=digest.hexdigest(),
            left_out=self._schedule.left_out,
            clock="simulated" if self.floor.simulated else "replay",
        )
        save_desk_report(self._store, self.name, report.to_json())
        close_books(self.desk, self.floor, self.simulator.now)
        return report

    def _write(self) -> None:
        book, samples = self.desk.book, self.floor.samples
        book.flush(self._store, self.name, now=self.simulator.now)
        with desk_transaction(self._store, self.name) as rows:
            rows.add_samples(samples, keep=self.floor.samples_kept)
        samples.clear()
