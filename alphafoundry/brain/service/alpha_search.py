"""GET /users/self/alphas as SQL: BRAIN's filters and orders over the alphas' JSON objects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, true

from alphafoundry.brain.filters import Condition
from alphafoundry.brain.service.replies import RefusedError
from alphafoundry.brain.service.tables import alphas
from alphafoundry.clock import EASTERN

DATES = {"dateCreated": alphas.c.created_at, "dateSubmitted": alphas.c.submitted_at}

TEXTS = frozenset(
    {
        "id",
        "type",
        "author",
        "name",
        "color",
        "category",
        "grade",
        "stage",
        "status",
        "regular.code",
        "combo.code",
        "selection.code",
        "settings.region",
        "settings.universe",
        "settings.neutralization",
        "settings.language",
        "settings.testPeriod",
    }
)
"""Keys whose value is compared as text even where it looks like a number."""

_OWN_KEYS = TEXTS | {"favorite", "hidden"}
_NESTED = re.compile(r"(settings|is|os|train|test|regular|combo|selection)(\.[A-Za-z0-9]+)+")


def alpha_query(conditions: Iterable[Condition], order: str) -> Select[Any]:
    """Return a select of the JSON objects that meet all conditions.

    Keys that are no property of an alpha are ignored. Raises RefusedError (400) on a value that
    cannot be read.
    """
    wanted = [_clause(condition) for condition in conditions if _is_known(condition.name)]
    return select(alphas.c.document).where(and_(true(), *wanted)).order_by(*_order(order))


def _is_known(name: str) -> bool:
    return name in _OWN_KEYS or name in DATES or name == "tag" or bool(_NESTED.fullmatch(name))


def _column(name: str) -> ColumnElement[Any]:
    return DATES[name] if name in DATES else func.json_extract(alphas.c.document, f"$.{name}")


def _order(order: str) -> tuple[ColumnElement[Any], ...]:
    name = order.removeprefix("-")
    if not (_is_known(name) and name != "tag"):
        raise RefusedError(400, {"order": [f'"{order}" is not a valid choice.']})
    column, number = _column(name), alphas.c.number
    if order.startswith("-"):
        return column.desc().nulls_last(), number.desc()
    return column.asc().nulls_last(), number.asc()


def _clause(condition: Condition) -> ColumnElement[bool]:
    if condition.name == "tag":
        return _tagged(condition)
    column = _column(condition.name)
    values = [_value(condition.name, text) for text in condition.values]
    match condition.operator:
        case "=":
            return or_(*(column == value for value in values))
        case "!=":
            return and_(*(column.is_distinct_from(value) for value in values))
        case "~":
            text = condition.values[0].lower()
            return func.instr(func.lower(func.coalesce(column, "")), text) > 0
    return column.bool_op(condition.operator)(values[0])


def _tagged(condition: Condition) -> ColumnElement[bool]:
    tags = func.json_each(alphas.c.document, "$.tags").table_valued("value")
    found = exists(select(tags.c.value).where(tags.c.value.in_(condition.values)))
    return ~found if condition.operator == "!=" else found


def _value(name: str, text: str) -> Any:
    if name in DATES:
        return _timestamp(name, text)
    if name in TEXTS:
        return text
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _timestamp(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError(400, {name: ["Enter a valid date/time."]}) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=EASTERN)).timestamp()
