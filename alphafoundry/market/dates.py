"""The days of bars, from whatever a source writes in its date column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError

DAY_SECONDS = 86_400
_NO_OFFSET = "none"
_UTC = "utc"
_WRITTEN = "written"

_ISO = re.compile(
    r"(\d{4})(?P<gap>[-/.])(\d{1,2})(?P=gap)(\d{1,2})(?:(?:[T ,]+|\s*-\s*)(?P<clock>.+))?"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\.0+)?(?:[T ](?P<clock>.+))?")
_PARTS = re.compile(
    r"(\d{1,2})(?P<gap>[-/.])(\d{1,2})(?P=gap)(\d{4}|\d{2})(?:[T ,]+(?P<clock>.+))?"
)
_NAMED = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?\.?[-/ ]+)?"
    r"(?P<month>[A-Za-z]{3,9})\.?[-/ ]+(?:(?P<late>\d{1,2})(?:st|nd|rd|th)?,?[-/ ]+)?"
    r"(?P<year>\d{4}|\d{2})(?:[T ,]+(?P<clock>.+))?"
)
_CLOCK = re.compile(
    r"(\d{1,2}):?(\d{2})(?::?(\d{2}))?(?:\.\d+)?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2}|[A-Z]{3,4})?"
)
_SERIAL = re.compile(r"\d{5}(?:\.\d+)?")
_FIRST_SERIAL, _LAST_SERIAL = 14_000, 65_000
"""What spreadsheets make of days from 1938 to 2077."""
_NUMBER = re.compile(r"\d{9,20}(?:\.\d+)?|\d(?:\.\d+)?[eE]\+?\d+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PIVOT_YEAR = 69
_FIRST_DAY = int(np.datetime64("1800-01-01", "D").astype(np.int64))
_LAST_DAY = int(np.datetime64("2200-12-31", "D").astype(np.int64))


@dataclass(frozen=True, eq=False)
class Stamps:
    """The days of rows and, where the source tells it, the time.

    Attributes
    ----------
    days : int64 array of shape (n_rows,), days since 1970-01-01
    seconds : int64 array of shape (n_rows,), seconds after midnight; 0 where no time is given
    zoned : whether the time is that of the exchange's own zone, as far as the source tells; else
        it is UTC or unknown
    """

    days: NDArray[np.int64]
    seconds: NDArray[np.int64]
    zoned: bool


def read_stamps(
    column: Any,
    *,
    source: str,
    place: Callable[[int], str],
    date_format: str | None = None,
) -> Stamps:
    """Return the days of an arrow column of dates, timestamps, numbers or texts.

    Parameters
    ----------
    source : starts every error
    place : row to where it stands, such as "line 7"
    date_format : how texts are written, as of `datetime.strptime`; None recognises
        2024-01-31, 20240131, 31.01.2024, 01/31/2024, Jan 31, 2024, 31-Jan-24, a time and an
        offset behind them, and seconds to nanoseconds since 1970. Whether 02/03/2024 is of
        February or March is told by the other rows

    Raises MarketError where a date is missing, malformed, may be read in two ways, or is of no
    market's time.
    """
    stamps = _stamps(column, source, place, date_format)
    far = (stamps.days < _FIRST_DAY) | (stamps.days > _LAST_DAY)
    if far.any():
        row = int(np.flatnonzero(far)[0])
        raise MarketError(
            f"{source}: {place(row)}: the date is no day "
            "from 1800 to 2200; is it in the right column, and in the right unit?"
        )
    return stamps


def _stamps(
    column: Any, source: str, place: Callable[[int], str], date_format: str | None
) -> Stamps:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        row = int(np.flatnonzero(pc.is_null(column).to_numpy())[0])
        raise MarketError(
            f"{source}: {column.null_count} rows have no date, the first is {place(row)}; "
            "fill them in or remove them"
        )
    kind = column.type
    if pa.types.is_timestamp(kind):
        zoned = kind.tz is not None and kind.tz.upper() not in {"UTC", "+00:00", "Z"}
        local = pc.local_timestamp(column) if kind.tz else column
        micro = local.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
        days, rest = np.divmod(micro, DAY_SECONDS * 1_000_000)
        return Stamps(days, rest // 1_000_000, zoned)
    if pa.types.is_date(kind):
        days = column.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
        return Stamps(days, np.zeros_like(days), True)
    texts, codes = dictionary(column.cast(pa.string()))

    def where(text: str) -> str:
        return place(int(np.flatnonzero(codes == texts.index(text))[0]))

    days, seconds, offsets = _parse(
        [text.strip() for text in texts], texts, source, where, date_format
    )
    return Stamps(days[codes], seconds[codes], offsets == {_WRITTEN})


def is_parted(text: str) -> bool:
    """Return whether a text is a date such as 31/01/2024, in which day and month may swap."""
    return _PARTS.fullmatch(text.strip()) is not None


def looks_like_date(text: str) -> bool:
    """Return whether a cell reads as a date, a timestamp or an epoch of today's markets."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return _epoch(float(text)) is not None
    compact = _COMPACT.fullmatch(text)
    if compact:
        possible = _day(int(compact[1]), int(compact[2]), int(compact[3])) is not None
        return possible and 1800 <= int(compact[1]) <= 2200
    return bool(_ISO.fullmatch(text) or _PARTS.fullmatch(text) or _named(text))


