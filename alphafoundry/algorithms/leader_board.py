"""The leader board of a race as text, Markdown, rows and a picture."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphafoundry.algorithms.arena import RaceResult, Row

_HEADINGS = (
    *("rank", "algorithm", "from", "return", "annual", "sharpe", "drawdown", "trades"),
    *("periods up", "µs per call", "failed calls", "result"),
)
_NUMERIC = frozenset({0, 3, 4, 5, 6, 7, 8, 9, 10})
_LONGEST_CELL = 60
_LONGEST_RESULT = 120


def leader_board_rows(result: RaceResult) -> list[dict[str, str]]:
    """Return the leader board as one dictionary per line, heading to text, best first."""
    return [
        dict(zip(_HEADINGS, _cells(rank, row), strict=True))
        for rank, row in enumerate(result.rows, 1)
    ]


def leader_board_table(result: RaceResult) -> str:
    """Return the leader board as Markdown with what it was measured on.

    Names and reasons come from generated code; what could be Markdown or HTML in them is escaped.
    """
    lines = [
        "| " + " | ".join(_HEADINGS) + " |",
        "|" + "|".join("--:" if i in _NUMERIC else ":--" for i in range(len(_HEADINGS))) + "|",
    ]
    for row in leader_board_rows(result):
        lines.append("| " + " | ".join(_escaped(cell) for cell in row.values()) + " |")
    return "\n".join([*lines, "", _escaped(measured_on(result))]) + "\n"


def leader_board_text(result: RaceResult) -> str:
    """Return the leader board for a terminal."""
    table = [list(_HEADINGS), *(list(row.values()) for row in leader_board_rows(result))]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEADINGS))]
    shown = [
        "  ".join(
            cell.rjust(width) if i in _NUMERIC else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    return "\n".join([*shown, measured_on(result)])


def leader_board_plot(result: RaceResult, *, most: int = 12) -> bytes:
    """Return a PNG of equity over starting cash, the best `most` algorithms and buy-and-hold."""
    from matplotlib.figure import Figure

    from alphafoundry.algorithms.arena import BUY_AND_HOLD

    figure = Figure(figsize=(11, 6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    capital = result.settings.cash * len(result.tickers)
    shown = [row for row in result.rows if row.out is None and row.name != BUY_AND_HOLD][:most]
    for row in shown:
        # A dollar sign would start a formula, and a leading underscore hides a line's name.
        label = f"\u2009{_cut(row.name, _LONGEST_CELL)}".replace("$", r"\$")
        axes.plot(result.dates, result.equity[row.name] / capital, label=label, linewidth=1.2)
    held = result.equity[BUY_AND_HOLD] / capital
    axes.plot(result.dates, held, label=BUY_AND_HOLD, linewidth=1.6, color="black", linestyle="--")
    axes.set_ylabel("equity over starting cash")
    axes.set_title(measured_on(result).replace("$", r"\$"), fontsize=8, wrap=True)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, loc="upper left", framealpha=0.7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _cells(rank: int, row: Row) -> tuple[str, ...]:
    up = sum(each > 0 for each in row.period_returns)
    out = row.out is not None
    return (
        "" if out else str(rank),
        _cut(row.name, _LONGEST_CELL),
        _cut(row.label, _LONGEST_CELL),
        _percent(row.total_return),
        _percent(row.annual_return),
        "" if math.isnan(row.sharpe) else f"{row.sharpe:.2f}",
        _percent(row.drawdown),
        str(row.trades),
        "" if out else f"{up}/{len(row.period_returns)}",
        "" if math.isnan(row.seconds_per_call) else f"{row.seconds_per_call * 1e6:.0f}",
        str(row.failed_calls),
        _cut(f"out: {row.out}", _LONGEST_RESULT) if out else "finished",
    )


def measured_on(result: RaceResult) -> str:
    """Return one line on what a race was: days, market, costs, isolation."""
    settings = result.settings
    days = f"{result.dates[0]} to {result.dates[-1]}, {len(result.dates)} days"
    walls = ", ".join(result.walls) or "not needed"
    if result.walls and "seccomp" not in result.walls:
        walls += "; NO SYSTEM CALL FILTER on this machine, run only code that you trust"
    tickers = ", ".join(result.tickers[:8]) + (" and more" if len(result.tickers) > 8 else "")
    fills = "next open" if result.has_opens else "close of the next day (no opens here)"
    return (
        f"{result.label}. {days}; {tickers}; {settings.cash:,.0f} dollars each, "
        f"costs {settings.cost_bps:g} bp, fills at the {fills}. Sandbox: {walls}."
    )


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"


def _cut(text: str, longest: int) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _escaped(text: str) -> str:
    for character in "\\`*_[]|":
        text = text.replace(character, "\\" + character)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
