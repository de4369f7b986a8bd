"""Models of a desk and their predictions: written and read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import func, select, update

from alphafoundry.store.database import Store, insert
from alphafoundry.store.model_tables import ModelRow, ModelState, PredictionRow


def record_model(store: Store, desk: str, row: Mapping[str, Any]) -> None:
    """Write a model; one that is there already stays as it is."""
    with store.write() as session:
        once = insert(session, ModelRow).on_conflict_do_nothing(index_elements=["desk", "model"])
        session.execute(once, [{"desk": desk, **row}])


def change_model(store: Store, desk: str, model: str, values: Mapping[str, Any]) -> None:
    """Set columns of a model, such as its state, reason and bet."""
    with store.write() as session:
        session.execute(
            update(ModelRow)
            .where(ModelRow.desk == desk, ModelRow.model == model)
            .values(dict(values))
        )


def read_models(store: Store, desk: str, *states: ModelState) -> list[ModelRow]:
    """Return the models of a desk in these states, none are all, the oldest first."""
    query = (
        select(ModelRow).where(ModelRow.desk == desk).order_by(ModelRow.data_until, ModelRow.model)
    )
    if states:
        query = query.where(ModelRow.state.in_(states))
    with store.session() as session:
        return list(session.scalars(query))


def record_predictions(store: Store, desk: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what models foretold; a day that is there already stays as it is."""
    if not rows:
        return
    with store.write() as session:
        once = insert(session, PredictionRow).on_conflict_do_nothing(
            index_elements=["desk", "model", "day"]
        )
        session.execute(once, [{"desk": desk, **row} for row in rows])


def last_prediction(store: Store, desk: str, model: str) -> date | None:
    """Return the newest day on which a model has foretold, None before the first."""
    query = select(func.max(PredictionRow.day)).where(
        PredictionRow.desk == desk, PredictionRow.model == model
    )
    with store.session() as session:
        return session.scalar(query)


def open_predictions(store: Store, desk: str, model: str, *, until: date) -> list[PredictionRow]:
    """Return the predictions up to a day that were not yet held against what came."""
    query = (
        select(PredictionRow)
        .where(
            PredictionRow.desk == desk,
            PredictionRow.model == model,
            PredictionRow.information.is_(None),
            PredictionRow.day <= until,
        )
        .order_by(PredictionRow.day)
    )
    with store.session() as session:
        return list(session.scalars(query))


def settle_prediction(store: Store, desk: str, model: str, day: date, information: float) -> None:
    """Write the rank correlation of a prediction with what came."""
    with store.write() as session:
        session.execute(
            update(PredictionRow)
            .where(
                PredictionRow.desk == desk, PredictionRow.model == model, PredictionRow.day == day
            )
            .values(information=information)
        )


def read_information(store: Store, desk: str, model: str) -> dict[date, float]:
    """Return day to rank correlation, of the days on which it is known."""
    query = (
        select(PredictionRow.day, PredictionRow.information)
        .where(
            PredictionRow.desk == desk,
            PredictionRow.model == model,
            PredictionRow.information.is_not(None),
        )
        .order_by(PredictionRow.day)
    )
    with store.session() as session:
        return {day: float(value) for day, value in session.execute(query) if value is not None}
