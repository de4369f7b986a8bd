"""Generation of trading algorithms under the names that older programs import."""

from __future__ import annotations

import asyncio

import httpx

from alphafoundry.algorithms import (
    _generate_algorithms_for_agents_async,
    generate_algorithm_async,
    generate_algorithms_for_agents,
)

__all__ = [
    "_generate_algorithms_for_agents_async",
    "generate_algorithm",
    "generate_algorithm_async",
    "generate_algorithms_for_agents",
]


def generate_algorithm(model_id: str, prompt_text: str) -> str | None:
    """Return the program that a model writes for a prompt, None where nothing usable came."""

    async def work() -> str | None:
        async with httpx.AsyncClient() as client:
            return await generate_algorithm_async(client, model_id, prompt_text)

    return asyncio.run(work())
