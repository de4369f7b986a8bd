"""How a book has done: figures, drawdowns, where its dollars came from, and the tear sheet.

series = ReturnSeries(dates, returns, benchmark)
statistics_of(series), sharpe_evidence(series, trials=40), drawdowns(series)
"""

from alphafoundry.performance.returns import ReturnSeries, returns_of_equity
from alphafoundry.performance.statistics import (
    LEAST_DAYS,
    Drawdown,
    SharpeEvidence,
    Statistics,
    by_period,
    drawdowns,
    monthly_table,
    rolling_beta,
    rolling_sharpe,
    rolling_volatility,
    sharpe_evidence,
    statistics_of,
)

__all__ = [
    "LEAST_DAYS",
    "Drawdown",
    "ReturnSeries",
    "SharpeEvidence",
    "Statistics",
    "by_period",
    "drawdowns",
    "monthly_table",
    "returns_of_equity",
    "rolling_beta",
    "rolling_sharpe",
    "rolling_volatility",
    "sharpe_evidence",
    "statistics_of",
]
