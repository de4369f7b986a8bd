"""Inventing alphas: one task run per request to a generator."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.llm import ModelFleet, OllamaClient
from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.history import past_outcomes
from alphafoundry.research.ollama_generator import OllamaGenerator
from alphafoundry.research.proposals import KNOWN_ALREADY, Proposal, Proposals, Proposer
from alphafoundry.research.run import ResearchRun
from alphafoundry.store import SimulationPlan, SimulationRow
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT

LANGUAGE_MODEL_CAP = "llm-request"
FLEET_STATE = "model_fleet_state.json"
FRUITLESS_REQUESTS = 3
"""Requests in a row without a new idea after which a generator counts as exhausted."""


@task(
    name="propose",
    task_run_name="propose {count} with the grammar",
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def propose_by_grammar(proposer: Proposer, count: int) -> Proposals:
    """Ask the embedded generator for ideas."""
    return await proposer.propose(count)


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
        return await proposer.propose(count)


class Inventor:
    """Asks a generator for ideas until the budget is planned or nothing new comes."""

    def __init__(self, run: ResearchRun, proposer: Proposer) -> None:
        self._run = run
        self._proposer = proposer
        self._by_grammar = run.settings.generator == "grammar"
        self._fruitless = 0

    async def invent(self) -> list[SimulationRow]:
        """Return new simulations, planned in the store; empty when there is no more to do."""
        run = self._run
        while self._may_go_on():
            proposals = await self._propose()
            invalid = [one for one in proposals.refused if one.reason != KNOWN_ALREADY]
            run.refuse([(one.text, one.reason) for one in invalid], origin=self.origin)
            run.tally.duplicates += len(proposals.refused) - len(invalid)
            rows = run.plan(to_plan(proposal) for proposal in proposals.kept)
            get_run_logger().info("%d new ideas, %d refused", len(rows), len(invalid))
            self._fruitless = 0 if rows else self._fruitless + 1
            if rows:
                return rows
        return []

    def _may_go_on(self) -> bool:
        run = self._run
        return run.budget > 0 and run.goes_on and self._fruitless < FRUITLESS_REQUESTS

    @property
    def origin(self) -> str:
        """Name of the generator."""
        return self._run.settings.generator

    async def _propose(self) -> Proposals:
        if self._by_grammar:
            return await propose_by_grammar(self._proposer, self._run.budget)
        await require_limit(LANGUAGE_MODEL_CAP)
        count = min(self._run.settings.batch_size, self._run.budget)
        return await propose_by_language_model(self._proposer, count)


def to_plan(proposal: Proposal, parent_alpha_id: str | None = None) -> SimulationPlan:
    """Return the proposal as the store plans it."""
    return SimulationPlan(
        canonical=proposal.canonical,
        expression=proposal.expression,
        settings=proposal.settings.to_brain(),
        origin=proposal.origin,
        parent_alpha_id=parent_alpha_id,
        variation=proposal.variation,
    )


@contextlib.asynccontextmanager
async def inventor(run: ResearchRun) -> AsyncIterator[Inventor]:
    """Give the generator of the settings, with what was learned from earlier runs."""
    settings = run.settings
    history = past_outcomes(run.store, run.service)
    if settings.generator == "grammar":
        yield Inventor(
            run,
            GrammarGenerator(
                run.fields,
                run.operators,
                seed=settings.seed,
                settings=settings.alpha,
                history=history,
            ),
        )
        return
    ollama = settings.ollama
    async with OllamaClient(ollama.url, timeout=ollama.timeout) as client:
        fleet = ModelFleet(
            client,
            [model.name for model in ollama.models],
            state_path=settings.home / FLEET_STATE,
        )
        yield Inventor(
            run,
            OllamaGenerator(
                fleet,
                run.fields,
                run.operators,
                seed=settings.seed,
                settings=settings.alpha,
                history=history,
                per_request=settings.batch_size,
                temperature=ollama.temperature,
                top_p=ollama.top_p,
                num_predict=ollama.num_predict,
            ),
        )
