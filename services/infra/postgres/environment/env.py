"""Alembic executes this file: it runs one service's migrations in the transaction that the runner has
opened.
"""

from alembic import context

handed_over = context.config.attributes
context.configure(
    connection=handed_over["connection"],
    version_table=handed_over["version_table"],
    version_table_schema=handed_over["schema"],
)
context.run_migrations()
