"""The daily pipeline, generate, mine, submit: `python -m flows.daily`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import AlphasReport
from flows.generate import generate
from flows.mine import mine
from flows.submit import submit
from tasks.research.opening import judge_finalists
from tasks.research.run import publish_research, run_of_research


@flow(name="daily", flow_run_name="daily")
async def daily(
    simulations: int | None = None,
    prescreen: int | None = None,
    generator: str | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    brain: str | None = None,
    market: str | None = None,
    holdout: float | None = None,
    max_concurrent: int | None = None,
    credentials: str | None = None,
    ollama_url: str | None = None,
) -> AlphasReport:
    """Generate alphas, mine the hopeful ones, judge the best on sealed days, and submit."""
    async with run_of_research("daily", locals()) as run:
        for_mining = round(run.budget * run.settings.mining.share)
        await generate(simulations=run.budget - for_mining)
        if run.goes_on:
            await mine(simulations=for_mining)
        if (unspent := run.unspent()) > 0:
            await generate(simulations=unspent)
        if not run.stop.is_set():
            await judge_finalists(run)
        if run.goes_on:
            await submit()
        return await publish_research(run)


if __name__ == "__main__":
    from alphafoundry.research.checks import check_research
    from flows.command_line import Command, main

    main(daily, Command("flows.daily", check=check_research))
