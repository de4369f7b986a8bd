"""What agents there are: functions registered by name.

    @agent("system_health", parameters=HealthParameters)
    def system_health(context: AgentContext) -> AgentResult: ...

A package may instead name an `Agent` under the entry points `alphafoundry.agents`. No agent asks
the wall clock or draws without its seed: both come with the context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from pydantic import ConfigDict

from alphafoundry.agents.health import AgentState
from alphafoundry.agents.packages import add_installed
from alphafoundry.agents.schedule_file import Priority
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.configuration import NumbersOnly
from alphafoundry.errors import ConfigurationError
from alphafoundry.seeds import generator

ENTRY_POINTS = "alphafoundry.agents"


class Parameters(NumbersOnly):
    """Base of an agent's parameters: typed, and nothing that it does not read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Control:
    """What an agent wants changed about the desk; done, and recorded, with the end of its tick.

    Attributes
    ----------
    mode : state of the desk, None leaves it
    pause : agent to why it is paused, or None to let it go on
    reason, evidence : why, and the figures behind it
    stretch : agent to of how many of its ticks one runs, 1 is each
    """

    reason: str
    mode: DeskMode | None = None
    pause: Mapping[str, str | None] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    stretch: Mapping[str, int] = field(default_factory=dict)


class AgentContext(NamedTuple):
    """What an agent has at hand for one tick.

    Attributes
    ----------
    floor : what the desk gave itself to stand on; its own agents expect a `TradingFloor`
    name, due_at : the tick; seconds since 1970
    now : desk time
    deadline : moment at which the run is killed
    parameters : of the agent, of its own type
    seed : of the desk
    only_safe : True where only what lessens risk may be done
    mode, mode_actor : state of the desk, and who set it; "" where nobody did
    agents : state of every agent
    priorities : agent to its priority, of those that run at an interval
    """

    floor: Any
    name: str
    due_at: int
    now: int
    deadline: int
    parameters: Any
    seed: int
    only_safe: bool = False
    mode: DeskMode = "ACTIVE"
    mode_actor: str = ""
    agents: Mapping[str, AgentState] = {}
    priorities: Mapping[str, Priority] = {}

    def random(self, *names: str | int) -> np.random.Generator:
        """Return the generator of this tick, the same however often it is run."""
        return generator(self.seed, self.name, self.due_at, *names)


@dataclass(frozen=True)
class AgentResult:
    """What a run gives back.

    Attributes
    ----------
    summary : one line for people
    score : how well it did, 0 to 1, where the agent can say; held against performance_threshold
    figures : plain values, kept with the tick
    control : what it wants changed about the desk
    """

    summary: str = ""
    score: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    control: Control | None = None


@dataclass(frozen=True)
class Agent:
    """One agent.

    Attributes
    ----------
    run : does one tick
    parameters : type of its parameters
    safe : whether it has a way to run that only lessens risk
    inputs_version : what a run would work on; a run of the same is left out as "unchanged"
    seconds : typical length of a run, from which a simulation draws
    """

    name: str
    run: Callable[[AgentContext], AgentResult]
    parameters: type[Parameters] = Parameters
    safe: bool = False
    inputs_version: Callable[[AgentContext], str | None] | None = None
    seconds: float = 1.0


_KNOWN: dict[str, Agent] = {}

Run = Callable[[AgentContext], AgentResult]


def agent(
    name: str,
    *,
    parameters: type[Parameters] = Parameters,
    safe: bool = False,
    inputs_version: Callable[[AgentContext], str | None] | None = None,
    seconds: float = 1.0,
) -> Callable[[Run], Run]:
    """Register a function as the agent of that name; see `Agent`.

    Raises ConfigurationError where the name is taken.
    """

    def register(run: Run) -> Run:
        if name in _KNOWN:
            raise ConfigurationError(f"agent {name!r} is there already; choose another name")
        _KNOWN[name] = Agent(name, run, parameters, safe, inputs_version, seconds)
        return run

    return register


def registered_agents() -> Mapping[str, Agent]:
    """Return every agent that was registered so far, and those of installed packages, by name."""
    add_installed(_KNOWN, ENTRY_POINTS, Agent, "@agent({!r})")
    return _KNOWN
