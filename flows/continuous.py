"""Generate and mine side by side until stopped: `python -m flows.continuous`."""

from __future__ import annotations

import asyncio
import os

from prefect import flow

from alphafoundry.research.continuous import keep_running, side_log, until_hopeful
from alphafoundry.research.report import AlphasReport
from flows.generate import generate
from flows.mine import mine
from tasks.research.run import publish_research, run_of_research

HOUR = 3600.0


@flow(name="continuous", flow_run_name="generate and mine until stopped")
async def continuous(
    simulations: int | None = None,
    prescreen: int | None = None,
    mining_interval: float | None = None,
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
    """Generate and mine at the same time until Ctrl-C; --simulations is the budget of a round.

    The miner begins as soon as there is a hopeful alpha, and looks again at least every mining
    interval. Nothing is submitted: that is `python -m flows.submit`, or its schedule.
    """
    async with run_of_research("continuous", locals()) as run:
        budget, interval = run.budget, run.settings.mining_interval_hours * HOUR
        seen: set[str] = set()
        orchestrator, generating, mining = map(side_log, ("continuous", "generate", "mine"))
        orchestrator.info("Max concurrent simulations: %d", run.lanes)

        async def generate_round(number: int) -> None:
            generating.info("Round %d begins", number + 1)
            report = await generate(simulations=budget, seed=run.settings.seed + number)
            generating.info("Round %d: %s", number + 1, report.one_line())

        async def mine_round(_: int) -> None:
            found = await until_hopeful(run, interval, seen)
            mining.info("Found %d alphas to mine", found)
            if found:
                report = await mine(simulations=budget)
                mining.info("Mined: %s", report.one_line())

        orchestrator.info("Alpha generator started with PID: %d", os.getpid())
        sides = asyncio.gather(
            keep_running(run, "Alpha generator", generate_round, generating),
            keep_running(run, "Alpha miner", mine_round, mining),
        )
        orchestrator.info("Both alpha generator and expression miner are running concurrently")
        await sides
        report = await publish_research(run)
        orchestrator.info("Stopped: %s", report.one_line())
        return report


if __name__ == "__main__":
    from alphafoundry.research.checks import check_research
    from flows.command_line import Command, main

    main(continuous, Command("flows.continuous", check=check_research, interrupted_status=0))
