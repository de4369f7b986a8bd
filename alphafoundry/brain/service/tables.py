"""The tables of the local server's database."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

simulations = Table(
    "simulations",
    metadata,
    Column("id", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("day", String, nullable=False),
    Column("status", String, nullable=False),
    Column("answer", JSON, nullable=False),
    Index("simulations_by_day", "service", "day", "status"),
)

alphas = Table(
    "alphas",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("service", String, nullable=False),
    Column("content_key", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("submitted_at", Float),
    Column("document", JSON, nullable=False),
    Column("record_set_names", JSON, nullable=False),
    Index("alphas_by_age", "service", "created_at"),
    Index("alphas_by_content", "service", "content_key"),
)

daily_pnl = Table(
    "daily_pnl",
    metadata,
    Column("alpha", String, ForeignKey("alphas.id"), primary_key=True),
    Column("days", LargeBinary, nullable=False),
    Column("dollars", LargeBinary, nullable=False),
)

record_sets = Table(
    "record_sets",
    metadata,
    Column("alpha", String, ForeignKey("alphas.id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("content", JSON, nullable=False),
)

alpha_fields = Table(
    "alpha_fields",
    metadata,
    Column("alpha", String, ForeignKey("alphas.id"), primary_key=True),
    Column("service", String, nullable=False),
    Column("field", String, primary_key=True),
)

submissions = Table(
    "submissions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("alpha", String, ForeignKey("alphas.id"), nullable=False),
    Column("service", String, nullable=False),
    Column("day", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("checks", JSON, nullable=False),
    Column("told", Boolean, nullable=False, default=False),
    Index("submissions_by_alpha", "alpha"),
    Index(
        "one_submission_per_alpha",
        "alpha",
        unique=True,
        sqlite_where=Column("verdict").in_(("checking", "accepted")),
    ),
)
