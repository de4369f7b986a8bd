"""market_analysis: what the market is like, and what headlines are worth in it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from pydantic import Field

from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.sentiment import LEAN_DAYS, foretold
from alphafoundry.store.news import read_news_scores

OWN = "market_analysis"


class MarketParameters(Parameters):
    """Parameters of market_analysis.

    Attributes
    ----------
    days : of bars that are looked at
    news_days : of headlines that are held against what followed
    """

    days: int = Field(20, ge=5)
    news_days: int = Field(90, ge=1)


@agent(
    OWN,
    parameters=MarketParameters,
    seconds=5.0,
    inputs_version=lambda given: str(floor_of(given).data_until),
)
def market_analysis(context: AgentContext) -> AgentResult:
    """Tell breadth, dispersion and correlation of the last days, and what headlines foretold."""
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return AgentResult("no bars yet")
    end = floor.days_to(floor.data_until)
    if end <= given.days:
        return AgentResult(f"{end} days are too few")
    returns = floor.panel.fields["returns"][end - given.days : end]
    close = floor.panel.fields["close"][max(end - 50, 0) : end]
    known = np.isfinite(returns).all(axis=0)
    if not known.any():
        return AgentResult("no name has bars on all of these days")
    market = returns[:, known].mean(axis=1)
    own = returns[:, known].std(axis=0)
    priced = np.isfinite(close[-1])
    above = close[-1, priced] > np.nanmean(close[:, priced], axis=0)
    # The variance of an equal mix over the mean variance is the mean correlation of many names.
    correlation = float(market.var() / max(float((own**2).mean()), 1e-18))
    figures: dict[str, Any] = {
        "return": round(float(np.prod(1.0 + market) - 1.0), 6),
        "breadth": round(float(above.mean()), 4),
        "dispersion": round(float(returns[:, known].std(axis=1).mean()), 6),
        "correlation": round(correlation, 4),
        "volatility": floor.volatility(),
    }
    news = _news(floor, given.news_days, end, context.now)
    if news is not None:
        figures["news"] = str(news)
    floor.results[OWN] = figures
    told = f"{figures['return']:+.1%} in {given.days} days, volatility {figures['volatility']}"
    return AgentResult(f"{told}; headlines {news}" if news else told, figures=figures)


def _news(floor: TradingFloor, days: int, end: int, now: int) -> Any:
    """Return how far headlines foretold what their names earned in three days, all of it past."""
    scores, earned = [], []
    places = {str(symbol): place for place, symbol in enumerate(floor.panel.symbols)}
    since = utc(now) - timedelta(days=days)
    followed: dict[date, list[float] | None] = {}
    for day, symbols, score in read_news_scores(
        floor.store, floor.desk, after=since, until=utc(now)
    ):
        if day not in followed:
            # From the session after the headline on: what was left for who read it.
            place = floor.days_to(day)
            followed[day] = floor.leans(place) if place + LEAN_DAYS <= end else None
        known = followed[day]
        if known is None:
            continue
        for name in symbols:
            if name in places:
                scores.append(score)
                earned.append(known[places[name]])
    return foretold(scores, earned)
