"""Submissions: intended before they are sent, settled after, never two for one alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import func, select, update

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store.database import Store, lock_subject
from alphafoundry.store.runs import interrupt_dead_runs
from alphafoundry.store.tables import RunRow, SubmissionRow, SubmissionStatus

IntentRefusal = Literal["daily_limit", "already_intended", "already_accepted"]


@dataclass(frozen=True)
class Intent:
    """The answer to `intend_submission`.

    Attributes
    ----------
    submission : the row that allows the request; None where refused
    refused : why not: the day is full, or the alpha is on its way or accepted already
    """

    submission: SubmissionRow | None
    refused: IntentRefusal | None = None


def intend_submission(
    store: Store,
    service: str,
    alpha_id: str,
    day: date,
    *,
    daily_limit: int,
    run_id: int,
    checks: Sequence[Mapping[str, Any]] = (),
    now: datetime | None = None,
) -> Intent:
    """Record that an alpha is about to be submitted, if it may be.

    Safe between processes: never more than `daily_limit` submissions of `day` are intended or
    accepted together. An alpha that was rejected or failed before may be intended again.

    Parameters
    ----------
    day : US Eastern day, by `eastern_day`
    checks : the checks seen just before
    """
    now = now or utc_now()
    with store.write() as session:
        lock_subject(session, f"submissions:{service}")
        found = session.scalar(
            select(SubmissionRow).where(
                SubmissionRow.service == service, SubmissionRow.alpha_id == alpha_id
            )
        )
        if found is not None and found.status == "accepted":
            return Intent(None, "already_accepted")
        if found is not None and found.status == "intended":
            return Intent(None, "already_intended")
        taken = session.scalar(
            select(func.count())
            .select_from(SubmissionRow)
            .where(
                SubmissionRow.service == service,
                SubmissionRow.eastern_day == day,
                SubmissionRow.status.in_(("intended", "accepted")),
            )
        )
        if (taken or 0) >= daily_limit:
            return Intent(None, "daily_limit")
        submission = found or SubmissionRow(service=service, alpha_id=alpha_id)
        submission.eastern_day = day
        submission.status = "intended"
        submission.detail = None
        submission.checks = [dict(check) for check in checks]
        submission.intended_at = now
        submission.settled_at = None
        submission.run_id = run_id
        session.add(submission)
        return Intent(submission)


def settle_submission(
    store: Store,
    service: str,
    alpha_id: str,
    status: Literal["accepted", "rejected", "failed"],
    *,
    detail: str | None = None,
    checks: Sequence[Mapping[str, Any]] | None = None,
    now: datetime | None = None,
) -> bool:
    """Record what became of an intended submission; False where it was settled before.

    Parameters
    ----------
    checks : the checks that decided; None keeps those of the intent

    Raises
    ------
    StoreError : the alpha was never intended
    """
    values: dict[str, Any] = {"status": status, "detail": detail, "settled_at": now or utc_now()}
    if checks is not None:
        values["checks"] = [dict(check) for check in checks]
    ours = (SubmissionRow.service == service, SubmissionRow.alpha_id == alpha_id)
    with store.write() as session:
        settled = session.scalar(
            update(SubmissionRow)
            .where(*ours, SubmissionRow.status == "intended")
            .values(**values)
            .returning(SubmissionRow.id)
        )
        if settled is None and session.scalar(select(SubmissionRow.id).where(*ours)) is None:
            raise StoreError(
                f"{store.label}: the submission of {alpha_id} was not recorded as intended"
            )
        return settled is not None


def unsettled_submissions(
    store: Store, service: str, *, run_id: int, now: datetime | None = None
) -> list[SubmissionRow]:
    """Give the run every intended submission whose own run is over or dead; return all it has.

    Each is given to one run only. What became of it on the service must be asked before anything
    is sent again.
    """
    with store.write() as session:
        lock_subject(session, f"submissions:{service}")
        interrupt_dead_runs(session, now=now or utc_now())
        session.execute(
            update(SubmissionRow)
            .where(
                SubmissionRow.service == service,
                SubmissionRow.status == "intended",
                SubmissionRow.run_id.in_(select(RunRow.id).where(RunRow.status != "running")),
            )
            .values(run_id=run_id)
            .execution_options(synchronize_session=False)
        )
        query = select(SubmissionRow).where(
            SubmissionRow.service == service,
            SubmissionRow.status == "intended",
            SubmissionRow.run_id == run_id,
        )
        return list(session.scalars(query.order_by(SubmissionRow.id)))


def read_submissions(
    store: Store,
    service: str,
    *,
    day: date | None = None,
    status: Sequence[SubmissionStatus] = (),
) -> list[SubmissionRow]:
    """Return submissions in the order first intended; an empty `status` is every status."""
    query = select(SubmissionRow).where(SubmissionRow.service == service).order_by(SubmissionRow.id)
    if day is not None:
        query = query.where(SubmissionRow.eastern_day == day)
    if status:
        query = query.where(SubmissionRow.status.in_(status))
    with store.session() as session:
        return list(session.scalars(query))
