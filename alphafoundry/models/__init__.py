"""Models that weigh what alphas say: learned with purge and embargo, judged as TRUTH demands.

samples = samples_of(panel.until(day), scores, days=750)
model = fit("ridge", samples, 0, 600, settings={}, seed=1)
rank_information(predictions(model, samples, 620, 750), samples.target[620:750])
"""

from alphafoundry.models.fitting import (
    MOST_ROWS,
    Ensemble,
    FittedModel,
    Kind,
    Ridge,
    Trees,
    fit,
    missing_package,
    read_model,
)
from alphafoundry.models.judging import (
    ENOUGH,
    Bet,
    VaultResult,
    beats,
    book_returns,
    open_vault,
)
from alphafoundry.models.networks import WINDOW, Network
from alphafoundry.models.samples import (
    HORIZON,
    Samples,
    rank_information,
    samples_of,
    walk_forward,
)
from alphafoundry.models.search import Candidate, Search, candidates, predictions, search

__all__ = [
    "ENOUGH",
    "HORIZON",
    "MOST_ROWS",
    "WINDOW",
    "Bet",
    "Candidate",
    "Ensemble",
    "FittedModel",
    "Kind",
    "Network",
    "Ridge",
    "Samples",
    "Search",
    "Trees",
    "VaultResult",
    "beats",
    "book_returns",
    "candidates",
    "fit",
    "missing_package",
    "open_vault",
    "predictions",
    "rank_information",
    "read_model",
    "samples_of",
    "search",
    "walk_forward",
]
