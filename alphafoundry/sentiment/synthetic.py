"""Headlines for a generated market, of which it is known what they are worth.

Every session has some, spread over its hours. Of each hundred about

    40 echo: their tone is that of the name's move of yesterday; they foretell nothing
    25 say nothing
    15 are noise: their tone is drawn
    20 lean: their tone is, with probability 0.75, the sign of what the name earns beyond its
       industry over this and the next two sessions

Prices are those of the market, untouched: a headline that leans has looked at them. So what a
scorer makes of tones, and what its scores foretell, can be held against what is true. `Planted`
is for reports and tests; no agent sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.groups import beyond_group
from alphafoundry.market.panel import Panel
from alphafoundry.seeds import generator
from alphafoundry.sentiment.headlines import Headline

SOURCE = "synthetic headlines"
LEAN_DAYS = 3
LEAN_PROBABILITY = 0.75

Kind = Literal["echo", "plain", "noise", "lean"]
_KINDS: tuple[tuple[Kind, float], ...] = (
    ("echo", 0.40),
    ("plain", 0.65),
    ("noise", 0.80),
    ("lean", 1.0),
)

_GOOD = (
    "{} tops quarterly profit estimates",
    "{} lifts full-year outlook on strong demand",
    "{} upgraded to buy by brokers",
    "{} wins large supply contract",
    "{} boosts dividend and widens buyback",
    "Regulator approves {} product, shares jump",
    "{} loss narrows as costs fall",
    "Probe into {} dropped",
)
_BAD = (
    "{} misses quarterly profit estimates",
    "{} cuts full-year outlook on weak demand",
    "{} downgraded to sell by brokers",
    "{} loses large supply contract",
    "{} suspends dividend to save cash",
    "Regulator rejects {} product, shares plunge",
    "{} loss widens as costs climb",
    "Regulator opens probe into {}",
)
_PLAIN = (
    "{} to report results on Thursday",
    "{} names new head of communications",
    "{} to present at industry conference",
    "{} confirms date of annual meeting",
)


@dataclass(frozen=True)
class Planted:
    """A headline with what is true of it.

    Attributes
    ----------
    tone : -1, 0 or 1, what its words were chosen to say
    place : of its name in the panel
    """

    headline: Headline
    kind: Kind
    tone: int
    place: int


def headlines_of_session(
    panel: Panel, row: int, *, opens: int, closes: int, seed: int
) -> Iterator[Planted]:
    """Yield the headlines of one session of a generated market, by their time.

    Parameters
    ----------
    row : of the session in the panel
    opens, closes : of the session, seconds since 1970

    The same market, session and seed give the same headlines. A headline on a day that the market
    has no bars after leans to nothing.
    """
    day = panel.dates[row].item()
    draw = generator(seed, "news", day.isoformat())
    count = max(4, len(panel.symbols) // 40)
    moments = np.sort(draw.integers(opens, closes, count))
    close = panel.fields["close"]
    listed = np.flatnonzero(np.isfinite(close[max(row - 1, 0)]))
    if not len(listed):
        return
    lean = np.sign(lean_returns(panel, row))
    echo = np.sign(panel.fields["returns"][max(row - 1, 0)])
    for number, moment in enumerate(moments.tolist()):
        place = int(draw.choice(listed))
        share = draw.random()
        kind = next(name for name, up_to in _KINDS if share < up_to)
        coin = 1 if draw.random() < 0.5 else -1
        right = draw.random() < LEAN_PROBABILITY
        known = {"echo": echo, "lean": lean}.get(kind)
        towards = coin if known is None or not known[place] > -2 else int(known[place]) or coin
        tone = 0 if kind == "plain" else towards
        if kind == "lean" and not right:
            tone = -tone
        texts = {1: _GOOD, -1: _BAD, 0: _PLAIN}[tone]
        title = texts[int(draw.integers(len(texts)))].format(panel.symbols[place])
        symbol = str(panel.symbols[place])
        yield Planted(
            Headline(f"{day}/{number}", SOURCE, title, "", (symbol,), moment), kind, tone, place
        )


def lean_returns(panel: Panel, row: int) -> NDArray[np.float64]:
    """Return what each name earns beyond its industry in this and the next two sessions.

    Shape (n_instruments,); NaN where the market has no such bars.
    """
    returns = panel.fields["returns"][row : row + LEAN_DAYS]
    if len(returns) < LEAN_DAYS:
        return np.full(len(panel.symbols), np.nan)
    groups = panel.groups.get("industry", panel.groups["market"])
    return beyond_group(returns.sum(axis=0), groups[row])
