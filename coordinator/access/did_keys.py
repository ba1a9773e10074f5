"""The private key behind a DID, in a file of its holder: made here, or any PEM (PKCS #8), or 32 bytes as hex.

It never leaves the holder's machine: only signatures over logins and job intents do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from coordinator.access import dids
from coordinator.access.dids import LoginClaims
from provers.installation import write_private
from verifier import signatures
from verifier.errors import Conflict, InvalidInput

TYPES = ("ed25519", "p256", "secp256k1")
PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class DidKey:
    """A private key and the DIDs that it can stand for."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"DidKey({self.did})"

    @property
    def did(self) -> str:
        """Its did:key."""
        if isinstance(self._key, Ed25519PrivateKey):
            return dids.ed25519_did(self._key.public_key())
        form = serialization.PublicFormat.CompressedPoint
        point = self._key.public_key().public_bytes(serialization.Encoding.X962, form)
        return dids.ec_did(point, p256=isinstance(self._key.curve, ec.SECP256R1))

    def secret(self) -> bytes:
        """The 32 bytes of a secp256k1 key. Raises InvalidInput (W3B-7024) for another kind."""
        if isinstance(self._key, Ed25519PrivateKey) or not isinstance(self._key.curve, ec.SECP256K1):
            raise InvalidInput("W3B-7024", "an Ethereum account needs a secp256k1 key", field="key")
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def account(self, chain_id: int) -> str:
        """Its did:pkh on a chain. Raises InvalidInput (W3B-7024) unless it is a secp256k1 key."""
        import coincurve

        address = signatures.address_of(coincurve.PrivateKey(self.secret()).public_key)
        return dids.account_did(chain_id, address)

    def prove(self, claims: LoginClaims) -> str:
        """The proof of a login, as the claims' DID gives it."""
        if claims.did.startswith("did:pkh:"):
            return "0x" + signatures.sign(signatures.personal_digest(claims.text()), self.secret()).hex()
        if isinstance(self._key, Ed25519PrivateKey):
            key: Any = OKPKey.import_key(self._key)
            algorithm = "Ed25519"
        else:
            key = ECKey.import_key(self._key)
            algorithm = "ES256" if isinstance(self._key.curve, ec.SECP256R1) else "ES256K"
        header = {"alg": algorithm, "kid": claims.did}
        return jws.serialize_compact(header, json.dumps(claims.payload()), key, algorithms=[algorithm])


def generate(path: Path, key_type: str) -> DidKey:
    """Make a key and write it (PEM, mode 600).

    Raises Conflict (W3B-7016) when the file exists, InvalidInput (W3B-7024) for another type.
    """
    if key_type not in TYPES:
        raise InvalidInput("W3B-7024", f"key type {key_type!r}; there are {list(TYPES)}", field="type")
    curve = {"p256": ec.SECP256R1(), "secp256k1": ec.SECP256K1()}.get(key_type)
    key: PrivateKey = ec.generate_private_key(curve) if curve else Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    if not write_private(path, text, keep=True):
        raise Conflict("W3B-7016", f"{path} exists already", next_step="Choose another name.")
    return DidKey(key)


def load(path: Path) -> DidKey:
    """The key of a file: PEM, or 64 hex digits of a secp256k1 key. Raises InvalidInput (W3B-7016)."""
    try:
        data = path.read_bytes()
        if data.lstrip().startswith(b"-----"):
            key: Any = serialization.load_pem_private_key(data, None)
        else:
            number = int.from_bytes(bytes.fromhex(data.decode("ascii").strip().removeprefix("0x")), "big")
            key = ec.derive_private_key(number, ec.SECP256K1())
    except (OSError, ValueError, TypeError) as error:
        # Nothing of the file's content may stand in the message.
        reason = error.strerror if isinstance(error, OSError) else "no PEM private key and no 64 hex digits"
        raise InvalidInput("W3B-7016", f"{path} cannot be used: {reason}", field="key") from None
    supported = isinstance(key, Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP256K1)
    )
    if not supported:
        raise InvalidInput("W3B-7016", f"{path} holds no Ed25519, P-256 or secp256k1 key", field="key")
    return DidKey(key)
