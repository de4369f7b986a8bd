"""What the local server remembers of simulations that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from alphafoundry.brain.service.alpha_rows import AlphaRows, NewAlpha
from alphafoundry.brain.service.state_database import StateDatabase
from alphafoundry.brain.service.tables import (
    simulations,
)

_NEW = insert(simulations)


class AlreadyThereError(Exception):
    """A row with this id exists."""


class SimulationRows:
    """The simulations of one service."""

    def __init__(self, database: StateDatabase, alphas: AlphaRows) -> None:
        self._database = database
        self._alphas = alphas

    def keep(self, answer: Mapping[str, Any], *, day: date, alpha: NewAlpha | None = None) -> None:
        """Keep a finished simulation, together with its alpha.

        answer : the body of GET /simulations/{id}

        Raises AlreadyThereError where another server took the alpha's id meanwhile.
        """
        try:
            self._keep(answer, day, alpha)
        except IntegrityError:
            raise AlreadyThereError from None

    def _keep(self, answer: Mapping[str, Any], day: date, alpha: NewAlpha | None) -> None:
        with self._database.writing() as connection:
            connection.execute(
                _NEW,
                {
                    "id": answer["id"],
                    "service": self._database.service,
                    "day": day.isoformat(),
                    # A parent of several is no simulation itself, and counts for no quota.
                    "status": "PARENT" if "children" in answer else answer["status"],
                    "answer": answer,
                },
            )
            if alpha is not None:
                self._alphas.keep(connection, alpha)

    def find(self, simulation_id: str) -> dict[str, Any] | None:
        """Return the body of a finished simulation."""
        return self._database.value(  # type: ignore[no-any-return]
            select(simulations.c.answer).where(
                simulations.c.id == simulation_id, simulations.c.service == self._database.service
            )
        )

    def count_of(self, day: date) -> int:
        """Return how many simulations succeeded on a day."""
        found = self._database.value(
            select(func.count())
            .select_from(simulations)
            .where(
                simulations.c.service == self._database.service,
                simulations.c.day == day.isoformat(),
                simulations.c.status.in_(("COMPLETE", "WARNING")),
            )
        )
        return int(found or 0)
