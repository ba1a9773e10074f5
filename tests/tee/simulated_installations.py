"""Simulated vendors of two installations, and what each platform's tests ask of them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, SimulatedAttester, attest
from provers.tee.simulation.vendors import SimulatedVendors
from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.binding import CallerData, SessionKey, direct, register_key
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy, ReferenceValue, ReferenceValues
from verifier.attestation.result import AttestationResult, Tier
from verifier.errors import W3bstreamError
from verifier.statement import Domain, Statement

NOW = 1_800_000_000
"""Unix seconds at which evidence is made."""
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Kept until the process ends."""


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


MEASURED = Measured(digest("runtime"), digest("program"), digest("configuration"))
OTHERS = [replace(MEASURED, **{name: digest("other")}) for name in ("runtime", "program", "configuration")]
"""Programs that differ in one of the three digests."""
DOMAIN = Domain(4242, digest("router")[:20])
STATEMENT = Statement(
    project_id=7,
    project_version=3,
    task_id=digest("task"),
    inputs=digest("inputs"),
    output=digest("output"),
    program_id=digest("program id"),
    prover=digest("prover")[:20],
)
KEY = SessionKey(digest("x") + digest("y"), digest("program id"), digest("prover")[:20], digest("nonce"), NOW + 3600)


@cache
def home(number: int) -> Path:
    """The home of one of several installations, whose keys have nothing in common."""
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix=f"simulated-{number}-"))
    return Path(_FOLDERS[-1].name)


@cache
def installation(number: int) -> SimulatedVendors:
    """An installation's vendors, opened once in a process."""
    return SimulatedVendors.open(home(number))


def attester(platform: Platform, number: int = 0) -> SimulatedAttester:
    return installation(number).attester(platform)


def caller_of(platform: Platform) -> CallerData:
    """Caller data that registers `KEY`, without devices."""
    return register_key(platform, DOMAIN, KEY)


@cache
def attested(
    platform: Platform, measured: Measured = MEASURED, *, debug: bool = False, number: int = 0, now: int = NOW
) -> Attested:
    """Evidence that registers `KEY`."""
    maker = attester(platform, number)

    def bind(devices: Iterable[bytes]) -> CallerData:
        return register_key(maker.signer, DOMAIN, KEY, list(devices))

    return attest(maker, measured, KEY.digest(DOMAIN), bind, now=now, debug=debug)


def reference(platform: Platform, *measured: Measured, number: int = 0) -> ReferenceValues:
    """The builds of one program."""
    maker = attester(platform, number)
    values = tuple(ReferenceValue(maker.signer, maker.measurements(each)) for each in measured)
    return ReferenceValues(KEY.program_id, values)


def appraised(made: Attested, *, at: int = NOW, number: int = 0, **more: Any) -> AttestationResult:
    """The appraisal of evidence under an installation's anchors; `more` replaces arguments of `appraise`."""
    platform = made.evidence.platform
    anchors: TrustAnchors = more.pop("anchors", None) or installation(number).anchors(platform)
    policy = more.pop("policy", AppraisalPolicy())
    return appraise(made.evidence, made.endorsements, anchors, policy, at=at, **more)


def refusal(made: Attested, **more: Any) -> tuple[str, str]:
    """Code and field of what speaks against evidence; fails where nothing does."""
    try:
        result = appraised(made, **more)
    except W3bstreamError as error:
        return error.code, error.field
    assert result.findings, "accepted"
    assert result.status is Tier.CONTRAINDICATED or result.vector.executables == 0
    return result.findings[0].code, result.findings[0].field


def with_data(made: Attested, data: bytes) -> Attested:
    """The same endorsements with other evidence."""
    return replace(made, evidence=Evidence(made.evidence.platform, data))


def with_parts(made: Attested, parts: Mapping[str, bytes]) -> Attested:
    """The same evidence with some other endorsements."""
    return replace(made, endorsements=Endorsements({**made.endorsements.parts, **parts}))


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << (at % 8)
    return bytes(changed)


def bump(value: Any) -> Any:
    return value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]


STATEMENT_FIELDS = ("project_id", "project_version", "task_id", "inputs", "output", "program_id", "prover")
KEY_FIELDS = ("public_key", "program_id", "prover", "nonce", "expiry")


def other_bindings(platform: Platform) -> list[CallerData]:
    """Caller data of another chain, another Router, and with each field of the registration changed."""
    domains = [replace(DOMAIN, chain_id=DOMAIN.chain_id + 1), replace(DOMAIN, router=bump(DOMAIN.router))]
    keys = [replace(KEY, **{name: bump(getattr(KEY, name))}) for name in KEY_FIELDS]
    return [
        *(register_key(platform, domain, KEY) for domain in domains),
        *(register_key(platform, DOMAIN, key) for key in keys),
        direct(platform, DOMAIN, STATEMENT),
    ]


def other_statements(platform: Platform) -> list[CallerData]:
    """Direct caller data of another chain, another Router, and with each field of the Statement changed."""
    domains = [replace(DOMAIN, chain_id=DOMAIN.chain_id + 1), replace(DOMAIN, router=bump(DOMAIN.router))]
    statements = [replace(STATEMENT, **{name: bump(getattr(STATEMENT, name))}) for name in STATEMENT_FIELDS]
    return [
        *(direct(platform, domain, STATEMENT) for domain in domains),
        *(direct(platform, DOMAIN, statement) for statement in statements),
    ]
