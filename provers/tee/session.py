"""The session key: made in the enclave, used in the enclave, forgotten with it. Only its public half goes out."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import coincurve

from verifier import signatures
from verifier.attestation.binding import SessionKey
from verifier.attestation.secret_request import SecretRequest
from verifier.statement import Domain, Statement


class Session:
    """A secp256k1 key that signs Statements of one program, prover and domain."""

    __slots__ = ("_sign", "domain", "key")

    domain: Domain
    """Chain and Router of what it signs."""
    key: SessionKey
    """The registration that its evidence carries."""

    def __init__(self, domain: Domain, program_id: bytes, prover: bytes, nonce: bytes, expiry: int) -> None:
        """Raises InvalidInput (W3B-9101) for a field that is no part of a registration."""
        secret = coincurve.PrivateKey()
        public_key = secret.public_key.format(compressed=False)[1:]
        self.domain = domain
        self.key = SessionKey(public_key, program_id, prover, nonce, expiry)

        def sign(digest: bytes) -> bytes:
            return signatures.sign(digest, secret.secret)

        self._sign = sign

    def sign(self, statement: Statement) -> bytes:
        """r ‖ s ‖ v over the Statement's digest, 65 bytes."""
        return self._sign(statement.digest(self.domain))

    def request(self, name: str, nonce: bytes, sealing_key: bytes) -> SecretRequest:
        """A signed request to a key broker. Raises InvalidInput (W3B-9120) for a field of another form."""
        draft = SecretRequest(name, nonce, sealing_key, self.key)
        return replace(draft, signature=self._sign(draft.digest(self.domain)))

    def __repr__(self) -> str:
        return f"<session key 0x{self.key.public_key.hex()[:16]}… until {self.key.expiry}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """No copy is made of it."""
        raise TypeError("a session key does not leave its enclave")
