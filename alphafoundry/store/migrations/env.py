"""What Alembic runs; the connection and its transaction come from `open_store`."""

from alembic import context

from alphafoundry.store import (  # noqa: F401
    agent_tables,
    desk_tables,
    mark_tables,
    model_tables,
    news_tables,
    performance_tables,
    strategy_tables,
)
from alphafoundry.store.migrations import VERSION_TABLE
from alphafoundry.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
