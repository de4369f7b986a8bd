"""BRAIN's filters of alphas: `is.fitness>=1`, `status!=ACTIVE`, `name~momentum`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, unquote_plus

LIST_SEPARATOR = "\x1f"

_OPERATOR = re.compile(r"(>=|<=|!=|>|<|~|=)")


@dataclass(frozen=True)
class Condition:
    """One filter: `values` holds more than one where any of them will do."""

    name: str
    operator: str
    values: tuple[str, ...]


def filter_query(filters: Mapping[str, object]) -> str:
    """Return a query string from names that may end with an operator.

    A list or tuple is one of several; a datetime is written as ISO text with its offset; None is
    left out.
    """
    return "&".join(_written(key, value) for key, value in filters.items() if value is not None)


def _written(key: str, value: object) -> str:
    match = _OPERATOR.search(key)
    name, operator = (key[: match.start()], match.group()) if match else (key, "=")
    values = value if isinstance(value, list | tuple) else (value,)
    text = LIST_SEPARATOR.join(_text(item) for item in values)
    sign = quote(operator.rstrip("="), safe="!~") + ("=" if operator.endswith("=") else "")
    return f"{quote(name, safe='.')}{sign}{quote(text, safe='')}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def read_query(query: str) -> list[Condition]:
    """Return the conditions of a raw query string, percent-encoded or not.

    `a>=1`, `a%3E=1` and `a%3E%3D=1` mean the same, as clients write all three.
    """
    conditions = []
    for piece in query.split("&"):
        text = unquote_plus(piece)
        match = _OPERATOR.search(text)
        if match is None:
            continue
        value = text[match.end() :]
        if match.group() != "=":
            value = value.removeprefix("=")
        conditions.append(
            Condition(text[: match.start()], match.group(), tuple(value.split(LIST_SEPARATOR)))
        )
    return conditions
