"""The same search where there is nothing to find: `python -m flows.placebo`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.placebo_report import PlaceboReport
from tasks.research.placebo import make_searches, publish_placebo, run_of_placebo


@flow(name="placebo", flow_run_name="placebo")
async def placebo(
    runs: int | None = None,
    mirror: str | None = None,
    simulations: int | None = None,
    seed: int | None = None,
    market: str | None = None,
    holdout: float | None = None,
    max_concurrent: int | None = None,
) -> PlaceboReport:
    """Search the market, and mirrored prices of it on which there is nothing to find.

    How many of the mirrored ones give as much as the true prices is the p-value of the whole
    search, its climbing and its choosing included. Every search begins with an empty database, and
    sees search days only. A search that was made is not made again.
    """
    async with run_of_placebo(locals()) as run:
        await make_searches(run)
        return await publish_placebo(run)


if __name__ == "__main__":
    from alphafoundry.research.checks import check_placebo_research
    from flows.command_line import Command, main

    main(placebo, Command("flows.placebo", check=check_placebo_research))
