"""The registration of a session key: the key, and evidence that the enclave of its program holds it.

Whoever relies on the key appraises this once: a contract, a coordinator, a key broker. After that the key's signature is
enough. docs/reference/attestation.md, "Caller data" and "Program id".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.binding import SessionKey, register_key
from verifier.attestation.composite import MAX_DEVICES, Part, appraise_composite
from verifier.attestation.evidence import Endorsements, Evidence, Platform, malformed
from verifier.attestation.identity import KIND_PREFIX, artifact, tee_program_id
from verifier.attestation.policy import AppraisalPolicy, ReferenceValues
from verifier.attestation.result import AttestationResult
from verifier.errors import Refused
from verifier.statement import Domain


@dataclass(frozen=True)
class Attachment:
    """One piece of evidence with its endorsements."""

    evidence: Evidence
    endorsements: Endorsements


@dataclass(frozen=True)
class Registration:
    """What an enclave hands out to have its session key registered.

    Raises InvalidInput (W3B-9101) for a kind that is not of the evidence's platform.
    """

    kind: str
    """Proof kind, such as `tee.tdx`."""
    key: SessionKey
    cpu: Attachment
    """Of the platform, or for `tee.nvidia-h100` of the CPU that vouches for the GPUs."""
    devices: tuple[Attachment, ...] = ()
    """Of GPUs, in the order in which the CPU's caller data names them."""

    def __post_init__(self) -> None:
        gpu = self.kind == KIND_PREFIX + Platform.NVIDIA_H100.value
        if gpu != bool(self.devices) or (not gpu and self.kind != KIND_PREFIX + self.cpu.evidence.platform.value):
            has = f"{self.cpu.evidence.platform.value} evidence and {len(self.devices)} devices"
            raise malformed("kind", f"is {self.kind[:64]!r}, with {has}")

    def to_json(self) -> dict[str, Any]:
        """JSON values: the key's byte strings are 0x hex, evidence and endorsements base64."""
        names = ("public_key", "program_id", "prover", "nonce")
        key = {name: "0x" + getattr(self.key, name).hex() for name in names}
        return {
            "kind": self.kind,
            "key": {**key, "expiry": self.key.expiry},
            "cpu": attachment_json(self.cpu),
            "devices": [attachment_json(each) for each in self.devices],
        }

    @classmethod
    def from_json(cls, found: Any) -> Registration:
        """`to_json`'s values. Raises InvalidInput (W3B-9101, W3B-9104)."""
        whole = _object(found, "registration", ("kind", "key", "cpu", "devices"))
        key = _object(whole["key"], "key", ("public_key", "program_id", "prover", "nonce", "expiry"))
        if not isinstance(whole["kind"], str) or type(key["expiry"]) is not int:
            raise malformed("registration", "has a kind that is no text, or an expiry that is no number")
        if not isinstance(whole["devices"], list) or len(whole["devices"]) > MAX_DEVICES:
            raise malformed("devices", f"is no list of at most {MAX_DEVICES}")
        fields = {name: _hex(key[name], f"key.{name}") for name in ("public_key", "program_id", "prover", "nonce")}
        return cls(
            whole["kind"],
            SessionKey(**fields, expiry=key["expiry"]),
            read_attachment(whole["cpu"], "cpu"),
            tuple(read_attachment(each, f"devices[{at}]") for at, each in enumerate(whole["devices"])),
        )


def appraise_registration(
    registration: Registration,
    domain: Domain,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    *,
    at: int,
    reference: ReferenceValues | None = None,
) -> AttestationResult:
    """Appraise a registration: its evidence carries the key and is of the key's program.

    Parameters: `domain` is the chain and Router for which it is registered; `at` is Unix seconds; `reference` are the
    program's known builds. Without them the program id alone says what runs: it is of the signed measurements.

    Returns the result, which may have findings: use `require`. Raises InvalidInput (W3B-9101 to W3B-9104), Unavailable
    (W3B-9116), and Refused: W3B-4012 where the measurements are those of another program, W3B-9112 for legacy SEV, whose
    evidence binds no guest: whoever asks the firmware chooses what it carries.
    """
    cpu, key = registration.cpu, registration.key
    if cpu.evidence.platform is Platform.SEV:
        raise Refused("W3B-9112", "legacy SEV evidence carries what the host chose, not the guest", field="mnonce")

    def bind(devices: Any) -> Mapping[str, bytes | None]:
        return register_key(cpu.evidence.platform, domain, key, devices)

    if registration.devices:
        result = appraise_composite(
            Part(cpu.evidence, cpu.endorsements, anchors),
            [Part(each.evidence, each.endorsements, anchors) for each in registration.devices],
            policy,
            at=at,
            digest=key.digest(domain),
            bind=bind,
            reference=reference,
            nonce=key.nonce,
        ).verdict
    else:
        result = appraise(
            cpu.evidence,
            cpu.endorsements,
            anchors,
            policy,
            at=at,
            reference=reference,
            caller_data=bind(()),
            nonce=key.nonce,
        )
    claims = result.claims.get("cpu", result.claims) if registration.devices else result.claims
    require_program(registration.kind, key.program_id, cpu.evidence.platform, claims)
    return result


def require_program(kind: str, program_id: bytes, signer: Platform, claims: Mapping[str, Any]) -> None:
    """Require that a result's measurements make the program id; a result without claims refuses by its findings.

    Raises Refused (W3B-4012).
    """
    if not claims:
        return
    measured = {name: bytes.fromhex(value) for name, value in claims["measurements"].items()}
    found = tee_program_id(kind, artifact(signer, measured))
    if found != program_id:
        raise Refused(
            "W3B-4012", f"the evidence is of program {found.hex()}, not {program_id.hex()}", field="programId"
        )


def attachment_json(found: Attachment) -> dict[str, Any]:
    """JSON values: evidence and endorsements in base64."""
    return {
        "platform": found.evidence.platform.value,
        "evidence": base64.b64encode(found.evidence.data).decode(),
        "endorsements": {
            name: base64.b64encode(part).decode() for name, part in sorted(found.endorsements.parts.items())
        },
    }


def read_attachment(found: Any, where: str) -> Attachment:
    """`attachment_json`'s values. Raises InvalidInput (W3B-9101, W3B-9104)."""
    parts = _object(found, where, ("platform", "evidence", "endorsements"))
    if parts["platform"] not in [each.value for each in Platform]:
        raise malformed(f"{where}.platform", f"is {str(parts['platform'])[:40]!r}")
    endorsements = parts["endorsements"]
    if not isinstance(endorsements, dict):
        raise malformed(f"{where}.endorsements", "is no object")
    return Attachment(
        Evidence(Platform(parts["platform"]), _base64(parts["evidence"], f"{where}.evidence")),
        Endorsements({name: _base64(part, f"{where}.endorsements.{name}") for name, part in endorsements.items()}),
    )


def _object(found: Any, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(found, dict) or sorted(found) != sorted(names):
        raise malformed(where, f"is no object with {', '.join(names)}")
    return found


def _base64(found: Any, where: str) -> bytes:
    try:
        return base64.b64decode(found if isinstance(found, str) else "?", validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(where[:120], "is no base64") from error


def _hex(found: Any, where: str) -> bytes:
    try:
        if isinstance(found, str) and found.startswith("0x"):
            return bytes.fromhex(found[2:])
    except ValueError as error:
        raise malformed(where, "is no hex") from error
    raise malformed(where, "is no 0x and hex digits")
