"""Vary the hopeful alphas and keep what is better: `python -m flows.mine`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import Report
from tasks.research.mining import Search
from tasks.research.publishing import publish_report
from tasks.research.simulation import leftovers, simulate_all
from tasks.research.workbench import workbench


@flow(name="mine", flow_run_name="mine the hopeful alphas")
async def mine(
    simulations: int | None = None,
    seed: int | None = None,
    brain: str | None = None,
    market: str | None = None,
    max_concurrent: int | None = None,
    credentials: str | None = None,
) -> Report:
    """Simulate variations of the hopeful alphas, best chances first, and record what they gain."""
    async with workbench("mine", locals()) as bench:
        await simulate_all(bench, leftovers(bench), phase="mine")
        search = Search(bench)
        while variants := await search.ask():
            search.tell(await simulate_all(bench, variants, phase="mine"))
        search.finish()
        return await publish_report(bench)


if __name__ == "__main__":
    from flows.command_line import run

    run(mine, "flows.mine")
