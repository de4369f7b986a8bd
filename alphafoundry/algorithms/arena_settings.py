"""How a race is run."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Literal

from alphafoundry.algorithms.contract import TOLERATED_FAILURES


@dataclass(frozen=True, kw_only=True)
class ArenaSettings:
    """How a race is run.

    Attributes
    ----------
    tickers : names to race on; empty takes the `most_tickers` with the largest traded value in
        the warm-up, a choice that knows nothing of the race
    most_tickers : see `tickers`
    cash : dollars at the start, in each ticker's account
    cost_bps : basis points of the traded value, paid on both sides
    warm_up : days that are history before the first decision
    first_day, last_day : bounds of the bars that are used, warm-up included
    periods : number of equal, consecutive parts that a return is also given for
    tolerated_failures : calls that may raise or answer no order, each counted as HOLD, before an
        algorithm is out. Time, memory, an exit or a forbidden act end it at once
    rank_by : what the leader board is sorted by, best first
    workers : algorithms that run at the same time; 0 is one per processor
    """

    tickers: tuple[str, ...] = ()
    most_tickers: int = 5
    cash: float = 10_000.0
    cost_bps: float = 5.0
    warm_up: int = 60
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    periods: int = 4
    tolerated_failures: int = TOLERATED_FAILURES
    rank_by: Literal["sharpe", "return"] = "sharpe"
    workers: int = 0

    def __post_init__(self) -> None:
        wrong = {
            "cash": not (math.isfinite(self.cash) and self.cash > 0),
            "cost_bps": not 0 <= self.cost_bps < 10_000,
            "warm_up": self.warm_up < 0,
            "most_tickers": self.most_tickers < 1,
            "periods": self.periods < 1,
            "tolerated_failures": self.tolerated_failures < 0,
            "workers": self.workers < 0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(f"ArenaSettings.{name}: {getattr(self, name)} is out of range")
