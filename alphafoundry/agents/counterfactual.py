"""The counterfactual desk: the schedule of a desk without one agent, limit or cost."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from alphafoundry.agents.rules import SECTION
from alphafoundry.agents.schedule import Schedule, stored_schedule
from alphafoundry.configuration import suggest
from alphafoundry.errors import ConfigurationError
from alphafoundry.store.agent_tables import AgentDeskRow

NOTHING = 0.0
FAR = 1e6
"""A share of equity, or a number of sessions, that no book comes to."""

MOST_SHARES = 10**9
"""Shares that no order comes to; without a value execution has a limit of its own."""

_BY_MARGIN = ("gross", "net", "name", "sector", "turnover")
"""Limits beyond which the broker's margin opens nothing: the most that it gives stands for none."""

LIMITS: Mapping[str, float | int | None] = {
    **{f"limits.{name}": FAR for name in _BY_MARGIN},
    "limits.participation": FAR,
    "limits.days_to_sell": FAR,
    "limits.minimum_trade": NOTHING,
    **{
        f"risk.{name}": FAR
        for name in (
            *("value_at_risk", "gross", "net", "name", "sector", "beta"),
            *("liquidity_days", "stress", "drawdown", "halt_drawdown"),
        )
    },
    "stops.stop_loss": None,
    "stops.cooldown": 0,
    "stops.guard_stops": 0,
    "stops.drawdown": None,
    **{
        f"orders.{name}": None
        for name in ("max_order_value", "max_order_shares", "max_gross", "max_name")
    },
    "broker.participation": 1.0,
    "broker.auction_participation": 1.0,
}
"""Limit to the value that lets everything pass; those of `_BY_MARGIN` are cut to the margin."""

COSTS: Mapping[str, tuple[str, ...]] = {
    "spread": ("costs.spread_bps", "broker.half_spread"),
    "commission": ("costs.commission_bps", "broker.commission_per_share"),
    "impact": ("costs.impact", "broker.impact"),
    "borrow": ("costs.borrow", "broker.borrow_rate"),
    "interest": ("broker.interest_rate",),
}
"""Cost to what the rebalancing expects of it and what the broker charges."""


def schedule_without(values: Mapping[str, Any], names: Sequence[str], environment: str) -> Schedule:
    """Return the schedule of a desk without agents, limits or costs.

    An agent that is left out is disabled, and whoever depends on it does so no more. A limit lets
    everything pass that the broker's margin does. A cost is neither expected nor charged.

    Parameters
    ----------
    values : the stored schedule of the desk
    names : an agent; a limit as it stands under `desk` of the schedule, such as limits.sector; a
        cost: spread, commission, impact, borrow, interest; or costs, which is all of them

    Raises ConfigurationError for a name that is none of these, for an agent that the desk does not
    have, and for a limit or cost that is none already.
    """
    changed = copy.deepcopy(dict(values))
    for name in names:
        before = copy.deepcopy(changed)
        _take_out(changed, name, environment)
        if changed == before:
            raise ConfigurationError(f"--without {name}: this desk has none; nothing would change")
    return stored_schedule(changed, environment=environment)


def counterfactual_of(desk: AgentDeskRow, without: Sequence[str]) -> dict[str, Any]:
    """Return what the settings of a desk hold of the one that it is simulated like.

    Nothing where it is the same desk once more; a counterfactual that is done again stays one.

    without : agents, limits and costs that the new desk lacks besides
    """
    left_out = [*desk.settings.get("without", ()), *without]
    return {"like": desk.settings.get("like", desk.name), "without": left_out} if left_out else {}


def _take_out(values: dict[str, Any], name: str, environment: str) -> None:
    rules = values.setdefault(SECTION, {})
    if name == "costs" or name in COSTS:
        for cost in COSTS if name == "costs" else (name,):
            for key in COSTS[cost]:
                _set(rules, key, NOTHING)
        return
    if name in LIMITS:
        given = LIMITS[name]
        if name.partition(".")[2] in _BY_MARGIN and name.startswith("limits."):
            margin = float(stored_schedule(values, environment=environment).rules.broker.multiplier)
            # A session can close all that is held and open as much.
            given = 2.0 * margin if name == "limits.turnover" else margin
        _set(rules, name, given)
        if name == "orders.max_order_shares" and "execution" in values["tasks"]:
            given_to = values["tasks"]["execution"].setdefault("parameters", {})
            given_to["max_order_size"] = MOST_SHARES
        return
    tasks = values["tasks"]
    enabled = [one for one, task in tasks.items() if task.get("enabled", True)]
    if name not in enabled:
        known = [*enabled, *LIMITS, *COSTS, "costs"]
        raise ConfigurationError(
            f"--without {name}: is no agent, limit or cost of this desk; {suggest(name, known)}"
        )
    if len(enabled) == 1:
        raise ConfigurationError(f"--without {name}: is the last agent of this desk")
    tasks[name]["enabled"] = False
    for task in tasks.values():
        waits = task.get("dependencies")
        if isinstance(waits, dict):
            task["dependencies"] = {key: rule for key, rule in waits.items() if key != name}
        elif waits:
            task["dependencies"] = [key for key in waits if key != name]


def _set(rules: dict[str, Any], key: str, value: float | None) -> None:
    part, _, field = key.partition(".")
    rules.setdefault(part, {})[field] = value
