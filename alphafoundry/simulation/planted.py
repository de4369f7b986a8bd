"""What an alpha owes to the effects planted in a market whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.finance.statistics import deviation
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.pnl import BOOK, DailyPnl, lag


@dataclass(frozen=True)
class Attribution:
    """The planted part of an alpha's PnL.

    Attributes
    ----------
    shares : effect to its expected PnL over the PnL that came about (1.2 is 120 %, so noise cost
        a sixth of it); NaN where the PnL is 0
    expected_sharpe : Sharpe if the mean of daily PnL were the planted effects' and its spread
        what it was; NaN where the PnL never changes
    """

    shares: Mapping[str, float]
    expected_sharpe: float


def attribute(
    weights: NDArray[np.float64], panel: Panel, days: DailyPnl, *, delay: int
) -> Attribution | None:
    """Return what the planted effects explain, None on a market whose truth is not known.

    Parameters
    ----------
    weights : shape (n_days of the panel, n_instruments)
    days : the last days of the panel, from the first position on

    Formula: expected PnL of an effect = sum over days and names of position * the return that
    the effect added on average; a name without a return that day counts nothing.
    """
    if not panel.truth:
        return None
    from alphafoundry.simulation import kernels

    returns = panel.fields["returns"]
    expected = {
        effect: BOOK * float(kernels.expected_profit(weights, truth, returns, lag(delay)).sum())
        for effect, truth in panel.truth.items()
    }
    total, spread = float(days.pnl.sum()), deviation(days.pnl)
    mean = sum(expected.values()) / len(days)
    return Attribution(
        {effect: pnl / total if total else math.nan for effect, pnl in expected.items()},
        math.sqrt(days.bars_a_year) * mean / spread if spread else math.nan,
    )
