"""One simulation from its planned row to its stored result, never paid for twice.

Each step is stored before the next one begins, so a run that dies at any point is taken up where
it was: a planned row is sent; a row whose request went out without an answer is first looked for
among the alphas that BRAIN has; a row with an address is asked for, not sent again.

`simulate_at_service` ends when the service is done with the simulation, so that the next one may
be sent while `store_outcome` asks for the alpha and its daily PnL.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from alphafoundry.brain.models import AlphaInfo, AlphaStatistics, SimulationStatus
from alphafoundry.clock import utc_now
from alphafoundry.errors import BrainRequestError, BrainUnavailable, RateLimited
from alphafoundry.research.run import ResearchRun
from alphafoundry.simulation.correlation import pnl_correlation
from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    SimulationRow,
    finish_simulation,
    mark_back_to_planned,
    mark_deferred,
    mark_sending,
    mark_sent,
    read_alphas,
    read_daily_pnl,
    read_simulation,
)
from alphafoundry.store.simulations import Ending

NOT_FOUND = 404
MOST_SENT = 2
"""Times that a simulation whose fate is unknown may be sent in all, over every run."""

LOST_TWICE = "sent twice, and the service has neither the simulation nor an alpha of it"
CLOCK_SKEW = timedelta(minutes=2)

ENDINGS: Mapping[str, Ending] = {
    "COMPLETE": "complete",
    "WARNING": "warning",
    "ERROR": "error",
    "TIMEOUT": "timeout",
    "CANCELLED": "cancelled",
}
"""BRAIN's state to ours; any other finished state is "failed"."""


@dataclass(frozen=True)
class Simulated:
    """What came of a simulation.

    Attributes
    ----------
    row : its row, as it was before it ended
    status : "complete", "warning", "error", "timeout", "failed" or "cancelled"
    alpha : None where it ended without one
    hopeful : whether the alpha meets the rule
    message : the service's text where it ended without an alpha
    """

    row: SimulationRow
    status: Ending
    alpha: AlphaInfo | None = None
    hopeful: bool = False
    message: str | None = None

    @property
    def fitness(self) -> float | None:
        """Fitness of the alpha, None without one."""
        return self.alpha.statistics.fitness if self.alpha else None

    @property
    def summary(self) -> str:
        """One line for a log."""
        if self.alpha is None:
            return self.message or "no alpha"
        found = self.alpha.statistics
        return (
            f"alpha {self.alpha.id}: sharpe {found.sharpe}, fitness {found.fitness}, "
            f"turnover {found.turnover}" + (", hopeful" if self.hopeful else "")
        )


@dataclass(frozen=True)
class Outcome:
    """How a simulation ended at the service, before anything of it is stored.

    Attributes
    ----------
    row : its row, as it was before it ended
    alpha_id : None where it ended without an alpha
    message : the service's text where it ended without one
    """

    row: SimulationRow
    status: Ending
    alpha_id: str | None = None
    message: str | None = None


async def simulate_at_service(run: ResearchRun, simulation_id: int) -> Outcome:
    """Bring one simulation to its end at the service; again after a BrainUnavailable.

    Raises
    ------
    RateLimited : the service takes no more now (kind "daily": not before midnight US Eastern)
    BrainUnavailable : no answer; with `fate_unknown` the request may have arrived
    TakenOver : another run has it
    """
    row = read_simulation(run.store, simulation_id)
    if row.status == "sending":
        outcome = await _settle_lost(run, row)
        if outcome is not None:
            return outcome
    began = time.monotonic()
    sent_now = row.location is None
    try:
        location = row.location or await _send(run, row)
    except BrainRequestError as problem:
        return Outcome(row, "error", message=str(problem))
    try:
        status = await run.brain.poll_simulation(location)
    except BrainRequestError as problem:
        if problem.status != NOT_FOUND:
            raise
        outcome = await _settle_lost(run, read_simulation(run.store, row.id))
        if outcome is not None:
            return outcome
        raise BrainUnavailable(f"{location}: the service does not know it any more") from None
    if sent_now:
        run.slowest = max(run.slowest, time.monotonic() - began)
    ending = ENDINGS.get(status.status, "failed")
    if status.alpha is None or ending not in ("complete", "warning"):
        ending = "failed" if ending in ("complete", "warning") else ending
        return Outcome(row, ending, message=_message(status))
    return Outcome(row, ending, status.alpha)


