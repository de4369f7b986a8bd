"""The tables of what a desk's sessions earned and why, and of what was told about it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.tables import Table


class PerformanceRow(Table):
    """One session of a desk; amounts in 1/10,000 dollar.

    net_asset_value : at its evening; before : at the evening before, or the opening cash
    pnl : its change but for `transfers`; the values of `parts` add up to it
    parts : reason to amount, see `alphafoundry.performance.attribution`
    drift : strategy to column to amount
    sectors, factors : Brinson's effects and the factors' parts, in dollars
    benchmark : return of the market's mean name; None where it is not known
    gross, net : exposures at the evening; traded : bought and sold
    entries_to : newest entry of the ledger that is in it
    """

    __tablename__ = "performance"

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
    synthetic: Mapped[bool]
    data_version: Mapped[str]
    before: Mapped[int] = mapped_column(BigInteger)
    net_asset_value: Mapped[int] = mapped_column(BigInteger)
    pnl: Mapped[int] = mapped_column(BigInteger)
    transfers: Mapped[int] = mapped_column(BigInteger)
    traded: Mapped[int] = mapped_column(BigInteger)
    gross: Mapped[int] = mapped_column(BigInteger)
    net: Mapped[int] = mapped_column(BigInteger)
    benchmark: Mapped[float | None]
    parts: Mapped[dict[str, Any]]
    drift: Mapped[dict[str, Any]]
    sectors: Mapped[dict[str, Any]]
    factors: Mapped[dict[str, Any]]
    entries_to: Mapped[int]

    def __repr__(self) -> str:
        return f"PerformanceRow({self.desk!r}, {self.session}, {self.pnl / 1e4:+,.2f} $)"


class ExplanationRow(Table):
    """What was told about a session of a desk.

    kind : what about: model_selection, trade_decision or risk_assessment
    facts : sentences that hold every figure and ticker, in order
    text : as it is shown
    written_by : "template", or the language model that rephrased the facts
    refused : why a model's text was not taken; None where none was refused
    """

    __tablename__ = "explanations"

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
    synthetic: Mapped[bool]
    data_version: Mapped[str]
    facts: Mapped[list[Any]]
    text: Mapped[str]
    written_by: Mapped[str]
    refused: Mapped[str | None]

    def __repr__(self) -> str:
        return f"ExplanationRow({self.desk!r}, {self.session}, {self.kind!r})"
