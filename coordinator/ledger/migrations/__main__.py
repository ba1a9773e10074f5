"""`python -m coordinator.ledger.migrations NAME`: write the revision from the newest schema to today's tables."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from coordinator.ledger.migrations import configuration


def main(name: str) -> None:
    """Compare a database at the newest revision with the tables and write what is missing."""
    with tempfile.TemporaryDirectory() as folder:
        config = configuration()
        config.set_main_option("sqlalchemy.url", f"sqlite:///{Path(folder) / 'ledger.db'}")
        command.upgrade(config, "head")
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        command.revision(config, message=name, autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit("usage: python -m coordinator.ledger.migrations NAME")
    main(sys.argv[1])
