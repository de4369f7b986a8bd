"""Simulated desks keep what the rest of their simulation is made from."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agent_desks", sa.Column("checkpoint", sa.JSON(none_as_null=True)))
