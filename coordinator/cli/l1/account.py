"""The key that a transaction is signed with: a file of mode 600, in any of the forms that keys come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coordinator.cli.user_file import read_text, unreadable
from verifier.errors import InvalidInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

Key = Annotated[
    Path,
    typer.Option(
        "--key",
        envvar="W3BSTREAM_L1_KEY",
        help="Key file of the account that sends: of `w3bstream l1 keygen`, an Ethereum keystore, or 64 hex digits.",
        show_default=False,
        rich_help_panel="Connection",
    ),
]
Password = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="File with the keystore's password. Default: it is asked for.",
        show_default=False,
        rich_help_panel="Connection",
    ),
]


def load(path: Path, password: Path | None) -> LocalAccount:
    """The account of a key file.

    Takes a delegate's key file (its operator's account), `{"private_key": ...}` as the service writes it, an Ethereum
    keystore (Web3 Secret Storage, version 3), or the key's 64 hex digits alone.

    Raises InvalidInput (W3B-7016) when others can read the file, or it holds no key.
    """
    from eth_account import Account
    from eth_utils.exceptions import ValidationError

    text = read_text(path)
    try:
        mode = path.stat().st_mode & 0o077
    except OSError as error:
        raise unreadable(path, error) from error
    if mode:
        raise InvalidInput(
            "W3B-7016", f"{path} can be read by others", field="key", next_step=f"Run: chmod 600 {path}, then again."
        )
    try:
        account: LocalAccount = Account.from_key(_secret(path, text.strip(), password))
    except (ValueError, TypeError, ValidationError) as error:
        raise _no_key(path) from error
    return account


def _secret(path: Path, text: str, password: Path | None) -> bytes:
    if not text.startswith("{"):
        return bytes.fromhex(text.removeprefix("0x"))
    document: Any = json.loads(text)
    match document:
        case {"version": 1, "operator": str(secret)} | {"private_key": str(secret)}:
            return bytes.fromhex(secret.removeprefix("0x"))
        case {"crypto": dict()} | {"Crypto": dict()}:
            return _decrypted(path, document, password)
    raise _no_key(path)


def _decrypted(path: Path, document: dict[str, Any], password: Path | None) -> bytes:
    from eth_account import Account

    if password is None:
        word = typer.prompt(f"Password of {path}", hide_input=True, err=True)
    else:
        word = read_text(password).rstrip("\r\n")
    try:
        return bytes(Account.decrypt(document, word))
    except ValueError as error:
        raise InvalidInput(
            "W3B-7016",
            f"the keystore {path} does not open: {error}",
            field="password",
            next_step="Check the password.",
        ) from error


def _no_key(path: Path) -> InvalidInput:
    return InvalidInput(
        "W3B-7016",
        f"{path} holds no key",
        field="key",
        next_step="Give a file of `w3bstream l1 keygen`, an Ethereum keystore, or a file with 64 hex digits.",
    )
