"""`python -m tests.library.research.opening_killed HOME`: dies between plan and results."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from alphafoundry.research import opening
from alphafoundry.research.run import research_run
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from tests.library.research.searches import make_market


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(home: Path) -> None:
    settings = load_settings(environment={}, home=home, simulations=16)
    market = make_market(3, reversal=0.08)
    async with research_run(settings, flow="search", lanes=2, panel=market) as run:
        await search_all(run)
        opening.finish_opening = die  # type: ignore[assignment]
        opening.open_sealed_days(run)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
