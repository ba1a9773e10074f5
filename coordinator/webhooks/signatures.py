"""Keys and signatures of Standard Webhooks: `v1` (HMAC-SHA256) and `v1a` (ed25519, RFC 8032).

Both sign the bytes `<webhook-id>.<webhook-timestamp>.<body>`. The text forms of the keys are the specification's
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme"): base64
after `whsec_` (secret, 24 to 64 bytes), `whsk_` (private key: 32 bytes of seed, then 32 of the public key) and `whpk_`
(public key, 32 bytes).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from verifier.errors import InvalidInput

SECRET, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
V1, V1A, BOTH = "v1", "v1a", "both"
SIGNINGS = (V1, V1A, BOTH)
"""What an endpoint's messages may be signed with."""
SECRET_BYTES = 32
"""Of a new secret; Standard Webhooks asks for 24 to 64 random bytes."""
_SEED_BYTES = 32
_KNOWN_KEYS = 1024


def new_secret() -> str:
    """A fresh `v1` secret: `whsec_` and base64 of 32 random bytes."""
    return SECRET + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def new_signing_key() -> str:
    """A fresh `v1a` private key: `whsk_` and base64 of the seed and the public key, 64 bytes."""
    key = Ed25519PrivateKey.generate()
    return PRIVATE + base64.b64encode(key.private_bytes_raw() + key.public_key().public_bytes_raw()).decode()


def public_key(signing_key: str) -> str:
    """The `whpk_…` that belongs to a `whsk_…`. Raises InvalidInput (W3B-6005)."""
    return PUBLIC + base64.b64encode(_private(signing_key).public_key().public_bytes_raw()).decode()


def strict_base64(text: str) -> bytes:
    """Bytes of canonical base64 (RFC 4648 §4), so that no two texts mean the same. Raises ValueError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if base64.b64encode(raw).decode() != text:
        raise ValueError("it is not canonical base64")
    return raw


def _key_bytes(text: str, prefix: str, lengths: range) -> bytes:
    try:
        # Some issuers leave the padding out.
        body = text.removeprefix(prefix)
        raw = strict_base64(body.rstrip("=") + "=" * (-len(body.rstrip("=")) % 4))
    except ValueError as error:
        raise InvalidInput("W3B-6005", f"the {prefix}… key is not base64", field="key") from error
    if len(raw) not in lengths:
        raise InvalidInput("W3B-6005", f"the {prefix}… key has {len(raw)} bytes", field="key")
    return raw


@lru_cache(maxsize=_KNOWN_KEYS)
def _secret(text: str) -> bytes:
    return _key_bytes(text, SECRET, range(24, 65))


@lru_cache(maxsize=_KNOWN_KEYS)
def _private(text: str) -> Ed25519PrivateKey:
    raw = _key_bytes(text, PRIVATE, range(2 * _SEED_BYTES, 2 * _SEED_BYTES + 1))
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if key.public_key().public_bytes_raw() != raw[_SEED_BYTES:]:
        raise InvalidInput("W3B-6005", "the two halves of the whsk_… key do not belong together", field="key")
    return key


@lru_cache(maxsize=_KNOWN_KEYS)
def _public(text: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(_key_bytes(text, PUBLIC, range(_SEED_BYTES, _SEED_BYTES + 1)))


def _hmac(secret: str, content: bytes) -> bytes:
    return hmac.digest(_secret(secret), content, "sha256")


def signed_bytes(message_id: str, timestamp: str, body: bytes) -> bytes:
    """What both schemes sign; `timestamp` is the header's text, Unix seconds."""
    return f"{message_id}.{timestamp}.".encode() + body


def sign(key: str, content: bytes) -> str:
    """One signature as it stands in the header, with a `whsec_…` or `whsk_…`. Raises InvalidInput (W3B-6005)."""
    if key.startswith(PRIVATE):
        return f"{V1A},{base64.b64encode(_private(key).sign(content)).decode()}"
    return f"{V1},{base64.b64encode(_hmac(key, content)).decode()}"


def sign_with_all(keys: Iterable[str], content: bytes) -> str:
    """The header's value: one signature a key, separated by spaces, in the order of the keys."""
    return " ".join(sign(key, content) for key in keys)


def require_key(key: str) -> str:
    """The scheme that the key verifies. Raises InvalidInput (W3B-6005) for anything but `whsec_…` and `whpk_…`."""
    if key.startswith(PUBLIC):
        _public(key)
        return V1A
    if key.startswith(SECRET):
        _secret(key)
        return V1
    raise InvalidInput("W3B-6005", "a key to verify with begins with whsec_ or whpk_", field="key")


def holds(key: str, scheme: str, signature: bytes, content: bytes) -> bool:
    """Whether a signature of `scheme` verifies with the key; a key of the other scheme never does.

    Raises InvalidInput (W3B-6005).
    """
    if require_key(key) != scheme:
        return False
    if scheme == V1:
        return hmac.compare_digest(_hmac(key, content), signature)
    try:
        _public(key).verify(signature, content)
    except InvalidSignature:
        return False
    return True
