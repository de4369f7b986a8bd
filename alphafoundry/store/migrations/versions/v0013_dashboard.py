"""Tags, favourites and notes of alphas; what was asked for on the dashboard; its search."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_SEARCHED = (
    *("service", "alpha_id", "expression", "sharpe", "fitness", "turnover", "returns"),
    *("drawdown", "margin", "hopeful", "created_at", "market_id", "data_until"),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_alphas_search", "alphas", list(_SEARCHED))
    op.create_table(
        "alpha_marks",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("favourite", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("service", "alpha_id", name="pk_alpha_marks"),
        sa.ForeignKeyConstraint(
            ["service", "alpha_id"],
            ["alphas.service", "alphas.alpha_id"],
            name="fk_alpha_marks_service_alpha_id_alphas",
        ),
    )
    op.create_table(
        "alpha_tags",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service", "alpha_id", "tag", name="pk_alpha_tags"),
        sa.ForeignKeyConstraint(
            ["service", "alpha_id"],
            ["alphas.service", "alphas.alpha_id"],
            name="fk_alpha_tags_service_alpha_id_alphas",
        ),
    )
    op.create_index("ix_alpha_tags_tag", "alpha_tags", ["tag"])
    op.create_table(
        "dashboard_actions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("told", sa.Text()),
        sa.Column("link", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_dashboard_actions"),
        sa.UniqueConstraint("nonce", name="uq_dashboard_actions_nonce"),
        sa.CheckConstraint(
            "status IN ('recorded', 'done', 'refused')", name="ck_dashboard_actions_status"
        ),
    )