def dictionary(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Return (different texts, index of each row's text) of an arrow column of texts."""
    import pyarrow as pa

    encoded = column.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().chunk(0)
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), codes


def _parse(
    texts: Sequence[str],
    written: Sequence[str],
    source: str,
    where: Callable[[str], str],
    date_format: str | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], set[str]]:
    days = np.zeros(len(texts), dtype=np.int64)
    seconds = np.zeros(len(texts), dtype=np.int64)
    offsets: set[str] = set()
    if date_format is not None:
        return (*_by_format(texts, written, source, where, date_format), {_NO_OFFSET})
    day_first: bool | None = None
    for place, text in enumerate(texts):
        number = float(text) if _NUMBER.fullmatch(text) else None
        moment = _epoch(number) if number is not None else None
        if moment is not None:
            days[place], seconds[place] = divmod(moment, DAY_SECONDS)
            offsets.add(_UTC)
            continue
        parts = _ISO.fullmatch(text) or _COMPACT.fullmatch(text)
        if parts:
            groups = [int(group) for group in parts.groups() if group and group.isdigit()][:3]
            found = _day(*groups)
        elif parts := _PARTS.fullmatch(text):
            if day_first is None:
                _require_alike(texts, written, source, where)
                _require_year_last(texts, source)
                day_first = _day_first(texts, source)
            one, two, year = int(parts[1]), int(parts[3]), _year(parts[4])
            found = _day(year, two, one) if day_first else _day(year, one, two)
        else:
            found, parts = _named(text) or (None, None)
        clock = _clock(parts["clock"]) if parts and found is not None else None
        if found is None or clock is None:
            raise MarketError(
                f"{source}: {where(written[place])}: {written[place]!r} is not a date; "
                f"{_how_to_write(text)}"
            )
        days[place], (seconds[place], offset) = found, clock
        offsets.add(offset)
    return days, seconds, offsets


