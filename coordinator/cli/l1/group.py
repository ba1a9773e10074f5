"""The group `w3bstream l1`."""

from __future__ import annotations

import typer

from coordinator.cli.l1 import governance, staking
from coordinator.cli.l1.doors import add_doors

app = typer.Typer(
    no_args_is_help=True, help="The chain: keys, genesis and nodes of delegates; staking and governance; trials."
)
add_doors(app)
app.add_typer(staking.app, name="staking")
app.add_typer(governance.app, name="governance")
