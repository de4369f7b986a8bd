"""The desk: account, limits, orders and their events, fills, ledger, marks, reconciliations."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATUSES = (
    *("intended", "sending", "accepted", "partially_filled", "filled", "denied"),
    *("rejected", "pending_cancel", "cancelled", "expired", "replaced", "unknown"),
)
# Not as IN (...): SQLite would make a table of the words for each row that is written.
_ORDER_STATUSES = " OR ".join(f"status = '{one}'" for one in _STATUSES)


def upgrade() -> None:
    op.create_table(
        "desks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False),
        sa.Column("account_number", sa.Text(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_reason", sa.Text()),
        sa.Column("foreign_rule", sa.Text(), nullable=False),
        sa.Column("next_sequence", sa.Integer(), nullable=False),
        sa.Column("fills_until", sa.DateTime(timezone=True)),
        sa.Column("reconciled_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_desks"),
        sa.CheckConstraint("state IN ('active', 'reducing', 'halted')", name="ck_desks_state"),
        sa.CheckConstraint("foreign_rule IN ('adopt', 'halt')", name="ck_desks_foreign_rule"),
        sa.UniqueConstraint("name", name="uq_desks_name"),
        sa.UniqueConstraint("broker", "account_number", name="uq_desks_broker_account_number"),
    )
    op.create_table(
        "limit_versions",
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("desk_id", "version", name="pk_limit_versions"),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_limit_versions_desk_id_desks"),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("broker_order_id", sa.Text()),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("limit_price", sa.BigInteger()),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("reference_price", sa.BigInteger()),
        sa.Column("send_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cutoff", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("filled", sa.BigInteger(), nullable=False),
        sa.Column("broker_filled", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True)),
        sa.Column("absent_at", sa.DateTime(timezone=True)),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("market_id", sa.Text()),
        sa.Column("data_version", sa.Text()),
        sa.Column("data_until", sa.Date()),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.CheckConstraint("side IN ('buy', 'sell')", name="ck_orders_side"),
        sa.CheckConstraint(
            _ORDER_STATUSES,
            name="ck_orders_status",
        ),
        sa.CheckConstraint("origin IN ('desk', 'foreign')", name="ck_orders_origin"),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_orders_desk_id_desks"),
        sa.UniqueConstraint("desk_id", "client_order_id", name="uq_orders_desk_id_client_order_id"),
        sa.UniqueConstraint("desk_id", "sequence", name="uq_orders_desk_id_sequence"),
        sa.UniqueConstraint(
            "desk_id", "batch", "position", name="uq_orders_desk_id_batch_position"
        ),
    )
    op.create_index("ix_orders_desk_id_broker_order_id", "orders", ["desk_id", "broker_order_id"])
    op.create_index("ix_orders_desk_id_session", "orders", ["desk_id", "session"])
    op.create_index("ix_orders_desk_id_status", "orders", ["desk_id", "status"])
    op.create_table(
        "order_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_order_events"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name="fk_order_events_order_id_orders"
        ),
    )
    op.create_index("ix_order_events_order_id", "order_events", ["order_id"])
    op.create_table(
        "fills",
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("broker_fill_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bust_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("desk_id", "broker_fill_id", name="pk_fills"),
        sa.CheckConstraint("side IN ('buy', 'sell')", name="ck_fills_side"),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_fills_desk_id_desks"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_fills_order_id_orders"),
    )
    op.create_index("ix_fills_desk_id_at", "fills", ["desk_id", "at"])
    op.create_index("ix_fills_order_id", "fills", ["order_id"])
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("reverses", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_entries"),
        sa.ForeignKeyConstraint(
            ["reverses"], ["ledger_entries.id"], name="fk_ledger_entries_reverses_ledger_entries"
        ),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_ledger_entries_desk_id_desks"),
        sa.UniqueConstraint("desk_id", "reference", name="uq_ledger_entries_desk_id_reference"),
    )
    op.create_index("ix_ledger_entries_desk_id_kind", "ledger_entries", ["desk_id", "kind"])
    op.create_table(
        "ledger_lines",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "number", name="pk_ledger_lines"),
        sa.ForeignKeyConstraint(
            ["entry_id"], ["ledger_entries.id"], name="fk_ledger_lines_entry_id_ledger_entries"
        ),
    )
    op.create_table(
        "balances",
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("desk_id", "account", "symbol", name="pk_balances"),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_balances_desk_id_desks"),
    )
    op.create_table(
        "marks",
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("desk_id", "symbol", "session", name="pk_marks"),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_marks_desk_id_desks"),
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("desk_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("differences", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliations"),
        sa.CheckConstraint(
            "status IN ('clean', 'suspected', 'confirmed', 'adopted')",
            name="ck_reconciliations_status",
        ),
        sa.ForeignKeyConstraint(["desk_id"], ["desks.id"], name="fk_reconciliations_desk_id_desks"),
    )
    op.create_index("ix_reconciliations_desk_id_at", "reconciliations", ["desk_id", "at"])
