"""Commands of `python -m l1` as `w3bstream l1 …`: the same options, help, output and exit status; errors have a code."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

import typer
from typer.core import TyperCommand

from coordinator.cli.output import print_error
from l1.commands import COMMANDS, parser_of, run
from verifier.errors import InvalidInput, Unavailable

DOOR: Final = "w3bstream l1"
"""How the commands call themselves here."""
_CODES: Final = {"node": "W3B-8002", "keygen": "W3B-7016", "genesis": "W3B-7016"}
"""The code of what a command refuses; the others have no files, only options (W3B-7008)."""


class HandedOver(TyperCommand):
    """A command whose arguments its own parser reads."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take every argument as it is, `--help` too."""
        ctx.args = rest = list(args)
        return rest

    @property
    def parser(self) -> argparse.ArgumentParser:
        """Its options. Raises ModuleNotFoundError where a package that the command needs is not installed."""
        return parser_of(str(self.name), DOOR)


def add_doors(app: typer.Typer) -> None:
    """Add every command of the chain to a group."""
    for name, place in COMMANDS.items():
        app.command(name, cls=HandedOver, help=place.summary, add_help_option=False)(_door(name))


def _door(name: str) -> Callable[[typer.Context], None]:
    def hand_over(context: typer.Context) -> None:
        def complain(told: str, as_json: bool) -> None:
            step = f"`{DOOR} {name} --help` has the options and examples."
            print_error(InvalidInput(_CODES.get(name, "W3B-7008"), told, next_step=step), as_json=as_json)

        try:
            status = run(name, context.args, DOOR, complain)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("l1."):
                raise
            raise Unavailable(
                "W3B-8003",
                f"module {error.name} is not installed",
                next_step="Install what nodes need: pip install 'w3bstream[l1]'",
            ) from error
        if status:
            raise typer.Exit(status)

    return hand_over
