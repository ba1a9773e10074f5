"""docs/reference/cli.md, drawn from the commands themselves: `python -m coordinator.cli.reference`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from coordinator.cli.app import app
from coordinator.cli.l1.doors import HandedOver

HEAD = """# Command line

Drawn from the commands by `make docs`; do not edit.

Every command takes `--json` and then prints one JSON object (`watch` prints one a line): the answer's message in
[ProtoJSON](https://protobuf.dev/programming-guides/json/) with the field names of the `.proto` files, so that 64-bit
integers are text. Exit codes: 0 done; 1 an error, with its code, message and next step on stderr (with `--json` as
`{"error": …}`); 2 wrong usage; 3 and 4 where a command says so; 130 Ctrl-C. `NO_COLOR` is respected. `w3bstream
--install-completion` sets up completion in bash, zsh, fish and PowerShell.

Commands that call the service find it by `--target` or `W3BSTREAM_TARGET`, else by `api.json` in the home folder
(`W3BSTREAM_HOME`, default `~/.w3bstream`), and take the key from `--api-key` or `W3BSTREAM_API_KEY`, else the token of
`w3bstream login`, else `admin.key` there. For `https://` targets `W3BSTREAM_CA` names a PEM bundle, and `W3BSTREAM_CERT`
and `W3BSTREAM_CERT_KEY` your own certificate.

`w3bstream l1 keygen`, `genesis`, `node`, `simulate` and `modelcheck` are the commands of `python -m l1` and do the same;
they end with 2 for files and data that do not do, too. `w3bstream l1 staking` and `governance` talk to a node of the
chain: `--rpc` or `W3BSTREAM_L1_RPC`, else the chain of this machine's service.
"""


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from _commands(each, (*path, name))
    else:
        yield path, command


def _option(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = default not in (None, "", False, (), []) and not callable(default) and not parameter.required
    notes = [f"`{parameter.envvar}`"] if getattr(parameter, "envvar", None) else []
    notes += ["required"] if parameter.required else []
    notes += [f"default `{default}`"] if shown else []
    note = f" ({'; '.join(notes)})" if notes else ""
    return f"| {names} | {parameter.help or ''}{note} |".replace("|  |", "| |")


def _handed_over(path: tuple[str, ...], command: HandedOver) -> str:
    """The section of a command whose options its own parser has."""
    parser = command.parser
    options = [each for each in parser._actions if not isinstance(each, argparse._HelpAction)]
    title = " ".join(path)
    lines = [f"## {title}", "", (parser.description or "").strip(), "", f"    {title} [OPTIONS]", ""]
    lines += ["", "| option | |", "|---|---|"]
    for each in options:
        names = ", ".join(f"`{name}`" for name in each.option_strings)
        lines.append(f"| {names} | {each.help}{' (required)' if each.required else ''} |")
    return "\n".join([*lines, "", "```", (parser.epilog or "").strip(), "```", ""])


def _section(path: tuple[str, ...], command: Any) -> str:
    if isinstance(command, HandedOver):
        return _handed_over(path, command)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    names = [each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments]
    usage = " ".join([*path, *names])
    lines = [f"## {' '.join(path)}", "", (command.help or "").strip(), "", f"    {usage} [OPTIONS]", ""]
    lines += [f"- `{each.name.upper()}`: {each.help}" for each in arguments if each.help]
    lines += ["", "| option | |", "|---|---|", *(_option(each) for each in options), ""]
    return "\n".join([*lines, (command.epilog or "").strip(), ""])


def markdown() -> str:
    """The page."""
    root = get_command(app)
    sections = [_section(path, command) for path, command in sorted(_commands(root, ("w3bstream",)))]
    return HEAD + "\n" + "\n".join(sections)


if __name__ == "__main__":
    typer.echo(markdown(), nl=False)
