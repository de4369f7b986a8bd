"""Fewer simulations at once while the machine is short of memory."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

from alphafoundry.supervisor.sampling import Level
from tasks.prefect.limits import require_limit

CAP = "simulation"
"""The one that is lowered: each of its slots holds the memory of a simulation."""

STEPS: dict[Level, int] = {"fine": 0, "tight": 1, "critical": 2}
"""By how much the cap is lowered."""


class Throttle:
    """Steps a cap down and back; it is never below 1 and never above what is configured.

    A run that begins meanwhile sets the cap as it is configured, so each look sets it anew.
    """

    def __init__(self, cap: str, size: int) -> None:
        self._cap = cap
        self._size = size
        self._lowered = False

    async def follow(self, level: Level) -> str | None:
        """Set the cap for a level; return what was done, in words, None where it stays."""
        wanted = max(1, self._size - STEPS[level])
        if wanted == self._size and not self._lowered:
            return None
        before = await require_limit(self._cap)
        self._lowered = wanted < self._size
        if before == wanted:
            return None
        async with get_client() as client:
            await client.update_global_concurrency_limit(
                f"tag:{self._cap}", GlobalConcurrencyLimitUpdate(limit=wanted)
            )
        return f"the machine is {level}: the cap {self._cap} is {wanted} of {self._size}"

    async def give_back(self) -> None:
        """Set the cap as it is configured, where it was lowered."""
        await self.follow("fine")
