"""What generators and miners hand on: proposals to simulate, and texts they refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alphafoundry.simulation.settings import SimulationSettings

KNOWN_ALREADY = "proposed or simulated before"
"""Reason of a refusal that says nothing against the text itself."""

MINER = "miner"
"""Origin of what was made from alphas that were simulated before."""


@dataclass(frozen=True)
class Proposal:
    """An alpha worth a simulation.

    Attributes
    ----------
    expression : FASTEXPR text
    canonical : the same for every text of equal meaning
    settings : what to simulate it with
    origin : "grammar", "formula", "template", "ollama" or "miner"
    parent : canonical form of the expression it varies; None where it has none
    variation : kind of variation and what changed, "window: 20 -> 24"; None for a fresh idea
    """

    expression: str
    canonical: str
    settings: SimulationSettings
    origin: str
    parent: str | None = None
    variation: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A text that did not become a proposal.

    Attributes
    ----------
    text : what was read, as it was written
    reason : one line: why it is no use
    """

    text: str
    reason: str


@dataclass(frozen=True)
class Proposals:
    """What one request to a generator gave.

    Attributes
    ----------
    kept : proposals in the order in which they came, without repetition
    refused : texts left out, with the reason for each
    """

    kept: list[Proposal]
    refused: list[Refusal]


class Proposer(Protocol):
    """Anything that invents alphas."""

    async def propose(self, count: int) -> Proposals:
        """Return up to `count` new proposals, none of which it has proposed before."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of an expression that was simulated.

    Attributes
    ----------
    expression : FASTEXPR text
    fitness : BRAIN's fitness, None or NaN where the simulation failed
    """

    expression: str
    fitness: float | None
