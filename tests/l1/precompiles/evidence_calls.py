"""Inputs of the verifiers of attestation evidence, and their answers' words by name, as the reference page has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from native import _native

PREFIX = bytes(17) + b"W3"
HEAD = (("holds", 1), ("root", 1), ("valid_until", 1), ("issued_at", 1))


@dataclass(frozen=True)
class Asked:
    """One verifier: its address' number, its gas for no input, the words of its answer with how many each has."""

    number: int
    base_gas: int
    words: tuple[tuple[str, int], ...]

    @property
    def address(self) -> bytes:
        return PREFIX + bytes([self.number])

    def gas(self, data: bytes) -> int:
        """The page's formula."""
        return self.base_gas + 3 * len(data)

    def named(self, answer: bytes) -> Mapping[str, bytes]:
        """The answer taken apart."""
        found, at = {}, 0
        for name, count in HEAD + self.words:
            found[name], at = answer[at : at + 32 * count], at + 32 * count
        assert at == len(answer)
        return found


def _singles(names: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, 1) for name in names.split())


SEV_SNP = Asked(
    2,
    200_000,
    (
        ("report_data", 2),
        ("measurement", 2),
        ("host_data", 1),
        ("id_key_digest", 2),
        *_singles("policy vmpl guest_svn platform_info product signing_key bootloader tee snp microcode fmc chip"),
    ),
)
NITRO = Asked(
    3,
    640_000,
    (
        ("pcr0", 2),
        ("pcr1", 2),
        ("pcr2", 2),
        *_singles("debug user_data_length user_data nonce_length nonce public_key_length public_key module"),
    ),
)
NVIDIA_H100 = Asked(
    4,
    560_000,
    (
        *_singles("nonce driver_version vbios_version"),
        ("firmware_digest", 2),
        *_singles("device measurement_count measurements_digest"),
        *((f"block{index}", 1) for index in range(1, 65)),
    ),
)


def parts(evidence: bytes, certificates: Sequence[bytes], lists: Sequence[bytes] = ()) -> bytes:
    """Each behind its length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in (evidence, *certificates, *lists))


def frame(evidence: bytes, certificates: Sequence[bytes], time: int, lists: Sequence[bytes] = ()) -> bytes:
    """A verifier's input."""
    head = bytes([1]) + time.to_bytes(8, "big") + bytes([len(certificates), len(lists)])
    return head + parts(evidence, certificates, lists)


def ask(view: _native.StateView, verifier: Asked, data: bytes, gas_limit: int = 20_000_000) -> _native.CallResult:
    """Call a verifier on a state."""
    return view.call(
        sender=bytes(20),
        to=verifier.address,
        data=data,
        value=0,
        gas=gas_limit,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=gas_limit,
    )
