"""Whether there is severe news: of the market, or of many of its names at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OWN = "sentiment_fetch"
WINDOW = 4 * 3600
MANY = 0.05
"""Share of the names: in a large market somebody is always in trouble."""


def severe_now(results: Mapping[str, Mapping[str, Any]], now: int, names: int) -> bool | None:
    """Return whether severe events of four hours are market-wide or touch 5 % of the names.

    results : what agents keep; None where headlines were never fetched
    """
    kept = results.get(OWN)
    if kept is None:
        return None
    if not kept["severe"]:
        return False
    recent = [symbols for moment, symbols in kept["severe"] if now - WINDOW < moment <= now]
    touched = {name for symbols in recent for name in symbols}
    return any(not symbols for symbols in recent) or len(touched) >= max(2.0, MANY * names)
