"""What can be used in an expression: data sets, data fields and operators."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from alphafoundry.brain.filters import Condition, read_query
from alphafoundry.brain.service.data_sets import CATEGORIES, DataSet, data_set_of
from alphafoundry.brain.service.local_brain import LocalBrain
from alphafoundry.brain.service.pages import page, page_of
from alphafoundry.brain.service.replies import RefusedError, not_found
from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS
from alphafoundry.market.panel import Panel

_REQUIRED = ("instrumentType", "region", "delay", "universe")

Item = dict[str, Any]


def catalogue_routes(brain: LocalBrain) -> APIRouter:
    """Return the routes of /data-sets, /data-fields, /data-categories and /operators."""
    router = APIRouter()
    coverage = functools.cache(lambda: _coverage(brain.panel))

    def fields(region: str, delay: int, universe: str) -> list[Item]:
        uses = brain.state.alphas.uses_of_fields()
        return [
            _field(brain.panel, name, share, uses.get(name, 0))
            | {"region": region, "delay": delay, "universe": universe}
            for name, share in coverage().items()
        ]

    def data_sets_at(region: str, delay: int, universe: str) -> list[Item]:
        grouped: dict[DataSet, list[Item]] = {}
        for item in fields(region, delay, universe):
            grouped.setdefault(data_set_of(item["id"]), []).append(item)
        return [
            _data_set(brain.panel, known, items)
            | {"region": region, "delay": delay, "universe": universe}
            for known, items in sorted(grouped.items(), key=lambda pair: pair[0].id)
        ]

    @router.get("/operators")
    def operators() -> list[Item]:
        return _operators()

    @router.get("/data-categories")
    def categories() -> list[Item]:
        found = {data_set_of(item["id"]) for item in fields("USA", 1, "TOP3000")}
        return [
            {**each.of_category(), "children": [each.of_subcategory()]}
            for each in sorted(found, key=lambda each: each.category)
        ]

    @router.get("/data-sets")
    def data_sets(request: Request) -> dict[str, Any]:
        return _list(request, brain, data_sets_at, default=20, most=50)

    @router.get("/data-sets/{identity}")
    def one_data_set(identity: str) -> Item:
        for item in data_sets_at("USA", 1, "TOP3000"):
            if item["id"] == identity:
                return item
        raise not_found()

    @router.get("/data-fields")
    def data_fields(request: Request) -> dict[str, Any]:
        return _list(request, brain, fields, default=20, most=50)

    @router.get("/data-fields/{identity}")
    def one_field(identity: str) -> Item:
        for item in fields("USA", 1, "TOP3000"):
            if item["id"] == identity:
                return item
        raise not_found()

    return router


@functools.cache
def _operators() -> list[Item]:
    return [
        {
            "name": known.name,
            "category": known.category,
            "scope": list(known.scope),
            "definition": known.signature,
            "description": known.definition,
            "documentation": None,
            "level": "ALL" if known.tier == "base" else None,
        }
        for known in OPERATORS.values()
    ]


def _coverage(panel: Panel) -> dict[str, float]:
    shares = {name: float(np.isfinite(values).mean()) for name, values in panel.fields.items()}
    groups = {name: float((labels >= 0).mean()) for name, labels in panel.groups.items()}
    return {name: round(share, 4) for name, share in sorted((shares | groups).items())}


def _field(panel: Panel, name: str, share: float, uses: int) -> Item:
    known = DEFAULT_FIELDS.get(name)
    text = panel.descriptions.get(name) or (known.description if known else "")
    return {
        "id": name,
        "description": text,
        "dataset": data_set_of(name).reference(),
        "category": data_set_of(name).of_category(),
        "subcategory": data_set_of(name).of_subcategory(),
        "type": "GROUP" if name in panel.groups else "MATRIX",
        "dateCoverage": 1.0,
        "coverage": share,
        "userCount": 1 if uses else 0,
        "alphaCount": uses,
        "pyramidMultiplier": None,
        "themes": [],
    }


def _data_set(panel: Panel, known: DataSet, fields: list[Item]) -> Item:
    return {
        **known.reference(),
        "description": panel.label,
        "category": known.of_category(),
        "subcategory": known.of_subcategory(),
        "dateCoverage": 1.0,
        "coverage": round(float(np.mean([item["coverage"] for item in fields])), 4),
        "valueScore": None,
        "userCount": 1,
        "alphaCount": max((item["alphaCount"] for item in fields), default=0),
        "fieldCount": len(fields),
        "pyramidMultiplier": None,
        "themes": [],
        "researchPapers": [],
    }


def _list(
    request: Request,
    brain: LocalBrain,
    items: Callable[[str, int, str], list[Item]],
    *,
    default: int,
    most: int,
) -> dict[str, Any]:
    limit, offset = page_of(request, default=default, most=most)
    found = items(*_place(request, brain))
    for condition in read_query(request.url.query):
        if condition.values == ("",):
            # Clients send every filter, empty where nothing is wanted.
            continue
        found = [item for item in found if _meets(item, condition)]
    order = request.query_params.get("order", "")
    if order:
        key = order.removeprefix("-")
        if not all(isinstance(item.get(key), str | int | float) for item in found):
            raise RefusedError(400, {"order": [f'"{order}" is not a valid choice.']})
        found.sort(key=lambda item: item[key], reverse=order.startswith("-"))
    return page(
        request, found[offset : offset + limit], count=len(found), limit=limit, offset=offset
    )


def _place(request: Request, brain: LocalBrain) -> tuple[str, int, str]:
    """Return (region, delay, universe); RefusedError (400) where one is missing or unknown."""
    allowed = {
        "instrumentType": ("EQUITY",),
        "region": ("USA",),
        "delay": ("0", "1"),
        "universe": brain.choices.universes,
    }
    errors = {}
    for name in _REQUIRED:
        value = request.query_params.get(name)
        if value is None:
            errors[name] = ["This field is required."]
        elif value not in allowed[name]:
            errors[name] = [f'"{value}" is not a valid choice.']
    given = request.query_params
    for name, known in (("theme", ("true", "false")), ("category", CATEGORIES)):
        if given.get(name) and given[name] not in known:
            errors[name] = [f'"{given[name]}" is not a valid choice.']
    if errors:
        raise RefusedError(400, errors)
    query = request.query_params
    return query["region"], int(query["delay"]), query["universe"]


def _meets(item: Item, condition: Condition) -> bool:
    value = condition.values[0]
    match condition.name:
        case "search":
            return value.lower() in f"{item['id']} {item['description']}".lower()
        case "dataset.id" | "category":
            known = (
                item.get("dataset", item) if condition.name == "dataset.id" else item["category"]
            )
            return known["id"] in condition.values
        case "theme":
            return value == "false" or bool(item["themes"])
        case "type":
            return item.get("type", "MATRIX") in condition.values
        case "coverage" | "alphaCount" | "userCount" | "fieldCount":
            return _compares(item.get(condition.name), condition)
    return True


def _compares(found: float | None, condition: Condition) -> bool:
    try:
        limit = float(condition.values[0])
    except ValueError:
        raise RefusedError(400, {condition.name: ["A valid number is required."]}) from None
    compare = _COMPARISONS.get(condition.operator)
    return compare is None or (found is not None and compare(found, limit))


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
