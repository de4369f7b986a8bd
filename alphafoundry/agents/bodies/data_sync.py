"""data_sync: takes in the bars that have become known, and says what is wrong with them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent


class DataSyncParameters(Parameters):
    """Parameters of data_sync.

    Attributes
    ----------
    data_sources : "market" is the market that the desk was started with; others are left out
    sync_types : "market_data" are its bars; others are left out
    data_validation : whether new bars are looked at for gaps and faults
    """

    data_sources: tuple[Literal["market", "yfinance", "alpha_vantage", "polygon"], ...] = (
        "market",
    )
    sync_types: tuple[Literal["market_data", "fundamentals", "news"], ...] = ("market_data",)
    data_validation: bool = True


def _newest(context: AgentContext) -> str:
    floor = floor_of(context)
    return floor.newest_bar(context.now).isoformat()


@agent("data_sync", parameters=DataSyncParameters, inputs_version=_newest, seconds=12.0)
def data_sync(context: AgentContext) -> AgentResult:
    """Release the bars of every session that closed at least 15 minutes ago."""
    floor, given = floor_of(context), context.parameters
    if "market" not in given.data_sources or "market_data" not in given.sync_types:
        return AgentResult("nothing to take in: the schedule leaves out the market's bars")
    before, newest = floor.data_until, floor.newest_bar(context.now)
    dates = floor.panel.dates
    rows = (dates <= np.datetime64(newest)) & (dates > np.datetime64(before))
    if before is None:
        # The days before the desk began are history: nothing was held.
        floor.release(newest)
        return AgentResult(f"bars to {newest}", figures={"data_until": newest.isoformat()})
    figures: dict[str, object] = {"days": int(rows.sum()), "data_until": newest.isoformat()}
    for day in dates[rows].tolist():
        # In this order, a session whose closing fails is closed by the next attempt.
        figures["equity"] = round(floor.close_session(day, context.now).equity, 4)
        floor.release(day)
    if given.data_validation and rows.any():
        figures |= _gaps(floor.panel.fields["close"], np.flatnonzero(rows))
    what = f", {figures['gaps']} bars missing" if figures.get("gaps") else ""
    return AgentResult(f"{figures['days']} days of bars, to {newest}{what}", figures=figures)


def _gaps(close: NDArray[np.float64], rows: NDArray[np.intp]) -> dict[str, int]:
    """Count names that had a bar the day before and have none, and the bars that are there."""
    there = np.isfinite(close[rows])
    first = max(int(rows[0]) - 1, 0)
    before = np.isfinite(close[first : int(rows[-1])])[-len(rows) :]
    gaps = int((before & ~there[-len(before) :]).sum()) if len(before) else 0
    return {"bars": int(there.sum()), "gaps": gaps}
