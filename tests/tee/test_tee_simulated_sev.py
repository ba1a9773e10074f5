"""Simulated legacy SEV: every signed byte counts, and what a report cannot bind is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from simulated_installations import (
    MEASURED,
    NOW,
    appraised,
    attested,
    attester,
    caller_of,
    flipped,
    home,
    refusal,
    with_data,
    with_parts,
)

from provers.tee.simulation.attester import Attested
from provers.tee.simulation.sev import KEY_IDS, open_attester
from provers.tee.simulation.store import Store
from tests.attestation.attestation_vectors import read
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.sev_certificates import ARK, ASK, read_authority
from verifier.errors import InvalidInput, W3bstreamError

SEV = Platform.SEV
NAMES = ("ark", "ask", "cek", "oca", "pek")


def test_every_flipped_bit_of_a_report_is_refused() -> None:
    made = attested(SEV)
    data = made.evidence.data
    assert len(data) == 208
    for at in range(len(data)):
        code, _ = refusal(with_data(made, flipped(data, at)))
        assert code in (("W3B-9101", "W3B-9102") if 52 <= at < 64 else ("W3B-9106",)), at


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bits_in_each_certificate_are_refused(name: str) -> None:
    """In what is signed, and in the signatures; what stands where no signature is, is AMD's to fill."""
    made = attested(SEV)
    whole = made.endorsements.get(f"{name}.cert")
    signatures = len(whole) // 3 if name in ("ark", "ask") else 2 * 520
    signed = len(whole) - signatures
    second = range(signed + 520, signed + 520 + 144) if name == "pek" else range(0)
    for at in [*range(0, signed, 13), *range(signed, signed + 144, 5), *second]:
        code, field = refusal(with_parts(made, {f"{name}.cert": flipped(whole, at)}))
        assert code in ("W3B-9104", "W3B-9106", "W3B-9107"), at
        assert field.startswith("collateral.")


def test_truncations_and_missing_parts_are_refused() -> None:
    made = attested(SEV)
    data, parts = made.evidence.data, made.endorsements.parts
    for wrong in (data[:1], data[:207], data + b"\0"):
        assert refusal(with_data(made, wrong)) == ("W3B-9101", "report")
    for name in NAMES:
        left = {each: part for each, part in parts.items() if each != f"{name}.cert"}
        assert refusal(Attested(made.evidence, Endorsements(left))) == ("W3B-9103", f"collateral.{name}.cert")
        assert refusal(with_parts(made, {f"{name}.cert": parts[f"{name}.cert"][:-1]}))[0] in ("W3B-9104", "W3B-9107")


def test_parts_of_two_installations_do_not_make_a_chain() -> None:
    ours, theirs = attested(SEV), attested(SEV, number=1).endorsements.parts
    for name in NAMES:
        mixed = with_parts(ours, {f"{name}.cert": theirs[f"{name}.cert"]})
        assert refusal(mixed)[0] in ("W3B-9106", "W3B-9107")


@pytest.mark.parametrize("machine", ["naples", "rome"])
def test_a_genuine_chain_is_refused_under_the_simulated_root(machine: str) -> None:
    """No genuine report is published; a genuine root refuses ours with the rest of the chain genuine or not."""
    genuine = {f"{name}.cert": read(f"sev/{machine}_{name}.cert") for name in NAMES}
    made = attested(SEV)
    assert refusal(Attested(made.evidence, Endorsements(genuine))) == ("W3B-9107", "collateral.ark.cert")
    vendor = VendorAnchors()
    assert refusal(Attested(made.evidence, Endorsements(genuine)), anchors=vendor) == ("W3B-9106", "report.signature")
    for kept in range(1, len(NAMES)):
        mixed = {f"{name}.cert": genuine[f"{name}.cert"] for name in NAMES[:kept]}
        assert refusal(with_parts(made, mixed), anchors=vendor)[0] in ("W3B-9106", "W3B-9107")


def test_the_format_has_its_label_where_it_has_room() -> None:
    parts = attested(SEV).endorsements.parts
    for name, usage in (("ark", ARK), ("ask", ASK)):
        found = read_authority(parts[f"{name}.cert"], name, usage)
        assert found.key_id == KEY_IDS[usage].ljust(16, b"\0")
        assert found.key_id.startswith(b"SIMULATED")
        assert found.key.key_size == 4096


def test_the_result_says_that_no_guest_is_bound() -> None:
    """The host chooses the nonce: two hosts' questions to one guest are two reports that both hold."""
    result = appraised(attested(SEV), caller_data=caller_of(SEV))
    assert "mnonce is chosen by whoever asks the firmware: it does not bind the guest" in result.notes
    other = attester(SEV).attest(MEASURED, {"mnonce": b"chosen by anyone"}, now=NOW)
    assert appraised(other, caller_data={"mnonce": b"chosen by anyone"}).findings == ()
    assert result.claims["measurements"] == appraised(other).claims["measurements"]


def test_the_firmwares_version_and_the_guests_policy_count() -> None:
    old = AppraisalPolicy(minimum_svn={"api": 25})
    assert refusal(attested(SEV), policy=old) == ("W3B-9110", "svn.api")
    assert appraised(attested(SEV)).claims["guest_policy"] == "0xf"


@pytest.mark.parametrize("size", [0, 15, 17, 64])
def test_a_nonce_of_another_length_is_named(size: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        attester(SEV).attest(MEASURED, {"mnonce": bytes(size)}, now=NOW)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "caller.mnonce")


@pytest.mark.parametrize("name", NAMES)
def test_certificates_that_are_not_of_the_keys_are_named(tmp_path: Path, name: str) -> None:
    attester(SEV), attester(SEV, 1)
    folder = tmp_path / "amd"
    shutil.copytree(home(0) / "tee/simulated/amd", folder)
    part = folder / f"sev-{name}.cert"
    for content in ((home(1) / "tee/simulated/amd" / part.name).read_bytes(), part.read_bytes()[:-1], b""):
        part.write_bytes(content)
        with pytest.raises(W3bstreamError) as caught:
            open_attester(Store(folder))
        assert (caught.value.code, caught.value.field) == ("W3B-9117", "amd/sev-*.cert")


def test_a_key_that_is_not_of_its_certificate_is_named(tmp_path: Path) -> None:
    attester(SEV), attester(SEV, 1)
    folder = tmp_path / "amd"
    shutil.copytree(home(0) / "tee/simulated/amd", folder)
    shutil.copy(home(1) / "tee/simulated/amd/sev-pek.key", folder / "sev-pek.key")
    with pytest.raises(InvalidInput) as caught:
        open_attester(Store(folder))
    assert (caught.value.code, caught.value.field) == ("W3B-9117", "amd/sev-pek.cert")
