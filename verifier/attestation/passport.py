"""The passport model (RFC 9334 §5.1): a verifier signs its attestation result, and the enclave shows that to brokers.

A passport is an EAR as a JWT (draft-ietf-rats-ear-04), signed with Ed25519. `cnf` (RFC 7800) names the session key that
the result speaks for, so that nobody else can use it; `w3bstream` names the key's registration, program and Router.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, OKPKey

from verifier.attestation.binding import SessionKey
from verifier.attestation.result import EAR_PROFILE, AttestationResult
from verifier.errors import InvalidInput, Refused
from verifier.statement import Domain

ALGORITHM = "Ed25519"
"""The one algorithm, never the header's choice (RFC 8725, RFC 9864)."""
TYPE = "eat+jwt"
MAX_PASSPORT = 64 * 1024
LEEWAY_SECONDS = 60
LONGEST_SECONDS = 24 * 3600
"""A passport lives no longer: nothing revokes it."""


@dataclass(frozen=True)
class Passport:
    """What a verifier vouches for."""

    issuer: str
    program_id: bytes
    """32 bytes, of the evidence's own measurements."""
    is_simulated: bool
    evidence_sha256: str
    expires_at: int
    """Unix seconds."""


def issue(
    result: AttestationResult,
    key: SessionKey,
    domain: Domain,
    *,
    signer: Ed25519PrivateKey,
    issuer: str,
    lifetime: int = 3600,
) -> str:
    """A passport for a session key whose registration evidence was appraised.

    Parameters: `result` is that appraisal's, with the caller data of `binding.register_key` and the program's reference
    values; `issuer` is the name under which brokers know `signer`; `lifetime` is in seconds, and is cut where the
    evidence's endorsements or the key expire before.

    Raises Refused with the result's first finding where something speaks against it; InvalidInput (W3B-9120) for a
    lifetime that is not 1 second to a day.
    """
    if not 0 < lifetime <= LONGEST_SECONDS:
        raise InvalidInput(
            "W3B-9120", f"a passport lives 1 to {LONGEST_SECONDS} seconds, not {lifetime}", field="lifetime"
        )
    result.require(allow_simulated=True)  # a simulated one says so, and the broker decides
    ends = [result.at + lifetime, key.expiry, *([result.valid_until] if result.valid_until else [])]
    claims = {
        **result.to_ear(),
        "iss": issuer,
        "exp": min(ends),
        "jti": secrets.token_hex(16),
        "cnf": {"jwk": _jwk(key.public_key)},
        "w3bstream": _about(key, domain),
    }
    private = OKPKey.import_key(signer)
    return str(jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": issuer}, claims, private, algorithms=[ALGORITHM]))


def read(text: str, key: SessionKey, domain: Domain, *, issuers: Mapping[str, Ed25519PublicKey], at: int) -> Passport:
    """The passport, if it is a trusted verifier's, valid at `at` (Unix seconds) and about this session key.

    Parameters: `issuers` are the verifiers that are trusted, by name. Raises Refused (W3B-9124).
    """
    if len(text) > MAX_PASSPORT:
        raise _refused(f"has {len(text)} characters; at most {MAX_PASSPORT}")

    def trusted(guest: GuestProtocol) -> OKPKey:
        name = guest.headers().get("kid")
        if not isinstance(name, str) or name not in issuers:
            raise ValueError("the verifier is not a trusted one")
        return OKPKey.import_key(issuers[name])

    try:
        token = jwt.decode(text, trusted, algorithms=[ALGORITHM])
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refused("is not signed by a trusted verifier") from error
    claims: dict[str, Any] = token.claims
    if token.header.get("typ") != TYPE or claims.get("eat_profile") != EAR_PROFILE:
        raise _refused("is no EAR")
    if claims.get("iss") != token.header["kid"]:
        raise _refused("names another verifier than the one that signed it")
    issued, ends = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(ends) is not int or not issued - LEEWAY_SECONDS <= at < ends:
        raise _refused(f"is not valid at {at}")
    if claims.get("cnf") != {"jwk": _jwk(key.public_key)} or claims.get("w3bstream") != _about(key, domain):
        raise _refused("speaks for another session key, program, chain or Router")
    return _appraised(claims, key, ends)


def _appraised(claims: dict[str, Any], key: SessionKey, ends: int) -> Passport:
    """Require that the result has nothing against the evidence, in the one way in which `issue` writes it."""
    try:
        ((_, appraisal),) = claims["submods"].items()
        status, checks = appraisal["ear_status"], appraisal["ear_verifier_claims"]
        simulated = {"vendor": False, "simulated": True}[checks["trust_anchor"]]
        findings, digest = checks["findings"], str(checks["evidence_sha256"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused("is no EAR of one platform") from error
    if findings != [] or status != ("warning" if simulated else "affirming"):
        raise _refused(f"says {status!r} with {len(findings) if isinstance(findings, list) else 'malformed'} findings")
    return Passport(str(claims["iss"]), key.program_id, simulated, digest, ends)


def _about(key: SessionKey, domain: Domain) -> dict[str, Any]:
    return {
        "chain_id": domain.chain_id,
        "router": "0x" + domain.router.hex(),
        "program_id": "0x" + key.program_id.hex(),
        "session_key": "0x" + key.digest(domain).hex(),
    }


def _jwk(public_key: bytes) -> dict[str, str]:
    """RFC 8812 §3.1."""
    x, y = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (public_key[:32], public_key[32:]))
    return {"kty": "EC", "crv": "secp256k1", "x": x, "y": y}


def _refused(why: str) -> Refused:
    return Refused("W3B-9124", f"the passport {why}", field="passport")
