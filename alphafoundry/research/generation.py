"""Inventing alphas: a generator is asked until the budget is planned or nothing new comes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from alphafoundry.llm import ModelFleet, OllamaClient
from alphafoundry.research.history import past_outcomes
from alphafoundry.research.ideas import IdeaGenerator
from alphafoundry.research.ollama_generator import OllamaGenerator
from alphafoundry.research.proposals import KNOWN_ALREADY, Proposal, Proposals, Proposer
from alphafoundry.research.run import ResearchRun
from alphafoundry.store import SimulationPlan, SimulationRow

FLEET_STATE = "model_fleet_state.json"
FRUITLESS_REQUESTS = 3
"""Requests in a row without a new idea after which a generator counts as exhausted."""

Propose = Callable[[Proposer, int], Awaitable[Proposals]]


class Inventor:
    """Asks a generator for ideas until the budget is planned or nothing new comes.

    Parameters
    ----------
    propose : asks the generator for so many ideas
    """

    def __init__(self, run: ResearchRun, proposer: Proposer, propose: Propose) -> None:
        self._run = run
        self._proposer = proposer
        self._propose = propose
        self._fruitless = 0

    async def invent(self) -> list[SimulationRow]:
        """Return new simulations, planned in the store; empty when there is no more to do."""
        run = self._run
        while self._may_go_on():
            proposals = await self._propose(self._proposer, self._count())
            invalid = [one for one in proposals.refused if one.reason != KNOWN_ALREADY]
            run.refuse([(one.text, one.reason) for one in invalid], origin=run.settings.generator)
            run.tally.duplicates += len(proposals.refused) - len(invalid)
            rows = run.plan(to_plan(proposal) for proposal in proposals.kept)
            self._fruitless = 0 if rows else self._fruitless + 1
            if rows:
                return rows
        return []

    def _may_go_on(self) -> bool:
        run = self._run
        return run.budget > 0 and run.goes_on and self._fruitless < FRUITLESS_REQUESTS

    def _count(self) -> int:
        """Return how many ideas to ask for: of a language model a few at a time."""
        settings, budget = self._run.settings, self._run.budget
        return budget if settings.generator == "grammar" else min(settings.batch_size, budget)


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
async def generator_of(run: ResearchRun) -> AsyncIterator[Proposer]:
    """Give the generator of the settings, with what was learned from earlier runs."""
    settings = run.settings
    history = past_outcomes(run.store, run.service)
    if settings.generator == "grammar":
        yield IdeaGenerator(
            run.fields,
            run.operators,
            seed=settings.seed,
            settings=settings.alpha,
            history=history,
            formulas=settings.ideas.formulas,
            templates=settings.ideas.templates,
        )
        return
    ollama = settings.ollama
    async with OllamaClient(ollama.url, timeout=ollama.timeout) as client:
        fleet = ModelFleet(
            client,
            ollama.fleet(),
            state_path=settings.home / FLEET_STATE,
        )
        yield OllamaGenerator(
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
            think=ollama.think,
        )
