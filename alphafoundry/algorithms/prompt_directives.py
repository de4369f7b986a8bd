"""What makes each model's algorithm different: directives drawn from the model's own name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

STRATEGIES: dict[str, str] = {
    "trend following": "hold while a fast moving average is above a slow one",
    "momentum": "hold what has risen over the slow period, leave what has fallen",
    "mean reversion": "buy well below the average of the slow period, sell above it",
    "breakout": "buy a new high of the slow period, sell a new low of the fast one",
    "oscillator": "buy when the relative strength index is low and turns up, sell when it is high",
    "bands": "trade the touch of Bollinger bands around the mean",
    "volatility regime": "hold in calm markets, stay out of turbulent ones",
    "volume confirmation": "act on a price move only where the volume is above its average",
    "acceleration": "compare the speed of the fast period with that of the slow one",
    "pullback": "buy a short dip within a long rise, sell when the rise is over",
}

PERIODS: tuple[tuple[int, int], ...] = (
    (5, 20),
    (7, 30),
    (10, 40),
    (10, 60),
    (15, 75),
    (20, 90),
    (20, 120),
)

COMBINATIONS = (
    "one indicator alone, with a clear threshold",
    "two indicators that must agree",
    "one indicator to enter and another one to leave",
    "a score, the weighted sum of three indicators",
)

THRESHOLDS = (
    "fixed numbers",
    "multiples of the recent standard deviation",
    "quantiles of the recent past",
)

LOGICS = (
    "plain rules, one after the other",
    "a small state machine that remembers the position's entry price in a module variable",
    "a score compared with an upper and a lower threshold, with a gap between them",
)

PORTFOLIOS = (
    "all in, all out",
    "enter with half of the cash, add once when the position is in profit",
    "size the position by the recent volatility",
)

FAST_AVERAGES = (5, 7, 9, 11)
SLOW_AVERAGES = (20, 30, 45, 60)
RSI_PERIODS = (7, 10, 14, 21)
BAND_PERIODS = (12, 18, 20, 24)
VOLUME_PERIODS = (15, 30, 45)

_BY_VOLUME = "volume confirmation"

T = TypeVar("T")


@dataclass(frozen=True)
class Directives:
    """What one model is told to do; the same for the same name and seed.

    Attributes
    ----------
    strategy : a key of `STRATEGIES`
    periods : days of the fast and the slow period
    combination, threshold, logic, portfolio : one of the texts above
    prefix : what its own variables begin with, "v" and 6 hex digits and "_"
    fast_average, slow_average, rsi_period, band_period, volume_period : days
    use_volume, use_volatility, use_trend : whether such a filter must be part of it
    has_volume : whether the data have volumes
    signature : which of the two forms of execute_trade to write
    """

    strategy: str
    periods: tuple[int, int]
    combination: str
    threshold: str
    logic: str
    portfolio: str
    prefix: str
    fast_average: int
    slow_average: int
    rsi_period: int
    band_period: int
    volume_period: int
    use_volume: bool
    use_volatility: bool
    use_trend: bool
    signature: Literal["simple", "full"]
    has_volume: bool = True

    def lines(self) -> tuple[str, ...]:
        """Return the directives as the lines of a prompt."""
        fast, slow = self.periods
        filters = [
            name
            for name, used in (
                ("the volume against its average", self.use_volume),
                ("the recent volatility", self.use_volatility),
                ("the direction of the long trend", self.use_trend),
            )
            if used
        ]
        return (
            f"Strategy: {self.strategy}: {STRATEGIES[self.strategy]}.",
            f"Periods: {fast} days (fast) and {slow} days (slow).",
            f"Parameters to use where they fit: FAST_MA {self.fast_average}, "
            f"SLOW_MA {self.slow_average}, RSI {self.rsi_period}, bands {self.band_period}"
            f"{f', volume {self.volume_period}' if self.has_volume else ''} days.",
            f"Combination: {self.combination}.",
            f"Thresholds: {self.threshold}.",
            f"Logic: {self.logic}.",
            f"Position: {self.portfolio}.",
            f"Filters: {', '.join(filters) if filters else 'none'}.",
            f"Begin the names of your own variables and functions with {self.prefix}.",
        )


def directives_for(
    model_id: str, *, occurrence: int = 0, seed: int = 0, has_volume: bool = True
) -> Directives:
    """Return the directives of a model, which its form and the data allow it to follow.

    The simple form cannot size a position, so it is told to go all in and all out; where there
    are no volumes nobody is told to use them.

    Parameters
    ----------
    occurrence : 0 for the first time the model is named in a run, 1 for the second, ...
    seed : not negative; another seed gives every model other directives
    has_volume : whether the data have volumes
    """
    name = model_id if occurrence == 0 else f"{model_id}\n{occurrence}"
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    key = int.from_bytes(digest[:8], "big")
    draw = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key])))
    drawn = Directives(
        strategy=_one(draw, tuple(STRATEGIES)),
        periods=_one(draw, PERIODS),
        combination=_one(draw, COMBINATIONS),
        threshold=_one(draw, THRESHOLDS),
        logic=_one(draw, LOGICS),
        portfolio=_one(draw, PORTFOLIOS),
        prefix=f"v{digest[:3].hex()}_",
        fast_average=_one(draw, FAST_AVERAGES),
        slow_average=_one(draw, SLOW_AVERAGES),
        rsi_period=_one(draw, RSI_PERIODS),
        band_period=_one(draw, BAND_PERIODS),
        volume_period=_one(draw, VOLUME_PERIODS),
        use_volume=bool(draw.integers(2)),
        use_volatility=bool(draw.integers(2)),
        use_trend=bool(draw.integers(2)),
        signature="full" if draw.integers(2) else "simple",
        has_volume=has_volume,
    )
    if drawn.signature == "simple":
        drawn = replace(drawn, portfolio=PORTFOLIOS[0])
    if not has_volume:
        drawn = replace(drawn, use_volume=False)
        if drawn.strategy == _BY_VOLUME:
            others = tuple(name for name in STRATEGIES if name != _BY_VOLUME)
            drawn = replace(drawn, strategy=_one(draw, others))
    return drawn


def _one(draw: np.random.Generator, choices: Sequence[T]) -> T:
    return choices[int(draw.integers(len(choices)))]
