"""What headlines say: read from feeds or made for a generated market, and scored from -1 to 1.

    score_headline("Harlan cuts costs, lifts outlook").value      # above 0

Scores are of a finance lexicon of this project's own, with events, negation and direction.
"""

from alphafoundry.sentiment.feeds import Entry, FeedAnswer, FeedReader
from alphafoundry.sentiment.headlines import Headline, symbols_in
from alphafoundry.sentiment.scoring import Score, score_headline
from alphafoundry.sentiment.synthetic import (
    LEAN_DAYS,
    Planted,
    headlines_of_session,
    lean_returns,
)
from alphafoundry.sentiment.value import (
    Foretold,
    balanced_accuracy,
    classified,
    foretold,
)

__all__ = [
    "LEAN_DAYS",
    "Entry",
    "FeedAnswer",
    "FeedReader",
    "Foretold",
    "Headline",
    "Planted",
    "Score",
    "balanced_accuracy",
    "classified",
    "foretold",
    "headlines_of_session",
    "lean_returns",
    "score_headline",
    "symbols_in",
]
