"""What a pipeline has at hand while it runs: settings, store, BRAIN, and the record of the run."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from alphafoundry.brain.client import BrainClient
from alphafoundry.brain.credentials import Credentials
from alphafoundry.expressions import FieldInfo
from alphafoundry.research.data_fields import usable_fields
from alphafoundry.research.hopeful import HopefulRule
from alphafoundry.research.seal import Seal, seal_of
from alphafoundry.runs import Progress, Run, Stop, open_run
from alphafoundry.settings import FoundrySettings
from alphafoundry.store import (
    DataOrigin,
    SimulationPlan,
    SimulationRow,
    Store,
    claim_abandoned,
    open_store,
    plan_simulations,
    read_simulation,
    record_refusals,
)

if TYPE_CHECKING:
    from alphafoundry.market import Panel

COARSER = ("SUBINDUSTRY", "INDUSTRY", "SECTOR", "MARKET")
IN_PROCESS_URL = "http://brain.local"
IN_PROCESS_PATIENCE = 10
IN_PROCESS_POLL = 0.02
TOGETHER_LOCALLY = 10
LONGEST_INVISIBLE = 300.0
NO_SEAL = "the service keeps no days apart"
SHORTEST_INVISIBLE = 1.0
USUALLY_INVISIBLE_LOCALLY = 10.0


class Tally:
    """What the report counts and the database does not hold.

    Attributes
    ----------
    halted : whether the service took no more simulations at some time of this run
    resume_at : monotonic time before which it need not be asked again
    opening : id of the opening that judged the finalists of this run, None without one
    shrunk : alpha id to the Sharpe ratio that was to be expected of it when these finalists were
        chosen, None before
    unfinished : simulation that this run has put aside to the reason
    phase : what was simulated last, "generate" or "mine"
    screened_seeds : seeds whose ideas this run has screened
    chosen : screened ideas, of earlier runs too, that were handed on to be simulated
    """

    def __init__(self) -> None:
        self.phase = ""
        self.proposed = 0
        self.planned = 0
        self.halted = False
        self.resume_at = 0.0
        self.opening: int | None = None
        self.shrunk: dict[str, float] | None = None
        self.duplicates = 0
        self.resumed = 0
        self.parents: set[str] = set()
        self.screened_seeds: set[int] = set()
        self.chosen = 0
        self.unfinished: dict[int, str] = {}
        self.obstacles: dict[str, str] = {}
        self.notes: list[str] = []


class ResearchRun:
    """Everything that the steps of one run share.

    Attributes
    ----------
    record : the run itself: its row, its stop, its ending
    settings : the settings of this run, flags included
    store, run_id : the database, and the run's row in it
    brain : client of the service that simulates
    flow : what runs
    fields, operators : what the service offers to expressions
    lanes : simulations at a time
    seal : the days that no search may see, or why there are none
    panel : whole market of the simulator in this process, None of a service elsewhere
    stop : set when the run was asked to end
    progress : where to show how far it is
    budget : simulations that this phase may still plan
    tally : counts for the report
    slowest : seconds that the slowest simulation of this run took
    halted : whether the service takes no more simulations in this phase
    """

    def __init__(
        self,
        record: Run,
        settings: FoundrySettings,
        brain: BrainClient,
        *,
        fields: Mapping[str, FieldInfo],
        operators: frozenset[str],
        lanes: int,
        seal: Seal | str = NO_SEAL,
        panel: Panel | None = None,
    ) -> None:
        self.record = record
        self.settings = settings
        self.store = record.store
        self.run_id = record.id
        self.flow = record.flow
        self.stop = record.stop
        self.progress = record.progress
        self.brain = brain
        self.fields = fields
        self.operators = operators
        self.lanes = lanes
        self.seal = seal
        self.panel = panel
        self.tally = Tally()
        self.slowest = 0.0
        self.halted = False
        self.budget = settings.simulations
        self.top_level = True

    @property
    def service(self) -> str:
        """What answers: "worldquant", "local:<market>.<rules>" or a host."""
        return self.brain.service

    @property
    def market(self) -> str:
        """One line that names the market of the simulations."""
        return self.brain.market_label or f"WorldQuant BRAIN ({self.service})"

    @property
    def market_id(self) -> str | None:
        """The lasting identity of a local market, None for a remote service's."""
        return self.brain.data.market_id if self.brain.data else None

    @property
    def synthetic(self) -> bool:
        """True where prices were generated."""
        return self.market.startswith("SYNTHETIC")

    @property
    def goes_on(self) -> bool:
        """Whether the run may begin something new."""
        return not (self.stop.is_set() or self.halted)

    @property
    def most_together(self) -> int:
        """How many simulations one task run makes: more than one where it costs more than they."""
        return TOGETHER_LOCALLY if self.brain.market_label is not None else 1

    @cached_property
    def hopeful(self) -> HopefulRule:
        """The rule that makes an alpha worth mining."""
        return HopefulRule.model_validate(list(self.settings.hopeful.conditions()))

    def for_phase(self, simulations: int | None = None, seed: int | None = None) -> ResearchRun:
        """Return this run as a flow inside it sees it, with a budget and seed of its own."""
        inner = copy.copy(self)
        inner.top_level = False
        inner.halted = False
        if simulations is not None:
            inner.budget = simulations
        if seed is not None:
            inner.settings = self.settings.model_copy(update={"seed": seed})
        return inner

    def plan(self, plans: Iterable[SimulationPlan]) -> list[SimulationRow]:
        """Record simulations to make, at most the budget; leave out those known already."""
        given = list(plans)
        planned = plan_simulations(
            self.store, self.service, given[: self.budget], run_id=self.run_id
        )
        self.tally.proposed += len(given)
        self.tally.duplicates += planned.duplicates
        self.tally.planned += len(planned.new)
        self.budget -= len(planned.new)
        return list(planned.new)

    def claim_leftovers(self) -> list[SimulationRow]:
        """Take over, within the budget, the simulations that runs left which have ended."""
        rows = claim_abandoned(self.store, self.service, run_id=self.run_id, limit=self.budget)
        self.tally.resumed += len(rows)
        self.tally.planned += len(rows)
        self.budget -= len(rows)
        if rows:
            self.progress.say(f"Taking up {len(rows)} simulations that an earlier run left")
        return rows

    def take_up_again(self) -> list[SimulationRow]:
        """Return the simulations that this run has put aside; they are paid for already."""
        put_aside = list(self.tally.unfinished)
        self.tally.unfinished.clear()
        return [read_simulation(self.store, simulation_id) for simulation_id in put_aside]

    def unspent(self) -> int:
        """Return how much of the run's budget its phases left, 0 once it was asked to stop."""
        if self.stop.is_set() or self.tally.halted:
            return 0
        return self.budget - self.tally.planned

    def refuse(self, refused: Iterable[tuple[str, str]], *, origin: str) -> None:
        """Record texts that are no valid alphas, with the reason for each."""
        record_refusals(self.store, self.run_id, refused, origin=origin)

    def note(self, *lines: str) -> None:
        """Show lines now, and again at the end of the report."""
        for line in lines:
            self.progress.say(line)
            self.tally.notes.append(line)

    def seconds_until_visible(self) -> float:
        """Return how long to wait before a lost simulation shows among the service's alphas.

        Three times the slowest of this run; before the first one, what is usual for the service.
        """
        if self.settings.brain == "local":
            return SHORTEST_INVISIBLE
        if not self.slowest:
            local = self.service.startswith("local:")
            return USUALLY_INVISIBLE_LOCALLY if local else LONGEST_INVISIBLE
        return min(LONGEST_INVISIBLE, max(SHORTEST_INVISIBLE, 3 * self.slowest))


