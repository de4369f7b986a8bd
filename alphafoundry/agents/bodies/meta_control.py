"""meta_control: the state of the desk, the way back of its agents, the end of strategies."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Literal

from pydantic import Field

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.load import lateness, relief
from alphafoundry.agents.registry import AgentContext, AgentResult, Control, Parameters, agent
from alphafoundry.agents.retirement import declines
from alphafoundry.agents.strategy_book import may_go, set_state, take_up
from alphafoundry.errors import FoundryError

OWN = "meta_control"
TRADING = ("data_sync", "risk_management", "portfolio_rebalancing", "execution")


class ControlParameters(Parameters):
    """Parameters of meta_control.

    Attributes
    ----------
    control_mode : "adaptive" changes the desk's state; "observe" only tells
    alert_threshold : with less mean health of the trading agents the desk only reduces
    auto_recovery : whether the desk becomes active again by itself, and agents that rest are
        probed; False keeps both for a person
    retire_strategies : whether a strategy that runs below what its search led to expect is retired
    late_threshold : share of its interval by which an agent of priority critical or high may begin
        late before agents that can wait run more seldom
    most_stretch : intervals that such an agent waits at most, and no more than four hours; 1
        stretches none
    """

    control_mode: Literal["adaptive", "observe"] = "adaptive"
    alert_threshold: float = Field(0.8, ge=0.0, le=1.0)
    auto_recovery: bool = True
    retire_strategies: bool = True
    late_threshold: float = Field(0.25, gt=0.0)
    most_stretch: int = Field(4, ge=1, le=16)


@agent(OWN, parameters=ControlParameters, seconds=1.0)
def meta_control(context: AgentContext) -> AgentResult:
    """Halt on a broken ledger, reduce while the trading agents are unwell, and come back.

    What a person has decided stays until a person changes it.
    """
    given, floor = context.parameters, floor_of(context)
    health = {
        name: round(state.health(context.now), 4)
        for name, state in context.agents.items()
        if name in TRADING
    }
    mean = sum(health.values()) / len(health) if health else 1.0
    broken = floor.broken()
    evidence = {"health": health, "alert_threshold": given.alert_threshold, "broken": broken}
    pause = {}
    if not given.auto_recovery:
        pause = {
            name: f"{state.failures_in_row} failures in a row; auto_recovery is false"
            for name, state in context.agents.items()
            if state.tripped_at is not None and state.paused is None
        }
    if broken is not None:
        wanted = Control(broken, "HALTED", pause, evidence)
    elif mean < given.alert_threshold:
        reason = f"mean health of the trading agents is {mean:.2f}, below {given.alert_threshold:g}"
        wanted = Control(reason, "REDUCING", pause, evidence)
    else:
        wanted = Control("the trading agents are well", "ACTIVE", pause, evidence)
    wanted = _with_relief(context, wanted)
    try:
        retired = _retire(context)
    except FoundryError as problem:
        # The state of the desk depends on no strategy.
        retired = [f"no strategy was judged: {problem}"]
    return AgentResult(
        "; ".join(retired), figures={"health": round(mean, 4)}, control=_allowed(context, wanted)
    )


def _with_relief(context: AgentContext, wanted: Control) -> Control:
    """Return it together with what is stretched or restored, for how late urgent agents begin."""
    given = context.parameters
    changed = relief(
        context.agents,
        context.priorities,
        now=context.now,
        threshold=given.late_threshold,
        most=given.most_stretch,
    )
    if not changed or given.control_mode == "observe":
        return wanted
    late, name = lateness(context.agents, context.priorities, context.now)
    reason = f"{name} begins {late:.0%} of its interval late, threshold {given.late_threshold:.0%}"
    evidence = {**wanted.evidence, "late": late, "late_threshold": given.late_threshold}
    changes_state = wanted.mode not in (None, context.mode)
    told = f"{wanted.reason}; {reason}" if changes_state else reason
    return replace(wanted, reason=told, stretch=changed, evidence=evidence)


def _retire(context: AgentContext) -> list[str]:
    """Retire strategies that have declined, once for each new day of bars; return lines.

    The last one that is no model stays, as models go with what they read: a desk without any would
    not even close its positions.
    """
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return []
    take_up(floor, context.now)
    until = str(floor.data_until)
    if (
        not floor.strategies
        or given.control_mode == "observe"
        or not given.retire_strategies
        or floor.results.get(OWN, {}).get("judged") == until
    ):
        return []
    floor.results[OWN] = {"judged": until}
    told = []
    over = [one for one in declines(floor) if one.is_over]
    for one in sorted(over, key=lambda decline: decline.threshold - decline.sum):
        if may_go(one.alpha_id, floor.strategies):
            set_state(
                floor,
                one.alpha_id,
                "retired",
                actor=OWN,
                now=context.now,
                reason=str(one),
                evidence=asdict(one),
            )
            told.append(f"{one.alpha_id} retired: {one}")
    return told


def _allowed(context: AgentContext, wanted: Control) -> Control | None:
    """Return what of it meta_control may do."""
    mode = wanted.mode
    if mode == context.mode or context.parameters.control_mode == "observe":
        mode = None
    elif mode == "ACTIVE":
        own = context.mode_actor == OWN and context.parameters.auto_recovery
        mode = mode if own and context.mode != "HALTED" else None
    elif mode == "REDUCING" and context.mode == "HALTED":
        mode = None
    if mode is None and not wanted.pause and not wanted.stretch:
        return None
    return replace(wanted, mode=mode)
