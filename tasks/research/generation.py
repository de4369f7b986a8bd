"""Inventing alphas: one task run per request to a generator."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.research.generation import Inventor, generator_of
from alphafoundry.research.proposals import KNOWN_ALREADY, Proposals, Proposer
from alphafoundry.research.run import ResearchRun
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT

LANGUAGE_MODEL_CAP = "llm-request"


@task(
    name="propose",
    task_run_name="propose {count} with the grammar",
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def propose_by_grammar(proposer: Proposer, count: int) -> Proposals:
    """Ask the embedded generator for ideas."""
    return _logged(await proposer.propose(count))


@task(
    name="propose",
    task_run_name="propose {count} with Ollama",
    tags=[LANGUAGE_MODEL_CAP],
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def propose_by_language_model(proposer: Proposer, count: int) -> Proposals:
    """Ask a language model for ideas, holding one slot of the cap on such requests."""
    with holding_slot():
        return _logged(await proposer.propose(count))


def _logged(proposals: Proposals) -> Proposals:
    refused = sum(one.reason != KNOWN_ALREADY for one in proposals.refused)
    get_run_logger().info("%d new ideas, %d refused", len(proposals.kept), refused)
    return proposals


@contextlib.asynccontextmanager
async def inventor(run: ResearchRun) -> AsyncIterator[Inventor]:
    """Give what invents alphas, by the generator of the settings.

    Raises
    ------
    ConfigurationError : the cap on requests to language models is missing
    """
    by_grammar = run.settings.generator == "grammar"
    if not by_grammar:
        await require_limit(LANGUAGE_MODEL_CAP)
    propose = propose_by_grammar if by_grammar else propose_by_language_model
    async with generator_of(run) as generator:
        yield Inventor(run, generator, propose)
