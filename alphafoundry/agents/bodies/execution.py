"""execution: compares with the broker, sends what is intended, and reads what was filled."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent


class ExecutionParameters(Parameters):
    """Parameters of execution; what cannot be chosen here is told by `check`.

    Attributes
    ----------
    execution_mode : "smart" is market on close, the only way on daily bars
    slippage_tolerance : fraction by which a fill may miss the close; more lowers the score
    max_order_size : shares of one order; a larger one is denied
    retry_failed_orders : True; an order whose fate is unknown is looked up, never sent anew
    execution_quality_monitoring : whether the score counts fills beyond the tolerance
    """

    execution_mode: Literal["smart"] = "smart"
    slippage_tolerance: float = Field(0.001, ge=0.0)
    max_order_size: int = Field(10_000, ge=1)
    retry_failed_orders: Literal[True] = True
    execution_quality_monitoring: bool = True


@agent("execution", parameters=ExecutionParameters, safe=True, seconds=3.0)
def execution(context: AgentContext) -> AgentResult:
    """Do one turn; where only what lessens risk may be done, orders that open wait."""
    floor = floor_of(context)
    session = floor.session_of(context.now)
    sent = floor.account.execute(context.now, mode=context.mode, only_reduce=context.only_safe)
    floor.broken_by = sent.broken
    score = None
    if context.parameters.execution_quality_monitoring:
        score = floor.account.fill_quality(session, context.parameters.slippage_tolerance)
    return AgentResult(sent.summary, score=score, figures=sent.figures)
