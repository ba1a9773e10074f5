"""Evidence that speaks for one Statement itself, on a platform without session keys: the body of a proof of that mode.

A JSON list of attachments, as `registration` has them: the CPU's, then its devices'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.binding import direct
from verifier.attestation.composite import MAX_DEVICES
from verifier.attestation.evidence import malformed, read_json
from verifier.attestation.identity import kind_of
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Attachment, attachment_json, read_attachment, require_program
from verifier.attestation.result import AttestationResult
from verifier.errors import InvalidInput
from verifier.statement import Domain, Statement

MAX_BYTES = 4 << 20


def encode_attachments(attachments: Sequence[Attachment]) -> bytes:
    """The JSON that `decode_attachments` reads."""
    return json.dumps([attachment_json(each) for each in attachments], separators=(",", ":")).encode()


def decode_attachments(data: bytes) -> tuple[Attachment, ...]:
    """One attachment or more. Raises InvalidInput (W3B-9101, W3B-9104)."""
    if len(data) > MAX_BYTES:
        raise malformed("attachments", f"have {len(data)} bytes; at most {MAX_BYTES}")
    try:
        found = read_json(data, "attachments")
    except InvalidInput as error:
        raise InvalidInput("W3B-9101", error.message, field="attachments") from error
    if not isinstance(found, list) or not 1 <= len(found) <= 1 + MAX_DEVICES:
        raise malformed("attachments", f"are no list of 1 to {1 + MAX_DEVICES}")
    return tuple(read_attachment(each, f"attachments[{at}]") for at, each in enumerate(found))


def appraise_direct(
    data: bytes, domain: Domain, statement: Statement, anchors: TrustAnchors, policy: AppraisalPolicy, *, at: int
) -> AttestationResult:
    """Appraise evidence that carries a Statement's digest and is of its program; it may not have devices.

    Parameters: `data` is of `encode_attachments`; `at` is Unix seconds. Returns the result, which may have findings: use
    `require`. Raises InvalidInput (W3B-9101 to W3B-9104), Unavailable (W3B-9116), Refused (W3B-4012).
    """
    cpu, *devices = decode_attachments(data)
    if devices:
        raise malformed("attachments", "have devices; evidence of one Statement has none")
    platform = cpu.evidence.platform
    caller = direct(platform, domain, statement)
    result = appraise(cpu.evidence, cpu.endorsements, anchors, policy, at=at, caller_data=caller)
    require_program(kind_of(platform), statement.program_id, platform, result.claims)
    return result
