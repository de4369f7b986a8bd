"""What race winners hold, as signals that a desk weighs beside its alphas.

An algorithm was ranked by the days of its race, so nothing that it does on them counts: it begins
with cash after its data end, holds nothing before, and its rank correlation of those days is taken
as 0. It is asked in its sandbox about the most traded names of the year before, day by day, with an
account of its own in each; what it holds more of than of the mean of these names is its view.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms.arena import Followed, follow
from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.contract import WARM_UP
from alphafoundry.algorithms.race_course import most_traded
from alphafoundry.errors import MarketError
from alphafoundry.finance.bars import TickerBars
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import RacedAlgorithm, Store, raced_candidates
from alphafoundry.trading.portfolio import LiveStrategy, Selection

Array = NDArray[np.float64]

MOST = 3
"""Algorithms that trade beside the alphas."""

NAMES = 100
"""Names that an algorithm is asked about."""

TRIED_DAYS = 20
"""Days before the first session on which an algorithm has to work."""

_ALIKE = 1e-9
"""Sum of differences to the mean below which all names are held alike."""


def live_algorithms(store: Store, panel: Panel, *, session: date, most: int = MOST) -> Selection:
    """Return the winners of races that may trade from `session` on, the best Sharpe ratio first.

    Refused are those of another market, of data that reach to the session or beyond, those that
    fail in their sandbox on the last days before the session, and copies of one program. No
    verdict stands behind a race: what trades is "unproven".
    """
    chosen: list[LiveStrategy] = []
    refused: dict[str, str] = {}
    programs: set[str] = set()
    for one in raced_candidates(store):
        if len(chosen) == most:
            break
        name = f"algorithm {one.algorithm_id} of {one.model}"
        reason = _refusal(one, session, panel.market_id)
        if reason is None and one.source in programs:
            reason = "its program trades already"
        if reason is None:
            reason = _failure(one.source, panel, session)
        if reason is not None:
            refused[name] = reason
            continue
        assert one.data_until is not None
        programs.add(one.source)
        chosen.append(
            LiveStrategy(
                alpha_id=name,
                expression=f"execute_trade, raced on {', '.join(one.tickers)}",
                settings=SimulationSettings(),
                data_until=one.data_until,
                verdict="unproven",
                seeded=True,
                rule={"algorithm": one.source, "counts_from": one.data_until.isoformat()},
            )
        )
    return Selection(tuple(chosen), refused)


def rule_weights(panel: Panel, rule: Mapping[str, Any]) -> Array:
    """Return what an algorithm holds beyond the mean of its names, shape (n_days, n_instruments).

    Each day's absolute weights add to 1, or to 0 where it holds all names alike; row t follows from
    bars up to t. From the day on which it is out, such as by time or memory, it holds nothing.

    rule : `LiveStrategy.rule`
    """
    weights = np.zeros((len(panel.dates), len(panel.symbols)))
    first = int(np.searchsorted(panel.dates, np.datetime64(rule["counts_from"]), side="right"))
    followed = _followed(rule["algorithm"], panel, first, len(panel.dates))
    if followed is None:
        return weights
    known = np.isfinite(followed.invested)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    means = np.where(known, followed.invested, 0.0).sum(axis=1, keepdims=True) / count
    beyond = np.where(known, followed.invested - means, 0.0)
    gross = np.abs(beyond).sum(axis=1, keepdims=True)
    places = {str(symbol): place for place, symbol in enumerate(panel.symbols)}
    rows = np.searchsorted(panel.dates, followed.dates)
    columns = np.array([places[name] for name in followed.tickers])
    weights[np.ix_(rows, columns)] = np.divide(
        beyond, gross, out=np.zeros_like(beyond), where=gross > _ALIKE
    )
    return weights


def _followed(source: str, panel: Panel, first: int, end: int) -> Followed | None:
    """Return what an algorithm holds on rows `first` up to `end`; None where it can hold nothing.

    The names are chosen by the year before `first`, so that no later day changes them.
    """
    begins = first - WARM_UP
    if begins < 0 or first >= end:
        return None
    names = most_traded(panel, first, NAMES)
    settings = ArenaSettings(
        warm_up=WARM_UP,
        first_day=panel.dates[begins].item(),
        last_day=panel.dates[end - 1].item(),
        tolerated_failures=NAMES * len(panel.dates),
    )
    try:
        return follow(source, [TickerBars.from_panel(panel, name) for name in names], settings)
    except MarketError:
        return None


def _refusal(one: RacedAlgorithm, session: date, market_id: str | None) -> str | None:
    if one.data_until is None:
        return "the last day of its data is not known; race it again"
    if one.data_until >= session:
        return f"its data reach to {one.data_until}, not before the session {session}"
    if one.market_id != market_id:
        return f"it belongs to another market ({one.market_id or 'unknown'})"
    return None


def _failure(source: str, panel: Panel, session: date) -> str | None:
    """Return why an algorithm does not work on the last days before a session."""
    end = int(np.searchsorted(panel.dates, np.datetime64(session)))
    followed = _followed(source, panel, end - TRIED_DAYS, end)
    if followed is None:
        return f"the market has no {WARM_UP + TRIED_DAYS} days before {session}"
    if followed.failure is not None:
        return f"it fails on this market: {followed.failure}"
    if 2 * followed.failed_calls > followed.calls:
        return f"{followed.failed_calls} of {followed.calls} calls fail on this market"
    return None
