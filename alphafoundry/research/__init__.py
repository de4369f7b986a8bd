"""Research: inventing alphas, improving them, and choosing which to submit."""

from alphafoundry.research.combining import Combiner, Trial
from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.hopeful import HopefulRule, Threshold
from alphafoundry.research.ideas import IdeaGenerator
from alphafoundry.research.ollama_generator import OllamaGenerator
from alphafoundry.research.planted import classify
from alphafoundry.research.proposals import Outcome, Proposal, Proposals, Proposer, Refusal
from alphafoundry.research.selection import (
    Obstacle,
    PnlSeries,
    least_correlated_first,
    obstacles,
    submittable,
)

__all__ = [
    "Combiner",
    "GrammarGenerator",
    "HopefulRule",
    "IdeaGenerator",
    "Obstacle",
    "OllamaGenerator",
    "Outcome",
    "PnlSeries",
    "Proposal",
    "Proposals",
    "Proposer",
    "Refusal",
    "Threshold",
    "Trial",
    "classify",
    "least_correlated_first",
    "obstacles",
    "submittable",
]
