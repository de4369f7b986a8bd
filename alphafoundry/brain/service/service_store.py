"""What the local server remembers: simulations, alphas, PnL and submissions, in SQLite."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError

from alphafoundry.brain.service.tables import (
    alpha_fields,
    alphas,
    daily_pnl,
    metadata,
    record_sets,
    simulations,
    submissions,
)
from alphafoundry.errors import StoreError

SCHEMA_VERSION = 1
BUSY_SECONDS = 30


class AlreadyThereError(Exception):
    """A row with this id exists."""


@dataclass(frozen=True)
class NewAlpha:
    """An alpha to be kept.

    Attributes
    ----------
    content_key : equal for equal expression and settings
    document : its JSON object
    days, dollars : daily PnL, datetime64[D] and float64 arrays of shape (n_days,)
    record_sets : name to table, those that are kept
    record_set_names : all that there are
    fields : data fields used
    """

    id: str
    content_key: str
    created: datetime
    document: Mapping[str, Any]
    days: NDArray[np.datetime64]
    dollars: NDArray[np.float64]
    record_sets: Mapping[str, Mapping[str, Any]]
    record_set_names: Sequence[str]
    fields: frozenset[str]


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


class State:
    """The database of one local server; every change is one transaction.

    Parameters
    ----------
    path : SQLite file, made with its folder where absent
    service : only rows of this service are seen

    Raises StoreError where the file cannot be opened.
    """

    def __init__(self, path: Path, *, service: str) -> None:
        self._service = service
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS},
            json_serializer=_json,
        )
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        # Raised after the handlers, to leave the driver's chain of errors out.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._engine.begin() as connection:
                found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                if found == 0:
                    metadata.create_all(connection)
                    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except DBAPIError as problem:
            reason = str(problem.orig)
        except OSError as problem:
            reason = problem.strerror or str(problem)
        else:
            if found in (0, SCHEMA_VERSION):
                return
            reason = f"written by another version ({found})"
        self._engine.dispose()
        raise StoreError(
            f"{path}: cannot be used as the state of the local BRAIN server: {reason}; "
            "name another file"
        )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database."""
        with self._engine.connect().execution_options(reading=True) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection inside a transaction that no other writer interrupts."""
        with self._engine.begin() as connection:
            yield connection

    def keep_simulation(
        self, answer: Mapping[str, Any], *, day: date, alpha: NewAlpha | None = None
    ) -> None:
        """Keep a finished simulation, together with its alpha.

        answer : the body of GET /simulations/{id}

        Raises AlreadyThereError where another server took the alpha's id meanwhile.
        """
        try:
            self._keep_simulation(answer, day, alpha)
        except IntegrityError:
            raise AlreadyThereError from None

    def _keep_simulation(
        self, answer: Mapping[str, Any], day: date, alpha: NewAlpha | None
    ) -> None:
        with self.writing() as connection:
            connection.execute(
                insert(simulations).values(
                    id=answer["id"],
                    service=self._service,
                    day=day.isoformat(),
                    # A parent of several is no simulation itself, and counts for no quota.
                    status="PARENT" if "children" in answer else answer["status"],
                    answer=answer,
                )
            )
            if alpha is not None:
                self._keep_alpha(connection, alpha)

    def _keep_alpha(self, connection: Connection, alpha: NewAlpha) -> None:
        connection.execute(
            insert(alphas).values(
                id=alpha.id,
                service=self._service,
                content_key=alpha.content_key,
                created_at=alpha.created.timestamp(),
                document=alpha.document,
                record_set_names=list(alpha.record_set_names),
            )
        )
        connection.execute(
            insert(daily_pnl).values(
                alpha=alpha.id,
                days=alpha.days.astype("datetime64[D]").astype("<i8").tobytes(),
                dollars=alpha.dollars.astype("<f8").tobytes(),
            )
        )
        for name, content in alpha.record_sets.items():
            connection.execute(
                insert(record_sets).values(alpha=alpha.id, name=name, content=content)
            )
        for field in alpha.fields:
            connection.execute(
                insert(alpha_fields).values(alpha=alpha.id, service=self._service, field=field)
            )

    def simulation(self, simulation_id: str) -> dict[str, Any] | None:
        """Return the body of a finished simulation."""
        return self._object(
            select(simulations.c.answer).where(
                simulations.c.id == simulation_id, simulations.c.service == self._service
            )
        )

    def simulations_of(self, day: date) -> int:
        """Return how many simulations succeeded on a day."""
        found = self._value(
            select(func.count())
            .select_from(simulations)
            .where(
                simulations.c.service == self._service,
                simulations.c.day == day.isoformat(),
                simulations.c.status.in_(("COMPLETE", "WARNING")),
            )
        )
        return int(found or 0)

    def alphas_with(self, content_key: str) -> int:
        """Return how many alphas have this expression and these settings."""
        found = self._value(
            select(func.count())
            .select_from(alphas)
            .where(alphas.c.service == self._service, alphas.c.content_key == content_key)
        )
        return int(found or 0)

    def alpha(self, alpha_id: str) -> dict[str, Any] | None:
        """Return the JSON object of an alpha."""
        return self._object(
            select(alphas.c.document).where(
                alphas.c.id == alpha_id, alphas.c.service == self._service
            )
        )

    def change_alpha(self, alpha_id: str, document: Mapping[str, Any]) -> None:
        """Replace the JSON object of an alpha."""
        with self.writing() as connection:
            connection.execute(
                update(alphas).where(alphas.c.id == alpha_id).values(document=document)
            )

    def find_alphas(
        self, query: Select[Any], *, limit: int, offset: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many alphas `query` finds, and the objects of one page.

        query : a select of alphas.c.document
        """
        mine = query.where(alphas.c.service == self._service)
        count = select(func.count()).select_from(mine.order_by(None).subquery())
        with self.reading() as connection:
            total = connection.execute(count).scalar_one()
            page = connection.execute(mine.limit(limit).offset(offset)).scalars().all()
        return int(total), list(page)

    def pnl(self, alpha_id: str) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
        """Return (days, dollars) of an alpha that exists."""
        with self.reading() as connection:
            row = connection.execute(
                select(daily_pnl.c.days, daily_pnl.c.dollars).where(daily_pnl.c.alpha == alpha_id)
            ).one()
        days = np.frombuffer(row.days, dtype="<i8").astype("datetime64[D]")
        return days, np.frombuffer(row.dollars, dtype="<f8").astype(np.float64)

    def record_set(self, alpha_id: str, name: str) -> dict[str, Any] | None:
        """Return a table that was kept with the alpha."""
        return self._object(
            select(record_sets.c.content).where(
                record_sets.c.alpha == alpha_id, record_sets.c.name == name
            )
        )

    def record_set_names(self, alpha_id: str) -> list[str]:
        """Return the names of all tables of an alpha, kept or not."""
        names = self._value(select(alphas.c.record_set_names).where(alphas.c.id == alpha_id))
        return list(names or ())

    def uses_of_fields(self) -> dict[str, int]:
        """Return field to the number of alphas that use it."""
        query = (
            select(alpha_fields.c.field, func.count())
            .where(alpha_fields.c.service == self._service)
            .group_by(alpha_fields.c.field)
        )
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def submitted(self) -> list[dict[str, Any]]:
        """Return the objects of all submitted alphas, oldest first."""
        query = (
            select(alphas.c.document)
            .where(alphas.c.service == self._service, alphas.c.submitted_at.is_not(None))
            .order_by(alphas.c.submitted_at)
        )
        with self.reading() as connection:
            return list(connection.execute(query).scalars())

    def regular_alphas(self) -> list[dict[str, Any]]:
        """Return the objects of the regular alphas, oldest first, equal ones once."""
        first = (
            select(func.min(alphas.c.number))
            .where(alphas.c.service == self._service, _type_of_alpha() == "REGULAR")
            .group_by(alphas.c.content_key)
        )
        query = (
            select(alphas.c.document).where(alphas.c.number.in_(first)).order_by(alphas.c.number)
        )
        with self.reading() as connection:
            return list(connection.execute(query).scalars())

    def submissions_of(self, day: date, kind: str) -> int:
        """Return how many submissions of a day were accepted or are being checked.

        kind : REGULAR or SUPER
        """
        found = self._value(
            select(func.count())
            .select_from(submissions.join(alphas, alphas.c.id == submissions.c.alpha))
            .where(
                _type_of_alpha() == kind,
                submissions.c.service == self._service,
                submissions.c.day == day.isoformat(),
                submissions.c.verdict.in_(("checking", "accepted")),
            )
        )
        return int(found or 0)

    def latest_submission(self, alpha_id: str) -> Submission | None:
        """Return the last submission of an alpha."""
        query = (
            select(submissions)
            .where(submissions.c.alpha == alpha_id)
            .order_by(submissions.c.number.desc())
            .limit(1)
        )
        return next(iter(self._submissions(query)), None)

    def open_submissions(self) -> list[Submission]:
        """Return the submissions without a verdict, oldest first."""
        return self._submissions(
            select(submissions)
            .where(submissions.c.service == self._service, submissions.c.verdict == "checking")
            .order_by(submissions.c.number)
        )

    def _submissions(self, query: Select[Any]) -> list[Submission]:
        with self.reading() as connection:
            return [
                Submission(row.number, row.alpha, row.verdict, row.checks, row.told)
                for row in connection.execute(query)
            ]

    def begin_submission(self, alpha_id: str, *, day: date) -> None:
        """Keep that the submission of an alpha was asked for."""
        with self.writing() as connection:
            connection.execute(
                insert(submissions).values(
                    alpha=alpha_id,
                    service=self._service,
                    day=day.isoformat(),
                    verdict="checking",
                    checks=[],
                    told=False,
                )
            )

    def end_submission(
        self,
        submission: Submission,
        *,
        checks: Sequence[Mapping[str, Any]],
        document: Mapping[str, Any],
        accepted_at: datetime | None,
    ) -> None:
        """Keep the verdict, and the alpha as `document`; `accepted_at` is None for a rejection."""
        verdict = "rejected" if accepted_at is None else "accepted"
        with self.writing() as connection:
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
            with self.writing() as connection:
                connection.execute(
                    update(submissions)
                    .where(submissions.c.number == submission.number)
                    .values(told=True)
                )

    def _object(self, query: Select[Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._value(query)
        return found

    def _value(self, query: Select[Any]) -> Any:
        with self.reading() as connection:
            return connection.execute(query).scalar_one_or_none()


def _type_of_alpha() -> ColumnElement[Any]:
    return func.json_extract(alphas.c.document, "$.type")


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _configure(connection: Any, _: object) -> None:
    # Transactions are begun by `_begin`; the driver's own handling would begin them late.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
