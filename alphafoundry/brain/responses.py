"""How an answer of the BRAIN API is judged: fine, refused, or to be tried again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from alphafoundry.errors import BrainRequestError, BrainUnavailable, RateLimited
from alphafoundry.retry_after import retry_after

ModelT = TypeVar("ModelT", bound=BaseModel)

_SHOWN = 500


def call(response: httpx.Response) -> str:
    """Return "GET /alphas/x", for messages."""
    return f"{response.request.method} {response.request.url.path}"


def read_json(response: httpx.Response) -> Any:
    """Return the decoded body. Raises BrainUnavailable where it is empty, cut or no JSON."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "no content type")
        raise BrainUnavailable(
            f"{call(response)}: BRAIN answered {len(response.content)} bytes ({kind}) that are "
            "not JSON; try again",
            status=response.status_code,
        ) from None


def read_object(response: httpx.Response) -> dict[str, Any]:
    """Return the decoded body where it is a JSON object. Raises BrainUnavailable otherwise."""
    content = read_json(response)
    if not isinstance(content, dict):
        raise _unreadable(response, "expected a JSON object")
    return content


def read_list(response: httpx.Response) -> list[dict[str, Any]]:
    """Return a JSON list of objects, also where it comes as {"results": [...]}."""
    content = read_json(response)
    items = content.get("results") if isinstance(content, dict) else content
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _unreadable(response, "expected a list of JSON objects")
    return items


def read_model(response: httpx.Response, model: type[ModelT], content: Mapping[str, Any]) -> ModelT:
    """Return `content` as `model`. Raises BrainUnavailable where it does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _unreadable(response, f"{place}: {first['msg']}") from None


def _unreadable(response: httpx.Response, reason: str) -> BrainUnavailable:
    return BrainUnavailable(
        f"{call(response)}: BRAIN's answer cannot be read ({reason})",
        status=response.status_code,
    )


def detail_of(response: httpx.Response) -> Any:
    """Return the decoded body of a refusal, or its first 500 characters."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return response.text[:_SHOWN]


def trouble(response: httpx.Response, *, once_only: bool) -> BrainUnavailable | None:
    """Return the error of a 429, 5xx, 3xx or 408, None for any other answer.

    Some versions of the service tell the simulation limits with 400. A redirection, to a page for
    signing in or of maintenance, is not BRAIN's answer, and so is not followed.

    once_only : the request must not be made twice, so all but a 429 leaves its fate unknown
    """
    if response.status_code == 429 or (
        response.status_code == 400 and "SIMULATION_LIMIT_EXCEEDED" in response.text
    ):
        return _rate_limited(response)
    if response.status_code >= 500 or response.is_redirect or response.status_code == 408:
        return BrainUnavailable(
            f"{call(response)}: BRAIN answered {response.status_code}",
            status=response.status_code,
            retry_after=retry_after(response.headers),
            fate_unknown=once_only,
        )
    return None


def _rate_limited(response: httpx.Response) -> RateLimited:
    text = response.text
    # The old text SIMULATION_LIMIT_EXCEEDED is part of both newer ones.
    if "DAILY_SIMULATION_LIMIT_EXCEEDED" in text:
        kind, meaning = "daily", "the daily simulation quota is used up until midnight US Eastern"
    elif "SIMULATION_LIMIT_EXCEEDED" in text:
        kind, meaning = "concurrent", "too many simulations run at once"
    else:
        kind, meaning = "rate", "too many requests"
    return RateLimited(
        f"{call(response)}: BRAIN answered {response.status_code}, {meaning}",
        kind=kind,
        retry_after=retry_after(response.headers),
    )


def refusal(response: httpx.Response) -> BrainRequestError:
    """Return the error of an answer that repeating cannot mend."""
    detail = detail_of(response)
    shown = detail if isinstance(detail, str) else json.dumps(detail)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
    return BrainRequestError(
        f"{call(response)}: BRAIN answered {response.status_code} {shown}".rstrip(),
        status=response.status_code,
        detail=detail,
    )


def session_is_missing(response: httpx.Response) -> bool:
    """Tell whether the service did not know who asked.

    Besides 401: a 400 that says so, and, where a GET expects JSON, a 204 or an empty HTML page.
    """
    if response.status_code == 401:
        return True
    if response.status_code == 400:
        return "authentication credentials" in response.text.lower()
    if response.request.method != "GET":
        return False
    return response.status_code == 204 or (
        response.status_code == 200
        and not response.content.strip()
        and "text/html" in response.headers.get("content-type", "")
        and retry_after(response.headers) is None
    )
