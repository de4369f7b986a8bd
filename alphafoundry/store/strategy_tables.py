"""The table of the strategies that a desk found by itself, from proposal to retirement."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.column_types import PlainText
from alphafoundry.store.tables import Table, one_of

StrategyState = Literal["incubating", "live", "retired"]


class DeskStrategyRow(Table):
    """One strategy of a desk.

    alpha_id : its name in the desk's orders
    strategy : expression, settings and the rest, as `LiveStrategy.to_json` gives them
    state : incubating (a paper book of weight 0), live, or retired
    found_on : last session whose bars the search knew; data_until is the last day it used
    fitness, sharpe : of the days that the search has seen; trials : simulations of that search
    evidence : figures behind the newest change of state
    reason : of the newest change of state
    """

    __tablename__ = "desk_strategies"
    __table_args__ = (one_of("state", StrategyState),)

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    alpha_id: Mapped[str] = mapped_column(primary_key=True)
    strategy: Mapped[dict[str, Any]]
    state: Mapped[StrategyState] = mapped_column(PlainText)
    found_on: Mapped[date]
    data_until: Mapped[date]
    fitness: Mapped[float | None]
    sharpe: Mapped[float | None]
    trials: Mapped[int]
    changed_at: Mapped[datetime]
    reason: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    synthetic: Mapped[bool]

    def __repr__(self) -> str:
        return f"DeskStrategyRow({self.desk!r}, {self.alpha_id!r}, {self.state})"
