"""Daily bars as a panel: sources, validation, cache, universes and groups."""

from __future__ import annotations

from alphafoundry.market.files import load_frame
from alphafoundry.market.identity import DataVersion, Market
from alphafoundry.market.layouts import ReadOptions
from alphafoundry.market.loading import known_sources, load_market, market_of
from alphafoundry.market.panel import Panel, SeriesIssue
from alphafoundry.market.suitability import require_suitable

__all__ = [
    "DataVersion",
    "Market",
    "Panel",
    "ReadOptions",
    "SeriesIssue",
    "known_sources",
    "load_frame",
    "load_market",
    "market_of",
    "require_suitable",
]
