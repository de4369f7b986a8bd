"""alert_manager: tells people of alerts, grouped, once, and when they are over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.hours import seconds
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.alert_addresses import in_one_line, open_addresses, send
from alphafoundry.errors import FoundryError
from alphafoundry.settings import load_settings
from alphafoundry.store.agent_tables import AgentAlertRow
from alphafoundry.store.agents import read_agent_alerts

OWN = "alert_manager"
MOST = 200


class AlertParameters(Parameters):
    """Parameters of alert_manager.

    Attributes
    ----------
    group_minutes : new alerts wait so long for others, and go in one message
    escalate_minutes : an alert that is open so long is told once more, louder
    """

    group_minutes: float = Field(5.0, ge=0.0)
    escalate_minutes: float = Field(60.0, gt=0.0)


@agent(OWN, parameters=AlertParameters, seconds=1.0)
def alert_manager(context: AgentContext) -> AgentResult:
    """Send one message about what is new, what lasts too long, and what is over."""
    floor, given = floor_of(context), context.parameters
    if floor.simulated:
        return AgentResult("a simulation tells nobody")
    told: dict[str, int] = dict(floor.results.get(OWN, {}).get("told", {}))
    loud: list[int] = list(floor.results.get(OWN, {}).get("loud", []))
    rows = read_agent_alerts(floor.store, floor.desk, limit=MOST)
    still = [one for one in rows if one.resolved_at is None]
    new = [one for one in still if str(one.id) not in told]
    over = [one for one in rows if one.resolved_at is not None and str(one.id) in told]
    ripe = any(context.now - seconds(one.at) >= given.group_minutes * 60 for one in new)
    lasting = [
        one
        for one in still
        if str(one.id) in told
        and one.id not in loud
        and context.now - told[str(one.id)] >= given.escalate_minutes * 60
    ]
    sent = 0
    if ripe or over or lasting:
        lines = _lines(new if ripe else [], lasting, over)
        sent = _send(floor.desk, lines, urgent=bool(lasting))
        told |= {str(one.id): context.now for one in new if ripe}
        loud += [one.id for one in lasting]
        gone = {str(one.id) for one in over}
        floor.results[OWN] = {
            "told": {key: at for key, at in told.items() if key not in gone},
            "loud": [one for one in loud if str(one) not in gone],
        }
    figures = {"open": len(still), "sent": sent}
    return AgentResult(f"{len(still)} alerts open, {sent} messages sent", figures=figures)


def _lines(
    new: Sequence[AgentAlertRow], lasting: Sequence[AgentAlertRow], over: Sequence[AgentAlertRow]
) -> list[str]:
    return [
        *(f"new: {one.key}: {in_one_line(one.text)} ({one.count}x)" for one in reversed(new)),
        *(
            f"still, since {one.at:%Y-%m-%d %H:%M} UTC: {one.key}: {in_one_line(one.text)}"
            for one in lasting
        ),
        *(f"resolved: {one.key}" for one in reversed(over)),
    ]


def _send(desk: str, lines: Sequence[str], *, urgent: bool) -> int:
    """Send a message to every address of the settings; return to how many.

    Raises FoundryError where one of them did not take it; the alerts count as untold then. The
    message names no address: they hold passwords.
    """
    given = load_settings().alert_addresses
    addresses = [] if given is None else given.get_secret_value().split()
    if not addresses:
        return 0
    kind: Literal["failure", "warning"] = "failure" if urgent else "warning"
    services = open_addresses(addresses, where="in alert_addresses")
    title, body = f"desk {desk}", "\n".join(lines)
    refused = [name for name, one in services.items() if not send(one, title, body, kind=kind)]
    if refused:
        told = ", ".join(refused)
        raise FoundryError(f"alerts: {told} did not take the message; it is sent again")
    return len(addresses)
