"""Judge thousands of ideas in bulk on search days: `python -m flows.screen`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.screening_report import ScreeningReport
from alphafoundry.settings import load_settings
from tasks.research.generation import screened
from tasks.research.run import run_of_research
from tasks.research.screening import publish_screening

USUALLY = 2_000
"""Ideas where neither the flag nor the settings say how many."""


@flow(name="screen", flow_run_name="screen ideas")
async def screen(
    prescreen: int | None = None,
    generator: str | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    brain: str | None = None,
    market: str | None = None,
    holdout: float | None = None,
    credentials: str | None = None,
    ollama_url: str | None = None,
) -> ScreeningReport:
    """Judge thousands of ideas in bulk on search days, 2,000 without --prescreen, and show the
    best. None is simulated; the next run with --prescreen chooses among them, too.
    """
    given = locals()
    if prescreen is None and not load_settings().screen.ideas:
        given["prescreen"] = USUALLY
    async with run_of_research("screen", given) as run:
        return await publish_screening(run, await screened(run))


if __name__ == "__main__":
    from alphafoundry.research.checks import check_research
    from flows.command_line import Command, main

    main(screen, Command("flows.screen", check=check_research))
