"""A simulation as a picture, in PNG bytes."""

from __future__ import annotations

import io

import numpy as np

from alphafoundry.simulation.pnl import BASE, BOOK
from alphafoundry.simulation.result import SimulationResult

_LONGEST_TITLE = 110


def plot_simulation(result: SimulationResult) -> bytes:
    """Return cumulative PnL in million dollars, drawdown and turnover in percent, one above
    the other.
    """
    from matplotlib.figure import Figure

    days = result.days
    total = np.cumsum(days.pnl)
    peak = np.maximum(np.maximum.accumulate(total), 0.0)
    figure = Figure(figsize=(11, 8), dpi=110, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.2, 1.2))
    top.plot(days.dates, total / 1e6, linewidth=1.2)
    top.set_ylabel("cumulative PnL, million dollars")
    middle.fill_between(days.dates, 100.0 * (total - peak) / BASE, color="tab:red", alpha=0.5)
    middle.set_ylabel("drawdown, %")
    bottom.plot(days.dates, 100.0 * days.traded / BOOK, color="tab:grey", linewidth=0.7)
    bottom.set_ylabel("turnover, %")
    for axes in (top, middle, bottom):
        axes.grid(alpha=0.25)
    title = result.expression.text
    if len(title) > _LONGEST_TITLE:
        title = title[: _LONGEST_TITLE - 1] + "…"
    top.set_title(f"{title}\n{result.panel_label}", fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
