"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from sqlalchemy import DateTime, Dialect, Double, Text
from sqlalchemy.types import TypeDecorator

_NOT_PLAIN = re.compile("[\0\ud800-\udfff]")


_LONG_NUMBER = re.compile("[0-9]{19}")
_AS_TEXT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


_FIRST_DAY = date(1970, 1, 1).toordinal()
_SECONDS = tuple(f"{second:02}.000000" for second in range(60))
_MINUTES = tuple(f"{hour:02}:{minute:02}:" for hour in range(24) for minute in range(60))


def _sqlite_time(value: datetime | int | None) -> str | None:
    """Return what SQLAlchemy writes for a time in a SQLite database."""
    if type(value) is int:
        minute, second = divmod(value, 60)
        return _minute_text(minute) + _SECONDS[second]
    return _sqlite_moment(value)


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    days, minute = divmod(minute, 1440)
    return f"{_day_text(_FIRST_DAY + days)} {_MINUTES[minute]}"


@lru_cache(maxsize=8192)
def _sqlite_moment(value: datetime | None) -> str | None:
    # Kept, as the ticks of a session that are due together have the same times.
    if value is None:
        return None
    if value.tzinfo is not UTC:
        value = _in_utc(value)
    # From parts: a session of a desk has thousands of moments, and `isoformat` takes twice as long.
    day, minute = _day_text(value.toordinal()), _MINUTES[60 * value.hour + value.minute]
    if not value.microsecond:
        return f"{day} {minute}{_SECONDS[value.second]}"
    return f"{day} {minute}{value.second:02}.{value.microsecond:06}"


@lru_cache(maxsize=1024)
def _day_text(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


@lru_cache(maxsize=8192)
def _time_of_sqlite(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def plain_text(value: str | None) -> str | None:
    """Return text without NUL and lone surrogates, in whose place is U+FFFD."""
    if value is None or (value.isascii() and "\0" not in value):
        return value
    return _NOT_PLAIN.sub("\ufffd", value)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept and given back in UTC; SQLite alone would drop the zone.

    What is written may also be given as whole seconds since 1970.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = datetime.fromtimestamp(value, UTC) if isinstance(value, int) else _in_utc(value)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def bind_processor(self, dialect: Dialect) -> Any:
        # Of thousands of rows a tick writes, most columns are times.
        return _sqlite_time if dialect.name == "sqlite" else super().bind_processor(dialect)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # And an order that is read has six.
        if dialect.name == "sqlite":
            return _time_of_sqlite
        return super().result_processor(dialect, coltype)


class PlainText(TypeDecorator[str]):
    """Text of any origin: NUL and lone surrogates, which PostgreSQL refuses, become U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return plain_text(value)

    def bind_processor(self, dialect: Dialect) -> Any:
        return plain_text


class FiniteFloat(TypeDecorator[float]):
    """A float where NaN and infinity are kept as NULL, so that they never sort as the best."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        if value is None or not math.isfinite(value):
            return None
        return float(value)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return strict JSON; NaN and infinity become null, NumPy scalars their plain value."""
    if indent is None:
        try:
            return orjson.dumps(value, default=_other, option=_AS_TEXT).decode()
        except TypeError:
            # Keys that are no text, integers beyond 64 bits, lone surrogates.
            pass
    return json.dumps(_plain(value), allow_nan=False, default=str, indent=indent)


def from_json(text: str | bytes) -> Any:
    """Return what JSON that `to_json` wrote says."""
    plain = text if isinstance(text, str) else text.decode()
    # orjson takes longer integers for floats, and no lone surrogates.
    if _LONG_NUMBER.search(plain) is None:
        try:
            return orjson.loads(plain)
        except ValueError:
            pass
    return json.loads(plain)


def _other(value: Any) -> Any:
    """Return what JSON has for a value that it has no kind for."""
    if isinstance(value, np.generic):
        return value.item()
    # orjson takes subclasses of text, integers, lists and mappings for what they are, these not.
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return float(value) if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
