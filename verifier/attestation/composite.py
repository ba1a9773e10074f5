"""Composite evidence (RFC 9334 §3.3): a CPU's evidence that vouches for that of its devices, appraised as one.

The CPU's caller data is a hash over its devices' evidence, in order, so that none can be left out, added, changed or
moved; each device's nonce is the same digest that the CPU's caller data is for. The verdict is the worst of all parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Endorsements, Evidence, Platform, malformed
from verifier.attestation.nvidia_h100 import DEVICE_KEY
from verifier.attestation.policy import AppraisalPolicy, ReferenceValues
from verifier.attestation.result import (
    CONTRAINDICATED,
    AttestationResult,
    Finding,
    Tier,
    TrustworthinessVector,
    severity,
    tier_of,
)
from verifier.errors import InvalidInput

CPUS = (Platform.SGX, Platform.TDX, Platform.SEV_SNP, Platform.NITRO, Platform.CCA)
"""Platforms whose caller data has room for devices."""
DEVICES = (Platform.NVIDIA_H100,)
MAX_DEVICES = 16


@dataclass(frozen=True)
class Part:
    """One piece of evidence with what it is appraised by."""

    evidence: Evidence
    endorsements: Endorsements
    anchors: TrustAnchors


@dataclass(frozen=True)
class Composite:
    """What an appraisal of a CPU and its devices concluded."""

    verdict: AttestationResult
    """Of all together: no claim is better than in any part, and it is simulated where any part is."""
    cpu: AttestationResult
    devices: tuple[AttestationResult, ...]

    def to_ear(self) -> dict[str, Any]:
        """The EAR's claims-set: the verdict, and beside it each part in a submodule of its own."""
        ear = self.verdict.to_ear()
        name = self.verdict.platform
        parts = {f"{name}/{self.cpu.platform}": self.cpu}
        parts |= {f"{name}/device{at}": each for at, each in enumerate(self.devices)}
        for key, part in parts.items():
            ear["submods"][key] = part.to_ear()["submods"][part.platform]
        return ear


def appraise_composite(
    cpu: Part,
    devices: Sequence[Part],
    policy: AppraisalPolicy,
    *,
    at: int,
    digest: bytes,
    bind: Callable[[Sequence[bytes]], CallerData],
    reference: ReferenceValues | None = None,
    device_reference: ReferenceValues | None = None,
    minimum_devices: int = 1,
    nonce: bytes = b"",
) -> Composite:
    """Appraise a CPU's evidence with that of the devices which it vouches for.

    Parameters: `at` is the time asked about, Unix seconds; `digest` is what everything speaks for, 32 bytes: the
    SessionKey's or Statement's; `bind` makes the CPU's caller data over the devices' evidence (`register_key` or
    `direct` of `binding`); `reference` are builds of the program, which the CPU measures; `device_reference` those of
    a device's driver (None: its manifests alone count); `minimum_devices` is how many there must be.

    Raises InvalidInput (W3B-9101 to W3B-9104) for what is malformed or missing, its field with the part's name before
    it (`cpu.`, `devices[0].`); Unavailable (W3B-9116).
    """
    _check_shape(cpu, devices, digest)
    caller = bind([each.evidence.data for each in devices])
    main = _appraise(cpu, policy, "cpu", at=at, reference=reference, caller_data=caller, nonce=nonce)
    found = tuple(
        _appraise(
            each,
            policy,
            f"devices[{number}]",
            at=at,
            reference=device_reference,
            caller_data={"nonce": digest},
            nonce=nonce,
        )
        for number, each in enumerate(devices)
    )
    own = [*_count(len(found), minimum_devices), *_twice(found)]
    return Composite(_verdict(main, found, own), main, found)


