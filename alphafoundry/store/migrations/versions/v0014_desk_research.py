"""Desks read news, score them, and find strategies of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "news",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("source", "title", "url")),
        sa.Column("symbols", sa.JSON(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "key", name="pk_news"),
        sa.ForeignKeyConstraint(["desk"], ["agent_desks.name"], name="fk_news_desk_agent_desks"),
    )
    op.create_index("ix_news_desk_known_at", "news", ["desk", "known_at"])
    op.create_table(
        "news_scores",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("severe", sa.Boolean(), nullable=False),
        sa.Column("refused", sa.Text()),
        sa.PrimaryKeyConstraint("desk", "key", name="pk_news_scores"),
        sa.ForeignKeyConstraint(
            ["desk", "key"], ["news.desk", "news.key"], name="fk_news_scores_desk_key_news"
        ),
    )
    op.create_table(
        "desk_strategies",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("found_on", sa.Date(), nullable=False),
        sa.Column("data_until", sa.Date(), nullable=False),
        sa.Column("fitness", sa.Double()),
        sa.Column("sharpe", sa.Double()),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "alpha_id", name="pk_desk_strategies"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_desk_strategies_desk_agent_desks"
        ),
        sa.CheckConstraint(
            "state IN ('incubating', 'live', 'retired')", name="ck_desk_strategies_state"
        ),
    )