def data_origin(brain: BrainClient, seal: Seal | str = NO_SEAL) -> DataOrigin | None:
    """Return the market and data version of a local service, None for a remote one."""
    served = brain.data
    if served is None:
        return None
    return DataOrigin(
        market_id=served.market_id,
        source=served.source,
        fingerprint=served.fingerprint,
        first=served.first,
        last=served.last,
        label=brain.market_label or "",
        sealed_from=seal.sealed_from if isinstance(seal, Seal) else None,
        sealed_to=seal.sealed_to if isinstance(seal, Seal) else None,
    )


SignIn = Callable[
    [BrainClient, FoundrySettings], Awaitable[tuple[dict[str, FieldInfo], frozenset[str]]]
]


async def sign_in(
    brain: BrainClient, settings: FoundrySettings
) -> tuple[dict[str, FieldInfo], frozenset[str]]:
    """Sign in; return the data fields and the operators that expressions may use."""
    await brain.authenticate()
    fields = await usable_fields(brain, settings)
    operators = await brain.operators()
    # A service that does not tell the scope offers nothing but operators of regular alphas.
    return fields, frozenset(
        operator.name for operator in operators if not operator.scope or "REGULAR" in operator.scope
    )


@contextlib.asynccontextmanager
async def research_run(
    settings: FoundrySettings,
    *,
    flow: str,
    lanes: int,
    credentials: Credentials | None = None,
    connect: SignIn = sign_in,
    progress: Progress | None = None,
    stop: Stop | None = None,
    panel: Panel | None = None,
) -> AsyncIterator[ResearchRun]:
    """Open store and service, record the run, and record how it ended.

    Parameters
    ----------
    lanes : simulations at a time, which the simulator in this process allows too
    credentials : for a service that wants them
    connect : `sign_in`, or a task that tries it again
    panel : market of the simulator in this process; None loads the one of the settings

    Raises
    ------
    FoundryError : wrong settings, no market data, no credentials, no service, no database
    TakenOver : at the end, where the run was presumed dead and another has its work
    """
    url = settings.database_url.get_secret_value() if settings.database_url else None
    say = progress.say if progress else None
    # The matrices of a search are small: a second thread of their arithmetic mostly waits, busily.
    with threadpool_limits(1), _old_ones_kept(), open_store(url, home=settings.home) as store:
        client, seal, market = await _connect(
            store, settings, credentials, lanes=lanes, say=say, panel=panel
        )
        async with client as brain:
            fields, operators = await connect(brain, settings)
            settings, change = _possible(settings, brain, fields)
            with open_run(
                store,
                flow=flow,
                service=brain.service,
                market_label=brain.market_label,
                seed=settings.seed,
                settings=settings.model_dump(mode="json", exclude={"database_url"}),
                data=data_origin(brain, seal),
                progress=progress,
                stop=stop,
            ) as record:
                run = ResearchRun(
                    record,
                    settings,
                    brain,
                    fields=fields,
                    operators=operators,
                    lanes=lanes,
                    seal=seal,
                    panel=market,
                )
                run.note(*change)
                yield run


