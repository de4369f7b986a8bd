"""What the local server remembers of alphas: their object, daily PnL and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    insert,
    select,
    update,
)

from alphafoundry.brain.service.state_database import StateDatabase
from alphafoundry.brain.service.tables import (
    alpha_fields,
    alphas,
    daily_pnl,
    record_sets,
)


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


# What each simulation asks for, built once: making a statement takes longer than carrying it out.
_DOCUMENT = select(alphas.c.document).where(
    alphas.c.id == bindparam("alpha"), alphas.c.service == bindparam("service")
)
_COUNT = (
    select(func.count())
    .select_from(alphas)
    .where(alphas.c.service == bindparam("service"), alphas.c.content_key == bindparam("key"))
)
_PNL = select(daily_pnl.c.days, daily_pnl.c.dollars).where(daily_pnl.c.alpha == bindparam("alpha"))
_RECORD_SET_NAMES = select(alphas.c.record_set_names).where(alphas.c.id == bindparam("alpha"))
_RECORD_SET = select(record_sets.c.content).where(
    record_sets.c.alpha == bindparam("alpha"), record_sets.c.name == bindparam("name")
)
_NEW_ALPHA = insert(alphas)
_NEW_PNL = insert(daily_pnl)
_NEW_RECORD_SET = insert(record_sets)
_NEW_FIELD = insert(alpha_fields)


class AlphaRows:
    """The alphas of one service."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def keep(self, connection: Connection, alpha: NewAlpha) -> None:
        """Keep a new alpha with its PnL and tables, in the transaction of `connection`."""
        connection.execute(
            _NEW_ALPHA,
            {
                "id": alpha.id,
                "service": self._database.service,
                "content_key": alpha.content_key,
                "created_at": alpha.created.timestamp(),
                "document": alpha.document,
                "record_set_names": list(alpha.record_set_names),
            },
        )
        connection.execute(
            _NEW_PNL,
            {
                "alpha": alpha.id,
                "days": alpha.days.astype("datetime64[D]").astype("<i8").tobytes(),
                "dollars": alpha.dollars.astype("<f8").tobytes(),
            },
        )
        kept = [
            {"alpha": alpha.id, "name": name, "content": content}
            for name, content in alpha.record_sets.items()
        ]
        if kept:
            connection.execute(_NEW_RECORD_SET, kept)
        used = [
            {"alpha": alpha.id, "service": self._database.service, "field": field}
            for field in alpha.fields
        ]
        if used:
            connection.execute(_NEW_FIELD, used)

    def count_of(self, content_key: str) -> int:
        """Return how many alphas have this expression and these settings."""
        found = self._database.value(_COUNT, service=self._database.service, key=content_key)
        return int(found or 0)

    def find(self, alpha_id: str) -> dict[str, Any] | None:
        """Return the JSON object of an alpha."""
        return self._database.value(  # type: ignore[no-any-return]
            _DOCUMENT, alpha=alpha_id, service=self._database.service
        )

    def change(self, alpha_id: str, document: Mapping[str, Any]) -> None:
        """Replace the JSON object of an alpha."""
        with self._database.writing() as connection:
            connection.execute(
                update(alphas).where(alphas.c.id == alpha_id).values(document=document)
            )

    def search(
        self, query: Select[Any], *, limit: int, offset: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many alphas `query` finds, and the objects of one page.

        query : a select of alphas.c.document
        """
        mine = query.where(alphas.c.service == self._database.service)
        count = select(func.count()).select_from(mine.order_by(None).subquery())
        with self._database.reading() as connection:
            total = connection.execute(count).scalar_one()
            page = connection.execute(mine.limit(limit).offset(offset)).scalars().all()
        return int(total), list(page)

    def pnl(self, alpha_id: str) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
        """Return (days, dollars) of an alpha that exists."""
        with self._database.reading() as connection:
            row = connection.execute(_PNL, {"alpha": alpha_id}).one()
        days = np.frombuffer(row.days, dtype="<i8").astype("datetime64[D]")
        return days, np.frombuffer(row.dollars, dtype="<f8").astype(np.float64)

    def record_set(self, alpha_id: str, name: str) -> dict[str, Any] | None:
        """Return a table that was kept with the alpha."""
        return self._database.value(  # type: ignore[no-any-return]
            _RECORD_SET, alpha=alpha_id, name=name
        )

    def record_set_names(self, alpha_id: str) -> list[str]:
        """Return the names of all tables of an alpha, kept or not."""
        return list(self._database.value(_RECORD_SET_NAMES, alpha=alpha_id) or ())

    def uses_of_fields(self) -> dict[str, int]:
        """Return field to the number of alphas that use it."""
        query = (
            select(alpha_fields.c.field, func.count())
            .where(alpha_fields.c.service == self._database.service)
            .group_by(alpha_fields.c.field)
        )
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def submitted(self) -> list[dict[str, Any]]:
        """Return the objects of all submitted alphas, oldest first."""
        query = (
            select(alphas.c.document)
            .where(alphas.c.service == self._database.service, alphas.c.submitted_at.is_not(None))
            .order_by(alphas.c.submitted_at)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def regular(self) -> list[dict[str, Any]]:
        """Return the objects of the regular alphas, oldest first, equal ones once."""
        first = (
            select(func.min(alphas.c.number))
            .where(alphas.c.service == self._database.service, type_of_alpha() == "REGULAR")
            .group_by(alphas.c.content_key)
        )
        query = (
            select(alphas.c.document).where(alphas.c.number.in_(first)).order_by(alphas.c.number)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())


def type_of_alpha() -> ColumnElement[Any]:
    """Return REGULAR or SUPER, of each row of the alphas."""
    return func.json_extract(alphas.c.document, "$.type")
