"""A tear sheet as a picture: one PNG, or SVGs to stand inside a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from alphafoundry.finance.statistics import under_water
from alphafoundry.performance.returns import Array
from alphafoundry.performance.sheet import TearSheet
from alphafoundry.performance.statistics import (
    WINDOW,
    rolling_beta,
    rolling_sharpe,
    rolling_volatility,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Panel = Callable[[Axes, TearSheet], None]

_BROAD, _SLIM = (9.6, 2.9), (4.6, 2.5)
"""Inches of a panel; beside each other two slim ones are as broad as one."""

INK, GREY, BLUE, RED, GREEN = "#1c2733", "#8a97a6", "#1f6fb2", "#c0392b", "#2e8b57"


def draw_sheet(sheet: TearSheet) -> bytes:
    """Return growth, drawdown, rolling figures, the days' returns and the sources of the PnL.

    One PNG, with the title and the market's label.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9}):
        panels = _panels(sheet)
        rows = len(panels) // 2
        figure = Figure(figsize=(11, 2.6 * rows + 2.2), dpi=110, layout="constrained")
        grid = figure.add_gridspec(rows + 1, 2, height_ratios=(1.5, *([1] * rows)))
        panels[0](figure.add_subplot(grid[0, :]), sheet)
        for place, draw in enumerate(panels[1:]):
            draw(figure.add_subplot(grid[1 + place // 2, place % 2]), sheet)
        figure.suptitle(f"{sheet.title}\n{sheet.label}\nSharpe ratio {sheet.sharpe}", fontsize=10)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
    return picture.getvalue()


def draw_panels(sheet: TearSheet) -> list[str]:
    """Return the same panels as SVGs to stand in a page, each small enough for a telephone.

    The growth comes first, broad, and again as small as the others.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    growth, *others = _panels(sheet)
    wanted = [(growth, _BROAD), (growth, _SLIM), *((draw, _SLIM) for draw in others)]
    found = []
    for number, (draw, size) in enumerate(wanted):
        # Symbols of two pictures of one page must not have one name.
        salt = f"tear sheet {number}"
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": 8}):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.add_subplot(), sheet)
            picture = io.BytesIO()
            figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
        found.append(_inline(picture.getvalue()).decode("utf-8"))
    return found


def _panels(sheet: TearSheet) -> list[Panel]:
    """Return what draws each panel, the growth first."""
    panels: list[Panel] = [_growth, _fall, _days, _rolling, _rolling_risk]
    return panels if sheet.trading is None else [*panels, _exposure, _sources]


def _inline(svg: bytes) -> bytes:
    """Return an SVG without what a page neither needs nor should fetch."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL).encode("utf-8")


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)


def _dated(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _growth(axes: Axes, sheet: TearSheet) -> None:
    series = sheet.series
    # From the evening before the first day, when nothing was earned yet.
    dates = np.concatenate((series.dates[:1] - 1, series.dates))
    axes.plot(dates, _earned(series.returns), color=BLUE, linewidth=1.4, label="net")
    if series.benchmark is not None and np.isfinite(series.benchmark).any():
        other = _earned(np.nan_to_num(series.benchmark))
        axes.plot(dates, other, color=GREY, linewidth=1.0, label="benchmark")
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    made = " on generated prices (SYNTHETIC)" if sheet.synthetic else ""
    _plain(axes, f"Cumulative return, %{made}")
    _dated(axes)


def _earned(returns: Array) -> Array:
    """Return percent earned so far, a 0 before the first day."""
    return np.concatenate(([0.0], 100.0 * (np.cumprod(1.0 + returns) - 1.0)))


def _fall(axes: Axes, sheet: TearSheet) -> None:
    axes.fill_between(
        sheet.series.dates,
        100.0 * under_water(sheet.series.returns),
        color=RED,
        alpha=0.45,
        linewidth=0,
    )
    _plain(axes, "Below the highest value, %")
    _dated(axes)


def _days(axes: Axes, sheet: TearSheet) -> None:
    percent = 100.0 * sheet.series.returns
    axes.hist(percent, bins=min(40, max(5, len(percent) // 5)), color=BLUE, alpha=0.75)
    axes.axvline(-100.0 * sheet.statistics.value_at_risk, color=RED, linewidth=1.0)
    axes.set_ylabel("days", fontsize=8)
    _plain(axes, "Returns of days, %; line: 5 % quantile")


def _rolling(axes: Axes, sheet: TearSheet) -> None:
    window = _window(sheet)
    axes.plot(
        sheet.series.dates, rolling_sharpe(sheet.series.returns, window), color=BLUE, linewidth=1.0
    )
    if _draws_a_line(sheet):
        axes.axhline(0.0, color=INK, linewidth=0.6)
    _plain(axes, f"Sharpe ratio of the last {window} days; whole:\n{sheet.sharpe}")
    _enough(axes, sheet)
    _dated(axes)


def _rolling_risk(axes: Axes, sheet: TearSheet) -> None:
    series, window = sheet.series, _window(sheet)
    axes.plot(
        series.dates,
        100.0 * rolling_volatility(series.returns, window),
        color=BLUE,
        linewidth=1.0,
        label="volatility, % a year",
    )
    lines, names = axes.get_legend_handles_labels()
    enough = _draws_a_line(sheet)
    if enough and series.benchmark is not None and np.isfinite(series.benchmark).any():
        beta = axes.twinx()
        beta.plot(
            series.dates,
            rolling_beta(series.returns, series.benchmark, window),
            color=GREEN,
            linewidth=1.0,
            label="beta (right)",
        )
        beta.tick_params(labelsize=8)
        more = beta.get_legend_handles_labels()
        lines, names = lines + more[0], names + more[1]
    if enough:
        axes.legend(
            lines,
            names,
            loc="lower right",
            bbox_to_anchor=(1.0, 0.98),
            ncols=2,
            columnspacing=1.0,
            frameon=False,
            fontsize=7,
        )
    _plain(axes, f"Risk of the last {window} days")
    _enough(axes, sheet)
    _dated(axes)


def _window(sheet: TearSheet) -> int:
    """Return the days of the rolling figures: a quarter, less where there is less than a year."""
    return WINDOW if len(sheet.series) >= 4 * WINDOW else 20


def _draws_a_line(sheet: TearSheet) -> bool:
    """Return whether there are more days than one rolling figure takes."""
    return len(sheet.series) > _window(sheet)


def _enough(axes: Axes, sheet: TearSheet) -> None:
    axes.set_xlim(sheet.series.dates[0], sheet.series.dates[-1] + np.timedelta64(1, "D"))
    if not _draws_a_line(sheet):
        told = f"needs more than {_window(sheet)} days"
        axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", color=GREY)
        axes.set_yticks([])


def _exposure(axes: Axes, sheet: TearSheet) -> None:
    assert sheet.trading is not None
    dates = sheet.series.dates
    for values, colour, name in (
        (sheet.trading.gross, BLUE, "gross"),
        (sheet.trading.net, GREEN, "net"),
        (sheet.trading.turnover, GREY, "turnover"),
    ):
        axes.plot(dates, 100.0 * values, color=colour, linewidth=1.0, label=name)
    axes.legend(loc="lower center", ncols=3, frameon=False, fontsize=8, bbox_to_anchor=(0.5, 0.98))
    axes.set_ylim(bottom=min(-5.0, 110.0 * float(sheet.trading.net.min())))
    _plain(axes, "Exposure, %")
    _dated(axes)


def _sources(axes: Axes, sheet: TearSheet) -> None:
    found = [(name, dollars) for name, dollars in sheet.sources() if dollars]
    names = [name for name, _ in found][::-1]
    dollars = [amount for _, amount in found][::-1]
    bars = axes.barh(names, dollars, color=[GREEN if one > 0 else RED for one in dollars])
    axes.bar_label(bars, [f"{one:+,.0f}" for one in dollars], fontsize=7, padding=2)
    axes.axvline(0.0, color=INK, linewidth=0.6)
    axes.margins(x=0.2)
    _plain(axes, f"Where {sum(dollars):+,.2f} dollars came from")
