"""The prompt of one model: contract, data, safety, its own directives, and an example."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from string import Template

import numpy as np

from alphafoundry.algorithms.prompt_directives import Directives, directives_for
from alphafoundry.finance.bars import TickerBars
from alphafoundry.market.frequency import bars_a_year

PROMPT_VERSION = 1
ROWS_SHOWN = 20

_SIGNATURES = {
    "simple": "  def execute_trade(ticker, cash_balance, shares_held):",
    "full": "  def execute_trade(ticker, price, tick, cash_balance, shares_held):",
}
_ANSWERS = {
    "simple": (
        'It returns "BUY", "SELL" or "HOLD". BUY spends all the cash, SELL sells all the shares.'
    ),
    "full": (
        'It returns "HOLD", or ("BUY", quantity) or ("SELL", quantity) with a whole quantity above '
        "0. price is today's close, tick the number of today's bar, from 0."
    ),
}


_REFUSED = "YOUR PROGRAM WAS REFUSED"

_FILLED = {
    True: "at the open of the next day, at its close where there is no open",
    False: "at the close of the next day",
}


@dataclass(frozen=True)
class Prompt:
    """What a model is asked.

    Attributes
    ----------
    text : the whole prompt
    version : of the template and of its text, as "v1-3f2a9c10"
    directives : what this model alone is told
    mends : what was refused, where this asks to mend a program
    """

    text: str
    version: str
    directives: Directives
    mends: str = ""

    def __repr__(self) -> str:
        kind = f"{self.directives.strategy}, {self.directives.signature}"
        return f"Prompt({self.version}, {kind}, {len(self.text)} characters)"


@dataclass(frozen=True)
class MarketNote:
    """What a prompt may say about the data: nothing of the days that are raced on.

    Attributes
    ----------
    text : lines for the prompt
    has_volume : whether the data have volumes
    has_opens : whether the data have the open, at which orders are filled then
    """

    text: str
    has_volume: bool = True
    has_opens: bool = True


def describe_bars(
    bars: Sequence[TickerBars], *, label: str, first_race_day: int, without_dates: bool = False
) -> MarketNote:
    """Describe the data of a race by the days before it, so that no model is told the future.

    Parameters
    ----------
    bars : of each ticker; the first one's last rows before the race are shown
    label : what the market is; starts with SYNTHETIC where prices were generated
    first_race_day : row of the first day that is raced on
    without_dates : number the days instead, -1 is the last one before the race
    """
    lines = [
        "- What you are told here ends before the race begins; the race is on later days.",
        f"- Market: {label}.",
    ]
    for one in bars:
        close = one.close[:first_race_day]
        if len(close) < 2:
            continue
        returns = np.diff(np.log(close))
        year = bars_a_year(one.dates)
        first, last = (str(one.dates[row].astype("datetime64[D]")) for row in (0, len(close) - 1))
        when = "" if without_dates else f", {first} to {last}"
        lines.append(
            f"- {one.ticker}: {len(close)} days{when}; close {close.min():.2f} to "
            f"{close.max():.2f}, mean return {year * returns.mean():+.1%} a year, "
            f"volatility {np.sqrt(year) * returns.std():.1%} a year."
        )
    shown = bars[0] if bars else None
    if shown is not None and first_race_day > 1:
        start = max(0, first_race_day - ROWS_SHOWN)
        lines.append(f"- The last days of {shown.ticker} before the race:")
        columns = {
            name: (values, form)
            for name, values, form in (
                ("Open", shown.open, ".2f"),
                ("High", shown.high, ".2f"),
                ("Low", shown.low, ".2f"),
                ("Close", shown.close, ".2f"),
                ("Volume", shown.volume, ".0f"),
            )
            if np.isfinite(values[:first_race_day]).any()
        }
        lines.append(",".join(["Day" if without_dates else "Date", *columns]))
        for row in range(start, min(first_race_day, len(shown))):
            cells = [_cell(values[row], form) for values, form in columns.values()]
            day = str(row - first_race_day)
            if not without_dates:
                day = str(shown.dates[row].astype("datetime64[D]"))
            lines.append(",".join([day, *cells]))
    return MarketNote(
        "\n".join(lines),
        has_volume=any(bool(np.isfinite(one.volume[:first_race_day]).any()) for one in bars),
        has_opens=any(bool(np.isfinite(one.open[:first_race_day]).any()) for one in bars),
    )


def describe_ticker(ticker: str) -> MarketNote:
    """Describe data of which nothing is known but the ticker."""
    return MarketNote(f"- It will be run on daily bars of {ticker}, among others.")


def build_prompt(model_id: str, note: MarketNote, *, occurrence: int = 0, seed: int = 0) -> Prompt:
    """Return the prompt of a model; the same arguments give the same text.

    occurrence, seed : see `directives_for`
    """
    directives = directives_for(
        model_id, occurrence=occurrence, seed=seed, has_volume=note.has_volume
    )
    template = _template("algorithm")
    example = _template(f"example_{directives.signature}")
    text = Template(template).substitute(
        signature=_SIGNATURES[directives.signature],
        answers=_ANSWERS[directives.signature],
        filled=_FILLED[note.has_opens],
        missing=_missing(note),
        data=note.text,
        directives="\n".join(f"- {line}" for line in directives.lines()),
        example=example,
    )
    return Prompt(text, prompt_version(), directives)


def repair_prompt(prompt: Prompt, program: str, refusals: str) -> Prompt:
    """Return the prompt that sends a refused program back: contract, program, lines and reasons.

    program : as it was checked, so that the lines of `refusals` are its lines
    """
    contract = prompt.text.partition(_REFUSED)[0]
    text = (
        f"{contract.rstrip()}\n\n{_REFUSED}\nThis program of yours was checked and not run:\n\n"
        f"```python\n{program}```\n\nWhat is wrong with it: {refusals}\n\n"
        "Mend exactly that, keep the strategy, and answer with the whole program.\n"
    )
    return replace(prompt, text=text, mends=refusals)


def prompt_version() -> str:
    """Return the version of the templates and the first digits of their content's SHA-256."""
    names = ("algorithm", "example_full", "example_simple")
    digest = hashlib.sha256("\0".join(map(_template, names)).encode()).hexdigest()
    return f"v{PROMPT_VERSION}-{digest[:8]}"


def _template(name: str) -> str:
    folder = resources.files("alphafoundry.algorithms.prompt_templates")
    return (folder / f"{name}_v{PROMPT_VERSION}.txt").read_text(encoding="utf-8")


def _missing(note: MarketNote) -> str:
    parts = [] if note.has_opens else ["history.open, history.high and history.low"]
    parts += [] if note.has_volume else ["history.volume"]
    if not parts:
        return "open, high, low and volume may hold NaN; close does not."
    return f"{' and '.join(parts)} hold nothing but NaN here; close holds no NaN."


def _cell(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else ""
