"""Fewer ticks of what can wait while the desk is late: whose interval is stretched, and when not.

Agents of priority critical and high are never stretched, nor those that are due once a day, and
none beyond four hours, so that an agent of the session has a tick in each. One step at a time, so
that each has shown what it does before the next.
"""

from __future__ import annotations

from collections.abc import Mapping

from alphafoundry.agents.health import AgentState
from alphafoundry.agents.schedule_file import Priority

URGENT = ("critical", "high")
ORDER = ("low", "medium")
"""Priorities whose agents are stretched, those first that are stretched first."""

LONGEST = 4 * 3600
"""Seconds that a stretched interval lasts at most."""

RESTORED_BELOW = 0.4
"""Share of the threshold below which one step is taken back; in between nothing changes."""


def lateness(
    states: Mapping[str, AgentState], priorities: Mapping[str, Priority], now: int
) -> tuple[float, str]:
    """Return how late the latest of the urgent agents begins, as a share of its interval, and it.

    (0, "") where there is none.
    """
    found = [
        (states[name].lateness(now), name) for name, one in priorities.items() if one in URGENT
    ]
    return max(found, default=(0.0, ""))


def relief(
    states: Mapping[str, AgentState],
    priorities: Mapping[str, Priority],
    *,
    now: int,
    threshold: float,
    most: int,
) -> dict[str, int]:
    """Return agent to its new stretch: of how many of its ticks one runs; empty for no change.

    Above the threshold the stretch of one priority is doubled, low before medium, up to `most` and
    to four hours; well below it the last step is taken back.

    Parameters
    ----------
    priorities : of the agents that run at an interval
    now : desk time
    threshold : share of an urgent agent's interval
    most : largest stretch
    """
    if not any(state.late or state.stretch > 1 for state in states.values()):
        # As nearly always, and asked every five minutes.
        return {}
    late, _ = lateness(states, priorities, now)
    if late <= threshold and all(states[name].stretch == 1 for name in priorities):
        return {}
    for priority in ORDER if late > threshold else reversed(ORDER):
        names = [name for name, one in priorities.items() if one == priority]
        if late > threshold:
            wanted = {
                name: min(2 * states[name].stretch, _most(states[name], most)) for name in names
            }
            changed = {
                name: every for name, every in wanted.items() if every != states[name].stretch
            }
        elif late < RESTORED_BELOW * threshold:
            changed = {
                name: states[name].stretch // 2 for name in names if states[name].stretch > 1
            }
        else:
            changed = {}
        if changed:
            return changed
    return {}


def _most(state: AgentState, most: int) -> int:
    """Return of how many of its ticks an agent runs one at least."""
    return min(most, max(1, int(LONGEST // state.interval)))
