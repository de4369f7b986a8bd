"""What headlines say: of feeds, vendors or a generated market, scored from -1 to 1.

    score_headline("Harlan cuts costs, lifts outlook").value      # above 0

Scores are of a finance lexicon of this project's own, with events, negation and direction.
"""

from alphafoundry.sentiment.feeds import Entry, FeedAnswer, FeedReader
from alphafoundry.sentiment.headlines import Headline, Told, symbols_in
from alphafoundry.sentiment.news_vendors import (
    MOST_PAGES,
    NEWS_VENDORS,
    NewsQuotaExhausted,
    NewsVendor,
    VendorEntry,
    match_tickers,
    news_vendor_of,
)
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
    "MOST_PAGES",
    "NEWS_VENDORS",
    "Entry",
    "FeedAnswer",
    "FeedReader",
    "Foretold",
    "Headline",
    "NewsQuotaExhausted",
    "NewsVendor",
    "Planted",
    "Score",
    "Told",
    "VendorEntry",
    "balanced_accuracy",
    "classified",
    "foretold",
    "headlines_of_session",
    "lean_returns",
    "match_tickers",
    "news_vendor_of",
    "score_headline",
    "symbols_in",
]
