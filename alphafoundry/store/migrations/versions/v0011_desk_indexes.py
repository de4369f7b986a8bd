"""A desk finds its newest orders, entries and what runs without reading all that it ever did."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_orders_desk_id_symbol_session", "orders", ["desk_id", "symbol", "session"])
    op.create_index("ix_ledger_entries_desk_id_id", "ledger_entries", ["desk_id", "id"])
    op.drop_index("ix_agent_ticks_desk_outcome", "agent_ticks")
    running = sa.text("outcome = 'running'")
    op.create_index(
        "ix_agent_ticks_desk_outcome",
        "agent_ticks",
        ["desk", "outcome"],
        sqlite_where=running,
        postgresql_where=running,
    )
