"""Bindings of the contracts for trusted execution environments (docs/reference/tee-contracts.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from verifier.attestation.binding import SessionKey
from verifier.bindings.abi import decode_result, encode_call
from verifier.bindings.deployment import create
from verifier.tee import Registration

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from web3 import Web3

MAX_LIFETIME = 7 * 86_400
"""Seconds that a session key may live at most, unless the deployer says otherwise."""


@dataclass(frozen=True)
class SevSnpPolicy:
    """What of SEV-SNP an adapter accepts, as SevSnpAttestation has it; debug is never."""

    bootloader: int = 0
    """Least level of the reported TCB's part, like the four after it."""
    tee: int = 0
    snp: int = 0
    microcode: int = 0
    fmc: int = 0
    guest_svn: int = 0
    """Least security version of the guest."""
    maximum_vmpl: int = 0
    allow_smt: bool = True
    allow_migration: bool = False
    lists: int = 0
    """Revocation lists that must come with the evidence."""


def deploy_committee(
    web3: Web3, account: LocalAccount, kind: str, members: Sequence[bytes], threshold: int, *, simulated: bool
) -> str:
    """CommitteeAttestation: `threshold` of the members (addresses) sign what they appraised. Its address.

    Raises Refused (W3B-5009), as all deployments here.
    """
    return create(web3, account, "CommitteeAttestation", kind, simulated, sorted(members), threshold)[0]


def deploy_sev_snp(web3: Web3, account: LocalAccount, roots: Sequence[bytes], policy: SevSnpPolicy) -> str:
    """SevSnpAttestation, on our L1; `roots` are SHA-256 of the accepted ARKs' DER. Its address."""
    return create(web3, account, "SevSnpAttestation", list(roots), astuple(policy))[0]


def deploy_nitro(web3: Web3, account: LocalAccount, roots: Sequence[bytes], max_age: int) -> str:
    """NitroAttestation, on our L1; documents older than `max_age` seconds are refused. Its address."""
    return create(web3, account, "NitroAttestation", list(roots), max_age)[0]


def deploy_tee_verifier(
    web3: Web3, account: LocalAccount, router: str, attestation: str, *, max_lifetime: int = MAX_LIFETIME
) -> str:
    """TeeVerifier over an attestation adapter; its address goes into a version's program of the adapter's kind."""
    return create(web3, account, "TeeVerifier", router, attestation, max_lifetime)[0]


def register_session_key(key: SessionKey, evidence: bytes) -> bytes:
    """To a TeeVerifier, by anyone; `evidence` is in the encoding of its attestation adapter."""
    return encode_call("TeeVerifier", "register", _words(key), evidence)


def revoke_session_key(program_id: bytes, session_key: bytes) -> bytes:
    """To a TeeVerifier, by the prover; for good."""
    return encode_call("TeeVerifier", "revoke", program_id, session_key)


def revoke_by_signature(program_id: bytes, prover: bytes, session_key: bytes, signature: bytes) -> bytes:
    """To a TeeVerifier, by anyone with the key's signature of `verifier.tee.revocation_digest`."""
    return encode_call("TeeVerifier", "revokeBySignature", program_id, prover, session_key, signature)


def call_session_key_of(program_id: bytes, prover: bytes, session_key: bytes) -> bytes:
    """To a TeeVerifier; see `decode_session_key_of`."""
    return encode_call("TeeVerifier", "sessionKeyOf", program_id, prover, session_key)


def decode_session_key_of(data: bytes) -> Registration:
    """When the key expires, 0 when it was never registered; and whether it was revoked."""
    expiry, revoked = decode_result("TeeVerifier", "sessionKeyOf", data)
    return Registration(expiry, revoked)


def _words(key: SessionKey) -> tuple[bytes, bytes, bytes, bytes, int]:
    return key.public_key, key.program_id, key.prover, key.nonce, key.expiry
