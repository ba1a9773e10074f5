"""Test only: an enclave's side of a request, with keys of its own."""

from __future__ import annotations

from dataclasses import replace

import coincurve

from verifier import signatures
from verifier.attestation.binding import SessionKey
from verifier.attestation.sealing import SealingKey
from verifier.attestation.secret_request import SecretRequest
from verifier.statement import Domain

NOW = 1_800_000_000
DOMAIN = Domain(4690, bytes([7] * 20))
PROGRAM = bytes([5] * 32)


class Enclave:
    """A session key and a sealing key, and the requests that they sign."""

    def __init__(self, program_id: bytes = PROGRAM, number: int = 1) -> None:
        self.secret = bytes([number] * 32)
        point = coincurve.PrivateKey(self.secret).public_key.format(compressed=False)[1:]
        self.session = SessionKey(point, program_id, bytes([9] * 20), bytes([number] * 32), NOW + 3600)
        self.sealing = SealingKey()

    def request(self, nonce: bytes, name: str = "weather-key", domain: Domain = DOMAIN) -> SecretRequest:
        """A request as a good enclave makes it."""
        return self.signed(SecretRequest(name, nonce, self.sealing.public, self.session), domain)

    def signed(self, request: SecretRequest, domain: Domain = DOMAIN) -> SecretRequest:
        """The request with this enclave's signature."""
        return replace(request, signature=signatures.sign(request.digest(domain), self.secret))