@contextlib.contextmanager
def _old_ones_kept() -> Iterator[None]:
    """Let Python look for cycles among the objects only that are made inside the block.

    Half a million are there before, of modules that stay, and looking through them takes as long as
    several simulations, again and again.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _connect(
    store: Store,
    settings: FoundrySettings,
    credentials: Credentials | None,
    *,
    lanes: int,
    say: Callable[[str], None] | None,
    panel: Panel | None = None,
) -> tuple[BrainClient, Seal | str, Panel | None]:
    if settings.brain == "local":
        return await asyncio.to_thread(_simulator_in_process, store, settings, lanes, say, panel)
    if settings.brain == "worldquant":
        return BrainClient(credentials=credentials, on_persona=say), NO_SEAL, None
    return BrainClient(settings.brain, credentials, on_persona=say), NO_SEAL, None


def load_simulated_market(
    settings: FoundrySettings, say: Callable[[str], None] | None = None
) -> Panel:
    """Return the market of the local simulator; the next run of this process takes it from here.

    Raises
    ------
    MarketError : no such market, unreadable data, or a market that cannot carry the work
    """
    from alphafoundry.market import load_market, require_suitable

    panel = load_market(settings.market, cache_dir=settings.home / "cache", progress=say)
    require_suitable(panel, universe=settings.alpha.universe)
    _checked[_market_key(settings)] = panel
    return panel


_checked: dict[tuple[str, Path], Panel] = {}
"""A market that was loaded to see whether it can be, until a run takes it."""


def simulated_market(settings: FoundrySettings, say: Callable[[str], None] | None = None) -> Panel:
    """Return the market that was checked a moment ago, or load it; see `load_simulated_market`."""
    panel = _checked.pop(_market_key(settings), None) or load_simulated_market(settings, say)
    _checked.clear()
    return panel


def _market_key(settings: FoundrySettings) -> tuple[str, Path]:
    return settings.market, settings.home.resolve()


def _simulator_in_process(
    store: Store,
    settings: FoundrySettings,
    lanes: int,
    say: Callable[[str], None] | None,
    panel: Panel | None,
) -> tuple[BrainClient, Seal | str, Panel]:
    if panel is None:
        panel = simulated_market(settings, say)
    from alphafoundry.brain.server import create_app, in_process
    from alphafoundry.compilation import is_compiled
    from alphafoundry.simulation.kernels import weighed

    if say and not is_compiled(weighed):
        say("First use on this machine: compiling the engine takes up to a minute, once")

    seal = seal_of(panel, settings.holdout, store)
    app = create_app(
        seal.searched() if isinstance(seal, Seal) else panel,
        state=settings.home / "local-brain.sqlite",
        max_concurrent=lanes,
        daily_submissions=settings.submission.daily_limit,
        poll_seconds=IN_PROCESS_POLL,
        searched_until=seal.search_to if isinstance(seal, Seal) else None,
    )
    client = BrainClient(
        IN_PROCESS_URL,
        transport=in_process(app),
        patience=IN_PROCESS_PATIENCE,
        screen=panel.screen(),
    )
    return client, seal, panel


def _possible(
    settings: FoundrySettings, brain: BrainClient, fields: Mapping[str, FieldInfo]
) -> tuple[FoundrySettings, list[str]]:
    """Return settings that a local market can run, and a line for what had to change.

    A market without industries cannot neutralize by them; the next coarser group is taken.
    """
    wanted = settings.alpha.neutralization
    if brain.market_label is None or wanted not in COARSER or wanted.lower() in fields:
        return settings, []
    coarser = COARSER[COARSER.index(wanted) :]
    found = next((group for group in coarser if group.lower() in fields), "MARKET")
    alpha = settings.alpha.model_copy(update={"neutralization": found})
    return settings.model_copy(update={"alpha": alpha}), [
        f"This market does not know each name's {wanted.lower()}: neutralization is {found}"
    ]
