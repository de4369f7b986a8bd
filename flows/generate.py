"""Invent alpha expressions and simulate them: `python -m flows.generate`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.research.report import Report
from tasks.research.generation import inventor
from tasks.research.publishing import publish_report
from tasks.research.simulation import leftovers, simulate_all
from tasks.research.workbench import workbench


@flow(name="generate", flow_run_name="generate alphas")
async def generate(
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
    """Invent alpha expressions, simulate them, and keep the hopeful ones."""
    async with workbench("generate", locals()) as bench:
        await simulate_all(bench, leftovers(bench), phase="generate")
        async with inventor(bench) as generator_of_ideas:
            while ideas := await generator_of_ideas.invent():
                await simulate_all(bench, ideas, phase="generate")
        return await publish_report(bench)


if __name__ == "__main__":
    from flows.command_line import run

    run(generate, "flows.generate")
