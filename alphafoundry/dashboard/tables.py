"""Tables as every page shows and exports them: columns, filters, order, keyset pages.

A page of a table begins after the last row of the one before, not at a count of rows, so that the
thousandth page takes no longer than the first and new rows move nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, tuple_
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeDecorator

from alphafoundry.errors import FoundryError

PAGE = 50
LONGEST_FILTER = 1_000
EXPORT_CHUNK = 2_000
MOST_EXPORTED = 1_000_000

Kind = Literal[
    "text",
    "code",
    "number",
    "integer",
    "percent",
    "dollars",
    "bytes",
    "seconds",
    "time",
    "day",
    "yes",
    "status",
    "sharpe",
    "quantity",
    "parts",
]
Database = Literal["store", "supervisor", "feed"]
Row = dict[str, Any]
Given = Mapping[str, str]


class WrongFilter(FoundryError):
    """A filter, an order or a place in a table is not one."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    of : what is selected; None where a page adds the value later
    link : address with {key} of any column of the row
    sorts : whether the table can be ordered by it
    hidden : selected for links and exports, not shown
    """

    key: str
    heading: str
    kind: Kind = "text"
    of: Any = None
    link: str = ""
    sorts: bool = False
    hidden: bool = False

    @property
    def right(self) -> bool:
        """Whether its values stand at the right of a cell."""
        return self.kind in (
            "number",
            "integer",
            "percent",
            "dollars",
            "bytes",
            "seconds",
            "quantity",
        )


@dataclass(frozen=True)
class Filter:
    """One filter of a table.

    Attributes
    ----------
    apply : gives the condition for a text; raises ValueError for one that is none
    choices : texts to choose from, None where it is free
    """

    key: str
    label: str
    apply: Callable[[str], ColumnElement[bool]]
    choices: tuple[str, ...] | None = None
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table that is read page by page.

    Attributes
    ----------
    source : what is selected from, with joins
    keys : expressions that tell two rows apart, all in the order of the table
    order : key of the column that it is ordered by, with - for descending
    empty : what will fill it, and how
    where : conditions that hold whatever the filters
    counted : whether a page tells how many rows there are
    keys_first : whether rows are chosen by their keys before their other columns are read, since
        sorting a hundred thousand whole rows takes five times as long
    later : gives rows what is not selected; called with the application's state and the connection
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    source: Any
    keys: tuple[Any, ...]
    order: str
    empty: str
    filters: tuple[Filter, ...] = ()
    database: Database = "store"
    where: Callable[[Given], Sequence[ColumnElement[bool]]] = lambda given: ()
    counted: bool = False
    keys_first: bool = False
    later: Callable[[Any, Any, list[Row]], None] | None = None


@dataclass
class Page:
    """One page of a table.

    Attributes
    ----------
    after : where the next page begins, None at the last
    total : rows that the filters leave, None where they are not counted
    """

    table: Table
    rows: list[Row]
    after: str | None
    total: int | None
    given: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[Column]:
        """The columns that are shown."""
        return [one for one in self.table.columns if not one.hidden]


def read_page(connection: Connection, table: Table, given: Given, *, limit: int = PAGE) -> Page:
    """Return a page of a table.

    Parameters
    ----------
    given : filters by key, `sort` and `after`

    Raises WrongFilter for values that are none.
    """
    query, order = _query(table, given, limit + 1)
    total = None
    if table.counted:
        counted = select(func.count()).select_from(table.source).where(*_conditions(table, given))
        query = query.add_columns(counted.scalar_subquery().label("_total"))
    rows = [dict(row._mapping) for row in connection.execute(query)]
    if table.counted:
        total = rows[0]["_total"] if rows else 0
    more = len(rows) > limit
    rows = rows[:limit]
    after = _cursor(rows[-1], len(order)) if more else None
    for row in rows:
        for name in [name for name in row if name.startswith("_")]:
            del row[name]
    return Page(table, rows, after, total, dict(given))


def read_all(connection: Connection, table: Table, given: Given) -> Iterator[list[Row]]:
    """Yield every row that the filters leave, in parts, at most `MOST_EXPORTED`."""
    place = {name: text for name, text in given.items() if name != "after"}
    left = MOST_EXPORTED
    while left > 0:
        page = read_page(connection, table, place, limit=min(EXPORT_CHUNK, left))
        if page.rows:
            yield page.rows
        left -= len(page.rows)
        if page.after is None:
            return
        place["after"] = page.after


def _query(table: Table, given: Given, limit: int) -> tuple[Select[Any], list[Any]]:
    columns = {one.key: one for one in table.columns}
    text = given.get("sort") or table.order
    falling, key = text.startswith("-"), text.removeprefix("-")
    if key not in columns or not (columns[key].sorts or key == table.order.removeprefix("-")):
        raise WrongFilter(f"sort={text}: the table {table.name!r} has no such order")
    first = columns[key].of
    order = [first, *(one for one in table.keys if one is not first)]
    whole = select(
        *(one.of.label(one.key) for one in table.columns if one.of is not None),
        *(one.label(f"_{place}") for place, one in enumerate(order)),
    )
    query = select(*table.keys) if table.keys_first else whole
    query = query.select_from(table.source).where(*_conditions(table, given))
    if key != table.order.removeprefix("-"):
        query = query.where(first.is_not(None))
    if given.get("after"):
        values = _values(given["after"], order)
        bound = tuple_(
            *(literal(value, one.type) for value, one in zip(values, order, strict=True))
        )
        place = tuple_(*order)
        query = query.where(place < bound if falling else place > bound)
    ordered = [one.desc() if falling else one.asc() for one in order]
    query = query.order_by(*ordered).limit(limit)
    if table.keys_first:
        chosen = query.subquery()
        same = (one == own for one, own in zip(table.keys, chosen.c, strict=True))
        query = whole.select_from(chosen.join(table.source, and_(*same))).order_by(*ordered)
    return query, order


def _conditions(table: Table, given: Given) -> list[ColumnElement[bool]]:
    found = list(table.where(given))
    for one in table.filters:
        text = given.get(one.key, "").strip()
        if not text:
            continue
        if len(text) > LONGEST_FILTER or not text.isprintable():
            raise WrongFilter(f"{one.key}: this is no text that could be there")
        if one.choices is not None and text not in one.choices:
            raise WrongFilter(f"{one.key}={text}: choose one of {', '.join(one.choices)}")
        try:
            found.append(one.apply(text))
        except ValueError as problem:
            raise WrongFilter(f"{one.key}={text}: {problem}") from None
    return found


def _cursor(row: Row, count: int) -> str:
    values = [row[f"_{place}"] for place in range(count)]
    plain = [one.isoformat() if isinstance(one, date | datetime) else one for one in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _values(cursor: str, order: Sequence[Any]) -> list[Any]:
    wrong = WrongFilter("after: this is no place in the table; begin at its first page")
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise wrong from None
    if not isinstance(plain, list) or len(plain) != len(order):
        raise wrong
    try:
        return [_typed(value, _kind_of(one)) for value, one in zip(plain, order, strict=True)]
    except (ValueError, TypeError, OverflowError):
        raise wrong from None


def _kind_of(expression: Any) -> type:
    """Return the Python type of an expression's values."""
    kind: Any = expression.type
    plain: Any = kind.impl if isinstance(kind, TypeDecorator) else kind
    return cast(type, plain.python_type)


