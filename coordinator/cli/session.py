"""Logins of this machine's user: `sessions.json` in the home folder, mode 600, by target.

It holds the token and the path of the key file, never the key; a token about to run out is renewed with it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from coordinator.access import did_keys
from coordinator.access.dids import LoginClaims
from coordinator.api.client import Certificate, Client
from provers.installation import write_private
from verifier.errors import W3bstreamError
from w3bstream.v1 import admin_pb2

FILE = "sessions.json"
RENEW_SECONDS = 60
"""A token that has less than this left is renewed before it is used."""


def _read(home: Path) -> dict[str, Any]:
    try:
        found = json.loads((home / FILE).read_text())
    except (OSError, ValueError):  # none yet, or a torn one: the user logs in again
        return {}
    return found if isinstance(found, dict) else {}


def _write(home: Path, sessions: dict[str, Any]) -> None:
    write_private(home / FILE, json.dumps(sessions))


def log_in(
    home: Path, target: str, did: str, key_file: Path, *, ca: bytes | None, certificate: Certificate | None
) -> admin_pb2.LoginResponse:
    """Log in and keep the token. Raises Refused (W3B-7022), InvalidInput (W3B-7016, W3B-7024)."""
    key = did_keys.load(key_file)

    def prove(audience: str, dialled: str, challenge: str) -> str:
        return key.prove(LoginClaims(did, audience, dialled, challenge))

    with Client(target, "", ca=ca, certificate=certificate) as client:
        answer = client.login(did, prove)
    sessions = _read(home)
    sessions[target] = {
        "did": did,
        "key_file": str(key_file.resolve()),
        "token": answer.token,
        "expires_at": answer.expires_at.seconds,
    }
    _write(home, sessions)
    return answer


def log_out(home: Path, target: str) -> bool:
    """Forget the login; says whether there was one."""
    sessions = _read(home)
    found = sessions.pop(target, None) is not None
    if found:
        _write(home, sessions)
    return found


def token(home: Path, target: str, ca: bytes | None, certificate: Certificate | None) -> str:
    """The token for a target, renewed when it is about to run out; empty without a login."""
    found = _read(home).get(target)
    if not isinstance(found, dict):
        return ""
    if found["expires_at"] - time.time() > RENEW_SECONDS:
        return str(found["token"])
    try:
        return log_in(home, target, found["did"], Path(found["key_file"]), ca=ca, certificate=certificate).token
    except W3bstreamError as error:
        raise type(error)(
            error.code, f"the login of {found['did']} could not be renewed: {error.message}", field=error.field
        ) from error
