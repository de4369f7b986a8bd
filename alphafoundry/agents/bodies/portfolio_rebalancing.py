"""portfolio_rebalancing: from the signals of the live strategies to orders for the close."""

from __future__ import annotations

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent


@agent("portfolio_rebalancing", parameters=Parameters, seconds=20.0)
def portfolio_rebalancing(context: AgentContext) -> AgentResult:
    """Write the orders of the session; none where the desk is halted."""
    floor = floor_of(context)
    if context.mode == "HALTED":
        return AgentResult("no orders: the desk is halted")
    if not floor.strategies:
        return AgentResult("no orders: no strategy is live")
    session = floor.session_of(context.now)
    risk = floor.results.get("risk_management", {})
    plan = floor.rebalancer().rebalance(
        session,
        floor.account.positions(),
        floor.account.equity(),
        not_shortable=floor.hard_to_borrow(),
        most_shares=risk.get("most_shares"),
        reduce_only=context.mode == "REDUCING" or bool(risk.get("only_reduce")),
    )
    count = floor.account.intend(
        plan.orders, session=session, now=context.now, data_until=plan.data_until
    )
    notes = "".join(f"; {note}" for note in plan.notes)
    return AgentResult(
        f"{count} orders for the close, {plan.answer.outcome}{notes}",
        figures={
            "orders": count,
            "names": len(plan.targets),
            "outcome": plan.answer.outcome,
            "data_until": plan.data_until.isoformat(),
        },
    )
