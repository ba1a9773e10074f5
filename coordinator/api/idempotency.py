"""Idempotency keys: a create or submit that is repeated has one effect and one answer.

The answer is stored in the transaction of the effect, by (API key, method, idempotency key). It may hold a secret that
the ledger must not know in clear (an API key), so it is sealed with AES-256-GCM (NIST SP 800-38D) under a key that
HKDF-SHA256 (RFC 5869) derives from the caller's own API key: only who made the call can have the answer again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import Message
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.auth import Caller
from coordinator.ledger.tables import IdempotencyRow
from verifier.errors import Conflict, InvalidInput

NONCE_BYTES = 12
_KEY = re.compile(r"[\x21-\x7e]{1,128}")

Answer = TypeVar("Answer", bound=Message)


def request_hash(request: Message) -> str:
    """SHA-256 of the request without its idempotency key, hex."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("idempotency_key")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def require_idempotency_key(request: Message) -> str:
    """The request's key. Raises InvalidInput (W3B-7006) when it is missing or not 1 to 128 printable ASCII characters."""
    key: str = request.idempotency_key  # type: ignore[attr-defined]
    if _KEY.fullmatch(key) is None:
        raise InvalidInput(
            "W3B-7006",
            f"idempotency_key {key[:40]!r} has {len(key)} characters or is not ASCII",
            field="idempotency_key",
        )
    return key


class Once:
    """One call under its idempotency key.

    Parameters: `method` is the method's name; `request` has the field `idempotency_key`. Raises InvalidInput (W3B-7006).
    """

    def __init__(self, caller: Caller, method: str, request: Message) -> None:
        key = require_idempotency_key(request)
        self._caller = caller
        self._identity = (caller.key_id, method, key)
        self._request_hash = request_hash(request)

    async def answered(self, session: AsyncSession, kind: type[Answer]) -> Answer | None:
        """The stored answer, or None for a new key. Raises Conflict (W3B-7007) when the key served another request."""
        row = await session.get(IdempotencyRow, self._identity, populate_existing=True)
        if row is None:
            return None
        if row.request_hash != self._request_hash:
            raise Conflict(
                "W3B-7007",
                f"idempotency key {self._identity[2]!r} was used for another {self._identity[1]}",
                field="idempotency_key",
            )
        return kind.FromString(self._unseal(row.response))

    async def store(self, session: AsyncSession, now: int, answer: Message) -> None:
        """Store the answer, or replace the one of an earlier step of the same call."""
        row = await session.get(IdempotencyRow, self._identity, populate_existing=True)
        sealed = self._seal(answer.SerializeToString(deterministic=True))
        if row is None:
            key_id, method, key = self._identity
            row = IdempotencyRow(
                key_id=key_id,
                method=method,
                idempotency_key=key,
                request_hash=self._request_hash,
                response=sealed,
                created_at=now,
            )
        row.response = sealed
        session.add(row)
        await session.flush()

    def _cipher(self) -> AESGCM:
        context = "\0".join(("w3bstream idempotency v1", *self._identity)).encode()
        return AESGCM(HKDF(SHA256(), 32, salt=None, info=context).derive(self._caller.secret.encode()))

    def _seal(self, answer: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, answer, None)

    def _unseal(self, sealed: bytes) -> bytes:
        try:
            return self._cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise Conflict("W3B-7007", "the stored answer was changed", field="idempotency_key") from error