def _by_format(
    texts: Sequence[str],
    written: Sequence[str],
    source: str,
    where: Callable[[str], str],
    date_format: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    import pandas as pd

    try:
        moments = pd.to_datetime(pd.Series(texts), format=date_format, errors="coerce", utc=False)
    except ValueError as problem:
        raise MarketError(f"{source}: date_format {date_format!r}: {problem}") from None
    missing = np.flatnonzero(moments.isna().to_numpy())
    if len(missing):
        text = written[int(missing[0])]
        raise MarketError(
            f"{source}: {where(text)}: {text!r} is not written as date_format {date_format!r} says"
        )
    if moments.dt.tz is not None:
        moments = moments.dt.tz_localize(None)
    micro = moments.to_numpy().astype("datetime64[us]").astype(np.int64)
    days, rest = np.divmod(micro, DAY_SECONDS * 1_000_000)
    return days, rest // 1_000_000


def _require_alike(
    texts: Sequence[str], written: Sequence[str], source: str, where: Callable[[str], str]
) -> None:
    """Refuse 31/01/2020 among dates of other kinds: such a column was changed by a spreadsheet."""
    parted = [_PARTS.fullmatch(text) is not None for text in texts]
    if all(parted):
        return
    odd = parted.index(parted.count(True) <= len(parted) // 2)
    usual = parted.index(not parted[odd])
    raise MarketError(
        f"{source}: {where(written[odd])}: {written[odd]!r} is written otherwise than "
        f"{written[usual]!r}; write all dates alike, best as 2024-01-31"
    )


def _require_year_last(texts: Sequence[str], source: str) -> None:
    """Refuse 24-01-31: of years of two digits the rarer number is the year, and it comes first."""
    parts = [match for text in texts if (match := _PARTS.fullmatch(text))]
    first, last = ({match[place] for match in parts} for place in (1, 4))
    if any(len(year) == 4 for year in last) or len(first) >= len(last):
        return
    if all(1 <= int(day) <= 31 for day in last) and all(len(year) == 2 for year in first):
        mark = parts[0]["gap"]
        raise MarketError(
            f"{source}: {parts[0][0]!r} seems to begin with the year; give the option date_format: "
            f"%y{mark}%m{mark}%d (or with %d and %m where they stand), best write dates as "
            "2024-01-31"
        )


def _day_first(texts: Sequence[str], source: str) -> bool:
    """Return whether dates such as 02/03/2024 begin with the day; the other rows tell."""
    parts = [match for text in texts if (match := _PARTS.fullmatch(text))]
    days = next((match[0] for match in parts if int(match[1]) > 12), None)
    months = next((match[0] for match in parts if int(match[3]) > 12), None)
    if days and months:
        raise MarketError(
            f"{source}: {days!r} begins with the day and {months!r} with the month; write all "
            "dates alike, best as 2024-01-31"
        )
    if days or months:
        return days is not None
    if all(match["gap"] == "." for match in parts):
        return True
    raise MarketError(
        f"{source}: {parts[0][0]!r} may begin with the day or with the month, and no other date "
        "tells which; give the option date_format: %d/%m/%Y or %m/%d/%Y, with the marks as in "
        "the file"
    )


def _epoch(number: float) -> int | None:
    """Return a time since 1970 in seconds, from seconds, milli-, micro- or nanoseconds."""
    for limit, unit in ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000)):
        if 1e8 <= number < limit:
            return int(number // unit)
    return None


def _named(text: str) -> tuple[int | None, re.Match[str]] | None:
    match = _NAMED.fullmatch(text)
    if match is None or (match["day"] is None) == (match["late"] is None):
        return None
    month = match["month"].lower()[:3]
    if month not in _MONTHS:
        return None
    day = int(match["day"] or match["late"])
    return _day(_year(match["year"]), _MONTHS.index(month) + 1, day), match


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= _PIVOT_YEAR else 2000)


def _day(year: int, month: int, day: int) -> int | None:
    try:
        return int(np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D").astype(np.int64))
    except ValueError:
        return None


def _clock(text: str | None) -> tuple[int, str] | None:
    """Return (seconds after midnight, what is said of the zone), or None."""
    if text is None:
        return 0, _NO_OFFSET
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour = int(match[1])
    if match["half"]:
        hour = hour % 12 + (12 if match["half"].lower() == "pm" else 0)
    if hour > 24 or int(match[2]) > 59:
        return None
    zone = match["zone"]
    offset = _NO_OFFSET if zone is None else _WRITTEN
    if zone and zone.strip("+-0:Z") in ("", "UTC", "GMT"):
        offset = _UTC
    return hour * 3600 + int(match[2]) * 60 + int(match[3] or 0), offset


def _how_to_write(text: str) -> str:
    """Return what to do about a text that is no date."""
    if _SERIAL.fullmatch(text) and _FIRST_SERIAL <= float(text) <= _LAST_SERIAL:
        day = np.datetime64("1899-12-30") + int(float(text))
        return (
            f"it looks like a spreadsheet's number of a day ({day}, where days count from 1900): "
            "format that column as a date such as 2024-01-31 and save it again"
        )
    return (
        "write dates as 2024-01-31 or 20240131, or say how they are written with the option "
        "date_format, such as %d/%m/%Y"
    )
