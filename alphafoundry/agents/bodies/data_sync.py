"""data_sync: takes in the bars that have become known, and says what is wrong with them.

On a clock it also brings the market's folder up to date from its vendor, once after each session:
what is new and the last ten sessions again, revisions kept, disagreement in quarantine, gaps asked
for again, quotas respected (`alphafoundry.market.update`). A desk that replays the past goes on
with the bars that it was started with; one on the true clock takes the new ones in.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.errors import MarketError
from alphafoundry.market.market_folder import is_market_folder, read_state
from alphafoundry.market.update_command import source_named

if TYPE_CHECKING:
    from alphafoundry.market.update import UpdateReport

OWN = "data_sync"
_NAMES = {
    "yfinance": "yfinance",
    "alpha_vantage": "alpha_vantage",
    "massive": "polygon",
    "alpaca": "alpaca",
}
"""Vendor of a market folder to its name in the schedule."""

DataSource = Literal["market", "yfinance", "alpha_vantage", "polygon", "alpaca", "files"]


class DataSyncParameters(Parameters):
    """Parameters of data_sync.

    Attributes
    ----------
    data_sources : "market" is the market that the desk was started with. Of the others the one
        that the market's folder comes from is asked, on a clock; "polygon" is Massive, "files" are
        files of bars
    sync_types : "market_data" are its bars; "news" are taken in by sentiment_fetch, others left out
    data_validation : whether new bars are looked at for gaps and faults
    """

    data_sources: tuple[DataSource, ...] = ("market",)
    sync_types: tuple[Literal["market_data", "fundamentals", "news"], ...] = ("market_data",)
    data_validation: bool = True


def _newest(context: AgentContext) -> str | None:
    floor = floor_of(context)
    if floor.results.get(OWN, {}).get("ask_again"):
        return None
    if floor.awaits_bars(context.now):
        return None
    return floor.newest_bar(context.now).isoformat()


@agent(OWN, parameters=DataSyncParameters, inputs_version=_newest, seconds=12.0)
def data_sync(context: AgentContext) -> AgentResult:
    """Release the bars of every session that closed at least 15 minutes ago.

    The vendor is asked when they are in. One that fails is asked again by the next tick, and holds
    up nothing.
    """
    floor, given = floor_of(context), context.parameters
    if "market" not in given.data_sources or "market_data" not in given.sync_types:
        return AgentResult("nothing to take in: the schedule leaves out the market's bars")
    fetched = floor.fetch_bars(context.now)
    before, newest = floor.data_until, floor.newest_bar(context.now)
    dates = floor.panel.dates
    rows = (dates <= np.datetime64(newest)) & (dates > np.datetime64(before))
    if before is None:
        # The days before the desk began are history: nothing was held.
        floor.release(newest)
        vendor = fetched or _from_vendor(context, newest.isoformat(), new=True)
        told = f"bars to {newest}{vendor and f'; {vendor}'}"
        return AgentResult(told, figures={"data_until": newest.isoformat()})
    figures: dict[str, object] = {"days": int(rows.sum()), "data_until": newest.isoformat()}
    for day in dates[rows].tolist():
        # In this order, a session whose closing fails is closed by the next attempt.
        figures["equity"] = round(floor.close_session(day, context.now).equity, 4)
        floor.release(day)
    if given.data_validation and rows.any():
        figures |= _gaps(floor.panel.fields["close"], np.flatnonzero(rows))
    what = f", {figures['gaps']} bars missing" if figures.get("gaps") else ""
    vendor = fetched or _from_vendor(context, newest.isoformat(), new=bool(rows.any()))
    told = f"{figures['days']} days of bars, to {newest}{what}{vendor and f'; {vendor}'}"
    return AgentResult(told, figures=figures)


def _from_vendor(context: AgentContext, newest: str, *, new: bool) -> str:
    """Bring the market's folder up to date, once for each new session; return what to tell of it.

    newest : the desk's newest session
    new : whether this run took in bars
    """
    floor = floor_of(context)
    folder = Path(floor.panel.source)
    seen = floor.results.get(OWN, {})
    if (
        floor.simulated
        or floor.fetch is not None
        or not is_market_folder(folder)
        or seen.get("updated") == newest
    ):
        return ""
    name = vendor_of_folder(folder)
    if name not in context.parameters.data_sources:
        return f"{folder.name} is not updated: data_sources leaves out {name}"
    own = context.agents.get(OWN)
    if new and own is not None and own.failures_in_row:
        # A vendor that hangs gets a run killed, and what that took in is taken in again: by itself.
        floor.results[OWN] = {"ask_again": True}
        return f"{name} is asked by the next run, as the last one failed"
    told, done = update_folder(folder)
    floor.results[OWN] = {"ask_again": True} if done is None else {"updated": newest}
    return told


def update_folder(folder: Path, now: datetime | None = None) -> tuple[str, UpdateReport | None]:
    """Bring a market's folder up to date from its vendor; return a line, and what was done.

    None where the vendor failed.

    now : the time; None is that of this machine
    """
    # What updates a folder is loaded for a desk that does so alone.
    from alphafoundry.market.update import update_market

    state, name = read_state(folder), vendor_of_folder(folder)
    try:
        source = source_named(state.source, folder, progress=lambda line: None)
        done = update_market(folder, source, exchange=state.exchange, now=now)
    except MarketError as problem:
        return f"{name} gave nothing: {problem}", None
    return f"{name}: {'; '.join(done.lines())}", done


def vendor_of_folder(folder: Path) -> str:
    """Return where a market's folder comes from, as `data_sources` names it."""
    return _NAMES.get(read_state(folder).source.partition(":")[0], "files")


def _gaps(close: NDArray[np.float64], rows: NDArray[np.intp]) -> dict[str, int]:
    """Count names that had a bar the day before and have none, and the bars that are there."""
    there = np.isfinite(close[rows])
    first = max(int(rows[0]) - 1, 0)
    before = np.isfinite(close[first : int(rows[-1])])[-len(rows) :]
    gaps = int((before & ~there[-len(before) :]).sum()) if len(before) else 0
    return {"bars": int(there.sum()), "gaps": gaps}
