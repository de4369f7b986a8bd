"""Inventing alphas: one task run per request to a generator."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.research.generation import Inventor, Propose, generator_of
from alphafoundry.research.proposals import KNOWN_ALREADY, Proposals, Proposer
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.screening import ScreenedIdeas, Screening
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT
from tasks.research.screening import screen_all

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
async def _source(run: ResearchRun) -> AsyncIterator[tuple[Proposer, Propose]]:
    """Give the generator of the settings and the task that asks it.

    Raises
    ------
    ConfigurationError : the cap on requests to language models is missing
    """
    by_grammar = run.settings.generator == "grammar"
    if not by_grammar:
        await require_limit(LANGUAGE_MODEL_CAP)
    async with generator_of(run) as generator:
        yield generator, propose_by_grammar if by_grammar else propose_by_language_model


@contextlib.asynccontextmanager
async def inventor(run: ResearchRun) -> AsyncIterator[Inventor]:
    """Give what invents alphas; where the settings screen ideas, this screens them first.

    Raises
    ------
    ConfigurationError : the cap on requests to language models is missing
    """
    async with _source(run) as (generator, propose):
        if run.settings.screen.ideas:
            best_first = ScreenedIdeas(await screen_all(run, generator, propose), generator)
            yield Inventor(run, best_first, propose)
        else:
            yield Inventor(run, generator, propose)


async def screened(run: ResearchRun) -> Screening:
    """Screen as many ideas as the settings say."""
    async with _source(run) as (source, propose):
        return await screen_all(run, source, propose)
