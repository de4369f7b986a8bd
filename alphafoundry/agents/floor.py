"""What the desk's own agents stand on: bars as they become known, the account, the strategies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text, update

from alphafoundry.agents.account import Account
from alphafoundry.agents.hours import ExchangeHours, SessionHours, utc
from alphafoundry.agents.model_signals import rule_weights
from alphafoundry.agents.registry import AgentContext
from alphafoundry.agents.rephrasing import Rephraser
from alphafoundry.agents.rules import DeskRules
from alphafoundry.agents.severe_news import OWN as NEWS
from alphafoundry.agents.severe_news import severe_now
from alphafoundry.agents.snapshot import Facts
from alphafoundry.errors import FoundryError
from alphafoundry.market.panel import Panel
from alphafoundry.sentiment import Planted, headlines_of_session, lean_returns
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import desk_transaction
from alphafoundry.store.performance import read_performance
from alphafoundry.store.performance_tables import PerformanceRow
from alphafoundry.trading.portfolio import LiveStrategy, Rebalancer, SignalHistory
from alphafoundry.trading.risk import (
    BookHistory,
    Position,
    RiskMemory,
    RiskSnapshot,
    Stop,
    StopDecision,
    judge_stops,
    measure_risk,
)

Fetch = Callable[[int], tuple[str, Panel | None]]

VOLATILITY_DAYS = 20
_YEAR = 252
_QUARTER = 900
_PLACES = ((0.2, "low"), (0.8, "normal"), (0.95, "high"))


@dataclass(frozen=True)
class Evening:
    """A session as it was; dollars.

    Attributes
    ----------
    equity : at its closes; earned : its change over the session
    hypothetical : what the shares held since the evening before earned, without the day's trades
    planted : expected part of that from planted effects, on a generated market only
    value_at_risk : as it was foretold for the session, a fraction of equity; NaN where it was not
    """

    day: date
    equity: float
    earned: float
    hypothetical: float
    planted: float
    value_at_risk: float


@dataclass
class TradingFloor:
    """The desk between its agents.

    Attributes
    ----------
    panel : the market; days after `data_until` are there and no agent looks at them
    account : orders, positions, money
    began_with : equity in dollars before the first session; None takes what there is at its end
    strategies : alphas that trade; strategies_known : whether they are those of the rows
    evenings : sessions so far
    simulated : whether host measures are drawn and facts are kept until something changes
    sample_age : seconds after which a sample of the host is not believed
    samples_kept : how long samples of the host are kept
    workers : threads that prepare what rebalancing needs
    data_until : last day whose bars were taken in
    rules : limits and costs
    stops : positions that were stopped so far
    fetch : of a desk on the true clock: brings bars of sessions that have closed, given the time;
        returns what to tell of it, and the market where it has new ones
    rephraser : language model that rephrases explanations; None leaves them as they are
    """

    store: Store
    desk: str
    panel: Panel
    hours: ExchangeHours
    account: Account
    strategies: Sequence[LiveStrategy]
    home: Path
    simulated: bool
    sample_age: int
    samples_kept: timedelta
    workers: int = 1
    data_until: date | None = None
    rephraser: Rephraser | None = None
    began_with: float | None = None
    strategies_known: bool = False
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    broken_by: str | None = None
    evenings: list[Evening] = field(default_factory=list)
    rules: DeskRules = field(default_factory=DeskRules)
    stops: list[Stop] = field(default_factory=list)
    fetch: Fetch | None = None
    _held: dict[str, int] = field(default_factory=dict)
    _entries: dict[str, float] = field(default_factory=dict)
    _foretold: dict[date, float] = field(default_factory=dict)
    _sample: tuple[int, float] | None = None
    _facts: tuple[object, Facts] | None = None
    _behind: object = None
    _facts_until: int = 0
    _volatility: tuple[date | None, str | None] = (None, None)
    _rebalancer: Rebalancer | None = None
    _signals: SignalHistory | None = None
    _risk: tuple[object, RiskSnapshot] | None = None
    _measured: RiskMemory = field(default_factory=RiskMemory)
    _looked_at: list[PerformanceRow] = field(default_factory=list)
    _earned: Counter[str] = field(default_factory=Counter)
    _leans: dict[int, list[float]] = field(default_factory=dict)
    _planted: tuple[object, Sequence[Planted]] = (None, ())

    def __post_init__(self) -> None:
        self._places = {str(symbol): n for n, symbol in enumerate(self.panel.symbols)}

    def facts(self, now: int) -> Facts:
        """Return what orders, positions, bars and host say."""
        behind = (self.account.version, self.data_until, self._sample, self.results.get(NEWS))
        if now < self._facts_until and behind == self._behind and self._facts is not None:
            return self._facts[1]
        session = self.hours.local_day(now)
        sample = self._sample
        fresh = sample is not None and now - sample[0] <= self.sample_age
        host = sample[1] if sample is not None and fresh else None
        severe_news = severe_now(self.results, now, len(self.panel.symbols))
        key = (self.account.version, self.data_until, session, host, severe_news)
        # Others write to the store of a desk on a real clock.
        if not self.simulated or self._facts is None or self._facts[0] != key:
            found = Facts(
                version=self.account.version,
                positions=len(self.account.positions()),
                pending_orders=self.account.pending_orders(),
                fills=self.account.fills(),
                trades_today=self.account.fills(session),
                data_until=self.data_until,
                volatility=self.volatility(),
                severe_news=severe_news,
                host=host,
            )
            self._facts = (key, found)
        self._behind, self._facts_until = behind, now
        if self.simulated and not severe_news:
            # The day and the age of a sample change with the time.
            until = (now // _QUARTER + 1) * _QUARTER
            self._facts_until = until if sample is None else min(until, sample[0] + self.sample_age)
        return self._facts[1]

    def newest_bar(self, now: int) -> date:
        """Return the last session whose bar can be had, at most the last of the market."""
        last: date = self.panel.dates[-1].item()
        return min(self.hours.at(now).last_closed, last)

    def awaits_bars(self, now: int) -> bool:
        """Return whether bars of a session that has closed can still come."""
        return self.fetch is not None and self.newest_bar(now) < self.hours.at(now).last_closed

    def fetch_bars(self, now: int) -> str:
        """Have the market up to the last session that has closed, where it can be; tell of it."""
        if self.fetch is None or not self.awaits_bars(now):
            return ""
        told, panel = self.fetch(now)
        if panel is not None:
            self._take_panel(panel)
        return told

    def _take_panel(self, panel: Panel) -> None:
        before, places = self.panel, self._places
        self.panel = panel
        self._places = {str(symbol): n for n, symbol in enumerate(panel.symbols)}
        row = int(np.searchsorted(panel.dates, before.dates[-1]))
        for name, entry in self._entries.items():
            # After a split the whole series is on another scale.
            was = float(before.fields["close"][-1, places[name]])
            is_now = float(panel.fields["close"][row, self._places[name]])
            if math.isfinite(is_now / was):
                self._entries[name] = entry * is_now / was
        self._rebalancer = self._signals = self._risk = self._facts = None
        self._measured = RiskMemory()
        self._volatility = (None, None)
        self.account.take_panel(panel)

    def release(self, day: date) -> None:
        """Take in the bars up to `day`; agents see them from now on."""
        self.data_until = day
        with self.store.write() as session:
            session.execute(
                update(AgentDeskRow).where(AgentDeskRow.name == self.desk).values(data_until=day)
            )

    def close_session(self, day: date, now: int) -> Evening:
        """Value the book at the closes of a session, and remember what the session was, once."""
        if self.evenings and self.evenings[-1].day == day:
            return self.evenings[-1]
        opened = self._held
        if self.evenings:
            before = self.evenings[-1].equity
        else:
            before = self.account.equity() if self.began_with is None else self.began_with
        self.account.close_session(day, now)
        row = int(np.searchsorted(self.panel.dates, np.datetime64(day)))
        close = self.panel.fields["close"]
        truths = [one[row].tolist() for one in self.panel.truth.values()]
        earned, planted = 0.0, 0.0
        for symbol, shares in opened.items():
            # A day without a bar moves nothing; the next one moves from the last known close.
            place = self._places[symbol]
            is_now = float(close[row, place])
            was = self._last_close(row, place)
            if math.isfinite(was) and math.isfinite(is_now):
                earned += shares * (is_now - was)
                planted += shares * was * sum(truth[place] for truth in truths)
        equity = self.account.equity()
        evening = Evening(
            day, equity, equity - before, earned, planted, self._foretold.get(day, math.nan)
        )
        self.evenings.append(evening)
        self._held = dict(self.account.positions())
        self._remember_entries(
            day, {name: float(close[row, self._places[name]]) for name in self._held}
        )
        return evening

    def _last_close(self, row: int, place: int) -> float:
        """Return the last known close of a name before `row`; NaN without one."""
        close = self.panel.fields["close"]
        while row > 0:
            row -= 1
            if math.isfinite(found := float(close[row, place])):
                return found
        return math.nan

    def _remember_entries(self, day: date, closes: Mapping[str, float]) -> None:
        """Keep the mean close of the days on which each position was opened or grown."""
        traded = self.account.traded(day)
        entries: dict[str, float] = {}
        for symbol, held in self._held.items():
            bought = abs(held) if symbol not in self._entries else 0
            if symbol in self._entries and traded.get(symbol, 0) * held > 0:
                bought = min(abs(traded[symbol]), abs(held))
            before = self._entries.get(symbol, closes[symbol])
            entries[symbol] = before
            if bought and math.isfinite(closes[symbol]):
                share = bought / abs(held)
                entries[symbol] = share * closes[symbol] + (1.0 - share) * before
        self._entries = entries

    def days_to(self, day: date) -> int:
        """Return how many days of the market there are up to a day, itself included."""
        return int(np.searchsorted(self.panel.dates, np.datetime64(day), side="right"))

    def leans(self, place: int) -> list[float]:
        """Return what each name earned beyond its industry in three sessions from a row on."""
        found = self._leans.get(place)
        if found is None:
            found = self._leans[place] = lean_returns(self.panel, place).tolist()
        return found

    def planted_headlines(self, session: SessionHours, seed: int) -> Sequence[Planted]:
        """Return the headlines of a session of a generated market, by their time.

        None on a day that the market does not have. Each tick of the session asks for them.
        """
        key = (session, seed, self.panel.fingerprint)
        if self._planted[0] != key:
            row = int(np.searchsorted(self.panel.dates, np.datetime64(session.day)))
            there = row < len(self.panel.dates) and self.panel.dates[row].item() == session.day
            found = (
                tuple(
                    headlines_of_session(
                        self.panel, row, opens=session.opens, closes=session.closes, seed=seed
                    )
                )
                if there
                else ()
            )
            self._planted = (key, found)
        return self._planted[1]

    def judge_stops(self) -> StopDecision:
        """Return what is stopped on the last close, and what earlier stops still forbid.

        An entry and a close are of the adjusted prices, so that splits and dividends are no move.
        """
        assert self.data_until is not None
        last = self.days_to(self.data_until)
        close = self.panel.fields["close"][last - 1]
        held = self.account.positions()
        decision = judge_stops(
            self.rules.stops,
            sessions=self.panel.dates[:last].tolist(),
            positions={
                name: Position(held[name], entry)
                for name, entry in self._entries.items()
                if name in held and math.isfinite(entry)
            },
            closes={name: float(close[self._places[name]]) for name in held},
            past_stops=self.stops,
            returns=self.history().returns.tolist(),
        )
        self.stops.extend(decision.stops)
        return decision

    def foretell(self, session: date, value_at_risk: float | None) -> None:
        """Keep the value at risk of the book that a session began with; the first one counts."""
        if value_at_risk is not None:
            self._foretold.setdefault(session, value_at_risk)

    def history(self) -> BookHistory:
        """Return what the desk has been through."""
        equity = np.array([one.equity for one in self.evenings])
        before = equity - np.array([one.earned for one in self.evenings])
        hypothetical = np.array([one.hypothetical for one in self.evenings])
        return BookHistory(
            equity / before - 1.0 if len(equity) else equity,
            hypothetical / before if len(equity) else equity,
            np.array([one.value_at_risk for one in self.evenings]),
        )

    def looked_at(self) -> Sequence[PerformanceRow]:
        """Return the sessions that performance_analysis has written down, the oldest first."""
        last = self._looked_at[-1].session if self._looked_at else None
        for row in read_performance(self.store, self.desk, after=last):
            self._looked_at.append(row)
            for name, amount in row.parts.items():
                self._earned[name] += amount
        return self._looked_at

    def earned(self) -> Mapping[str, int]:
        """Return part to what it has earned in all sessions of `looked_at`, in units of MONEY."""
        self.looked_at()
        return self._earned

    def risk(self, day: date, holdings: Mapping[str, int], equity: float) -> RiskSnapshot:
        """Return the risk of a book at the close of a day; measured once for the same book."""
        key = (day, dict(holdings), equity, len(self.evenings))
        if self._risk is None or self._risk[0] != key:
            found = measure_risk(
                self.panel, day, holdings, equity, self.history(), memory=self._measured
            )
            self._risk = (key, found)
        return self._risk[1]

    def kept(self) -> dict[str, Any]:
        """Return all that the floor knows and no row says, as plain values; do not change them."""
        return {
            "data_until": self.data_until,
            "began_with": self.began_with,
            "results": dict(self.results),
            "broken_by": self.broken_by,
            "evenings": [vars(one) for one in self.evenings],
            "held": dict(self._held),
            "entries": dict(self._entries),
            "stops": [vars(one) for one in self.stops],
            "foretold": {day.isoformat(): value for day, value in self._foretold.items()},
            "sample": self._sample,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Know again what `kept` returned, read back from JSON."""
        until = kept["data_until"]
        self.data_until = None if until is None else date.fromisoformat(until)
        self.began_with = kept["began_with"]
        self.results = dict(kept["results"])
        self.broken_by = kept["broken_by"]
        self.evenings = [
            Evening(
                **{
                    **one,
                    "day": date.fromisoformat(one["day"]),
                    # JSON has no NaN.
                    "value_at_risk": math.nan
                    if one["value_at_risk"] is None
                    else one["value_at_risk"],
                }
            )
            for one in kept["evenings"]
        ]
        self._held = dict(kept["held"])
        self._entries = {
            name: math.nan if entry is None else entry for name, entry in kept["entries"].items()
        }
        self.stops = [
            Stop(**{**one, "day": date.fromisoformat(one["day"])}) for one in kept["stops"]
        ]
        self._foretold = {date.fromisoformat(day): one for day, one in kept["foretold"].items()}
        self._sample = None if kept["sample"] is None else (kept["sample"][0], kept["sample"][1])
        self._facts = None

    def rebalancer(self) -> Rebalancer:
        """Return the portfolio's programme over the strategies; made once, it takes seconds."""
        if self._rebalancer is None:
            self._rebalancer = Rebalancer(
                self.panel,
                self.strategies,
                limits=self.rules.limits,
                costs=self.rules.costs,
                workers=self.workers,
                rules=rule_weights,
                known=self._signals,
            )
            self._signals = None
        return self._rebalancer

    def trade(self, strategies: Sequence[LiveStrategy]) -> None:
        """Trade these strategies from the next rebalancing on."""
        self.strategies_known = True
        if list(strategies) != list(self.strategies):
            if self._rebalancer is not None:
                self._signals = self._rebalancer.history
            self.strategies, self._rebalancer = tuple(strategies), None

    def hard_to_borrow(self) -> list[str]:
        """Return the names of the market that the broker lends to nobody."""
        return sorted(self.rules.broker.hard_to_borrow & self._places.keys())

    def prepare(self, sessions: Sequence[date]) -> None:
        """Make what takes seconds before time goes by: the programme, and its risk model."""
        if self.strategies and sessions:
            self.rebalancer().programme(sessions[0])
            self.rebalancer().prepare(sessions)

    def volatility(self) -> str | None:
        """Return where the market's 20-day volatility lies among those of the past year.

        low is below 20 %, normal below 80 %, high below 95 %, extreme above; None with fewer
        days. Volatility is the deviation of the mean return of all names.
        """
        if self._volatility[0] != self.data_until:
            self._volatility = (self.data_until, self._volatility_place())
        return self._volatility[1]

    def _volatility_place(self) -> str | None:
        if self.data_until is None:
            return None
        last = self.days_to(self.data_until)
        days = _YEAR + VOLATILITY_DAYS
        if last < days:
            return None
        returns = self.panel.fields["returns"][last - days : last]
        known = np.isfinite(returns).sum(axis=1)
        market = np.nansum(returns, axis=1) / np.maximum(known, 1)
        windows = np.lib.stride_tricks.sliding_window_view(market, VOLATILITY_DAYS)
        deviations = windows.std(axis=1)
        place = float((deviations[:-1] < deviations[-1]).mean())
        return next((name for limit, name in _PLACES if place < limit), "extreme")

    def take_sample(self, now: int, measures: Mapping[str, float], within: float) -> None:
        """Keep what the host measured."""
        self._sample = (now, within)
        row = {
            "at": utc(now),
            "measures": dict(measures),
            "within": within,
            "modelled": self.simulated,
        }
        if self.simulated:
            self.samples.append(row)
            return
        with desk_transaction(self.store, self.desk) as rows:
            rows.add_samples([row], keep=self.samples_kept)

    def broken(self) -> str | None:
        """Return why the ledger cannot be trusted, None where it can."""
        return self.broken_by

    def ask_store(self) -> None:
        """Ask the store for nothing, to see how long it takes."""
        with self.store.session() as session:
            session.execute(text("SELECT 1"))

    def session_of(self, now: int) -> date:
        """Return the session that a moment lies in, or that has just ended; opened if need be.

        Raises FoundryError outside of both.
        """
        found = self.hours.at(now).session
        if found is None:
            raise FoundryError(f"{utc(now):%Y-%m-%d %H:%M} UTC: the exchange is closed")
        self.account.open_session(found, now)
        return found


def floor_of(context: AgentContext) -> TradingFloor:
    """Return the floor of a desk that trades; TypeError on another."""
    if not isinstance(context.floor, TradingFloor):
        raise TypeError("this agent needs a TradingFloor")
    return context.floor
