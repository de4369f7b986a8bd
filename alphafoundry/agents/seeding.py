"""Strategies for a fresh store: a short search on the days before the first session."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select

from alphafoundry.agents.algorithm_signals import live_algorithms
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.agents.workflow_signals import live_workflows
from alphafoundry.errors import FoundryError, RunStopped
from alphafoundry.market.panel import Panel
from alphafoundry.research.run import research_run
from alphafoundry.research.whole_search import search_all
from alphafoundry.runs import Progress, Stop
from alphafoundry.settings import FoundrySettings
from alphafoundry.simulation.rules import SIMULATION_RULES
from alphafoundry.store import AlphaRow, Store
from alphafoundry.trading.portfolio import Selection, live_strategies, seed_strategies

LANES = 3


async def strategies_for(
    store: Store,
    settings: FoundrySettings,
    panel: Panel,
    session: date,
    hours: ExchangeHours,
    *,
    simulations: int,
    progress: Progress,
    stop: Stop,
) -> Selection:
    """Return the strategies that may trade from `session` on, after a search where there are none.

    What the search finds goes live at once, without incubation, labelled as seeded. It sees no
    bar of `session` or later.

    Parameters
    ----------
    simulations : of the search, where there is one

    Raises FoundryError where nothing was found that may trade.
    """
    found = _known_strategies(store, panel, session)
    if found.strategies:
        return _with_others(found, store, panel, session)
    last = max(one.day for one in hours.sessions if one.day < session)
    progress.say(f"No strategies yet: searching {simulations} alphas on the days to {last}")
    before = panel.until(last)
    seeding = settings.model_copy(update={"simulations": simulations, "brain": "local"})
    async with research_run(
        seeding, flow="desk-seeding", lanes=LANES, progress=progress, stop=stop, panel=before
    ) as run:
        await search_all(run)
    if stop.is_set():
        raise RunStopped
    found = _known_strategies(store, panel, session)
    if not found.strategies:
        reasons = "; ".join(sorted(set(found.refused.values()))) or "the search found nothing"
        raise FoundryError(
            f"no strategy may trade on {session}: {reasons}; give a longer search with "
            f"--seeding {simulations * 2}, or begin later than {last + timedelta(days=1)}"
        )
    return _with_others(found, store, panel, session)


def _with_others(alphas: Selection, store: Store, panel: Panel, session: date) -> Selection:
    """Return alphas with the workflows and algorithms of the store that may trade beside them."""
    found = (
        alphas,
        live_workflows(store, session=session, market_id=panel.market_id),
        live_algorithms(store, panel, session=session),
    )
    return Selection(
        tuple(one for part in found for one in part.strategies),
        {name: reason for part in found for name, reason in part.refused.items()},
    )


def _known_strategies(store: Store, panel: Panel, session: date) -> Selection:
    """Return hopeful alphas of the store that may trade, or else the best ones, as seeded."""
    found = Selection(())
    services, market = _services(store, panel), panel.market_id
    for service in services:
        # No alpha waits through an incubation here, so each of them is labelled as seeded.
        found = live_strategies(store, service, session=session, market_id=market, seeded=True)
        if found.strategies:
            return found
    for service in services:
        found = seed_strategies(store, service, session=session, market_id=market)
        if found.strategies:
            return found
    return found


def _services(store: Store, panel: Panel) -> list[str]:
    """Return the names under which the store keeps alphas simulated on a market by today's rules.

    There is one for each part of its days that a search was allowed to see.
    """
    name = f"local:{panel.market_id}.{SIMULATION_RULES}"
    query = (
        select(AlphaRow.service)
        .where(AlphaRow.service.startswith(name, autoescape=True))
        .distinct()
        .order_by(AlphaRow.service)
    )
    with store.session() as session:
        return list(session.scalars(query))
