"""A table of market data as it stands in a source, before its layout is understood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alphafoundry.market.columns import columns_and_symbols, normal, value_column
from alphafoundry.market.dates import looks_like_date
from alphafoundry.market.issues import ReadingNote
from alphafoundry.market.numerals import MISSING, is_number

Label = str | tuple[str, str]
"""What stands above a column; a pair where two rows do."""

_INDEX_LABELS = {"", "date", "datetime", "time", "index", "day", "datum"}
_LEVEL_LABELS = {"", "price", "ticker", "tickers", "symbol", "symbols", "attributes"}


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table of a source.

    Attributes
    ----------
    name : starts every error about it
    stem : names its series where no column does
    told : whether the source itself says that `stem` is the symbol
    labels : what stands above each column
    rows : number of rows
    column : position to arrow column (text where the source is text)
    head : first rows as texts, for a look
    place : row to where it stands, such as "line 7"
    given : column to the value that holds for every row, as a folder's name gives it
    semicolons : whether cells are divided by semicolons
    notes : what the reader of the container decided
    """

    name: str
    stem: str
    labels: tuple[Label, ...]
    rows: int
    column: Callable[[int], Any]
    head: Callable[[], list[list[str]]]
    place: Callable[[int], str]
    given: Mapping[str, str] = field(default_factory=dict)
    told: bool = False
    semicolons: bool = False
    notes: tuple[ReadingNote, ...] = ()


@dataclass(frozen=True)
class Heading:
    """What the first rows of a text say.

    Attributes
    ----------
    labels : what stands above each column
    rows : number of leading rows that are no data
    notes : what was taken for granted
    """

    labels: tuple[Label, ...]
    rows: int
    notes: tuple[ReadingNote, ...] = ()


def find_heading(head: Sequence[Sequence[str]]) -> Heading | None:
    """Return the heading of a table by its first rows; None where nothing looks like one.

    Understands one header row, two or three (column, symbol, and a row with Date alone), lines
    before the header, rows that have one cell more than the header, and rows without a header:
    candles (time, open, high, low, close, volume, ...) with a symbol column or without.
    """
    for skipped, row in enumerate(head):
        if _is_data(row):
            labels = _labels_of_data(head[skipped:])
            if labels is None:
                return None
            known = [str(label) for label in labels if label]
            told = f"no header row: the columns are taken for {', '.join(known)}"
            return Heading(labels, skipped, (ReadingNote("layout", told),))
        below = head[skipped + 1] if skipped + 1 < len(head) else []
        pairs = _pairs(row, below)
        if pairs is not None:
            extra = head[skipped + 2] if skipped + 2 < len(head) else []
            third = (
                bool(extra)
                and normal(extra[0]) in _INDEX_LABELS - {""}
                and not any(cell.strip() for cell in extra[1:])
            )
            return Heading(pairs, skipped + 2 + third, _skipped_note(skipped))
        if _is_header(row):
            return Heading(_padded(row, below), skipped + 1, _skipped_note(skipped))
    return None


def _is_data(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row if cell.strip()]
    numbers = [cell for cell in cells if cell not in MISSING and is_number(cell)]
    dated = any(looks_like_date(cell) for cell in cells[:2])
    return len(cells) >= 3 and dated and len(numbers) >= len(cells) - 2


def _is_header(row: Sequence[str]) -> bool:
    """Return whether a row may be the header: texts, and not just one."""
    cells = [cell.strip() for cell in row]
    filled = [cell for cell in cells if cell]
    return len(filled) >= 2 and len(filled) >= len(cells) - 1


def _labels_of_data(head: Sequence[Sequence[str]]) -> tuple[Label, ...] | None:
    """Return labels for rows without a header, as far as the cells tell them."""
    row = [cell.strip() for cell in head[0]]
    for first in (["date"], ["date", "symbol"], ["symbol", "date"]):
        if len(row) <= len(first) or not looks_like_date(row[first.index("date")]):
            continue
        left = len(row) - len(first)
        symbol = row[first.index("symbol")] if "symbol" in first else ""
        if left >= 4 and _are_candles(head, len(first)):
            known = [*first, *("open", "high", "low", "close", "volume")[:left]]
        elif left == 1 and symbol and not is_number(symbol):
            known = [*first, "close"]
        else:
            continue
        return (*known, *[""] * (len(row) - len(known)))
    return None


def _are_candles(head: Sequence[Sequence[str]], start: int) -> bool:
    """Return whether the four cells from `start` on may be open, high, low and close."""
    for row in head:
        try:
            opening, high, low, close = (float(cell) for cell in row[start : start + 4])
        except ValueError:
            return False
        if not low <= min(opening, close) <= max(opening, close) <= high:
            return False
    return True


def _pairs(first: Sequence[str], second: Sequence[str]) -> tuple[Label, ...] | None:
    """Return the labels of two header rows, of which one names columns and one symbols."""
    if not second or len(second) < 2 or len(first) != len(second):
        return None
    if normal(first[0]) in _INDEX_LABELS - {""}:
        if second[0].strip() or all(is_number(cell) for cell in second):
            return None
    elif normal(first[0]) not in _LEVEL_LABELS or normal(second[0]) not in _LEVEL_LABELS:
        return None
    pairs = list(zip(_carried(first[1:]), second[1:], strict=True))
    levels = ([above for above, _ in pairs], [below for _, below in pairs])
    named = any(all(value_column(label) for label in level) for level in levels)
    if not named or any(pair is None for pair in columns_and_symbols(pairs)):
        return None
    return ("date", *pairs)


def _carried(cells: Sequence[str]) -> list[str]:
    """Return cells with empty ones filled from the left, as merged cells of a sheet need."""
    filled: list[str] = []
    for cell in cells:
        filled.append(cell if cell.strip() or not filled else filled[-1])
    return filled


def _padded(header: Sequence[str], below: Sequence[str]) -> tuple[Label, ...]:
    labels = [cell.strip() for cell in header]
    if len(below) == len(labels) + 1:
        labels = [*labels, ""] if not below[-1].strip() else ["", *labels]
    return tuple(labels)


def _skipped_note(skipped: int) -> tuple[ReadingNote, ...]:
    if not skipped:
        return ()
    return (ReadingNote("layout", f"{skipped} lines before the header are left out"),)


def table_of_cells(
    cells: Sequence[Sequence[str]],
    *,
    name: str,
    stem: str,
    labels: tuple[Label, ...],
    place: Callable[[int], str],
    told: bool = False,
    notes: tuple[ReadingNote, ...] = (),
) -> RawTable:
    """Return the table of rows of texts, each as long as `labels`."""
    import pyarrow as pa

    grid = np.array(cells, dtype=object).reshape(len(cells), len(labels))
    return RawTable(
        name=name,
        stem=stem,
        labels=labels,
        rows=len(cells),
        column=lambda position: pa.array(grid[:, position], type=pa.string()),
        head=lambda: [list(row) for row in cells[:20]],
        place=place,
        told=told,
        notes=notes,
    )
