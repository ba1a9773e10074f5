"""The commands of the chain, and the one way that they run: `python -m l1 NAME` and `w3bstream l1 NAME` are the same.

A command's options are an argparse parser's; its help, its output and its exit status do not depend on the caller.
What the commands need is imported when one of them runs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import re
import string
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

MODULE_DOOR: Final = "python -m l1"
"""How the texts of the commands call themselves; another caller's name is put in its place."""
MAX_DIGITS: Final = 80
HASH_DIGITS: Final = 64
_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")
REFUSED: Final = 2
"""Exit status for arguments, files and data that a command cannot be carried out with."""


class Refused(Exception):
    """The command cannot be carried out; the message says why and what to do."""


@dataclass(frozen=True)
class Command:
    """What one command is."""

    options: Callable[[argparse.ArgumentParser], None]
    """Adds its options."""
    carry_out: Callable[[argparse.Namespace], int]
    """Runs it and answers the exit status. Raises `refusals`."""
    description: str
    """What it does."""
    epilog: str
    """Examples, and what else to know."""
    refusals: tuple[type[Exception], ...] = (Refused, OSError)
    """What ends it with the exit status REFUSED and the error's own words."""


class Place(NamedTuple):
    """Where a command is, and what it is for."""

    module: str
    attribute: str
    summary: str
    own_door: str = ""
    """The module by which it is called beside `python -m l1 NAME`."""


COMMANDS: Final[dict[str, Place]] = {
    "keygen": Place("l1.nodes.commands", "KEYGEN", "Make a delegate's keys, and print its registration."),
    "genesis": Place("l1.nodes.commands", "GENESIS", "Make a genesis from delegates' registrations."),
    "node": Place("l1.nodes.commands", "NODE", "Run a delegate, or a node that watches."),
    "simulate": Place(
        "l1.simulation.__main__", "SIMULATE", "Run the consensus against seeded faults.", "python -m l1.simulation"
    ),
    "modelcheck": Place(
        "l1.modelcheck.__main__", "MODELCHECK", "Explore every run of one height.", "python -m l1.modelcheck"
    ),
}
"""The commands by name."""

Complain = Callable[[str, bool], None]
"""Takes what was wrong, and whether it is to be said in JSON."""


def command_of(name: str) -> Command:
    """The command. Raises ImportError where a package that it needs is not installed."""
    place = COMMANDS[name]
    found: Command = getattr(importlib.import_module(place.module), place.attribute)
    return found


def parser_of(name: str, door: str) -> argparse.ArgumentParser:
    """The command's options. Every command has `--json`.

    Parameters
    ----------
    door
        What stands before the command's name: `python -m l1`, or `w3bstream l1`.
    """
    command = command_of(name)
    prog = _prog(name, door)
    parser = argparse.ArgumentParser(
        prog=prog,
        description=in_words_of(door, name, command.description),
        epilog=in_words_of(door, name, command.epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.options(parser)
    parser.add_argument("--json", action="store_true", help="the result, and what was wrong, as one line of JSON")
    return parser


def run(name: str, arguments: Sequence[str], door: str = MODULE_DOOR, complain: Complain | None = None) -> int:
    """Parse, carry out, and answer the exit status: 0 done, 2 wrong usage, data or files, else what the command says.

    Parameters
    ----------
    complain
        Says what was wrong; by default a line on stderr.

    Raises
    ------
    ImportError
        Where a package that the command needs is not installed.
    SystemExit
        Status 0 after --help, status 2 for wrong usage.
    """
    options = parser_of(name, door).parse_args(arguments)
    command = command_of(name)
    try:
        return command.carry_out(options)
    except command.refusals as error:
        told = in_words_of(door, name, one_line(error))
        if complain is not None:
            complain(told, options.json)
        elif options.json:
            sys.stderr.write(json.dumps({"error": {"message": told}}) + "\n")
        else:
            sys.stderr.write(f"{_prog(name, door)}: {told}\n")
        return REFUSED


def one_line(error: Exception) -> str:
    """What an error says, on one line; of an operating system's error the reason and the file, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return reason(error)


def reason(error: Exception) -> str:
    """What an error says, on one line, without the file: the caller has named it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _NUMBER.sub("", " ".join(str(error).split()))


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of an option that is a whole number in these bounds, both included."""

    def read(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or len(text) > MAX_DIGITS or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """The type of an option that is a time. Its bounds are the command's to say."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of seconds")
    return found


def block_hash(text: str) -> bytes:
    """The type of an option that is a block's hash."""
    digits = text.removeprefix("0x")
    if len(digits) != HASH_DIGITS or not set(digits) <= set(string.hexdigits):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no hash: 0x and {HASH_DIGITS} hex digits")
    return bytes.fromhex(digits)


port = whole(0, 65_535)
"""The type of an option that is a TCP port."""
height = whole(1, (1 << 63) - 1)
"""The type of an option that is a block's number."""
chain_id = whole(1, (1 << 64) - 1)
"""The type of an option that is an EIP-155 chain id."""


def in_words_of(door: str, name: str, text: str) -> str:
    """A text that names commands, with the name that the caller knows them by."""
    own = COMMANDS[name].own_door
    if own and door != own:
        text = text.replace(own, _prog(name, door))
    return text if door.startswith(MODULE_DOOR) else text.replace(f"{MODULE_DOOR} ", f"{door} ")


def _prog(name: str, door: str) -> str:
    return door if door == COMMANDS[name].own_door else f"{door} {name}"
