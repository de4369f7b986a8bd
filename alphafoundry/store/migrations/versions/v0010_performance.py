"""What a desk's sessions earned and why, and what was told about them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "performance",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.Column("data_version", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("before", "net_asset_value", "pnl", "transfers", "traded", "gross", "net")
        ),
        sa.Column("benchmark", sa.Double()),
        *(
            sa.Column(name, sa.JSON(), nullable=False)
            for name in ("parts", "drift", "sectors", "factors")
        ),
        sa.Column("entries_to", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "session", name="pk_performance"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_performance_desk_agent_desks"
        ),
    )
    op.create_table(
        "explanations",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.Column("data_version", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.Column("refused", sa.Text()),
        sa.PrimaryKeyConstraint("desk", "session", "kind", name="pk_explanations"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_explanations_desk_agent_desks"
        ),
    )
