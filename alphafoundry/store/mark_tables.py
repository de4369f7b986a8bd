"""The tables of the dashboard: what a person notes about alphas, and what was done from a page."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.column_types import PlainText
from alphafoundry.store.tables import AlphaRow, Table, one_of

ActionStatus = Literal["recorded", "done", "refused"]

Index(
    "ix_alphas_search",
    *(getattr(AlphaRow, name) for name in ("service", "alpha_id", "expression", "sharpe")),
    *(getattr(AlphaRow, name) for name in ("fitness", "turnover", "returns", "drawdown")),
    *(getattr(AlphaRow, name) for name in ("margin", "hopeful", "created_at")),
    *(getattr(AlphaRow, name) for name in ("market_id", "data_until")),
).ddl_if(dialect="sqlite")
"""All that a search looks at or sorts by, so that it need not read the wide rows of the table.

PostgreSQL keeps what is wide apart by itself, and its indexes take no long expressions.
"""


class AlphaMarkRow(Table):
    """What a person has noted about an alpha."""

    __tablename__ = "alpha_marks"
    __table_args__ = (
        ForeignKeyConstraint(["service", "alpha_id"], ["alphas.service", "alphas.alpha_id"]),
    )

    service: Mapped[str] = mapped_column(primary_key=True)
    alpha_id: Mapped[str] = mapped_column(primary_key=True)
    favourite: Mapped[bool]
    note: Mapped[str]
    changed_at: Mapped[datetime]


class AlphaTagRow(Table):
    """One tag of an alpha."""

    __tablename__ = "alpha_tags"
    __table_args__ = (
        ForeignKeyConstraint(["service", "alpha_id"], ["alphas.service", "alphas.alpha_id"]),
        Index(None, "tag"),
    )

    service: Mapped[str] = mapped_column(primary_key=True)
    alpha_id: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class ActionRow(Table):
    """Something that a person asked for on a page; recorded before it is done.

    nonce : of the form, so that a form that is sent twice acts once
    actor : the session, as a person may know it
    subject : what it is about, such as a process or a deployment
    told : what came of it, one line; link : where it can be followed
    """

    __tablename__ = "dashboard_actions"
    __table_args__ = (UniqueConstraint("nonce"), one_of("status", ActionStatus))

    id: Mapped[int] = mapped_column(primary_key=True)
    nonce: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    status: Mapped[ActionStatus] = mapped_column(PlainText)
    settled_at: Mapped[datetime | None]
    told: Mapped[str | None]
    link: Mapped[str | None]

    def __repr__(self) -> str:
        return f"ActionRow({self.id}, {self.action!r}, {self.subject!r}, {self.status})"
