"""Trust anchors: the vendors' own, pinned here by digest, and those of simulators, which are a type of their own.

A function that takes `VendorAnchors` cannot be handed a simulated root by mistake; one that takes either says so in its
result. A root that says nothing of being simulated cannot be made a simulated anchor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from verifier.attestation.evidence import Platform
from verifier.attestation.result import AnchorKind
from verifier.errors import InvalidInput, Refused, Unavailable

SIMULATED_LABEL = "SIMULATED"
"""What the organisation (O=) of a simulated root begins with."""
_INTEL_ROOT = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
"""SHA-256 of the Intel SGX Root CA's DER, 2018 to 2049."""
_ROOTS = Path(__file__).parent / "roots"


@dataclass(frozen=True)
class Anchor:
    """One root."""

    name: str
    sha256: bytes
    """Of the DER, 32 bytes."""
    der: bytes = b""
    """The root certificate, where a verifier needs more than its digest."""


@dataclass(frozen=True)
class EndorsedKey:
    """A platform's attestation key that its vendor vouches for by a list instead of a certificate (Arm CCA's CPAK)."""

    instance_id: bytes
    """Claim 256 of the platform token, 33 bytes that begin with 0x01."""
    implementation_id: bytes
    """Claim 2396, 32 bytes."""
    point: bytes
    """The public key, uncompressed SEC1: 65 bytes for P-256, 97 for P-384."""

    def __post_init__(self) -> None:
        """Raises InvalidInput (W3B-9115)."""
        if len(self.instance_id) != 33 or self.instance_id[0] != 1:
            raise _bad("instance_id", "is not 33 bytes that begin with 0x01")
        if len(self.implementation_id) != 32:
            raise _bad("implementation_id", f"has {len(self.implementation_id)} bytes, not 32")
        if len(self.point) not in (65, 97) or self.point[0] != 4:
            raise _bad("key", "is no uncompressed point of P-256 or P-384")

    @property
    def sha256(self) -> bytes:
        """Of the point, 32 bytes."""
        return hashlib.sha256(self.point).digest()


KNOWN_TEST_KEYS = frozenset(
    {
        "9bdb470456c7c1348349e88f38540f43e7a7993ac32e9c9a0b3c8d8733cc63f0",
        "4006f1d988f449ea0a6cee3e90d4e5a502f3f7f8fe116146e91c338ab3a34946",
        "90c71e80304f98d6556a402c0593b33a80acbd08e4aff9c4029f6e17e1039951",
        "bb59dd09a1f38478d0dd68cf04a8b280828b33998ae20d96197593b1f80e1f74",
    }
)
"""SHA-256 of the points of published CCA test keys, whose private halves anyone has: never a vendor's."""


def _bad(where: str, why: str) -> InvalidInput:
    return InvalidInput("W3B-9115", f"{where} {why}", field=where)


@cache
def _pinned(platform: Platform) -> tuple[Anchor, ...]:
    """The vendor's roots. Raises Unavailable (W3B-9116) where the part that pins them is not installed."""
    if platform in (Platform.SGX, Platform.TDX):
        der = (_ROOTS / "intel-sgx-root-ca.der").read_bytes()
        digest = hashlib.sha256(der).digest()
        if digest.hex() != _INTEL_ROOT:
            raise Unavailable("W3B-9116", "the installed Intel SGX Root CA is not the pinned one", field="anchor")
        return (Anchor("Intel SGX Root CA", digest, der),)
    if platform is Platform.CCA:
        return ()
    if platform is Platform.SEV:
        from verifier.attestation.sev import vendor_anchors

        return vendor_anchors()
    from verifier.attestation.accelerated import native

    names = {
        Platform.SEV_SNP: ("SEV_SNP_ROOTS", "AMD ARK "),
        Platform.NITRO: ("NITRO_ROOTS", ""),
        Platform.NVIDIA_H100: ("NVIDIA_DEVICE_ROOTS", ""),
    }
    table, prefix = names[platform]
    return tuple(Anchor(prefix + name, digest) for name, digest in sorted(getattr(native(), table).items()))


@dataclass(frozen=True)
class VendorAnchors:
    """The roots of Intel, AMD, AWS and NVIDIA. There is no way to add one."""

    cca_keys: tuple[EndorsedKey, ...] = ()
    """CPAKs that the silicon's vendor gave to the operator: Arm CCA has no common root.

    Raises InvalidInput (W3B-9115) for a published test key, and for a simulator's."""

    kind = AnchorKind.VENDOR

    def __post_init__(self) -> None:
        for key in self.cca_keys:
            if key.sha256.hex() in KNOWN_TEST_KEYS:
                raise _bad("cca_keys", f"has the published test key {key.sha256.hex()}")
            if key.implementation_id.startswith(SIMULATED_LABEL.encode()):
                raise _bad("cca_keys", f"has the simulator's key {key.sha256.hex()}")

    def of(self, platform: Platform) -> tuple[Anchor, ...]:
        """The roots of a platform. Raises Unavailable (W3B-9116) where its verifier is not installed."""
        return _pinned(platform)

    def rim(self) -> tuple[Anchor, ...]:
        """The roots of NVIDIA's reference manifests. Raises Unavailable (W3B-9116)."""
        from verifier.attestation.accelerated import native

        return tuple(Anchor(name, digest) for name, digest in sorted(native().NVIDIA_RIM_ROOTS.items()))


@dataclass(frozen=True)
class SimulatedAnchors:
    """The roots of one installation's simulated attesters: for development, and never for hardware.

    Raises InvalidInput (W3B-9115) for a root whose organisation does not begin with `SIMULATED_LABEL`.
    """

    name: str
    """Of the installation, as every verdict shows it."""
    roots: Mapping[Platform, Sequence[bytes]] = field(default_factory=dict)
    """Root certificates by platform, DER; for `sev` in AMD's own format."""
    cca_keys: tuple[EndorsedKey, ...] = ()

    kind = AnchorKind.SIMULATED

    def __post_init__(self) -> None:
        for platform, roots in self.roots.items():
            for der in roots:
                if platform is not Platform.SEV:
                    _check_label(platform, der)
                # AMD's own format has no name to say anything in.
                elif hashlib.sha256(der).digest() in {each.sha256 for each in _pinned(platform)}:
                    raise _bad("roots.sev", "is AMD's own root, not a simulator's")

    def of(self, platform: Platform) -> tuple[Anchor, ...]:
        """The simulated roots of a platform."""
        return tuple(
            Anchor(f"SIMULATED {self.name}", hashlib.sha256(der).digest(), der) for der in self.roots.get(platform, ())
        )

    def rim(self) -> tuple[Anchor, ...]:
        """A simulated vendor signs manifests under the roots that it signs GPUs under."""
        return self.of(Platform.NVIDIA_H100)


TrustAnchors = VendorAnchors | SimulatedAnchors


def _check_label(platform: Platform, der: bytes) -> None:
    where = f"roots.{platform.value}"
    try:
        names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    except ValueError as error:
        raise _bad(where, f"is no certificate: {str(error)[:120]}") from error
    if not any(str(each.value).startswith(SIMULATED_LABEL) for each in names):
        raise _bad(where, f"has no organisation that begins with {SIMULATED_LABEL}: a simulator's root must say so")


def require_vendor(anchors: TrustAnchors) -> VendorAnchors:
    """The anchors, where they are vendors' own: what a production service calls when it starts.

    Raises Refused (W3B-9114) for simulated ones.
    """
    if not isinstance(anchors, VendorAnchors):
        raise Refused("W3B-9114", f"simulated anchors of {anchors.name} in production", field="anchors")
    return anchors
