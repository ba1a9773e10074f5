"""What a member of an attestation committee signs, and the evidence that enough of them make (CommitteeAttestation).

Each member appraises for himself and signs only what he saw. Weaker than every other route: nothing of the evidence is
verified on chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from verifier import signatures
from verifier.attestation.evidence import malformed
from verifier.statement import DOMAIN_TYPE

ATTESTATION_TYPE = (
    b"Attestation(string kind,bytes32 artifact,bytes callerData,bytes devices,uint64 validUntil,bool simulated)"
)
NAME, VERSION = b"W3bstream attestation committee", b"1"
"""Of the EIP-712 domain, whose contract is the adapter."""


@dataclass(frozen=True)
class Appraised:
    """What a member says about one piece of evidence. Raises InvalidInput (W3B-9101) for a field of another length."""

    kind: str
    """Of the adapter, such as `tee.cca`."""
    artifact: bytes
    """Of the signed measurements, `identity.artifact`, 32 bytes."""
    caller_data: bytes
    """Digest ‖ second half, 64 bytes, for every platform: `binding` of a platform with 64 bytes of report data."""
    valid_until: int
    """The result's; 1 or more."""
    simulated: bool
    """Whether the anchor was a simulated one."""
    devices: bytes = b""
    """SHA-256 of each device's evidence, one after the other."""

    def __post_init__(self) -> None:
        for name, length in (("artifact", 32), ("caller_data", 64)):
            if len(getattr(self, name)) != length:
                raise malformed(name, f"has {len(getattr(self, name))} bytes, not {length}")
        if len(self.devices) % 32:
            raise malformed("devices", f"has {len(self.devices)} bytes, no whole number of digests")
        if not 0 < self.valid_until < 1 << 64:
            raise malformed("valid_until", f"is {self.valid_until}, not in 1 to 2^64 - 1")

    def digest(self, chain_id: int, adapter: bytes) -> bytes:
        """EIP-712 digest that a member signs for the adapter (20 bytes) on a chain, 32 bytes."""
        domain = abi_encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [keccak(DOMAIN_TYPE), keccak(NAME), keccak(VERSION), chain_id, adapter],
        )
        hashes = (keccak(self.kind.encode()), self.artifact, keccak(self.caller_data), keccak(self.devices))
        struct = abi_encode(
            ["bytes32", "bytes32", "bytes32", "bytes32", "bytes32", "uint64", "bool"],
            [keccak(ATTESTATION_TYPE), *hashes, self.valid_until, self.simulated],
        )
        return keccak(b"\x19\x01" + keccak(domain) + keccak(struct))

    def evidence(self, chain_id: int, adapter: bytes, given: Sequence[bytes]) -> bytes:
        """Evidence for the adapter with the members' signatures, r ‖ s ‖ v each, in any order.

        Raises Refused (W3B-9106) for a signature that is none.
        """
        digest = self.digest(chain_id, adapter)
        by_member: Mapping[bytes, bytes] = {signatures.recover(digest, each, code="W3B-9106"): each for each in given}
        ordered = [by_member[member] for member in sorted(by_member)]
        values = [self.artifact, self.caller_data, self.devices, self.valid_until, ordered]
        return abi_encode(["bytes32", "bytes", "bytes", "uint64", "bytes[]"], values)
