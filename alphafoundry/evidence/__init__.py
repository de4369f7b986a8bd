"""Evidence: what luck could have made, and what it could not.

Statistics of daily PnL that allow for the number of trials, for dependence from day to day, and for
the choice of the best. Plain arrays in, numbers out; this room knows nothing of alphas or markets.
"""

from alphafoundry.evidence.bootstrap import (
    Band,
    band,
    block_length,
    common_block_length,
    draw_days,
    drawn_means,
    drawn_sharpe_ratios,
    drawn_with_gaps,
)
from alphafoundry.evidence.climbing import climb, lucky_share
from alphafoundry.evidence.cusum import cusum_threshold, lower_cusum
from alphafoundry.evidence.independence import IndependentTrials, independent_trials
from alphafoundry.evidence.mirror import MirroredPrices, mirror_prices
from alphafoundry.evidence.multiple_testing import (
    romano_wolf,
    t_statistics,
)
from alphafoundry.evidence.overfitting import Overfitting, overfitting
from alphafoundry.evidence.sharpe import (
    LuckLine,
    Moments,
    deflated_sharpe_ratio,
    effective_days,
    expected_maximum,
    long_run_variance_ratio,
    luck_line,
    maximum_quantile,
    minimum_backtest_years,
    minimum_track_record,
    moments,
    null_deviation,
    probabilistic_sharpe_ratio,
    published_expected_maximum,
    sharpe_ratio,
)
from alphafoundry.evidence.shrinkage import Shrunk, shrunk_sharpe_ratios
from alphafoundry.evidence.verdicts import Finding, Verdict, judge, opening_level

__all__ = [
    "Band",
    "Finding",
    "IndependentTrials",
    "LuckLine",
    "MirroredPrices",
    "Moments",
    "Overfitting",
    "Shrunk",
    "Verdict",
    "band",
    "block_length",
    "climb",
    "common_block_length",
    "cusum_threshold",
    "deflated_sharpe_ratio",
    "draw_days",
    "drawn_means",
    "drawn_sharpe_ratios",
    "drawn_with_gaps",
    "effective_days",
    "expected_maximum",
    "independent_trials",
    "judge",
    "long_run_variance_ratio",
    "lower_cusum",
    "luck_line",
    "lucky_share",
    "maximum_quantile",
    "minimum_backtest_years",
    "minimum_track_record",
    "mirror_prices",
    "moments",
    "null_deviation",
    "opening_level",
    "overfitting",
    "probabilistic_sharpe_ratio",
    "published_expected_maximum",
    "romano_wolf",
    "sharpe_ratio",
    "shrunk_sharpe_ratios",
    "t_statistics",
]
