"""The options that every command has, and the connection that they make."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from coordinator.api.client import Certificate, Client
from coordinator.cli import session
from coordinator.cli.output import note_json
from coordinator.cli.user_file import unreadable
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
ProjectOption = Annotated[str, typer.Option("--project", "-p", help="Project id or name.")]
IdempotencyKey = Annotated[
    str,
    typer.Option("--idempotency-key", help="Repeat a command safely: the same key has one effect. Default: a new one."),
]


_KEY_SHAPE = re.compile(r"w3b_[0-9a-f]{12}_[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""An API key, or a login's token."""


def home() -> Path:
    """The home folder: W3BSTREAM_HOME, else ~/.w3bstream. Nothing is created."""
    return Path(os.environ.get("W3BSTREAM_HOME") or "~/.w3bstream").expanduser()


def _target() -> str:
    path = home() / "api.json"
    try:
        target = json.loads(path.read_text())["target"]
    except FileNotFoundError as error:
        raise Unavailable(
            "W3B-7011",
            f"no service runs here: {path} is not there",
            next_step="Start it with `w3bstream up`, or check --target and W3BSTREAM_TARGET, "
            f"or check W3BSTREAM_HOME (now {home()}).",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput("W3B-7016", f"{path} cannot be read: {error}") from error
    return str(target)


def key_of(given: str | None) -> str:
    """The key to use; a shortened one is refused here, because the service cannot say more than that it is wrong."""
    path = home() / "admin.key"
    try:
        key = (given or path.read_text()).strip()
    except OSError as error:
        raise Denied("W3B-7001", f"no --api-key, no W3BSTREAM_API_KEY, and {path} cannot be read") from error
    if _KEY_SHAPE.fullmatch(key):
        return key
    if not given:
        raise Denied("W3B-7002", f"{path} holds no whole API key: keys look like w3b_…")
    raise Denied(
        "W3B-7002",
        "the API key is not whole: keys look like w3b_…",
        next_step="Copy it again, or leave --api-key out to use admin.key of W3BSTREAM_HOME.",
    )


def target_of(given: str | None) -> str:
    """The API to call. Raises Unavailable (W3B-7011) and InvalidInput (W3B-7016)."""
    return given or _target()


def _file_of(variable: str) -> bytes | None:
    """The content of the file that an environment variable names. Raises InvalidInput (W3B-7016)."""
    name = os.environ.get(variable)
    try:
        return Path(name).read_bytes() if name else None
    except OSError as error:
        raise unreadable(Path(name or ""), error) from error


def trusted() -> bytes | None:
    """The PEM bundle of W3BSTREAM_CA, for https targets."""
    return _file_of("W3BSTREAM_CA")


def certificate() -> Certificate | None:
    """The client's own certificate, of W3BSTREAM_CERT and W3BSTREAM_CERT_KEY. Raises InvalidInput (W3B-7016)."""
    chain, key = _file_of("W3BSTREAM_CERT"), _file_of("W3BSTREAM_CERT_KEY")
    if (chain is None) != (key is None):
        raise InvalidInput("W3B-7016", "W3BSTREAM_CERT and W3BSTREAM_CERT_KEY go together", field="W3BSTREAM_CERT_KEY")
    return Certificate(chain, key) if chain is not None and key is not None else None


def connect(target: str | None, api_key: str | None) -> Client:
    """A client for the options: with the key that is given, else this user's login, else admin.key.

    W3BSTREAM_CA names a PEM bundle for https targets, W3BSTREAM_CERT and W3BSTREAM_CERT_KEY a client certificate.
    Raises Unavailable (W3B-7011), Denied (W3B-7001, W3B-7002) and InvalidInput (W3B-7016).
    """
    where, ca, own = target_of(target), trusted(), certificate()
    secret = "" if api_key else session.token(home(), where, ca, own)
    return Client(where, secret or key_of(api_key), ca=ca, certificate=own)