async def store_outcome(run: ResearchRun, outcome: Outcome) -> Simulated:
    """Store how a simulation ended, with its alpha and daily PnL; again after a BrainUnavailable.

    Raises
    ------
    BrainUnavailable : the service did not give the alpha; the simulation stays unfinished
    TakenOver : another run has stored it
    """
    row = outcome.row
    if outcome.alpha_id is not None:
        return await _store_alpha(run, row, outcome.status, outcome.alpha_id)
    finish_simulation(run.store, row.id, outcome.status, message=outcome.message)
    return Simulated(row, outcome.status, message=outcome.message)


async def _send(run: ResearchRun, row: SimulationRow) -> str:
    mark_sending(run.store, row.id)
    try:
        location = await run.brain.post_simulation(row.expression, row.settings)
    except RateLimited as problem:
        if problem.kind == "daily":
            mark_deferred(run.store, row.id, str(problem))
        else:
            mark_back_to_planned(run.store, row.id, str(problem), refused=True)
        raise
    except BrainUnavailable as problem:
        if not problem.fate_unknown:
            mark_back_to_planned(run.store, row.id, str(problem), refused=True)
        raise
    mark_sent(run.store, row.id, location)
    return location


async def _settle_lost(run: ResearchRun, row: SimulationRow) -> Outcome | None:
    """Return how a lost simulation ended; None, and planned again, where that cannot be told.

    BRAIN lists no simulations, only alphas. So one that ended without an alpha cannot be told
    from one that never arrived; it is sent once more, and not a third time. The simulator in a
    process that died has taken its simulations with it: one of these is sent again at once, and
    that does not count.

    Raises
    ------
    BrainUnavailable : its alpha may still come
    """
    lost = await _find_lost(run, row)
    if lost is not None:
        return Outcome(row, "complete", lost.id)
    if run.settings.brain == "local":
        mark_back_to_planned(run.store, row.id, "lost with the process that ran it", refused=True)
        return None
    if row.status == "sending" and not _overdue(run, row):
        raise BrainUnavailable(
            "its request may have arrived and its simulation may still run", fate_unknown=True
        )
    if row.attempts >= MOST_SENT:
        return Outcome(row, "failed", message=LOST_TWICE)
    mark_back_to_planned(run.store, row.id, "sent, but the service does not have it")
    return None


async def _find_lost(run: ResearchRun, row: SimulationRow) -> AlphaInfo | None:
    """Return the alpha of a simulation whose answer was lost, None where there is none."""
    if row.sent_at is None:
        return None
    filters: dict[str, Any] = {"dateCreated>=": row.sent_at - CLOCK_SKEW}
    async for alpha in run.brain.alphas(**filters):
        if alpha.code != row.expression or not _same_settings(row.settings, alpha.settings):
            continue
        if not read_alphas(run.store, run.service, [alpha.id]):
            return alpha
    return None


def _overdue(run: ResearchRun, row: SimulationRow) -> bool:
    """Tell whether an alpha would be there by now if the request had arrived."""
    if row.sent_at is None:
        return True
    return utc_now() - row.sent_at >= timedelta(seconds=run.seconds_until_visible())


def _same_settings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return all(theirs.get(name, value) == value for name, value in ours.items())


async def _store_alpha(
    run: ResearchRun, row: SimulationRow, ending: Ending, alpha_id: str
) -> Simulated:
    try:
        alpha = await run.brain.alpha(alpha_id)
    except BrainRequestError as problem:
        if problem.status != NOT_FOUND:
            raise
        message = f"the service does not have its alpha {alpha_id} any more"
        finish_simulation(run.store, row.id, "failed", message=message)
        return Simulated(row, "failed", message=message)
    hopeful = run.hopeful.is_hopeful(alpha.statistics)
    pnl = await _pnl_of(run, alpha)
    planted = await _planted(run, alpha_id) if hopeful and run.synthetic else None
    correlation, gain = _against_parent(run, row, alpha, pnl)
    finish_simulation(
        run.store,
        row.id,
        ending,
        alpha=to_record(alpha, hopeful=hopeful, planted=planted, pnl=pnl, market_id=run.market_id),
        daily_pnl=pnl,
        correlation_to_parent=correlation,
        gain=gain,
    )
    return Simulated(row, ending, alpha, hopeful)


