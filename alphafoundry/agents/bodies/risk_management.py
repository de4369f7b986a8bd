"""risk_management: measures the book, holds it against its limits, and sets the desk's state."""

from __future__ import annotations

from typing import Literal

import numpy as np

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Control, Parameters, agent
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.trading.risk import StopDecision, judge_risk

OWN = "risk_management"


class RiskParameters(Parameters):
    """Parameters of risk_management.

    Attributes
    ----------
    risk_metrics : which measures the tick keeps
    position_limits : whether limits that are passed change the desk's state
    stop_loss_enforcement : whether stops close positions, and a fall from the peak may halt
    portfolio_rebalancing : whether names over a limit get a reduced target
    stress_testing : whether the worst stress is kept and limited
    """

    risk_metrics: tuple[Literal["var", "cvar", "drawdown", "correlation"], ...] = (
        "var",
        "cvar",
        "drawdown",
        "correlation",
    )
    position_limits: bool = True
    stop_loss_enforcement: bool = True
    portfolio_rebalancing: bool = True
    stress_testing: bool = True


def _inputs(context: AgentContext) -> str:
    floor = floor_of(context)
    return f"{floor.data_until} {floor.account.version} {context.mode}"


@agent(OWN, parameters=RiskParameters, inputs_version=_inputs, seconds=8.0)
def risk_management(context: AgentContext) -> AgentResult:
    """Measure the book with the bars that are known; the first tick of a session foretells it."""
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return AgentResult("no bars yet")
    session = floor.session_of(context.now)
    holdings = dict(floor.account.positions())
    seen = floor.risk(floor.data_until, holdings, floor.account.equity())
    decision = judge_risk(seen, holdings, floor.rules.risk)
    named = seen.designated
    floor.foretell(session, None if named is None else named.value_at_risk)
    figures: dict[str, object] = {
        "gross": round(seen.gross, 6),
        "net": round(seen.net, 6),
        "beta": round(seen.beta, 6) if np.isfinite(seen.beta) else None,
        "zone": seen.exceptions.zone,
        "exceptions": str(seen.exceptions),
        "breaches": [f"{one.limit} {one.subject}".strip() for one in decision.breaches],
    }
    if named is not None and "var" in given.risk_metrics:
        figures["var"] = round(named.value_at_risk, 8)
    if named is not None and "cvar" in given.risk_metrics:
        figures["cvar"] = round(named.shortfall, 8)
    if "drawdown" in given.risk_metrics:
        figures["drawdown"] = round(seen.drawdown, 8)
    if "correlation" in given.risk_metrics and np.isfinite(seen.correlation):
        figures["correlation"] = round(seen.correlation, 6)
    if given.stress_testing and seen.stress:
        figures["stress"] = round(min(seen.stress.values()), 8)
    most = dict(decision.most_shares) if given.portfolio_rebalancing else {}
    told = ""
    if given.stop_loss_enforcement:
        stops = floor.judge_stops()
        _close_out(context, stops)
        most |= stops.most_shares
        figures["stopped"] = [str(one) for one in stops.stops]
        figures["only_reduce"] = list(stops.reasons)
        told = "".join(f"; {one}" for one in (*map(str, stops.stops), *stops.reasons))
    figures["most_shares"] = most
    floor.results[OWN] = figures
    breached = "; ".join(figures["breaches"]) if isinstance(figures["breaches"], list) else ""
    summary = (
        f"gross {seen.gross:.0%}, net {seen.net:+.1%}"
        + (f"; {breached}" if breached else "")
        + told
    )
    return AgentResult(summary, figures=figures, control=_control(context, decision.state, figures))


def _close_out(context: AgentContext, stops: StopDecision) -> None:
    """Order what was stopped to be closed from the next open on."""
    floor = floor_of(context)
    assert floor.data_until is not None
    following = next(one for one in floor.hours.sessions if one.day > floor.data_until)
    floor.account.close_out(stops.stops, session=following, now=context.now)


def _control(context: AgentContext, state: DeskMode, figures: dict[str, object]) -> Control | None:
    """Return the change of state that the limits ask for; back only from its own."""
    given: RiskParameters = context.parameters
    if state == "HALTED" and not given.stop_loss_enforcement:
        state = "REDUCING"
    if not given.position_limits or state == context.mode:
        return None
    graver = ("ACTIVE", "REDUCING", "HALTED")
    if graver.index(state) < graver.index(context.mode) and context.mode_actor != OWN:
        return None
    if context.mode == "HALTED":
        return None
    evidence = {name: figures[name] for name in ("breaches", "gross", "net", "zone")}
    listed = figures["breaches"]
    reason = "; ".join(listed) if isinstance(listed, list) and listed else "within every limit"
    return Control(reason, state, evidence=evidence)
