"""Placebo: the same whole search of the true prices and of mirrored ones, side by side.

On mirrored prices nothing can be foreseen, so what a search finds there is luck, its climbing and
its choosing included. How many of them find as much as the search of the true prices is the p-value
of the whole search. Each search begins with an empty database of its own, so that the only
difference between them is the prices.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry import __version__
from alphafoundry.errors import RunStopped
from alphafoundry.evidence import deflated_sharpe_ratio, moments, null_deviation
from alphafoundry.market import Panel
from alphafoundry.research.checks import check_placebo
from alphafoundry.research.comparison import TRUE_PRICES
from alphafoundry.research.finalists import sees_the_future, unlike, varying
from alphafoundry.research.run import ResearchRun, research_run, simulated_market
from alphafoundry.research.seal import Seal, seal_of
from alphafoundry.research.trial_pnl import read_trial_pnl
from alphafoundry.research.whole_search import search_all
from alphafoundry.runs import (
    Progress,
    Queue,
    Run,
    Stop,
    open_run,
    panel_origin,
    run_in_lanes,
    take_turns,
)
from alphafoundry.settings import FoundrySettings
from alphafoundry.simulation.placebo_markets import mirrored_market
from alphafoundry.simulation.rules import SIMULATION_RULES
from alphafoundry.store import (
    MirrorName,
    PlaceboRow,
    Store,
    WholeSearch,
    count_trials,
    open_store,
    read_alphas,
    read_placebos,
    read_simulations,
    record_placebo,
)


@dataclass(frozen=True, eq=False)
class PlaceboRun:
    """What the searches of one run share.

    Attributes
    ----------
    record : the run itself: its row, its stop, its ending
    settings : flags included
    market_id : of the true prices
    panel : the true prices on the days that a search may see
    seal : of the market, or why no days are kept apart
    key : of all that the searches depend on
    """

    record: Run
    settings: FoundrySettings
    market_id: str
    panel: Panel
    seal: Seal | str
    key: str

    @property
    def store(self) -> Store:
        """The database."""
        return self.record.store

    @property
    def stop(self) -> Stop:
        """Set when the run was asked to end."""
        return self.record.stop

    @property
    def mirror(self) -> MirrorName:
        """What is turned."""
        return self.settings.placebo.mirror

    def made(self) -> list[PlaceboRow]:
        """Return the searches that are there, of this run and of earlier ones, at most `runs`."""
        rows = read_placebos(self.store, self.key, self.mirror)
        return [row for row in rows if row.number <= self.settings.placebo.runs]

    def missing(self) -> list[int]:
        """Return the numbers of the searches that are still to be made."""
        made = {row.number for row in self.made()}
        return [number for number in range(self.settings.placebo.runs + 1) if number not in made]

    def market(self, number: int) -> Panel:
        """Return the prices of a search; mirrored ones warn of levels where the true ones do."""
        if number == TRUE_PRICES:
            return self.panel
        mirrored = mirrored_market(self.panel, number, kind=self.settings.placebo.mirror)
        return replace(mirrored, synthetic=self.panel.synthetic)


@contextlib.asynccontextmanager
async def placebo_run(
    settings: FoundrySettings, *, progress: Progress | None = None, stop: Stop | None = None
) -> AsyncIterator[PlaceboRun]:
    """Open the store, load the market, record the run, and record how it ended.

    Raises
    ------
    FoundryError : wrong settings, no market data, no database
    TakenOver : at the end, where the run was presumed dead
    """
    check_placebo(settings)
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_store(url, home=settings.home) as store:
        say = progress.say if progress else None
        panel = await asyncio.to_thread(simulated_market, settings, say)
        seal = seal_of(panel, settings.holdout, store)
        searched = seal.searched() if isinstance(seal, Seal) else panel
        with open_run(
            store,
            flow="placebo",
            service=f"local:{panel.market_id}.{SIMULATION_RULES}",
            market_label=panel.label,
            seed=settings.seed,
            settings=settings.model_dump(mode="json", exclude={"database_url"}),
            data=panel_origin(
                panel,
                sealed_from=seal.sealed_from if isinstance(seal, Seal) else None,
                sealed_to=seal.sealed_to if isinstance(seal, Seal) else None,
            ),
            progress=progress,
            stop=stop,
        ) as record:
            key = search_key(settings, searched)
            yield PlaceboRun(record, settings, panel.market_id, searched, seal, key)


def search_key(settings: FoundrySettings, searched: Panel) -> str:
    """Return the SHA-256 of all that a search of these days depends on, this version included."""
    parts = settings.model_dump(
        mode="json",
        include={"simulations", "seed", "batch_size", "hopeful", "mining", "alpha", "generator"},
    )
    parts |= {
        "days": searched.fingerprint,
        "rules": SIMULATION_RULES,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


Search = Callable[[PlaceboRun, int], Awaitable[None]]


class PlaceboQueue:
    """The searches that are still to be made, shared by the lanes."""

    def __init__(self, run: PlaceboRun) -> None:
        self.run = run
        self.total = run.settings.placebo.runs + 1
        self.queue = Queue(run.missing())
        self._made = self.total - len(self.queue.waiting)

    async def in_lanes(
        self, open_lane: Callable[[int], Coroutine[Any, Any, None]], *, cap: int
    ) -> None:
        """Make all, or those that a stop leaves time for."""
        self._show()
        await run_in_lanes(
            self.queue,
            open_lane,
            stop=self.run.stop,
            allowed=lambda: cap,
            settled=lambda: not (self.queue.waiting or self.queue.lanes),
            next_moment=self.queue.wake,
        )

    async def lane(self, number: int, search: Search) -> None:
        """Make one search after another, as lane `number`."""

        async def one(placebo: int) -> None:
            await search(self.run, placebo)
            self._made += 1
            self._show()

        await take_turns(self.queue, number, one, may_go_on=lambda: not self.run.stop.is_set())

    def _show(self) -> None:
        self.run.record.progress.update("placebo", self._made, self.total)


async def make_search(run: PlaceboRun, number: int) -> None:
    """Search the prices of this number from nothing, and keep what came of it.

    One simulation at a time, in a temporary folder. Raises RunStopped, and keeps nothing, where the
    run was asked to end before the search had.
    """
    market = await asyncio.to_thread(run.market, number)
    with tempfile.TemporaryDirectory(prefix="placebo-") as folder:
        found = await whole_search(run.settings, market, home=Path(folder), stop=run.stop)
    record_placebo(
        run.store,
        found,
        key=run.key,
        mirror="none" if number == TRUE_PRICES else run.mirror,
        number=number,
        run_id=run.record.id,
        market_id=run.market_id,
        seed=run.settings.seed,
        budget=run.settings.simulations,
    )


async def whole_search(
    settings: FoundrySettings, market: Panel, *, home: Path, stop: Stop | None = None
) -> WholeSearch:
    """Search all days of a market with a database in `home`; return what came of it.

    Raises RunStopped where it was asked to end before the search had.
    """
    own = settings.model_copy(
        update={
            "home": home,
            "database_url": None,
            "holdout": settings.holdout.model_copy(update={"share": 0.0}),
        }
    )
    async with research_run(own, flow="placebo", lanes=1, panel=market, stop=stop) as inner:
        await search_all(inner)
        if inner.stop.is_set():
            raise RunStopped
        return await asyncio.to_thread(summarise, inner)


def summarise(run: ResearchRun) -> WholeSearch:
    """Return what a whole search gave, by Sharpe ratio and not by fitness.

    Slow books have a wild fitness by luck. An alpha that compares price levels counts nowhere: it
    sees what came later.
    """
    rows = read_simulations(run.store, service=run.service, status=("complete", "warning"))
    found = read_alphas(run.store, run.service, {row.alpha_id for row in rows if row.alpha_id})
    alphas = {name: one for name, one in found.items() if not sees_the_future(one)}
    known = varying(read_trial_pnl(run.store, run.service, alphas))
    trials = count_trials(run.store, run.service, run.market_id)
    own = [known.own(column) for column in range(len(known.alpha_ids))]
    sharpe = np.array([moments(pnl).sharpe for pnl in own]) * np.sqrt(known.periods or 1.0)
    if not len(sharpe) or np.isnan(sharpe).all():
        return WholeSearch(trials, 0, 0, None, None, None, None)
    chosen = unlike(known, sharpe)
    best = own[chosen[0]]
    return WholeSearch(
        trials=trials,
        hopeful=sum(one.hopeful for one in alphas.values()),
        unlike=len(chosen),
        best_sharpe=float(sharpe[chosen[0]]),
        best_dsr=deflated_sharpe_ratio(
            moments(best), trials=max(trials, 1), sigma=null_deviation(best)
        ),
        best_fitness=max((one.fitness or 0.0 for one in alphas.values()), default=None),
        unlike_sharpe=float(sharpe[chosen].mean()),
    )
