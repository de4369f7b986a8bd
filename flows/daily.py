"""The daily pipeline, generate, mine, submit: `python -m flows.daily`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import Report
from flows.generate import generate
from flows.mine import mine
from flows.submit import submit
from tasks.research.publishing import publish_report
from tasks.research.workbench import workbench


@flow(name="daily", flow_run_name="daily")
async def daily(
    simulations: int | None = None,
    generator: str | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    brain: str | None = None,
    market: str | None = None,
    max_concurrent: int | None = None,
    credentials: str | None = None,
    ollama_url: str | None = None,
) -> Report:
    """Generate alphas, mine the hopeful ones, and submit the best of the day."""
    async with workbench("daily", locals()) as bench:
        for_mining = round(bench.budget * bench.settings.mining.share)
        await generate(simulations=bench.budget - for_mining)
        await mine(simulations=for_mining)
        if (unspent := bench.unspent()) > 0:
            await generate(simulations=unspent)
        await submit()
        return await publish_report(bench)


if __name__ == "__main__":
    from flows.command_line import run

    run(daily, "flows.daily")
