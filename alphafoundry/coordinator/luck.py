"""What is said of luck beside a Sharpe ratio that a search has chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping

from alphafoundry.evidence import Moments, deflated_sharpe_ratio


def deflated(
    metrics: Mapping[str, int | float | None], *, trials: int, bars_a_year: float
) -> float | None:
    """Return the probability that a Sharpe ratio is more than the luck of so many trials.

    The deflated Sharpe ratio of `alphafoundry.evidence`, for returns that are taken as normal and
    independent from day to day, since trials keep no daily returns. None without a Sharpe ratio or
    on fewer than two days.

    Parameters
    ----------
    metrics : of a backtest, days and the annual sharpe among them
    trials : that the best was chosen of; 1 where nothing was chosen on these days
    """
    days, sharpe = metrics.get("days"), metrics.get("sharpe")
    if sharpe is None or days is None or days < 2 or not math.isfinite(sharpe):
        return None
    daily = Moments(int(days), sharpe / math.sqrt(bars_a_year), 0.0, 3.0)
    return float(deflated_sharpe_ratio(daily, trials=max(trials, 1)))
