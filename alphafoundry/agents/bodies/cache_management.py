"""cache_management: gives back the room of what was cached and is not used any more."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pydantic import Field

from alphafoundry.agents.bodies.strategy_research import SCRATCH
from alphafoundry.agents.floor import floor_of
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.market.cache import forget_unused

OWN = "cache_management"
_DAY = 86_400


class CacheParameters(Parameters):
    """Parameters of cache_management.

    Attributes
    ----------
    unused_days : panels that no program has opened for so long are built again when wanted
    scratch_days : what a search that was killed left behind is kept so long
    """

    unused_days: float = Field(30.0, gt=0.0)
    scratch_days: float = Field(1.0, gt=0.0)


@agent(OWN, parameters=CacheParameters, seconds=3.0)
def cache_management(context: AgentContext) -> AgentResult:
    """Remove cached panels and leftovers that are old by the machine's own time."""
    floor, given = floor_of(context), context.parameters
    if floor.simulated:
        return AgentResult("a simulation touches no cache")
    now = time.time()
    count, size = forget_unused(floor.home / "cache", now - given.unused_days * _DAY)
    left = _forget_scratch(floor.home / SCRATCH, now - given.scratch_days * _DAY)
    return AgentResult(
        f"{count} panels of {size / 2**20:.1f} MiB and {left} leftovers removed",
        figures={"panels": count, "bytes": size, "leftovers": left},
    )


def _forget_scratch(folder: Path, before: float) -> int:
    if not folder.is_dir():
        return 0
    old = [path for path in folder.iterdir() if path.is_dir() and path.stat().st_mtime < before]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)