def _appraise(
    part: Part,
    policy: AppraisalPolicy,
    name: str,
    *,
    at: int,
    reference: ReferenceValues | None,
    caller_data: CallerData,
    nonce: bytes,
) -> AttestationResult:
    """A part's result. Raises as `appraise`, with the part's name before the field."""
    try:
        return appraise(
            part.evidence,
            part.endorsements,
            part.anchors,
            policy,
            at=at,
            reference=reference,
            caller_data=caller_data,
            nonce=nonce,
        )
    except InvalidInput as error:
        raise InvalidInput(error.code, f"{name}: {error.message}", field=f"{name}.{error.field}") from error


def _check_shape(cpu: Part, devices: Sequence[Part], digest: bytes) -> None:
    if cpu.evidence.platform not in CPUS:
        raise malformed("cpu", f"is {cpu.evidence.platform.value}, which cannot vouch for devices; {_names(CPUS)} can")
    if len(devices) > MAX_DEVICES:
        raise malformed("devices", f"are {len(devices)}; at most {MAX_DEVICES}")
    for at, each in enumerate(devices):
        if each.evidence.platform not in DEVICES:
            raise malformed(f"devices[{at}]", f"is {each.evidence.platform.value}, no device; {_names(DEVICES)} is")
    if len(digest) != 32:
        raise malformed("digest", f"has {len(digest)} bytes, not 32")


def _names(platforms: Sequence[Platform]) -> str:
    return ", ".join(each.value for each in platforms)


def _count(found: int, minimum: int) -> list[Finding]:
    if found >= minimum:
        return []
    return [Finding("W3B-9112", "devices", f"devices are {found}; at least {minimum} is wanted")]


def _twice(devices: Sequence[AttestationResult]) -> list[Finding]:
    """One device is not two, whatever it signs."""
    first: dict[str, int] = {}
    found = []
    for at, each in enumerate(devices):
        key = str(each.claims.get(DEVICE_KEY, ""))
        if key and first.setdefault(key, at) != at:
            found.append(Finding("W3B-9112", f"devices[{at}]", f"devices[{at}] is the device of devices[{first[key]}]"))
    return found


def _verdict(
    cpu: AttestationResult, devices: tuple[AttestationResult, ...], own: Sequence[Finding]
) -> AttestationResult:
    parts = {"cpu": cpu} | {f"devices[{at}]": each for at, each in enumerate(devices)}
    vector = _worst([each.vector for each in parts.values()])
    if own:
        vector = replace(vector, sourced_data=CONTRAINDICATED)
    expiries = [each.valid_until for each in parts.values() if each.valid_until]
    return AttestationResult(
        platform=Platform.NVIDIA_H100.value,
        status=max((vector.tier(), *(each.status for each in parts.values())), key=severity),
        vector=vector,
        anchor=next((each.anchor for each in parts.values() if each.is_simulated), cpu.anchor),
        at=cpu.at,
        policy=cpu.policy,
        evidence_sha256=_digest([each.evidence_sha256 for each in parts.values()]),
        endorsements_sha256=_digest([each.endorsements_sha256 for each in parts.values()]),
        findings=(
            *own,
            *(replace(f, field=f"{name}.{f.field}") for name, each in parts.items() for f in each.findings),
        ),
        notes=tuple(f"{name}: {note}" for name, each in parts.items() for note in each.notes),
        claims={"cpu": dict(cpu.claims), "devices": [dict(each.claims) for each in devices]},
        valid_until=min(expiries, default=0),
        nonce=cpu.nonce,
    )


def _worst(vectors: Sequence[TrustworthinessVector]) -> TrustworthinessVector:
    """The CPU's claims, made no better and where a device's is of a worse tier than affirming, as bad as that."""
    cpu = vectors[0]
    worth = {}
    for each in fields(cpu):
        worst = max((getattr(vector, each.name) for vector in vectors), key=lambda value: severity(tier_of(value)))
        bad = tier_of(worst) in (Tier.WARNING, Tier.CONTRAINDICATED)
        worth[each.name] = worst if bad else getattr(cpu, each.name)
    return TrustworthinessVector(**worth)


def _digest(digests: Sequence[str]) -> str:
    """SHA-256 over the parts' digests in hex, the CPU's first, a line each."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
