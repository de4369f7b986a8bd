"""The numbers of text cells: decimal comma, thousands, 12.3M, $ and signs for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError

Decimal = Literal[".", ","]

MISSING = (
    *("", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "none"),
    *("-", "--", "—", "–", ".", "N/D", "#N/A", "#N/A N/A", "<NA>", "NaT", "?"),
)
_SCALES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_CURRENCY = re.compile(r"[$€£¥₹₩]|^(?:USD|EUR|GBP|JPY|CHF|US\$|Rs\.?)\s*|\s*(?:USD|EUR|GBP)$")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{2,3})*,\d{3}")
_GROUPED = {",": _THOUSANDS, ".": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")}
_POINT = re.compile(r"[+-]?\d+\.\d+")
_ODD_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")
_COMMA = re.compile(r"[+-]?\d*,\d+")


def read_numbers(
    columns: Mapping[str, Any],
    *,
    source: str,
    place: Callable[[int], str],
    decimal: Decimal | None = None,
    semicolons: bool = False,
) -> tuple[dict[str, NDArray[np.float64]], str | None]:
    """Return (label to float64 array, a line on what commas were taken for, or None).

    Parameters
    ----------
    columns : label to arrow column of numbers or texts
    source : starts every error
    place : row to where it stands, such as "line 7"
    decimal : the decimal mark; None is told by the cells
    semicolons : whether cells are divided by semicolons, as where the comma is the decimal mark

    Cells without a value are NaN. Raises MarketError where a cell is no number, or where
    1,234 may be read in two ways.
    """
    import pyarrow as pa

    found: dict[str, NDArray[np.float64] | None] = {}
    texts: dict[str, Any] = {}
    for label, given in columns.items():
        coded = pa.types.is_dictionary(given.type)
        column = given.cast(given.type.value_type) if coded else given
        if _is_text(column.type):
            texts[label] = column
            found[label] = _plain(column)
            if found[label] is None:
                texts[label] = _without_missing(column)
                found[label] = _plain(texts[label])
        else:
            found[label] = _typed(column, label, source)
    others = [label for label in texts if found[label] is None]
    if not others and decimal != ",":
        return {label: array for label, array in found.items() if array is not None}, None
    cells = {label: _different(texts[label].cast(pa.string())) for label in texts}
    mark = decimal or _decimal_mark([cells[label][0] for label in others], source, semicolons)
    odd: list[str] = []
    for label in texts if mark == "," else others:
        different, codes = cells[label]
        numbers = np.array([_number(text, mark) for text in different], dtype=object)
        if decimal is None and mark == ".":
            odd += _read_odd_commas(different, numbers)
        wrong = [place for place, number in enumerate(numbers) if number is None]
        if wrong:
            row = int(np.flatnonzero(codes == wrong[0])[0])
            raise MarketError(
                f"{source}: {place(row)}: column {label} is not numeric: {different[wrong[0]]!r} "
                "is no number; correct the cell, or leave it empty where there is no value"
            )
        found[label] = numbers.astype(np.float64)[codes]
    commas = any("," in text for label in texts for text in cells[label][0] if text)
    note = _note(mark, commas=commas, odd=odd)
    return {label: array for label, array in found.items() if array is not None}, note


def _read_odd_commas(texts: list[str | None], numbers: NDArray[np.object_]) -> list[str]:
    """Read 50,42 among numbers with points as 50.42; return the texts that were read so."""
    odd = []
    for at, text in enumerate(texts):
        if numbers[at] is None and text and _ODD_COMMA.fullmatch(_bare(text)):
            numbers[at] = _number(text, ",")
            odd.append(text)
    return odd


def _note(mark: Decimal, *, commas: bool, odd: list[str]) -> str | None:
    """Return what commas were taken for, in a line."""
    if mark == ",":
        return "decimal comma: 1.234,5 is read as 1234.5"
    if odd:
        many = f"{len(odd)} cells" if len(odd) > 1 else "one cell"
        return f"decimal comma in {many}: {odd[0]!r} is read as {_number(odd[0], ',')}"
    return "commas divide thousands: 1,234.5 is read as 1234.5" if commas else None


def is_number(text: str) -> bool:
    """Return whether a cell reads as a number, or as none at all."""
    text = text.strip()
    return text in MISSING or _number(text, ".") is not None or _number(text, ",") is not None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _without_missing(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.cast(pa.string())
    absent = pc.is_in(column, value_set=pa.array(MISSING))
    return pc.if_else(absent, pa.scalar(None, pa.string()), column)


def _plain(column: Any) -> NDArray[np.float64] | None:
    import pyarrow as pa

    try:
        return _floats(column.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def _typed(column: Any, label: str, source: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        return _floats(column.cast(pa.float64(), safe=False))
    except pa.ArrowException:
        raise MarketError(
            f"{source}: column {label} is not numeric: it holds {column.type}; give numbers"
        ) from None


def _floats(column: Any) -> NDArray[np.float64]:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _different(column: Any) -> tuple[list[str | None], NDArray[np.int64]]:
    import pyarrow as pa

    encoded = column.dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    texts = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    return [*texts, None], codes.astype(np.int64)


def _decimal_mark(columns: list[list[str | None]], source: str, semicolons: bool) -> Decimal:
    """Return the decimal mark that the cells show."""
    cells = [_bare(text) for column in columns for text in column if text and "," in text]
    points = [text for text in cells if "." in text]
    if points:
        return "," if points[0].rfind(",") > points[0].rfind(".") else "."
    if not cells:
        return "."
    plain = sum(1 for column in columns for text in column if text and _POINT.fullmatch(text))
    if plain > len(cells) and all(_ODD_COMMA.fullmatch(text) for text in cells):
        return "."
    if not all(_THOUSANDS.fullmatch(text) for text in cells):
        return "," if any(_COMMA.fullmatch(text) for text in cells) else "."
    if semicolons and not any(text.count(",") > 1 for text in cells):
        raise MarketError(
            f"{source}: {cells[0]!r} may be a decimal comma or divide thousands, and no other "
            "cell tells which; give the option decimal: , or ."
        )
    return "."


def _bare(text: str) -> str:
    text = _CURRENCY.sub("", text.strip()).strip()
    text = text.replace(" ", "").replace("\u00a0", "").replace("'", "")
    return text[:-1] if text[-1:].upper() in _SCALES else text


def _number(text: str | None, mark: Decimal) -> float | None:
    """Return the number of a cell; NaN for none, None where it is no number."""
    if text is None or text.strip() in MISSING:
        return float("nan")
    bare = _bare(text)
    whole, _, part = bare.partition(mark)
    grouping = "," if mark == "." else "."
    if grouping in whole:
        if not _GROUPED[grouping].fullmatch(whole):
            return None
        whole = whole.replace(grouping, "")
    digits = f"{whole}.{part}" if mark in bare else whole
    if not _NUMBER.fullmatch(digits):
        return None
    return float(digits) * _SCALES.get(text.strip()[-1:].upper(), 1.0)
