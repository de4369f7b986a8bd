"""Desks learn models, and keep what these foretold."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("desk", "model", "kind")),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("data_until", sa.Date(), nullable=False),
        sa.Column("data_version", sa.Text(), nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("bet", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "model", name="pk_models"),
        sa.ForeignKeyConstraint(["desk"], ["agent_desks.name"], name="fk_models_desk_agent_desks"),
        sa.CheckConstraint(
            "state IN ('refused', 'shadow', 'champion', 'retired')", name="ck_models_state"
        ),
    )
    op.create_table(
        "predictions",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("forecasts", sa.LargeBinary(), nullable=False),
        sa.Column("information", sa.Double()),
        sa.PrimaryKeyConstraint("desk", "model", "day", name="pk_predictions"),
        sa.ForeignKeyConstraint(
            ["desk", "model"],
            ["models.desk", "models.model"],
            name="fk_predictions_desk_model_models",
        ),
    )