def _typed(value: Any, kind: type) -> Any:
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError(value)
        return at.astimezone(UTC)
    if kind is date:
        return date.fromisoformat(value)
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is int and type(value) is int and abs(value) >= 2**63:
        raise OverflowError(value)
    if type(value) is not kind:
        raise ValueError(value)
    return value


def at_least(expression: Any) -> Callable[[str], ColumnElement[bool]]:
    """Return a filter's condition: the number or more."""
    return lambda text: expression >= _number(text)


def at_most(expression: Any) -> Callable[[str], ColumnElement[bool]]:
    """Return a filter's condition: the number or less."""
    return lambda text: expression <= _number(text)


def equal(expression: Any) -> Callable[[str], ColumnElement[bool]]:
    """Return a filter's condition: exactly this."""

    def condition(text: str) -> ColumnElement[bool]:
        kind = _kind_of(expression)
        found: ColumnElement[bool] = expression == (whole_number(text) if kind is int else text)
        return found

    return condition


def contains(expression: Any) -> Callable[[str], ColumnElement[bool]]:
    """Return a filter's condition: every word of the text is in it, in any case."""

    def condition(text: str) -> ColumnElement[bool]:
        words = text.split()[:8]
        found: ColumnElement[bool] = expression.icontains(words[0], autoescape=True)
        for word in words[1:]:
            found = found & expression.icontains(word, autoescape=True)
        return found

    return condition


def since(expression: Any) -> Callable[[str], ColumnElement[bool]]:
    """Return a filter's condition: on this day or later."""

    def condition(text: str) -> ColumnElement[bool]:
        with contextlib.suppress(ValueError):
            day = date.fromisoformat(text)
            found: ColumnElement[bool] = expression >= (
                day
                if _kind_of(expression) is date
                else datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00")
            )
            return found
        raise ValueError("is no day; write 2026-11-30")

    return condition


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is no number") from None
    if not abs(value) <= 1e300:
        raise ValueError("is no number")
    return value


def whole_number(text: str) -> int:
    """Return a whole number in ASCII digits; raise ValueError for any other text."""
    if not text.lstrip("-").isascii() or not text.lstrip("-").isdecimal() or len(text) > 18:
        raise ValueError("is no whole number")
    return int(text)
