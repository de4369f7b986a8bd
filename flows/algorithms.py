"""Language models write trading algorithms that then race: `python -m flows.algorithms`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.algorithms.report import AlgorithmsReport
from tasks.algorithms.asking import ask_models
from tasks.algorithms.racing import race_algorithms, try_algorithms
from tasks.algorithms.run import publish_algorithms, run_of_algorithms


@flow(name="algorithms", flow_run_name="algorithms")
async def algorithms(
    models: list[str] | str | None = None,
    ticker: list[str] | str | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    market: str | None = None,
    holdout: float | None = None,
    seed: int | None = None,
    timeout: float | None = None,
    cache: bool | None = None,
    blind: bool | None = None,
    ollama_url: str | None = None,
) -> AlgorithmsReport:
    """Have language models write trading algorithms, check them, and race them."""
    async with run_of_algorithms(locals()) as run:
        await ask_models(run)
        await try_algorithms(run)
        result = await race_algorithms(run)
        return await publish_algorithms(run, result)


if __name__ == "__main__":
    from alphafoundry.algorithms.checks import check_algorithms
    from flows.command_line import Command, main

    main(algorithms, Command("flows.algorithms", check=check_algorithms))
