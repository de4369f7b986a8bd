"""The routes that read and change alphas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from alphafoundry.brain.filters import read_query
from alphafoundry.brain.service.alpha_search import alpha_query
from alphafoundry.brain.service.local_brain import LocalBrain
from alphafoundry.brain.service.pages import page, page_of
from alphafoundry.brain.service.quotas import eastern_text
from alphafoundry.brain.service.replies import JsonBody, RefusedError, not_found
from alphafoundry.brain.service.submissions import settle

COLORS = ("RED", "YELLOW", "GREEN", "BLUE", "PURPLE")
LONGEST_NAME = 256
LONGEST_DESCRIPTION = 10_000
MOST_TAGS = 100
CATEGORIES = (
    *("NONE", "PRICE_REVERSION", "PRICE_MOMENTUM", "VOLUME", "FUNDAMENTAL", "ANALYST"),
    *("PRICE_VOLUME", "RELATION", "SENTIMENT"),
)
CODES = ("regular", "combo", "selection")
"""Parts of an alpha that have a description."""


def find_alpha(brain: LocalBrain, alpha_id: str) -> dict[str, Any]:
    """Return an alpha's JSON object as it is now. Raises RefusedError (404) where there is none."""
    settle(brain)
    document = brain.state.alphas.find(alpha_id)
    if document is None:
        raise not_found()
    return document


def alpha_routes(brain: LocalBrain) -> APIRouter:
    """Return the routes of /alphas/{id} and /users/self/alphas."""
    router = APIRouter()

    @router.get("/users/self/alphas")
    def search(request: Request) -> dict[str, Any]:
        settle(brain)
        limit, offset = page_of(request, default=10, most=100)
        order = request.query_params.get("order", "-dateCreated")
        query = alpha_query(read_query(request.url.query), order)
        count, found = brain.state.alphas.search(query, limit=limit, offset=offset)
        return page(request, found, count=count, limit=limit, offset=offset)

    @router.get("/alphas/{alpha_id}")
    def look(alpha_id: str) -> dict[str, Any]:
        return find_alpha(brain, alpha_id)

    @router.patch("/alphas/{alpha_id}")
    def change(alpha_id: str, body: JsonBody) -> dict[str, Any]:
        with brain.deciding:
            return _change(brain, alpha_id, body)

    @router.patch("/alphas")
    def change_many(body: JsonBody) -> list[dict[str, Any]]:
        if not isinstance(body, list):
            kind = type(body).__name__
            raise RefusedError(
                400, {"errors": [f'Expected a list of items but got type "{kind}".']}
            )
        with brain.deciding:
            wanted = [(_identity(item), item) for item in body]
            for alpha_id, item in wanted:
                find_alpha(brain, alpha_id)
                _changes(item)
            return [_change(brain, alpha_id, item) for alpha_id, item in wanted]

    return router


def _identity(item: Any) -> str:
    alpha_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(alpha_id, str):
        raise RefusedError(400, {"id": ["This field is required."]})
    return alpha_id


def _change(brain: LocalBrain, alpha_id: str, body: Any) -> dict[str, Any]:
    document = find_alpha(brain, alpha_id)
    changes = _changes(body)
    described = {
        name: {**document[name], **changes.get(name, {})} for name in CODES if name in document
    }
    kept = {key: value for key, value in changes.items() if key not in CODES}
    changed = {
        **document,
        **kept,
        **described,
        "dateModified": eastern_text(brain.now()),
    }
    brain.state.alphas.change(alpha_id, changed)
    return changed


def _changes(body: Any) -> dict[str, Any]:
    """Return the changes that a body asks for; other keys are ignored."""
    if not isinstance(body, dict):
        kind = type(body).__name__
        raise RefusedError(
            400, {"errors": [f"Invalid data. Expected a dictionary, but got {kind}."]}
        )
    errors: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for key, wrong in _RULES.items():
        if key in body:
            message = wrong(body[key])
            if message is None:
                changes[key] = body[key]
            else:
                errors[key] = [message]
    for name in CODES:
        if name not in body:
            continue
        text = body[name].get("description") if isinstance(body[name], dict) else 0
        message = _text_problem(text, LONGEST_DESCRIPTION)
        if message is not None:
            errors[name] = {"description": [message]}
        elif "description" in body[name]:
            changes[name] = {"description": text}
    if errors:
        raise RefusedError(400, errors)
    return changes


def _text_problem(value: Any, longest: int) -> str | None:
    if value is not None and not isinstance(value, str):
        return "Not a valid string."
    if value is not None and len(value) > longest:
        return f"Ensure this field has no more than {longest} characters."
    return None


def _name_problem(value: Any) -> str | None:
    return _text_problem(value, LONGEST_NAME)


def _color_problem(value: Any) -> str | None:
    return None if value is None or value in COLORS else f'"{value}" is not a valid choice.'


def _category_problem(value: Any) -> str | None:
    return None if value is None or value in CATEGORIES else f'"{value}" is not a valid choice.'


def _tags_problem(value: Any) -> str | None:
    if not isinstance(value, list):
        return f'Expected a list of items but got type "{type(value).__name__}".'
    if len(value) > MOST_TAGS:
        return f"Ensure this field has no more than {MOST_TAGS} elements."
    return next(filter(None, map(_name_problem, value)), None)


def _boolean_problem(value: Any) -> str | None:
    return None if isinstance(value, bool) else "Must be a valid boolean."


_RULES: dict[str, Callable[[Any], str | None]] = {
    "name": _name_problem,
    "color": _color_problem,
    "category": _category_problem,
    "tags": _tags_problem,
    "favorite": _boolean_problem,
    "hidden": _boolean_problem,
}
