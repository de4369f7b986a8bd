"""Checking and submitting alphas: /alphas/{id}/check and /alphas/{id}/submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from alphafoundry.brain.service.alpha_document import as_submitted, with_checks
from alphafoundry.brain.service.local_brain import LocalBrain
from alphafoundry.brain.service.replies import RefusedError, come_again, not_found
from alphafoundry.brain.service.self_correlation import correlation_checks, related_alphas
from alphafoundry.brain.service.submission_rows import Submission
from alphafoundry.clock import eastern_day

ALREADY_SUBMITTED = {"name": "ALREADY_SUBMITTED", "result": "FAIL"}

DAILY_SUPER_SUBMISSIONS = 1
"""SUPER alphas that are accepted per US Eastern day."""

_COMPUTED = frozenset(
    {"SELF_CORRELATION", "PROD_CORRELATION", "REGULAR_SUBMISSION", "SUPER_SUBMISSION"}
)


def settle(brain: LocalBrain) -> None:
    """Decide every submission whose checks have taken their time."""
    with brain.deciding:
        for submission in brain.state.submissions.open():
            # After a restart no delay is known, and the submission is decided at once.
            if brain.delays.over("submit", submission.alpha):
                _decide(brain, submission)


def _decide(brain: LocalBrain, submission: Submission) -> None:
    document = _existing(brain, submission.alpha)
    checks = _without_computed(document)
    checks += correlation_checks(document, related_alphas(brain.state, submission.alpha))
    changed = with_checks(document, checks)
    accepted_at = None if _failed(checks) else brain.now()
    if accepted_at is not None:
        changed = as_submitted(changed, accepted_at)
    brain.state.submissions.end(
        submission, checks=checks, document=changed, accepted_at=accepted_at
    )
    brain.delays.forget("submit", submission.alpha)


def submission_routes(brain: LocalBrain) -> APIRouter:
    """Return the routes of /alphas/{id}/check and /alphas/{id}/submit."""
    router = APIRouter()

    @router.get("/alphas/{alpha_id}/check")
    def check(alpha_id: str) -> Response:
        settle(brain)
        document = _existing(brain, alpha_id)
        if document["status"] == "ACTIVE":
            return JSONResponse({"is": {"checks": [ALREADY_SUBMITTED]}})
        if not brain.delays.done_after_begin("check", alpha_id):
            return come_again(brain.poll_seconds)
        with brain.deciding:
            document = _existing(brain, alpha_id)
            related = related_alphas(brain.state, alpha_id)
            checks = [*_without_computed(document), *correlation_checks(document, related)]
            if document["status"] != "ACTIVE":
                brain.state.alphas.change(alpha_id, with_checks(document, checks))
            return JSONResponse({"is": {"checks": [*checks, _quota_check(brain, document)]}})

    @router.post("/alphas/{alpha_id}/submit")
    def submit(alpha_id: str, request: Request) -> Response:
        with brain.deciding:
            settle(brain)
            document = _existing(brain, alpha_id)
            latest = brain.state.submissions.latest(alpha_id)
            if latest is not None and latest.verdict != "checking" and not latest.told:
                return _tell(brain, latest, accepted=Response(status_code=200))
            if document["status"] == "ACTIVE":
                raise _rejected([ALREADY_SUBMITTED])
            if latest is None or latest.verdict != "checking":
                _begin(brain, document)
        return come_again(brain.poll_seconds, status=201, location=str(request.url))

    @router.get("/alphas/{alpha_id}/submit")
    def look(alpha_id: str) -> Response:
        settle(brain)
        document = _existing(brain, alpha_id)
        latest = brain.state.submissions.latest(alpha_id)
        if latest is None:
            # A 404 would say that the alpha is submitted.
            raise _rejected(document["is"]["checks"])
        if latest.verdict == "checking":
            return come_again(brain.poll_seconds)
        return _tell(brain, latest, accepted=Response(status_code=404))

    return router


def _begin(brain: LocalBrain, document: dict[str, Any]) -> None:
    """Keep that a submission is wanted. Raises RefusedError (403) where it is known to fail."""
    checks = [*_without_computed(document), _quota_check(brain, document)]
    if _failed(checks):
        raise _rejected(checks)
    brain.delays.begin("submit", document["id"])
    brain.state.submissions.begin(document["id"], day=eastern_day(brain.now()))


def _tell(brain: LocalBrain, submission: Submission, *, accepted: Response) -> Response:
    brain.state.submissions.mark_told(submission)
    if submission.verdict == "accepted":
        return accepted
    raise _rejected(submission.checks)


def _existing(brain: LocalBrain, alpha_id: str) -> dict[str, Any]:
    document = brain.state.alphas.find(alpha_id)
    if document is None:
        raise not_found()
    return document


def _without_computed(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in document["is"]["checks"] if check["name"] not in _COMPUTED]


def _quota_check(brain: LocalBrain, document: dict[str, Any]) -> dict[str, Any]:
    kind = document["type"]
    limit = DAILY_SUPER_SUBMISSIONS if kind == "SUPER" else brain.daily_submissions
    used = brain.state.submissions.count_of(eastern_day(brain.now()), kind)
    return {
        "name": f"{kind}_SUBMISSION",
        "result": "PASS" if used < limit else "FAIL",
        "limit": limit,
        "value": used,
    }


def _failed(checks: Sequence[Any]) -> bool:
    return any(check["result"] in ("FAIL", "ERROR") for check in checks)


def _rejected(checks: Sequence[Any]) -> RefusedError:
    return RefusedError(403, {"is": {"checks": list(checks)}})
