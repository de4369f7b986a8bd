"""The agents of the desk, its own and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping

from alphafoundry.agents import bodies
from alphafoundry.agents.registry import Agent, registered_agents


def known_agents() -> Mapping[str, Agent]:
    """Return every agent by name."""
    assert bodies.__all__
    return registered_agents()
