"""The ledger's schema over time, as alembic revisions.

In comes a connection to a ledger of any age; out goes one with today's tables. A new revision is made with
`make migration NAME=what-changed`, read, and committed.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration for our revisions; `connection` is handed to `env.py`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Bring the schema behind `connection` to the newest revision, inside its transaction."""
    command.upgrade(configuration(connection), "head")
