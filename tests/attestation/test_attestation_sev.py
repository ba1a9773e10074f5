"""Legacy SEV: genuine chains of a Naples and a Rome machine hold; reports are a simulator's, as none is published."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import pytest
from attestation_vectors import read
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from provers.tee.simulation import sev as simulation
from verifier.attestation.anchors import SimulatedAnchors, TrustAnchors, VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import AttestationResult, Tier
from verifier.attestation.sev import verify_chain
from verifier.attestation.sev_certificates import ARK, ASK, CEK, OCA, PEK
from verifier.errors import InvalidInput, W3bstreamError

NAMES = ("ark", "ask", "cek", "oca", "pek")
MACHINES = pytest.mark.parametrize("machine", ["naples", "rome"])


def genuine(machine: str, **changes: bytes) -> Endorsements:
    return Endorsements({f"{name}.cert": changes.get(name) or read(f"sev/{machine}_{name}.cert") for name in NAMES})


@MACHINES
def test_a_genuine_chain_holds(machine: str) -> None:
    anchor, pek = verify_chain(genuine(machine), VendorAnchors())
    assert anchor.name == f"AMD ARK {machine.capitalize()}"
    assert pek.key.curve.name == "secp384r1"


def refusal(endorsements: Endorsements, anchors: TrustAnchors | None = None) -> tuple[str, str]:
    with pytest.raises(W3bstreamError) as caught:
        verify_chain(endorsements, anchors or VendorAnchors())
    return caught.value.code, caught.value.field


@MACHINES
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_byte_in_what_is_signed_is_refused(machine: str, name: str, data: st.DataObject) -> None:
    whole = bytearray(read(f"sev/{machine}_{name}.cert"))
    signed = 0x414 if len(whole) == 2084 else len(whole) - (len(whole) - 64) // 3
    whole[data.draw(st.integers(0, signed - 1))] ^= data.draw(st.integers(1, 255))
    code, field = refusal(genuine(machine, **{name: bytes(whole)}))
    assert code in ("W3B-9104", "W3B-9106", "W3B-9107")
    assert field.startswith("collateral.")


@MACHINES
def test_every_truncation_and_each_missing_part_are_refused(machine: str) -> None:
    for name in NAMES:
        whole = read(f"sev/{machine}_{name}.cert")
        for length in (1, 3, 59, 60, 63, 64, len(whole) - 1):
            assert refusal(genuine(machine, **{name: whole[:length]}))[0] in ("W3B-9104", "W3B-9107")
        parts = {each: part for each, part in genuine(machine).parts.items() if each != f"{name}.cert"}
        assert refusal(Endorsements(parts)) == ("W3B-9103", f"collateral.{name}.cert")


def test_parts_of_two_machines_do_not_make_a_chain() -> None:
    for name in NAMES[1:]:
        mixed = genuine("naples", **{name: read(f"sev/rome_{name}.cert")})
        assert refusal(mixed)[0] in ("W3B-9106", "W3B-9107")
    swapped = genuine("naples", pek=read("sev/naples_oca.cert"))
    assert refusal(swapped) == ("W3B-9104", "collateral.pek.cert")


# --- a simulated AMD ---


class SimulatedSev:
    """AMD's certificate formats in the sizes of Naples, with keys of its own."""

    def __init__(self) -> None:
        ark, ask = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        cek, oca, self.pek = (ec.generate_private_key(ec.SECP384R1()) for _ in range(3))
        parts = (
            simulation.authority(ARK, ark, ARK, ark),
            simulation.authority(ASK, ask, ARK, ark),
            simulation.platform(CEK, cek, [(ASK, ask)]),
            simulation.platform(OCA, oca, [(OCA, oca)]),
            simulation.platform(PEK, self.pek, [(CEK, cek), (OCA, oca)]),
        )
        self.endorsements = Endorsements({f"{name}.cert": part for name, part in zip(NAMES, parts, strict=True)})
        self.anchors = SimulatedAnchors("tests", {Platform.SEV: [parts[0]]})

    def report(self, policy: int = 0x09, nonce: bytes = bytes(16), digest: bytes = bytes(32)) -> bytes:
        return simulation.report(self.pek, nonce, digest, policy)

    def appraised(self, report: bytes | None = None, **more: Any) -> AttestationResult:
        anchors = more.pop("anchors", self.anchors)
        policy = more.pop("policy", AppraisalPolicy())
        endorsements = more.pop("endorsements", self.endorsements)
        return appraise(
            Evidence(Platform.SEV, self.report() if report is None else report),
            endorsements,
            anchors,
            policy,
            at=1,
            **more,
        )


@cache
def simulated() -> SimulatedSev:
    """RSA keys take a second to make."""
    return SimulatedSev()


def test_a_simulated_report_holds_under_its_root_and_is_never_affirming() -> None:
    sev, nonce, digest = simulated(), bytes(range(16)), hashlib.sha256(b"guest").digest()
    result = sev.appraised(sev.report(0x09, nonce, digest), caller_data={"mnonce": nonce})
    assert (result.findings, result.status) == ((), Tier.WARNING)
    assert result.claims["measurements"] == {"launch_digest": digest.hex()}
    assert any("does not bind the guest" in note for note in result.notes)


def test_it_never_holds_under_amds_root() -> None:
    result = simulated().appraised(anchors=VendorAnchors())
    assert [(each.code, each.field) for each in result.findings] == [("W3B-9107", "collateral.ark.cert")]
    assert result.status is Tier.CONTRAINDICATED
    assert refusal(genuine("naples"), simulated().anchors)[0] == "W3B-9107"
    with pytest.raises(InvalidInput, match="AMD's own root"):
        SimulatedAnchors("x", {Platform.SEV: [read("sev/naples_ark.cert")]})
    ours = simulated().endorsements.parts
    for name in ("ark", "ask", "cek"):
        mixed = Endorsements(
            {**ours, "ark.cert": read("sev/rome_ark.cert"), f"{name}.cert": read(f"sev/rome_{name}.cert")}
        )
        assert refusal(mixed)[0] in ("W3B-9106", "W3B-9107")


@pytest.mark.parametrize(
    ("policy", "field"), [(0x08, "report.debug"), (0x01, "report.policy.nosend"), (0x00, "report.policy.nosend")]
)
def test_debug_and_migration_are_refused(policy: int, field: str) -> None:
    result = simulated().appraised(simulated().report(policy))
    assert (result.findings[0].code, result.findings[0].field) == ("W3B-9109", field)
    assert result.status is Tier.CONTRAINDICATED


def test_the_firmwares_version_and_the_nonce_count() -> None:
    sev = simulated()
    old = sev.appraised(policy=AppraisalPolicy(minimum_svn={"api": 25}))
    assert [(each.code, each.field) for each in old.findings] == [("W3B-9110", "svn.api")]
    replayed = sev.appraised(caller_data={"mnonce": bytes([1] * 16)})
    assert [(each.code, each.field) for each in replayed.findings] == [("W3B-9112", "mnonce")]


def test_every_changed_byte_of_a_report_is_refused() -> None:
    sev = simulated()
    whole = sev.report()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        try:
            code = sev.appraised(bytes(changed)).findings[0].code
        except InvalidInput as error:
            code = error.code
        assert code in (("W3B-9101", "W3B-9102") if 52 <= at < 64 else ("W3B-9106",)), at
    for length in (1, 207, 209):
        with pytest.raises(InvalidInput) as caught:
            sev.appraised((whole + b"\0")[:length])
        assert (caught.value.code, caught.value.field) == ("W3B-9101", "report")
