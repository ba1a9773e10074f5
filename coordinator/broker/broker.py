"""The broker's decision: a secret for an attested enclave, encrypted to it, or a refusal; written down either way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from coordinator.broker.journal import Entry, Journal
from coordinator.broker.vault import Secret, Vault, no_secret
from verifier.attestation import passport
from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Registration, appraise_registration
from verifier.attestation.sealing import seal
from verifier.attestation.secret_request import SecretRequest
from verifier.errors import Refused, W3bstreamError
from verifier.statement import Domain

BACKGROUND_CHECK, PASSPORT = "background-check", "passport"


@dataclass(frozen=True)
class Trust:
    """Whom a broker believes."""

    domain: Domain
    """Chain and Router that session keys are bound to."""
    anchors: TrustAnchors
    """Roots of evidence (background check)."""
    policy: AppraisalPolicy
    issuers: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    """Verifiers whose passports are taken, by name."""


@dataclass(frozen=True)
class _Vouched:
    is_simulated: bool
    evidence_sha256: str


class Broker:
    """Releases the secrets of one folder.

    Parameters: `home` holds them and the journal. Raises Unavailable (W3B-9125).
    """

    def __init__(self, home: Path, trust: Trust) -> None:
        self.vault = Vault(home / "secrets")
        """The secrets."""
        self.journal = Journal(home / "journal.db")
        """Challenges, and what was asked for."""
        self._trust = trust

    def challenge(self, now: int) -> bytes:
        """A nonce for one request, 32 bytes. Parameters: `now` is Unix seconds. Raises Refused (W3B-9122)."""
        return self.journal.challenge(now)

    def release_by_evidence(self, request: SecretRequest, registration: Registration, now: int) -> bytes:
        """The secret, sealed for the request (background-check model): the broker appraises the evidence itself.

        Raises Refused: W3B-9122 the nonce, W3B-9123 the signature, W3B-9126 no such secret for the program, W3B-9114 a
        simulated anchor that the secret does not allow, W3B-4012 evidence of another program or key; W3B-4015 an expired
        session key, and the first finding of the appraisal. Raises InvalidInput (W3B-9101 to W3B-9104, W3B-9120).
        """

        def vouch() -> _Vouched:
            if registration.key != request.session_key:
                raise Refused("W3B-4012", "the evidence is of another session key", field="session_key")
            trust = self._trust
            result = appraise_registration(registration, trust.domain, trust.anchors, trust.policy, at=now)
            result.require(allow_simulated=True)  # whether it may be simulated, the secret says
            return _Vouched(result.is_simulated, result.evidence_sha256)

        return self._release(request, BACKGROUND_CHECK, vouch, now)

    def release_by_passport(self, request: SecretRequest, text: str, now: int) -> bytes:
        """The secret, sealed for the request (passport model).

        Raises Refused as `release_by_evidence`, and W3B-9124 for a passport that no trusted verifier gave to this key.
        """

        def vouch() -> _Vouched:
            trust = self._trust
            found = passport.read(text, request.session_key, trust.domain, issuers=trust.issuers, at=now)
            return _Vouched(found.is_simulated, found.evidence_sha256)

        return self._release(request, PASSPORT, vouch, now)

    def _release(self, request: SecretRequest, model: str, vouch: Callable[[], _Vouched], now: int) -> bytes:
        key, domain = request.session_key, self._trust.domain
        entry = Entry(
            at=now,
            secret=request.name,
            model=model,
            program_id="0x" + key.program_id.hex(),
            prover="0x" + key.prover.hex(),
            session_key="0x" + key.digest(domain).hex(),
        )
        try:
            self.journal.require_open(request.nonce, now)
            request.require_signed(domain)
            if key.expiry <= now:
                raise Refused("W3B-4015", f"the session key expired at {key.expiry}", field="expiry")
            vouched = vouch()
            anchor = "simulated" if vouched.is_simulated else "vendor"
            entry = replace(entry, anchor=anchor, evidence_sha256=vouched.evidence_sha256)
            secret = self._secret(request, is_simulated=vouched.is_simulated)
            sealed = seal(secret.value, request.sealing_key, request.info(domain))
            self.journal.released(request.nonce, now, entry)
        except W3bstreamError as error:
            self.journal.refused(replace(entry, code=error.code, reason=error.message[:500]))
            raise
        return sealed

    def _secret(self, request: SecretRequest, *, is_simulated: bool) -> Secret:
        secret = self.vault.get(request.name)
        if request.session_key.program_id not in secret.program_ids:
            raise no_secret(request.name)
        if is_simulated and not secret.allow_simulated:
            raise Refused("W3B-9114", f"the secret {request.name} is not for simulated enclaves", field="anchor")
        return secret
