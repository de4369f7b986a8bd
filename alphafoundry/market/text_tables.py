"""Tables in text: CSV and its kin, whatever the encoding, the delimiter and the header."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from alphafoundry.errors import MarketError
from alphafoundry.market.issues import ReadingNote
from alphafoundry.market.tables import RawTable, find_heading

_DELIMITERS = (";", "\t", "|", ",")
_HEAD_BYTES = 65_536
_HEAD_ROWS = 40
_SHOWN = 200
_BLOCK_BYTES = 16 << 20


def read_text_table(data: bytes | Any, *, name: str, stem: str) -> RawTable:
    """Return the table of a text.

    Parameters
    ----------
    data : the bytes of the text, or an arrow buffer of them
    name : starts every error
    stem : names the series where no column does

    Raises MarketError where the text is empty, no table, or has rows of unequal length.
    """
    data, encoding = _utf8(data, name)
    head = bytes(data[:_HEAD_BYTES]).decode("utf-8", errors="replace").lstrip("\ufeff")
    if not head.strip():
        raise MarketError(f"{name}: the file is empty; give a table with date, symbol and close")
    lines = head.splitlines()[: None if len(data) <= _HEAD_BYTES else -1] or head.splitlines()
    declared = lines[0].lower().startswith("sep=") and len(lines[0]) == 5
    delimiter = lines[0][4] if declared else _delimiter(lines[:_HEAD_ROWS])
    numbered = list(itertools.islice(_rows(io.StringIO("\n".join(lines)), delimiter), _HEAD_ROWS))
    heading = find_heading([row for _, row in numbered])
    if heading is None:
        raise MarketError(
            f"{name}: the first line is {lines[0][:_SHOWN]!r}, no table with a header; give a "
            "line with the names of the columns: date, symbol, close"
        )
    notes = [*heading.notes]
    if encoding:
        notes.append(ReadingNote("encoding", f"the text is {encoding}"))
    skipped = numbered[heading.rows - 1][0] if heading.rows else 0
    width = len(heading.labels)
    cells = _Columns(data, name, delimiter, skipped, width)
    return RawTable(
        name=name,
        stem=stem,
        labels=heading.labels,
        rows=cells.rows,
        column=cells.column,
        head=lambda: [row for _, row in numbered[heading.rows :]][:20],
        place=cells.place,
        semicolons=delimiter == ";",
        notes=tuple(notes),
    )


class _Columns:
    """The cells of a text below its header, all as texts."""

    def __init__(self, data: Any, name: str, delimiter: str, skipped: int, width: int) -> None:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        self.data, self.delimiter, self.skipped = data, delimiter, skipped
        names = [str(position) for position in range(width)]
        try:
            self.table = arrow_csv.read_csv(
                pa.BufferReader(data),
                read_options=arrow_csv.ReadOptions(
                    column_names=names, skip_rows=skipped, block_size=_BLOCK_BYTES
                ),
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                self.table = pa.table({name: pa.array([], pa.string()) for name in names})
                return
            raise MarketError(f"{name}: {self._ragged(width) or _one_line(error)}") from None

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    def column(self, position: int) -> Any:
        return self.table.column(position)

    def place(self, row: int) -> str:
        found = next(itertools.islice(self._data_rows(), row, None), None)
        return f"line {found[0]}" if found else f"row {row + 1}"

    def _data_rows(self) -> Iterator[tuple[int, list[str]]]:
        text = io.TextIOWrapper(io.BytesIO(bytes(self.data)), encoding="utf-8-sig", newline="")
        rows = _rows(text, self.delimiter)
        return (numbered for numbered in rows if numbered[0] > self.skipped)

    def _ragged(self, width: int) -> str | None:
        for line, row in self._data_rows():
            if len(row) != width:
                return (
                    f"line {line} has {len(row)} column{'s' if len(row) > 1 else ''} where {width} "
                    "are expected: "
                    f"{self.delimiter.join(row)[:_SHOWN]!r}; is the line cut off, or does it "
                    "belong to another table?"
                )
        return None


def _rows(text: Iterator[str] | io.TextIOBase, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the line, cells) of every line that is not empty."""
    reader = csv.reader(text, delimiter=delimiter)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error:
        return


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that divides most lines into the same number of cells, two or more."""

    def share(delimiter: str) -> float:
        counts = Counter(len(row) for _, row in _rows(iter(lines), delimiter))
        cells, number = max(counts.items(), key=lambda item: item[1], default=(0, 0))
        return number / len(lines) if cells > 1 else 0.0

    return max(_DELIMITERS, key=share)


def _utf8(data: Any, name: str) -> tuple[Any, str]:
    """Return (the text as UTF-8, what it was if not that)."""
    start = bytes(data[:_HEAD_BYTES])
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if start.startswith(mark):
            return _recoded(data, encoding, name), encoding.upper()
    if b"\0" in start:
        wide = len(start) // 3
        for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[0::2])):
            if zeros.count(0) > wide // 2:
                return _recoded(data, encoding, name), "UTF-16"
        raise MarketError(f"{name}: neither a text nor a format that is known; see docs/data.md")
    try:
        for begin in range(0, len(data), _BLOCK_BYTES):
            _require_utf8(data, begin)
    except UnicodeDecodeError:
        controls = sum(byte < 9 or 13 < byte < 32 for byte in start)
        if controls > len(start) // 50:
            raise MarketError(
                f"{name}: neither a text nor a format that is known; give a .csv, .parquet or .xlsx"
            ) from None
        return _recoded(data, "cp1252", name), "Windows-1252 (Latin-1)"
    return data, ""


def _require_utf8(data: Any, begin: int) -> None:
    block = bytes(data[begin : begin + _BLOCK_BYTES])
    last = begin + _BLOCK_BYTES >= len(data)
    codecs.getincrementaldecoder("utf-8")().decode(
        block[_continuation(block) :] if begin else block, final=last
    )


def _continuation(block: bytes) -> int:
    """Return how many bytes at the start of a block end a character of the block before."""
    return next((place for place in range(min(4, len(block))) if block[place] & 0xC0 != 0x80), 0)


def _recoded(data: Any, encoding: str, name: str) -> bytes:
    try:
        return (
            bytes(data)
            .decode(encoding, errors="replace" if encoding == "cp1252" else "strict")
            .encode("utf-8")
        )
    except UnicodeDecodeError as error:
        raise MarketError(
            f"{name}: byte {error.start} is no {encoding.upper()}; save the file as UTF-8"
        ) from None


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:_SHOWN]
