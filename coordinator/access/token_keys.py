"""The installation's own keys for tokens: one file, mode 600, with the key that signs, older ones that still verify,
and the secret that seals stored answers of callers who come with tokens.

Several coordinators on one ledger must share the file (setting `token_keys`), or a token of one is refused by another.
"""

from __future__ import annotations

import itertools
import json
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import OKPKey

from provers.installation import write_private
from verifier.errors import InvalidInput

KEEP_SECONDS = 3600
"""How long a key still verifies after a newer one signs: longer than any token lives."""
LOOK_SECONDS = 1.0
"""How often the file's change is looked for."""


@dataclass(frozen=True)
class _Key:
    kid: str
    private: bytes
    created_at: int
    """Unix seconds."""

    def jwk(self) -> OKPKey:
        return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(self.private), {"kid": self.kid})


def _fresh(now: int) -> _Key:
    return _Key(secrets.token_hex(8), Ed25519PrivateKey.generate().private_bytes_raw(), now)


def _text(seal: str, keys: list[_Key]) -> str:
    rows = [{"kid": key.kid, "private": key.private.hex(), "created_at": key.created_at} for key in keys]
    return json.dumps({"seal": seal, "keys": rows})


def _read(path: Path) -> tuple[str, list[_Key]]:
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise InvalidInput("W3B-7016", f"{path} can be read by others; make its mode 600", field="token_keys")
        data: Any = json.loads(path.read_text())
        keys = [_Key(str(row["kid"]), bytes.fromhex(row["private"]), int(row["created_at"])) for row in data["keys"]]
        for key in keys:
            key.jwk()
        seal = bytes.fromhex(data["seal"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        # The error's own text could quote the file.
        raise InvalidInput("W3B-7016", f"{path} holds no token keys ({type(error).__name__})") from None
    if not keys or len(seal) != 32:
        raise InvalidInput("W3B-7016", f"{path} holds no token keys (a key or the seal is missing)")
    return seal.hex(), sorted(keys, key=lambda key: key.created_at)


class TokenKeys:
    """The keys in a file, which is made when there is none, and read again when it was changed.

    Parameters: `path` is the file. Raises InvalidInput (W3B-7016) when others may read it or it holds no keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            write_private(path, _text(secrets.token_hex(32), [_fresh(int(time.time()))]), keep=True)
        self._stamp = 0
        self._looked = 0.0
        self._look()

    def __repr__(self) -> str:
        return f"TokenKeys({self._path})"

    def _look(self) -> None:
        self._looked = time.monotonic()
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            self._seal, keys = _read(self._path)
            self._newest = keys[-1].kid
            self._jwks = {key.kid: key.jwk() for key in keys}
            self._stamp = stamp

    def _current(self) -> dict[str, OKPKey]:
        if time.monotonic() - self._looked > LOOK_SECONDS and self._path.exists():
            self._look()
        return self._jwks

    def signing(self) -> tuple[str, OKPKey]:
        """(kid, key) of the newest key."""
        keys = self._current()
        return self._newest, keys[self._newest]

    def verifying(self, kid: str) -> OKPKey | None:
        """The key of that id, or None."""
        return self._current().get(kid)

    def seal(self, who: str) -> str:
        """A secret of the installation for one identity, hex: it lasts over logins and rotations."""
        context = b"w3bstream caller v1\0" + who.encode()
        return HKDF(SHA256(), 32, salt=None, info=context).derive(bytes.fromhex(self._seal)).hex()


def rotate(path: Path) -> str:
    """Add a new signing key to the file and drop those that no token can need any more; returns the new key's id.

    Raises InvalidInput (W3B-7016).
    """
    seal, keys = _read(path)
    now = int(time.time())
    # A key is needed until the tokens that it signed ran out: counted from when the next key took over.
    kept = [key for key, after in itertools.pairwise(keys) if now - after.created_at < KEEP_SECONDS]
    fresh = _fresh(max(now, keys[-1].created_at + 1))
    write_private(path, _text(seal, [*kept, keys[-1], fresh]))
    return fresh.kid
