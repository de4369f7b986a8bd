"""Plots of alphas, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date

import numpy as np

from alphafoundry.store import DailyPnl

SHORT = 90


def plot_cumulative_pnl(
    series: Mapping[str, DailyPnl], *, title: str, sealed_from: date | None = None
) -> bytes:
    """Return a picture of cumulative PnL in millions of dollars, one line per alpha.

    Parameters
    ----------
    series : name of the line to daily dollars; NaN counts as 0
    title : one line above the plot
    sealed_from : first sealed day; these days are shaded where a line reaches them
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), dpi=110)
    # Margins that are found by drawing everything first take as long as the picture itself.
    axes = figure.add_axes((0.07, 0.06, 0.92, 0.89))
    for name, daily in series.items():
        label = name if len(name) <= SHORT else f"{name[: SHORT - 1]}…"
        total = np.cumsum(np.nan_to_num(daily.values)) / 1e6
        axes.plot(daily.dates.astype("datetime64[D]"), total, label=label, linewidth=1.2)
    last = max((daily.dates[-1] for daily in series.values() if len(daily.dates)), default=None)
    if sealed_from is not None and last is not None and last >= np.datetime64(sealed_from):
        days = [np.datetime64(sealed_from), last]
        axes.axvspan(days[0], days[1], color="grey", alpha=0.15, label="sealed: no search saw it")
    axes.axhline(0, color="grey", linewidth=0.6)
    axes.set_ylabel("cumulative PnL, million dollars")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, loc="upper left", framealpha=0.7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
