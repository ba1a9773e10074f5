"""Who is paid: each prover worker's Ethereum key, a file of mode 600 that is made on first use."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account

from provers.installation import write_private
from verifier.errors import InvalidInput

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ProverIdentity:
    """A prover's name and address; the key stays in its file."""

    id: str
    """Stable worker id, such as `zkp.groth16-0`."""
    address: str
    """Who is paid, 0x and 40 lower-case hex digits."""
    key_file: Path
    """Where the private key is."""
    home: str = ""
    """Which home folder that is in (`load_home_id`)."""


def load_home_id(home: Path) -> str:
    """The name of a home folder among those on one ledger, 8 hex digits; made when there is none."""
    path = home / "home.id"
    if not path.exists():
        write_private(path, secrets.token_hex(4) + "\n", keep=True)
    return path.read_text(encoding="ascii").strip()


def load_identity(home: Path, prover_id: str) -> ProverIdentity:
    """The identity of a worker of the installation in `home`, made when there is none.

    Raises InvalidInput: W3B-3007 for an id that is no file name, W3B-4083 for a key file that others may read or that
    holds no key.
    """
    if not _ID.fullmatch(prover_id):
        raise InvalidInput("W3B-3007", f"prover id {prover_id!r} is not lower-case letters, digits, dots and dashes")
    path = home / "keys" / "provers" / f"{prover_id}.json"
    if not path.exists():
        _write_key(path)
    if path.stat().st_mode & 0o077:
        raise InvalidInput("W3B-4083", f"the key file of prover {prover_id} is readable by others; set its mode to 600")
    try:
        account = Account.from_key(json.loads(path.read_text(encoding="utf-8"))["private_key"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("W3B-4083", f"the key file of prover {prover_id} holds no private key") from error
    return ProverIdentity(prover_id, account.address.lower(), path, load_home_id(home))


def _write_key(path: Path) -> None:
    """Write a new key; the one of a process that was first stays."""
    account = Account.create(secrets.token_hex(32))
    text = json.dumps({"address": account.address.lower(), "private_key": "0x" + bytes(account.key).hex()})
    write_private(path, text, keep=True)
