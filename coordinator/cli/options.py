"""The options that every command has, and the connection that they make."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from coordinator.api.client import Client
from coordinator.cli.output import note_json
from verifier.errors import Denied, InvalidInput, Unavailable

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.", callback=note_json)]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        envvar="W3BSTREAM_TARGET",
        help="The API: host:port, or https://host with TLS. Default: the service of this machine.",
        rich_help_panel="Connection",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="W3BSTREAM_API_KEY",
        help="API key; better given as W3BSTREAM_API_KEY. Default: admin.key in the home folder.",
        show_default=False,
        rich_help_panel="Connection",
    ),
]
ProjectOption = Annotated[int, typer.Option("--project", "-p", help="Project id.")]
IdempotencyKey = Annotated[
    str,
    typer.Option("--idempotency-key", help="Repeat a command safely: the same key has one effect. Default: a new one."),
]


def home() -> Path:
    """The home folder: W3BSTREAM_HOME, else ~/.w3bstream. Nothing is created."""
    return Path(os.environ.get("W3BSTREAM_HOME") or "~/.w3bstream").expanduser()


def _target() -> str:
    path = home() / "api.json"
    try:
        target = json.loads(path.read_text())["target"]
    except FileNotFoundError as error:
        raise Unavailable("W3B-7011", f"no service runs here: {path} is not there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput("W3B-7016", f"{path} cannot be read: {error}") from error
    return str(target)


def _key() -> str:
    path = home() / "admin.key"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Denied("W3B-7001", f"no --api-key, no W3BSTREAM_API_KEY, and {path} cannot be read") from error


def connect(target: str | None, api_key: str | None) -> Client:
    """A client for the options; W3BSTREAM_CA names a PEM bundle for https targets.

    Raises Unavailable (W3B-7011), Denied (W3B-7001) and InvalidInput (W3B-7016).
    """
    ca = os.environ.get("W3BSTREAM_CA")
    try:
        bundle = Path(ca).read_bytes() if ca else None
    except OSError as error:
        raise InvalidInput("W3B-7016", f"W3BSTREAM_CA: {error}") from error
    return Client(target or _target(), api_key or _key(), ca=bundle)


def read_text(path: Path) -> str:
    """A user's text file. Raises InvalidInput (W3B-7016)."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("W3B-7016", f"{path} cannot be read: {error}") from error
