"""Early retirement: a strategy whose days run below what its search led to expect goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.strategy_book import strategy_returns
from alphafoundry.evidence import cusum_threshold, lower_cusum
from alphafoundry.store.strategies import read_strategies

SHRUNK = 0.5
"""Share of the mean of its search or vault that is expected to go on: the rest was luck."""

ONCE_IN = 2520.0
"""Days, ten years, in which a strategy or champion that is as expected is retired once."""

LEAST_ALLOWANCE = 0.02
_LEAST_DAYS = 60


@dataclass(frozen=True)
class Decline:
    """How far a strategy has run below its expectation; deviations of one of its days.

    Attributes
    ----------
    sessions : since it trades
    """

    alpha_id: str
    sum: float
    threshold: float
    sessions: int
    expected: float
    mean: float

    @property
    def is_over(self) -> bool:
        """Whether the sum has passed its threshold."""
        return self.sum > self.threshold

    def __str__(self) -> str:
        return (
            f"CUSUM {self.sum:.1f} over {self.threshold:.1f}: {self.mean:+.2e} a day in "
            f"{self.sessions} sessions, expected {self.expected:+.2e}"
        )


def declines(floor: TradingFloor) -> Iterator[Decline]:
    """Yield how every strategy that trades has done since it does, before costs.

    What is expected is half the mean of the days to its `data_until`; those between its search and
    its first session here are nobody's evidence. A strategy with fewer than 60 such days, or that
    never moved, is left out.
    """
    dates, returns = strategy_returns(floor)
    rows = {row.alpha_id: row for row in read_strategies(floor.store, floor.desk, state="live")}
    for number, one in enumerate(floor.rebalancer().history.strategies):
        row = rows.get(one.alpha_id)
        if row is None:
            continue
        searched = returns[number][dates <= np.datetime64(one.data_until)]
        began = floor.hours.local_day(int(row.changed_at.timestamp()))
        lived = returns[number][dates >= np.datetime64(began)]
        deviation = float(searched.std()) if len(searched) else 0.0
        if len(searched) < _LEAST_DAYS or not len(lived) or deviation <= 0.0:
            continue
        expected = SHRUNK * float(searched.mean())
        allowance = max(LEAST_ALLOWANCE, 0.5 * expected / deviation)
        yield Decline(
            one.alpha_id,
            lower_cusum(lived, mean=expected, deviation=deviation, allowance=allowance),
            cusum_threshold(allowance=allowance, run_length=ONCE_IN),
            len(lived),
            expected,
            float(lived.mean()),
        )
