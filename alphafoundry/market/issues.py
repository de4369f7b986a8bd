"""What is told about the data of a market: faults of series, and choices of its reader."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeriesIssue:
    """A fault found in one instrument's bars, and what was done about it.

    Attributes
    ----------
    symbol : the instrument; "" where the fault is of the whole file
    kind : "duplicate-day", "absurd-price", "non-positive-price", "gap", "split", "stale", ...
    detail : one line for a person, with dates and values
    masked : number of days set to NaN because of it (0 where it is only reported)
    """

    symbol: str
    kind: str
    detail: str
    masked: int = 0


@dataclass(frozen=True)
class ReadingNote:
    """Something that a reader decided, changed or left out; for the screen about the data.

    Attributes
    ----------
    kind : "columns-ignored", "files-ignored", "layout", "symbol", "encoding", "decimal", "dates",
        "time-zone", "weekdays", "adjustment", "dividends", "volume", "currency" or "rows"
    detail : one line for a person
    items : the columns, files or symbols that it is about; may be empty
    """

    kind: str
    detail: str
    items: tuple[str, ...] = ()
