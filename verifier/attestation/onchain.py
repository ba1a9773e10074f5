"""Evidence with its endorsements as the attestation adapters of our L1 take it (docs/reference/tee-contracts.md)."""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import encode as abi_encode

from l1.staking.points import signature_point
from verifier.attestation import accelerated, sev_snp
from verifier.attestation.evidence import Endorsements, Evidence, Platform, malformed
from verifier.finality_proof import FinalityProof

_MAX_PARTS = 255
_MAX_BYTES = 1 << 32
_SIGNATURE = slice(4, 100)
"""In a footer: after the round, before the bitmap."""


def frame(evidence: bytes, certificates: Sequence[bytes] = (), lists: Sequence[bytes] = ()) -> bytes:
    """The input of an attestation precompile after its time (docs/reference/precompiles.md, "Attestation evidence").

    Parameters: `certificates` in DER, the evidence's signer first, the root last; revocation `lists` in DER.
    Raises InvalidInput (W3B-9101) for more than 255 of either, or a part of 2^32 bytes.
    """
    for name, parts in (("certificates", certificates), ("lists", lists)):
        if len(parts) > _MAX_PARTS:
            raise malformed(name, f"are {len(parts)}; at most {_MAX_PARTS} can be given")
    framed = bytes((len(certificates), len(lists)))
    for part in (evidence, *certificates, *lists):
        if len(part) >= _MAX_BYTES:
            raise malformed("evidence", f"has a part of {len(part)} bytes")
        framed += len(part).to_bytes(4, "big") + part
    return framed


def encode(evidence: Evidence, endorsements: Endorsements) -> bytes:
    """Evidence of one attester for SevSnpAttestation, NitroAttestation, or as a GPU of NvidiaH100Attestation.

    Raises InvalidInput: W3B-9101 for another platform, W3B-9103 and W3B-9104 for endorsements that are missing or no
    certificates.
    """
    match evidence.platform:
        case Platform.SEV_SNP:
            certificates = sev_snp.chain_of(endorsements)
        case Platform.NITRO:
            certificates = []
        case Platform.NVIDIA_H100:
            certificates = accelerated.certificates(endorsements, "certificates")
        case other:
            raise malformed("platform", f"{other.value} has no precompile; it is verified by another route")
    return frame(evidence.data, certificates, accelerated.revocation_lists(endorsements))


def composite(cpu: bytes, gpus: Sequence[bytes]) -> bytes:
    """Evidence for NvidiaH100Attestation: that of the CPU's adapter, and `encode`'s of each GPU in order."""
    return abi_encode(["bytes", "bytes[]"], [cpu, list(gpus)])


def finality(proof: FinalityProof, place: int) -> bytes:
    """Evidence for L1Attestation on another chain.

    Parameters: `proof` shows the receipt of the transaction that called AttestationLog on the L1; `place` is the event's
    among the receipt's, from 0. Raises InvalidInput (W3B-9101) for a footer without a signature.
    """
    try:
        signature = signature_point(proof.footer[_SIGNATURE])
    except ValueError as error:
        raise malformed("footer", "has no signature that is a point of the curve") from error
    values = [proof.header, proof.footer, signature, proof.position, list(proof.receipt), place]
    return abi_encode(["bytes", "bytes", "bytes", "uint256", "bytes[]", "uint256"], values)
