"""Language models write trading algorithms that then race: `python -m flows.algorithms`."""

from __future__ import annotations

from prefect import flow

from alphafoundry.algorithms.report import AlgorithmsReport
from tasks.algorithms.asking import (
    ask_models,
    publish_algorithms,
    race_algorithms,
    studio,
    try_algorithms,
)


@flow(name="algorithms", flow_run_name="algorithms")
async def algorithms(
    models: list[str] | str | None = None,
    ticker: list[str] | str | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    market: str | None = None,
    seed: int | None = None,
    timeout: float | None = None,
    cache: bool | None = None,
    ollama_url: str | None = None,
) -> AlgorithmsReport:
    """Have language models write trading algorithms, check them, and race them."""
    async with studio(locals()) as room:
        await ask_models(room)
        await try_algorithms(room)
        result = await race_algorithms(room)
        return await publish_algorithms(room, result)


if __name__ == "__main__":
    from flows.command_line import run
    from flows.leader_board import print_algorithms

    run(algorithms, "flows.algorithms", show=print_algorithms)
