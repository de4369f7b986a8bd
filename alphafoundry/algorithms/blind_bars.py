"""Bars without what a language model could know them by: ticker, dates and level of prices."""

from __future__ import annotations

import numpy as np

from alphafoundry.finance.bars import TickerBars

FIRST_CLOSE = 100.0
VOLUME = 1_000_000.0
_DAYS_OF_VOLUME = 252


def hide(bars: TickerBars, number: int) -> TickerBars:
    """Return bars of the same returns under another name, from a close of 100.

    Volumes are scaled to a median of a million over the first 252 days; both scales are of the
    first days alone, so nothing of later ones shows. The dates stay, for the arena; programs never
    see them, and prompts number the days.
    """
    scale = FIRST_CLOSE / float(bars.close[0]) if len(bars) else 1.0
    known = bars.volume[:_DAYS_OF_VOLUME]
    known = known[np.isfinite(known) & (known > 0)]
    share = VOLUME / float(np.median(known)) if len(known) else 1.0
    return TickerBars(
        f"STOCK{number}",
        bars.dates,
        bars.open * scale,
        bars.high * scale,
        bars.low * scale,
        bars.close * scale,
        np.round(bars.volume * share),
    )
