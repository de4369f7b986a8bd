"""The risk of a book, the limits on it, and stops. Writes nothing and asks no clock.

On an evening, with bars up to that day:

    seen = measure_risk(panel, day, {"SYN001": 120}, 1_000_000.0,
                        BookHistory(returns, hypothetical, value_at_risk))
    verdict = judge_risk(seen, {"SYN001": 120}, RiskLimits())
    verdict.state                        # ACTIVE, REDUCING or HALTED
    stops = judge_stops(StopRules(), sessions=days, positions=held, closes=closes,
                        past_stops=earlier, returns=returns)

and on the next session both go into the rebalancing:

    most = {**verdict.most_shares, **stops.most_shares}
    desk.rebalance(session, holdings, equity, most_shares=most,
                   reduce_only=verdict.state != "ACTIVE" or stops.reduce_only)

`stops.stops` are sold at the next open. The designated value at risk of a snapshot is kept by the
caller and comes back in `BookHistory`, where it is judged.
"""

from __future__ import annotations

from alphafoundry.trading.risk.backtesting import (
    ExceptionTest,
    christoffersen,
    judge_exceptions,
    kupiec,
)
from alphafoundry.trading.risk.correlation import ShrunkCorrelation, shrunk_correlation
from alphafoundry.trading.risk.limits import (
    Breach,
    DeskState,
    RiskDecision,
    RiskLimits,
    judge_risk,
)
from alphafoundry.trading.risk.measures import (
    TailRisk,
    tail_risk,
)
from alphafoundry.trading.risk.snapshot import BookHistory, RiskMemory, RiskSnapshot, measure_risk
from alphafoundry.trading.risk.stops import Position, Stop, StopDecision, StopRules, judge_stops

__all__ = [
    "BookHistory",
    "Breach",
    "DeskState",
    "ExceptionTest",
    "Position",
    "RiskDecision",
    "RiskLimits",
    "RiskMemory",
    "RiskSnapshot",
    "ShrunkCorrelation",
    "Stop",
    "StopDecision",
    "StopRules",
    "TailRisk",
    "christoffersen",
    "judge_exceptions",
    "judge_risk",
    "judge_stops",
    "kupiec",
    "measure_risk",
    "shrunk_correlation",
    "tail_risk",
]
