"""The tables of models: what a desk has learned, how it was judged, and what it foretold."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey, ForeignKeyConstraint, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.column_types import PlainText
from alphafoundry.store.tables import Table, one_of

ModelState = Literal["refused", "shadow", "champion", "retired"]


class ModelRow(Table):
    """One frozen model of a desk.

    model : its name
    settings, features : of its kind; alpha ids in the order in which it reads them
    text : what it is made from again; coefficients or trees, no program
    state : refused by the vault, in the shadow of the champion, champion, or retired
    data_until : last day that the search knew, the vault included; later days are fresh
    opening : number of the vault's opening; trials : candidates ever tried, its search included
    bet : wealth and days of the bet on fresh days
    evidence : of the vault, and of the walk-forward before it
    """

    __tablename__ = "models"
    __table_args__ = (one_of("state", ModelState),)

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    settings: Mapped[dict[str, Any]]
    features: Mapped[list[Any]]
    text: Mapped[str]
    state: Mapped[ModelState] = mapped_column(PlainText)
    data_until: Mapped[date]
    data_version: Mapped[str]
    opening: Mapped[int]
    trials: Mapped[int]
    bet: Mapped[dict[str, Any]]
    evidence: Mapped[dict[str, Any]]
    changed_at: Mapped[datetime]
    reason: Mapped[str]
    synthetic: Mapped[bool]

    def __repr__(self) -> str:
        return f"ModelRow({self.desk!r}, {self.model!r}, {self.state})"


class PredictionRow(Table):
    """What a model foretold at the close of one day.

    day : whose bars were the last known
    forecasts : little-endian float32 of each name, in the order of the market's symbols
    information : rank correlation with what came; None until it has
    """

    __tablename__ = "predictions"
    __table_args__ = (ForeignKeyConstraint(["desk", "model"], ["models.desk", "models.model"]),)

    desk: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    forecasts: Mapped[bytes] = mapped_column(LargeBinary)
    information: Mapped[float | None]
