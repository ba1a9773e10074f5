"""Run by alembic: hands it our connection and our metadata."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import create_engine
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from coordinator.ledger import control_tables, history_tables, outbox_tables, tables  # noqa: F401  (registers the tables)


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write SQLModel's text type as plain SQL text, so that revisions depend on SQLAlchemy only."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


connection = context.config.attributes.get("connection")
if connection is None:
    # Only `alembic revision --autogenerate` comes here: it compares with an empty database.
    connection = create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://").connect()
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
