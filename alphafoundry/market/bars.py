"""Bars as a source gives them: aligned, but not yet validated or adjusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.issues import ReadingNote, SeriesIssue
from alphafoundry.market.revisions import Revisions

PRICE_COLUMNS = ("open", "high", "low", "close", "adj_close", "vwap")
SOURCE_COLUMNS = (
    "adj_open",
    "adj_high",
    "adj_low",
    "adj_volume",
    "raw_close",
    "dividend",
    "split_factor",
)
"""What some sources give beside the bars: their own adjusted prices and volume, the close before
any adjustment where close is adjusted for splits already, the cash dividend per share and the
split factor (new shares per old share) of the day."""
VALUE_COLUMNS = (*PRICE_COLUMNS, "volume", "cap", *SOURCE_COLUMNS, "universe")
"""`universe` is 1 where the name belongs to the market on that day, 0 where not."""


@dataclass(frozen=True, eq=False)
class Bars:
    """Raw daily bars of many instruments on one calendar.

    Attributes
    ----------
    dates : datetime64[D] array of shape (n_days,), ascending, unique
    symbols : str array of shape (n_instruments,), unique
    values : column (one of VALUE_COLUMNS) to float64 array of shape (n_days, n_instruments);
        NaN is missing. Always holds close
    issues : faults that the reader met and already masked, and those of validation
    revisions : what validation masked or repaired, and since when that is known
    notes : what the reader decided, changed or left out; empty where nothing is worth a word
    """

    dates: NDArray[np.datetime64]
    symbols: NDArray[np.str_]
    values: Mapping[str, NDArray[np.float64]]
    issues: tuple[SeriesIssue, ...] = ()
    revisions: Revisions = field(default_factory=Revisions)
    notes: tuple[ReadingNote, ...] = ()
