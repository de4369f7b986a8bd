"""A desk that trades at a broker outside, on the true clock and the sessions of its exchange.

The ticks are those of any desk on a clock. After each session data_sync brings the market's folder
up to date from its vendor, and the agents go on with the new bars. What the agents' process knows
is kept in the store after each tick: a desk that was killed is taken up where it was, its orders
looked up at the broker by their client ids.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from alphafoundry.agents.bodies.data_sync import update_folder, vendor_of_folder
from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.chosen_broker import chosen_broker
from alphafoundry.agents.closing import close_books
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import ExchangeHours, seconds, utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.living import ExactClock, LivingDesk, Punctuality
from alphafoundry.agents.outside_account import open_outside_account
from alphafoundry.agents.rephrasing import rephraser
from alphafoundry.agents.report import DeskReport, TickCount, decision_lines
from alphafoundry.agents.schedule import Schedule, stored_schedule
from alphafoundry.agents.simulation import floor_for, plain_values, strategies_of
from alphafoundry.agents.worker import FloorWorker
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.market.market_folder import is_market_folder
from alphafoundry.market.panel import Panel
from alphafoundry.research.run import load_simulated_market
from alphafoundry.settings import FoundrySettings
from alphafoundry.store import Store, open_store
from alphafoundry.store.agents import (
    count_reasons,
    desk_transaction,
    find_agent_desk,
    open_agent_desk,
    read_agent_alerts,
    read_agent_desk,
    save_desk_report,
)
from alphafoundry.trading import BrokerClient
from alphafoundry.trading.portfolio import LiveStrategy

DAYS_AHEAD = 366
"""Days whose sessions are known at the start; a desk that runs so long ends, to be started anew."""

_DAY = 24 * 3600


def check_market(panel: Panel, schedule: Schedule) -> None:
    """Raise ConfigurationError where the market of a desk on the true clock could not grow."""
    folder = Path(panel.source)
    if not is_market_folder(folder):
        raise ConfigurationError(
            f"market {panel.label}: grows by no vendor; make a folder with python -m alphafoundry "
            "data update FOLDER --source alpaca --symbols A,B,C and name it with --market FOLDER"
        )
    task = schedule.tasks.get("data_sync")
    if task is None:
        raise ConfigurationError(
            f"{schedule.path}: tasks.data_sync: is not enabled, so no bar would come; enable it"
        )
    vendor = vendor_of_folder(folder)
    sources = task.settings.parameters.get("data_sources", ())
    missing = [one for one in ("market", vendor) if one not in sources]
    if missing:
        raise ConfigurationError(
            f"{schedule.path}: tasks.data_sync.parameters.data_sources: leaves out {missing[0]}, "
            f"from which {folder} grows; add it"
        )


def client_of(settings: FoundrySettings, panel: Panel) -> BrokerClient:
    """Return a client of the account that the settings name, keys from the environment.

    Raises ConfigurationError where that is none outside, and what `chosen_broker` raises.
    """
    client = chosen_broker(settings, synthetic=panel.synthetic, market=panel.label)
    if client is None:
        raise ConfigurationError("broker.provider: paper has no account on the true clock")
    return client


def desk_name(account_number: str) -> str:
    """Return the name of the one desk that an account has."""
    return f"account-{account_number}"


def hours_ahead(panel: Panel, exchange: str, now: int) -> ExchangeHours:
    """Return the exchange's hours over a market's days and a year after `now`."""
    last = utc(now).date() + timedelta(days=DAYS_AHEAD)
    return ExchangeHours(exchange, panel.dates[0].item(), last)


@contextlib.contextmanager
def open_true_floor(
    kept: Mapping[str, Any] | None, *, settings: FoundrySettings, desk: str, now: int
) -> Iterator[TradingFloor]:
    """Give the floor of a desk at a broker outside, for another process to run its agents on.

    Keys are those of this process's environment. The broker is not asked yet.

    Parameters
    ----------
    kept : what it knew when it was last left
    now : moment of the start, after which a year's sessions are known
    """
    url = settings.database_url
    with open_store(None if url is None else url.get_secret_value(), home=settings.home) as store:
        found = read_agent_desk(store, desk)
        schedule = stored_schedule(found.schedule, environment=found.settings["environment"])
        load = partial(load_simulated_market, settings)
        panel = load()
        client = client_of(settings, panel)
        with open_outside_account(
            store,
            client,
            name=desk,
            panel=panel,
            kept=None if kept is None else kept["account"],
        ) as account:
            floor = floor_for(
                schedule,
                store=store,
                desk=desk,
                panel=panel,
                hours=hours_ahead(panel, schedule.orchestrator.exchange, now),
                account=account,
                strategies=strategies_of(found),
                home=settings.home,
                simulated=False,
                rephraser=rephraser(settings),
            )
            floor.began_with = found.settings["cash"]
            floor.fetch = partial(fetch_bars, folder=Path(panel.source), load=load)
            if kept is not None:
                floor.restore(kept["floor"])
            # At twenty minutes to the close nobody waits for what takes seconds.
            floor.prepare([first_session(floor.hours, now)])
            yield floor


def fetch_bars(now: int, *, folder: Path, load: Callable[[], Panel]) -> tuple[str, Panel | None]:
    """Bring a market's folder up to the last session that closed; return a line, and the market.

    None where there is nothing new; a vendor that fails is told, and asked again by the next tick.
    """
    told, done = update_folder(folder, utc(now))
    return told, load() if done is not None and done.changed else None


class TrueClockDesk:
    """A desk of the store that trades at a broker outside.

    Attributes
    ----------
    name : of the desk
    """

    def __init__(
        self,
        store: Store,
        settings: FoundrySettings,
        *,
        name: str,
        run_id: int | None,
        panel: Panel,
        schedule: Schedule,
        strategies: Sequence[LiveStrategy],
        cash: float,
        now: int,
    ) -> None:
        """Record the desk, or take it up with the strategies and the opening cash that it has.

        Parameters
        ----------
        strategies : that a new desk begins with
        cash : dollars that a new desk begins with
        now : the time
        """
        self.name = name
        self._store = store
        self._settings = settings
        self._schedule = schedule
        self._label = panel.label
        self._hours = hours_ahead(panel, schedule.orchestrator.exchange, now)
        self._now = now
        self._make = partial(open_true_floor, settings=settings, desk=name, now=now)
        earlier = find_agent_desk(store, name)
        known = {} if earlier is None else earlier.settings
        open_agent_desk(
            store,
            name,
            market_label=panel.label,
            clock="wall",
            began_at=utc(now),
            schedule=plain_values(schedule),
            settings={
                "market": settings.market,
                "seed": settings.seed,
                "environment": schedule.environment,
                "broker": settings.broker.provider,
                "cash": known.get("cash", cash),
                "strategies": known.get("strategies", [one.to_json() for one in strategies]),
            },
            run_id=run_id,
        )

    def live(
        self,
        clock: ExactClock,
        *,
        until: int,
        asked_to_stop: Callable[[], bool],
        speed: float = 1.0,
    ) -> Punctuality:
        """Do every tick until a moment, or until asked to stop; return how late they began.

        What was due while nobody was there is made up for once where the schedule says so, and
        missed otherwise.

        Parameters
        ----------
        until : at most a year after the start
        speed : of the clock; the true one has 1
        """
        found = read_agent_desk(self._store, self.name)
        intervals = {one.name: one.interval for one in self._schedule.tasks.values()}
        last = min(until, self._now + DAYS_AHEAD * _DAY)
        with FloorWorker(self._make, found.checkpoint, speed=speed) as worker:
            desk = Desk(
                self._schedule,
                self._hours,
                worker.agents(known_agents()),
                StoredBook(self._store, self.name, intervals, seconds(found.began_at)),
                worker,
                seed=self._settings.seed,
                keep_facts=True,
            )
            desk.remember_alerts(
                one.key
                for one in read_agent_alerts(self._store, self.name)
                if one.resolved_at is None
            )
            living = LivingDesk(
                desk,
                clock,
                speed=speed,
                began_at=max(seconds(found.seen_until), clock.now() - _DAY),
                spent=lambda: time.process_time() + worker.cpu,
            )
            written = worker.kept

            def keep(_: int) -> None:
                nonlocal written
                if worker.kept is not written:
                    written = worker.kept
                    with desk_transaction(self._store, self.name) as rows:
                        rows.put_desk(checkpoint=written)

            with threadpool_limits(1):
                living.run(last, asked_to_stop, keep)
            keep(last)
            self._desk = desk
            self._now = clock.now()
        return living.punctuality

    def report(self) -> DeskReport:
        """Return the report of all that the desk has been through, and keep it with the desk."""
        found = read_agent_desk(self._store, self.name)
        ticks = TickCount()
        for agent, outcome, reason, safe, count in count_reasons(self._store, self.name):
            ticks.add(agent, outcome, reason, count, only_safe=safe)
        with self._make(found.checkpoint) as floor:
            digest = hashlib.sha256()
            for line in floor.account.lines():
                digest.update(line.encode())
            report = DeskReport(
                desk=self.name,
                label=self._label,
                ticks=ticks,
                evenings=floor.evenings,
                totals=floor.account.totals(self._now),
                strategies=floor.strategies,
                mode=found.mode,
                mode_reason=found.mode_reason,
                decisions=decision_lines(self._store, self.name),
                risk=floor.results.get("risk_management", {}),
                synthetic=False,
                began_with=found.settings["cash"],
                seconds=0.0,
                cpu={},
                digest=digest.hexdigest(),
                left_out=self._schedule.left_out,
                clock="wall",
            )
            close_books(self._desk, floor, self._now)
        save_desk_report(self._store, self.name, report.to_json())
        return report


def first_session(hours: ExchangeHours, now: int) -> date:
    """Return the session that `now` lies in, or the next one.

    Raises FoundryError where none is known.
    """
    found = next((one.day for one in hours.sessions if one.closes > now), None)
    if found is None:
        raise FoundryError(f"{hours!r}: has no session after {utc(now):%Y-%m-%d}")
    return found
