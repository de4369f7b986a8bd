"""What the local server remembers of submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update

from alphafoundry.brain.service.alpha_rows import type_of_alpha
from alphafoundry.brain.service.state_database import StateDatabase
from alphafoundry.brain.service.tables import (
    alphas,
    submissions,
)


@dataclass(frozen=True)
class Submission:
    """One submission; `verdict` is "checking", "accepted" or "rejected".

    told : the verdict was answered to a client
    """

    number: int
    alpha: str
    verdict: str
    checks: Sequence[Mapping[str, Any]]
    told: bool


_OPEN = (
    select(submissions)
    .where(submissions.c.service == bindparam("service"), submissions.c.verdict == "checking")
    .order_by(submissions.c.number)
)
"""Asked for at each look at an alpha."""


class SubmissionRows:
    """The submissions of one service."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def count_of(self, day: date, kind: str) -> int:
        """Return how many submissions of a day were accepted or are being checked.

        kind : REGULAR or SUPER
        """
        found = self._database.value(
            select(func.count())
            .select_from(submissions.join(alphas, alphas.c.id == submissions.c.alpha))
            .where(
                type_of_alpha() == kind,
                submissions.c.service == self._database.service,
                submissions.c.day == day.isoformat(),
                submissions.c.verdict.in_(("checking", "accepted")),
            )
        )
        return int(found or 0)

    def latest(self, alpha_id: str) -> Submission | None:
        """Return the last submission of an alpha."""
        query = (
            select(submissions)
            .where(submissions.c.alpha == alpha_id)
            .order_by(submissions.c.number.desc())
            .limit(1)
        )
        return next(iter(self._found(query)), None)

    def open(self) -> list[Submission]:
        """Return the submissions without a verdict, oldest first."""
        return self._found(_OPEN, service=self._database.service)

    def _found(self, query: Select[Any], **parameters: Any) -> list[Submission]:
        with self._database.reading() as connection:
            return [
                Submission(row.number, row.alpha, row.verdict, row.checks, row.told)
                for row in connection.execute(query, parameters)
            ]

    def begin(self, alpha_id: str, *, day: date) -> None:
        """Keep that the submission of an alpha was asked for."""
        with self._database.writing() as connection:
            connection.execute(
                insert(submissions).values(
                    alpha=alpha_id,
                    service=self._database.service,
                    day=day.isoformat(),
                    verdict="checking",
                    checks=[],
                    told=False,
                )
            )

    def end(
        self,
        submission: Submission,
        *,
        checks: Sequence[Mapping[str, Any]],
        document: Mapping[str, Any],
        accepted_at: datetime | None,
    ) -> None:
        """Keep the verdict, and the alpha as `document`; `accepted_at` is None for a rejection."""
        verdict = "rejected" if accepted_at is None else "accepted"
        with self._database.writing() as connection:
            connection.execute(
                update(submissions)
                .where(submissions.c.number == submission.number)
                .values(verdict=verdict, checks=list(checks))
            )
            connection.execute(
                update(alphas)
                .where(alphas.c.id == submission.alpha)
                .values(
                    document=document,
                    submitted_at=None if accepted_at is None else accepted_at.timestamp(),
                )
            )

    def mark_told(self, submission: Submission) -> None:
        """Keep that a client knows the verdict."""
        if not submission.told:
            with self._database.writing() as connection:
                connection.execute(
                    update(submissions)
                    .where(submissions.c.number == submission.number)
                    .values(told=True)
                )