async def _pnl_of(run: ResearchRun, alpha: AlphaInfo) -> DailyPnl | None:
    """Return the daily PnL of an alpha, None where the service refuses it."""
    try:
        return before_test_period(alpha, DailyPnl(*await run.brain.daily_pnl(alpha.id)))
    except BrainRequestError as problem:
        run.note(f"Alpha {alpha.id} is stored without its daily PnL: {problem}")
        return None


def before_test_period(alpha: AlphaInfo, pnl: DailyPnl) -> DailyPnl:
    """Return the daily PnL that the alpha's own numbers are of, on a local server.

    Its test period, if it has one, is left out, so that no search can look at it.
    """
    if alpha.test is None or alpha.data_version is None:
        return pnl
    shown = pnl.dates <= np.datetime64(alpha.settings["endDate"], "D")
    return DailyPnl(pnl.dates[shown], pnl.values[shown])


def to_record(
    alpha: AlphaInfo,
    *,
    hopeful: bool,
    planted: Mapping[str, float] | None = None,
    pnl: DailyPnl | None = None,
    market_id: str | None = None,
) -> AlphaRecord:
    """Return the alpha as the store keeps it.

    The last day of its data is what the service says, otherwise that of its daily PnL.
    """
    found = alpha.statistics
    until = alpha.data_until
    if until is None and pnl is not None and len(pnl.dates):
        until = pnl.dates[-1].astype("datetime64[D]").item()
    return AlphaRecord(
        alpha_id=alpha.id,
        expression=alpha.code,
        settings=alpha.settings,
        sharpe=found.sharpe,
        fitness=found.fitness,
        turnover=found.turnover,
        returns=found.returns,
        drawdown=found.drawdown,
        margin=found.margin,
        pnl=found.pnl,
        long_count=None if found.long_count is None else int(found.long_count),
        short_count=None if found.short_count is None else int(found.short_count),
        grade=alpha.grade,
        checks=[check.model_dump(mode="json", exclude_none=True) for check in alpha.checks],
        hopeful=hopeful,
        planted=planted,
        market_id=market_id,
        data_version=alpha.data_version,
        data_until=until,
        expected_sharpe=alpha.expected_sharpe,
        train=_part(alpha.train),
        test=_part(alpha.test),
    )


def _part(found: AlphaStatistics | None) -> dict[str, Any] | None:
    return None if found is None else found.model_dump(mode="json")


async def _planted(run: ResearchRun, alpha_id: str) -> dict[str, float] | None:
    """Return planted effect to share of PnL; None where the service does not tell."""
    try:
        found = await run.brain.record_set(alpha_id, "planted-effects")
    except BrainRequestError:
        return None
    return {str(effect): float(share or 0.0) for effect, share in found["records"]}


def _against_parent(
    run: ResearchRun, row: SimulationRow, alpha: AlphaInfo, pnl: DailyPnl | None
) -> tuple[float | None, float | None]:
    """Return (correlation of daily PnL, gain in fitness); None where unknown."""
    if row.parent_alpha_id is None:
        return None, None
    parent_id = row.parent_alpha_id
    parent = read_alphas(run.store, run.service, [parent_id]).get(parent_id)
    gain = None
    if parent is not None and parent.fitness is not None and alpha.statistics.fitness is not None:
        gain = alpha.statistics.fitness - parent.fitness
    other = read_daily_pnl(run.store, run.service, [parent_id]).get(parent_id)
    if other is None or pnl is None:
        return None, gain
    found = pnl_correlation(pnl.dates, pnl.values, other.dates, other.values)
    return (None if math.isnan(found) else found), gain


def _message(status: SimulationStatus) -> str:
    text = status.message or f"the simulation ended as {status.status} without an alpha"
    where = status.location
    if where is not None and where.start is not None:
        text += f" (line {where.line or 1}, column {where.start + 1})"
    return text
