"""Research: inventing alphas, improving them, and choosing which to submit."""

from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.hopeful import HopefulRule, Threshold
from alphafoundry.research.mining import Miner, Scored
from alphafoundry.research.ollama_generator import OllamaGenerator
from alphafoundry.research.planted import classify
from alphafoundry.research.proposals import Outcome, Proposal, Proposals, Proposer, Refusal
from alphafoundry.research.scoring import mining_score
from alphafoundry.research.selection import (
    Obstacle,
    PnlSeries,
    least_correlated_first,
    obstacles,
    submittable,
)

__all__ = [
    "GrammarGenerator",
    "HopefulRule",
    "Miner",
    "Obstacle",
    "OllamaGenerator",
    "Outcome",
    "PnlSeries",
    "Proposal",
    "Proposals",
    "Proposer",
    "Refusal",
    "Scored",
    "Threshold",
    "classify",
    "least_correlated_first",
    "mining_score",
    "obstacles",
    "submittable",
]
