"""Invent alpha expressions and simulate them: `python -m flows.generate`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import AlphasReport
from alphafoundry.research.simulation_queue import leftovers
from tasks.research.generation import inventor
from tasks.research.opening import judge_finalists
from tasks.research.run import publish_research, run_of_research
from tasks.research.simulation import simulate_all


@flow(name="generate", flow_run_name="generate alphas")
async def generate(
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
    """Invent alpha expressions, simulate them, and keep the hopeful ones."""
    async with run_of_research("generate", locals()) as run:
        await simulate_all(run, leftovers(run), phase="generate")
        async with inventor(run) as generator_of_ideas:
            while ideas := await generator_of_ideas.invent():
                await simulate_all(run, ideas, phase="generate")
        if run.top_level and not run.stop.is_set():
            await judge_finalists(run)
        return await publish_research(run)


if __name__ == "__main__":
    from alphafoundry.research.checks import check_research
    from flows.command_line import Command, main

    main(generate, Command("flows.generate", check=check_research))
