"""strategy_research: looks for strategies, and lets them wait before they trade."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.model_signals import rule_weights
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.agents.strategy_book import (
    Array,
    first_day_of,
    set_state,
    strategy_returns,
    take_up,
)
from alphafoundry.errors import FoundryError
from alphafoundry.market.panel import Panel
from alphafoundry.market.suitability import LEAST_DAYS
from alphafoundry.research.run import research_run
from alphafoundry.research.whole_search import search_all
from alphafoundry.seeds import seed_number
from alphafoundry.settings import load_settings
from alphafoundry.simulation import pnl_correlation, simulate
from alphafoundry.simulation.pnl import BASE, lag
from alphafoundry.store import read_alphas
from alphafoundry.store.strategies import propose_strategies, read_strategies
from alphafoundry.store.strategy_tables import DeskStrategyRow
from alphafoundry.trading.portfolio import LiveStrategy, seed_strategies
from alphafoundry.trading.portfolio.strategies import MOST_ALIKE

OWN = "strategy_research"
SCRATCH = "scratch"
"""Folder of the store for what a search keeps while it runs."""

LEAST_HISTORY = 2 * LEAST_DAYS
"""Days below which nothing would be left beside those that are kept apart from a search."""

BELOW = 2.0
"""Standard errors that an incubated mean may lie below the mean that the search saw."""


class ResearchParameters(Parameters):
    """Parameters of strategy_research.

    Attributes
    ----------
    research_depth : "comprehensive" spends the whole budget of a session, "quick" a quarter
    asset_classes, timeframes : "stocks" and "1d" are what a market holds; others are left out
    include_fundamentals : whether fields beside prices and volume are used where a market has them
    simulations : budget of a session
    most_in_simulation : budget of a whole simulated desk, whose years pass in a minute
    candidates : of a session at most
    incubation_sessions : on a paper book of weight 0 before a strategy may trade
    most_live : strategies that trade at most
    """

    research_depth: Literal["quick", "comprehensive"] = "comprehensive"
    asset_classes: tuple[Literal["stocks", "crypto", "forex"], ...] = ("stocks",)
    timeframes: tuple[Literal["1h", "4h", "1d"], ...] = ("1d",)
    include_fundamentals: bool = True
    simulations: int = Field(20, ge=1)
    most_in_simulation: int = Field(40, ge=0)
    candidates: int = Field(2, ge=1)
    incubation_sessions: int = Field(20, ge=5)
    most_live: int = Field(12, ge=1)


@dataclass(frozen=True)
class _Found:
    """What a search gave: candidates with fitness and Sharpe ratio, and how much was simulated."""

    candidates: tuple[tuple[LiveStrategy, float | None, float | None], ...]
    simulated: int


def _inputs(context: AgentContext) -> str | None:
    return str(floor_of(context).data_until)


@agent(OWN, parameters=ResearchParameters, inputs_version=_inputs, seconds=120.0)
def strategy_research(context: AgentContext) -> AgentResult:
    """Judge what has incubated long enough, then search with the session's budget."""
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return AgentResult("no bars yet")
    if "stocks" not in given.asset_classes or "1d" not in given.timeframes:
        return AgentResult("nothing to search: the schedule leaves out stocks by the day")
    take_up(floor, context.now)
    judged = _judge(floor, given, context.now)
    days = floor.days_to(floor.data_until)
    if days < LEAST_HISTORY:
        return AgentResult("; ".join((f"{days} days are too few for a search", *judged)))
    spent = int(floor.results.get(OWN, {}).get("spent", 0))
    budget = (
        given.simulations
        if given.research_depth == "comprehensive"
        else (-(-given.simulations // 4))
    )
    if floor.simulated:
        budget = min(budget, given.most_in_simulation - spent)
    if budget <= 0:
        told = f"the simulation's budget of {given.most_in_simulation} is spent"
        return AgentResult("; ".join((told, *judged)), figures={"simulated": 0})
    found = _search(floor, given, budget, seed_number(context.seed, OWN, str(floor.data_until)))
    floor.results[OWN] = {"spent": spent + found.simulated}
    new = _propose(floor, found, spent + found.simulated, context.now)
    told = f"{found.simulated} simulations, {new} new candidates"
    return AgentResult(
        "; ".join((told, *judged)),
        figures={"simulated": found.simulated, "candidates": new, "judged": judged},
    )


def _search(floor: TradingFloor, given: ResearchParameters, budget: int, seed: int) -> _Found:
    """Run the alpha pipeline on the market as of now, in a store of its own.

    A store of its own, because rows of a desk's session are one transaction that no other
    connection can write beside; what is found moves into the desk's own rows.
    """
    assert floor.data_until is not None
    panel = _without_fundamentals(floor.panel.until(floor.data_until), given.include_fundamentals)
    following = next(one for one in floor.hours.sessions if one.day > floor.data_until)
    scratch = floor.home / SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        usual = load_settings()
        settings = usual.model_copy(
            update={
                "home": Path(folder),
                "database_url": None,
                "brain": "local",
                "simulations": budget,
                "seed": seed,
                # What a language model answers is not the same twice.
                "generator": "grammar" if floor.simulated else usual.generator,
            }
        )
        return asyncio.run(_pipeline(settings, panel, following.day, given.candidates))


async def _pipeline(settings: Any, panel: Panel, session: date, most: int) -> _Found:
    async with research_run(settings, flow="desk-research", lanes=1, panel=panel) as run:
        await search_all(run)
        chosen = seed_strategies(
            run.store, run.service, session=session, most=most, market_id=panel.market_id
        ).strategies
        rows = read_alphas(run.store, run.service, [one.alpha_id for one in chosen])
        return _Found(
            tuple(
                (one, rows[one.alpha_id].fitness, rows[one.alpha_id].sharpe)
                for one in chosen
                if (rows[one.alpha_id].fitness or 0.0) > 0.0
            ),
            run.tally.planned,
        )


def _propose(floor: TradingFloor, found: _Found, trials: int, now: int) -> int:
    """Write what is new among the candidates, to incubate; return how many."""
    known = {row.strategy["expression"] for row in read_strategies(floor.store, floor.desk)}
    new = [one for one in found.candidates if one[0].expression not in known]
    propose_strategies(
        floor.store,
        floor.desk,
        [
            {
                "alpha_id": one.alpha_id,
                "strategy": {**one.to_json(), "seeded": False},
                "state": "incubating",
                "found_on": floor.data_until,
                "data_until": one.data_until,
                "fitness": fitness,
                "sharpe": sharpe,
                "trials": trials,
                "changed_at": utc(now),
                "reason": "found by strategy_research",
                "evidence": {},
                "synthetic": floor.panel.synthetic,
            }
            for one, fitness, sharpe in new
        ],
    )
    return len(new)


def _judge(floor: TradingFloor, given: ResearchParameters, now: int) -> list[str]:
    """Let strategies that have incubated long enough trade, or retire them; return lines."""
    assert floor.data_until is not None
    told: list[str] = []
    end = floor.days_to(floor.data_until)
    for row in read_strategies(floor.store, floor.desk, state="incubating"):
        fresh = end - floor.days_to(first_day_of(row))
        if fresh < given.incubation_sessions or len(floor.strategies) >= given.most_live:
            continue
        state, reason, evidence = _judged(floor, row)
        set_state(floor, row.alpha_id, state, actor=OWN, now=now, reason=reason, evidence=evidence)
        told.append(f"{row.alpha_id} {state}: {reason}")
    return told


def _judged(
    floor: TradingFloor, row: DeskStrategyRow
) -> tuple[Literal["live", "retired"], str, Mapping[str, Any]]:
    """Return what becomes of a strategy after its incubation, and the figures behind it."""
    assert floor.data_until is not None
    panel = floor.panel.until(floor.data_until)
    one = LiveStrategy.from_json(row.strategy)
    try:
        dates, earned = _earned(panel, one)
    except FoundryError as problem:
        return "retired", f"it cannot run any more: {problem}", {}
    fresh = dates > np.datetime64(first_day_of(row))
    before, since = earned[~fresh] / BASE, earned[fresh] / BASE
    if one.counts_from is not None:
        # Days that it was learned from led nobody to expect anything.
        before = np.zeros(1)
    error = float((since if one.counts_from else before).std() / np.sqrt(len(since)))
    expected, mean = float(before.mean()), float(since.mean())
    own = _own_days(one, dates)
    nearest, alike = _most_alike(floor, dates[own], earned[own])
    evidence = {
        "sessions": len(since),
        "mean_a_day": mean,
        "expected_a_day": expected,
        "error": error,
        "most_alike": nearest,
        "correlation": alike,
    }
    if alike > MOST_ALIKE:
        return (
            "retired",
            f"its daily PnL is {alike:.2f} correlated with that of {nearest}",
            evidence,
        )
    if mean <= 0.0 or mean < expected - BELOW * error:
        told = (
            f"{mean:+.2e} a day in {len(since)} sessions, expected {expected:+.2e} +- {error:.1e}"
        )
        return "retired", told, evidence
    return "live", f"{mean:+.2e} a day in {len(since)} sessions, as expected", evidence


def _earned(panel: Panel, one: LiveStrategy) -> tuple[NDArray[np.datetime64], Array]:
    """Return days, and the dollars that a strategy alone earned on each, before costs."""
    if one.rule is None:
        days = simulate(one.expression, panel, one.settings, keep_positions=False).days
        return days.dates, days.pnl
    behind = lag(1)
    held = rule_weights(panel, one.rule)[:-behind]
    returns = np.nan_to_num(panel.fields["returns"][behind:])
    return panel.dates[behind:], BASE * 2.0 * np.einsum("di,di->d", held, returns)


def _most_alike(
    floor: TradingFloor, days: NDArray[np.datetime64], earned: Array
) -> tuple[str, float]:
    """Return the strategy that trades whose days are most like these, and the correlation."""
    if not floor.strategies:
        return "", 0.0
    dates, returns = strategy_returns(floor)
    found = []
    for one, other in zip(floor.strategies, returns, strict=True):
        own = _own_days(one, dates)
        found.append(pnl_correlation(days, earned, dates[own], other[own]))
    place = int(np.argmax(np.nan_to_num(found)))
    return floor.strategies[place].alpha_id, float(np.nan_to_num(found[place]))


def _own_days(one: LiveStrategy, dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Return which days a strategy may hold something on: a model nothing while it was learned."""
    since = one.counts_from
    return np.ones(len(dates), dtype=bool) if since is None else dates > np.datetime64(since)


_PRICES = frozenset({"open", "high", "low", "close", "vwap", "volume", "adv20", "returns", "cap"})


def _without_fundamentals(panel: Panel, keep: bool) -> Panel:
    if keep or set(panel.fields) <= _PRICES:
        return panel
    kept = {name: panel.fields[name] for name in panel.fields if name in _PRICES}
    return replace(panel, fields=kept)
