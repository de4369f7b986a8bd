"""An agent that tells how many names rose, and a condition on the day of the week."""

from alphafoundry.agents.conditions import ConditionKind
from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def breadth(context: AgentContext) -> AgentResult:
    """Tell the share of names that rose on the last day whose bars are known."""
    floor = floor_of(context)
    if floor.data_until is None:
        return AgentResult("no bars yet")
    returns = floor.panel.until(floor.data_until).fields["returns"][-1]
    return AgentResult(f"{(returns > 0).mean():.0%} of the names rose")


BREADTH = Agent("breadth", breadth)
WEEKDAY = ConditionKind("name", lambda seen: DAYS[utc(seen.now).weekday()], names=DAYS)
