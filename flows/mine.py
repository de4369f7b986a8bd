"""Add up and vary the strongest alphas: `python -m flows.mine`."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger

from alphafoundry.research.report import AlphasReport
from alphafoundry.research.simulation_queue import leftovers
from tasks.research.mining import search_from_found
from tasks.research.opening import judge_finalists
from tasks.research.run import publish_research, run_of_research
from tasks.research.simulation import simulate_all


@flow(name="mine", flow_run_name="mine the hopeful alphas")
async def mine(
    simulations: int | None = None,
    seed: int | None = None,
    brain: str | None = None,
    market: str | None = None,
    holdout: float | None = None,
    max_concurrent: int | None = None,
    credentials: str | None = None,
) -> AlphasReport:
    """Simulate sums of unlike alphas and variations of the strongest, and record what they gain."""
    async with run_of_research("mine", locals()) as run:
        await simulate_all(run, leftovers(run), phase="mine")
        search = search_from_found(run)
        while variants := await search.ask():
            await simulate_all(run, variants, phase="mine")
        get_run_logger().info("built on %d alphas", search.finish())
        if run.top_level and not run.stop.is_set():
            await judge_finalists(run)
        return await publish_research(run)


if __name__ == "__main__":
    from alphafoundry.research.checks import check_research
    from flows.command_line import Command, main

    main(mine, Command("flows.mine", check=check_research))
