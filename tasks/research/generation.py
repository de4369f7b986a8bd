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
from alphafoundry.research.workbench import Workbench
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

    def __init__(self, bench: Workbench, proposer: Proposer) -> None:
        self._bench = bench
        self._proposer = proposer
        self._by_grammar = bench.settings.generator == "grammar"
        self._fruitless = 0

    async def invent(self) -> list[SimulationRow]:
        """Return new simulations, planned in the store; empty when there is no more to do."""
        bench = self._bench
        while self._may_go_on():
            proposals = await self._propose()
            invalid = [one for one in proposals.refused if one.reason != KNOWN_ALREADY]
            bench.refuse([(one.text, one.reason) for one in invalid], origin=self.origin)
            bench.tally.duplicates += len(proposals.refused) - len(invalid)
            rows = bench.plan(to_plan(proposal) for proposal in proposals.kept)
            get_run_logger().info("%d new ideas, %d refused", len(rows), len(invalid))
            self._fruitless = 0 if rows else self._fruitless + 1
            if rows:
                return rows
        return []

    def _may_go_on(self) -> bool:
        bench = self._bench
        asked_to_end = bench.stop.is_set() or bench.halted
        return bench.budget > 0 and not asked_to_end and self._fruitless < FRUITLESS_REQUESTS

    @property
    def origin(self) -> str:
        """Name of the generator."""
        return self._bench.settings.generator

    async def _propose(self) -> Proposals:
        if self._by_grammar:
            return await propose_by_grammar(self._proposer, self._bench.budget)
        await require_limit(LANGUAGE_MODEL_CAP)
        count = min(self._bench.settings.batch_size, self._bench.budget)
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
async def inventor(bench: Workbench) -> AsyncIterator[Inventor]:
    """Give the generator of the settings, with what was learned from earlier runs."""
    settings = bench.settings
    history = past_outcomes(bench.store, bench.service)
    if settings.generator == "grammar":
        yield Inventor(
            bench,
            GrammarGenerator(
                bench.fields,
                bench.operators,
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
            ollama.fleet(),
            state_path=settings.home / FLEET_STATE,
        )
        yield Inventor(
            bench,
            OllamaGenerator(
                fleet,
                bench.fields,
                bench.operators,
                seed=settings.seed,
                settings=settings.alpha,
                history=history,
                per_request=settings.batch_size,
                temperature=ollama.temperature,
                top_p=ollama.top_p,
                num_predict=ollama.num_predict,
            ),
        )
