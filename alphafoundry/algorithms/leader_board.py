"""The leader board of a race: its lines, and how it looks as text, Markdown, rows and a picture."""

from __future__ import annotations

import datetime as dt
import io
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.contract import FailureKind
from alphafoundry.evidence import deflated_sharpe_ratio, moments, null_deviation

BUY_AND_HOLD: Final = "buy-and-hold"

_HEADINGS = (
    *("rank", "algorithm", "from", "return", "annual", "sharpe", "DSR", "drawdown", "trades"),
    *("periods up", "µs per call", "failed calls", "result"),
)
_NUMERIC = frozenset({0, 3, 4, 5, 6, 7, 8, 9, 10, 11})
_LONGEST_CELL = 60
_LONGEST_RESULT = 120


@dataclass(frozen=True)
class Failure:
    """Why an algorithm is out: the day it happened on is None where it never started."""

    name: str
    kind: FailureKind
    reason: str
    line: int | None
    day: dt.date | None

    def __str__(self) -> str:
        where = f" in line {self.line}" if self.line else ""
        when = f" on {self.day}" if self.day else ""
        return f"{self.kind}{where}{when}: {self.reason}"


@dataclass(frozen=True)
class Row:
    """One line of the leader board.

    Attributes
    ----------
    name, label : of the entry
    total_return : last equity over starting cash, minus 1
    annual_return : total return compounded to 252 days
    sharpe : of the daily returns, annualised
    drawdown : largest fall of equity from a peak, as a fraction of the peak; these four are those
        of `finance.statistics.metrics_of`, as in the report of a workflow
    period_returns : return of each of the race's consecutive periods
    trades : fills
    turnover : traded value a day over the starting cash, as a fraction
    calls : calls of execute_trade that were answered
    seconds_per_call : wall time as the arena sees it, the way to the sandbox and back included
    failed_calls : calls that raised or answered no order
    out : why it did not finish; None where it did. All statistics are NaN where it is out
    """

    name: str
    label: str
    total_return: float
    annual_return: float
    sharpe: float
    drawdown: float
    period_returns: tuple[float, ...]
    trades: int
    turnover: float
    calls: int
    seconds_per_call: float
    failed_calls: int
    out: Failure | None


@dataclass(frozen=True, eq=False)
class RaceResult:
    """The outcome of a race.

    Attributes
    ----------
    rows : leader board, best first, buy-and-hold among them, those that are out at the end
    dates : datetime64[D] array of shape (n_days,), the race's days
    equity : name to float64 array of shape (n_days,), dollars over all accounts at the close; NaN
        from the day on which the algorithm is out
    failures : of the algorithms that are out, in the order of the entries
    tickers : what was raced on
    walls : names of the sandbox's walls that stood around every algorithm that ran
    settings : how it was run
    label : what the bars are, one line; starts with SYNTHETIC where they are
    has_opens : whether the bars have opening prices; orders are filled at the close without
    held : name to bool array of shape (n_days, n_tickers), whether shares were held at the close
    raced_before : other algorithms that were ever raced on this market, in earlier races
    """

    rows: tuple[Row, ...]
    dates: NDArray[np.datetime64]
    equity: Mapping[str, NDArray[np.float64]]
    failures: tuple[Failure, ...]
    tickers: tuple[str, ...]
    walls: tuple[str, ...]
    settings: ArenaSettings
    label: str
    has_opens: bool = True
    raced_before: int = 0
    held: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def trials(self) -> int:
        """Algorithms that were ever raced on this market, those that are out included."""
        return self.raced_before + sum(row.name != BUY_AND_HOLD for row in self.rows)

    def deflated(self, row: Row) -> float:
        """Return the probability that a Sharpe ratio is more than the luck of all trials.

        Buy-and-hold was chosen by nobody and counts as one trial. NaN where it is out or its equity
        never changes.
        """
        if row.out is not None:
            return math.nan
        capital = self.settings.cash * len(self.tickers)
        equity = np.concatenate(([capital], self.equity[row.name]))
        returns = np.diff(equity) / equity[:-1]
        if len(returns) < 2 or not np.isfinite(returns).all():
            return math.nan
        return float(
            deflated_sharpe_ratio(
                moments(returns),
                trials=1 if row.name == BUY_AND_HOLD else max(self.trials, 1),
                sigma=null_deviation(returns),
            )
        )

    def best(self, count: int) -> tuple[Row, ...]:
        """Return up to `count` algorithms that finished and rank above buy-and-hold.

        Each has a Sharpe ratio above 0, and of several that hold shares on the same days the
        first alone is taken.
        """
        above: list[Row] = []
        seen: set[bytes] = set()
        for row in self.rows:
            if row.name == BUY_AND_HOLD or row.out is not None:
                break
            decisions = self.held[row.name].tobytes() if row.name in self.held else None
            if not row.trades or not row.sharpe > 0 or decisions in seen:
                continue
            if decisions is not None:
                seen.add(decisions)
            above.append(row)
        return tuple(above[:count])

    def __repr__(self) -> str:
        return leader_board_text(self)


def missing_wall(walls: Collection[str]) -> str:
    """Return what a person must know of a sandbox that lacks a wall, or nothing."""
    if "seccomp" in walls:
        return ""
    return "NO SYSTEM CALL FILTER on this machine, run only code that you trust"


def leader_board_rows(result: RaceResult) -> list[dict[str, str]]:
    """Return the leader board as one dictionary per line, heading to text, best first."""
    return [
        dict(zip(_HEADINGS, _cells(rank, row, result.deflated(row)), strict=True))
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

    figure = Figure(figsize=(11, 6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    capital = result.settings.cash * len(result.tickers)
    shown = [row for row in result.rows if row.out is None and row.name != BUY_AND_HOLD][:most]
    for row in shown:
        # A dollar sign would start a formula, and a leading underscore hides a line's name.
        told = f" (Sharpe {row.sharpe:.2f}, DSR {result.deflated(row):.2f})"
        label = f"\u2009{_cut(row.name, _LONGEST_CELL)}{told}".replace("$", r"\$")
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


def _cells(rank: int, row: Row, dsr: float) -> tuple[str, ...]:
    up = sum(each > 0 for each in row.period_returns)
    out = row.out is not None
    return (
        "" if out else str(rank),
        _cut(row.name, _LONGEST_CELL),
        _cut(row.label, _LONGEST_CELL),
        _percent(row.total_return),
        _percent(row.annual_return),
        "" if math.isnan(row.sharpe) else f"{row.sharpe:.2f}",
        "" if math.isnan(dsr) else f"{dsr:.2f}",
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
    if result.walls and missing_wall(result.walls):
        walls += f"; {missing_wall(result.walls)}"
    tickers = ", ".join(result.tickers[:8]) + (" and more" if len(result.tickers) > 8 else "")
    fills = "next open" if result.has_opens else "close of the next day (no opens here)"
    return (
        f"{result.label}. {days}; {tickers}; {settings.cash:,.0f} dollars each, "
        f"costs {settings.cost_bps:g} bp, fills at the {fills}. In sample, since these days rank "
        f"them; DSR counts all {result.trials} algorithms ever raced on this market. "
        f"Sandbox: {walls}."
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
