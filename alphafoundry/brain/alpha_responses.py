"""Alphas, checks and verdicts as the BRAIN API answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import ValidationError

from alphafoundry.brain.models import AlphaInfo, CheckInfo, SubmissionOutcome
from alphafoundry.brain.responses import call, detail_of, read_model, read_object, refusal
from alphafoundry.errors import BrainUnavailable


def read_alpha(response: httpx.Response, content: Mapping[str, Any]) -> AlphaInfo:
    """Return `content` as an alpha. Raises BrainUnavailable where it is none."""
    try:
        return AlphaInfo.from_brain(content)
    except (ValidationError, AttributeError, TypeError):
        raise BrainUnavailable(
            f"{call(response)}: BRAIN's answer is not an alpha", status=response.status_code
        ) from None


def read_checks(response: httpx.Response) -> tuple[CheckInfo, ...]:
    """Return the checks under `is`. Raises BrainUnavailable where there are none."""
    content = read_object(response).get("is")
    checks = content.get("checks") if isinstance(content, dict) else None
    if not isinstance(checks, list):
        raise BrainUnavailable(
            f"{call(response)}: BRAIN's answer has no checks", status=response.status_code
        )
    return tuple(read_model(response, CheckInfo, check) for check in checks)


def is_accepted(response: httpx.Response) -> bool:
    """Tell whether a 200 without Retry-After is the acceptance of a submission.

    An HTML page is not: it stands for an ended session or for maintenance.
    """
    return (
        response.status_code == 200
        and "Retry-After" not in response.headers
        and "text/html" not in response.headers.get("content-type", "")
        and (not response.content.strip() or not isinstance(detail_of(response), str))
    )


def read_rejection(response: httpx.Response) -> SubmissionOutcome:
    """Return the verdict of a 403 with checks. Raises BrainRequestError for one without."""
    detail = detail_of(response)
    if not isinstance(detail, dict) or "is" not in detail:
        raise refusal(response)
    checks = read_checks(response)
    again = any(check.name == "ALREADY_SUBMITTED" for check in checks)
    return SubmissionOutcome(status="already_submitted" if again else "rejected", checks=checks)
