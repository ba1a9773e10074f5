"""Simulated SEV-SNP: every signed byte counts, certificates expire, and genuine reports stay genuine."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from simulated_installations import (
    MEASURED,
    appraised,
    attested,
    attester,
    flipped,
    home,
    refusal,
    with_data,
    with_parts,
)

from provers.tee.simulation import snp_report
from provers.tee.simulation.attester import Attested
from provers.tee.simulation.certificates import LIFETIME
from provers.tee.simulation.sev_snp import SevSnpAttester, open_attester
from provers.tee.simulation.snp_report import SIGNED_BYTES, Machine
from provers.tee.simulation.store import Store
from tests.attestation.attestation_vectors import read
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.errors import InvalidInput

SNP = Platform.SEV_SNP
BAD = ("W3B-9101", "W3B-9102", "W3B-9104", "W3B-9106", "W3B-9107")


def test_every_flipped_bit_of_a_report_is_refused() -> None:
    """The signed part, and the signature with the zeros behind it."""
    made = attested(SNP)
    data = made.evidence.data
    assert len(data) == 1184
    for at in range(len(data)):
        code, field = refusal(with_data(made, flipped(data, at)))
        assert code in BAD, at
        if at >= SIGNED_BYTES:
            assert (code, field.split(".")[0]) in (("W3B-9101", "report"), ("W3B-9106", "report")), at


def test_every_truncation_is_refused() -> None:
    made = attested(SNP)
    for length in (1, 0x50, SIGNED_BYTES, 1183):
        assert refusal(with_data(made, made.evidence.data[:length])) == ("W3B-9101", "report")
    assert refusal(with_data(made, made.evidence.data + b"\0")) == ("W3B-9101", "report")


def test_flipped_bits_in_the_vcek_are_refused() -> None:
    made = attested(SNP)
    vcek = made.endorsements.get("vcek.der")
    for at in range(0, len(vcek), 7):
        assert refusal(with_parts(made, {"vcek.der": flipped(vcek, at)}))[0] in BAD, at


def test_certificates_that_are_missing_or_in_another_order_are_refused() -> None:
    made = attested(SNP)
    parts = dict(made.endorsements.parts)
    for name in parts:
        left = {each: part for each, part in parts.items() if each != name}
        assert refusal(Attested(made.evidence, Endorsements(left)))[0] == "W3B-9103"
    ask, ark = parts["cert_chain.pem"].split(b"-----END CERTIFICATE-----\n")[:2]
    end = b"-----END CERTIFICATE-----\n"
    assert refusal(with_parts(made, {"cert_chain.pem": ark + end + ask + end}))[0] == "W3B-9107"
    assert refusal(with_parts(made, {"cert_chain.pem": ark + end}))[0] in ("W3B-9104", "W3B-9107")


def test_another_machines_vcek_does_not_vouch() -> None:
    made, other = attested(SNP), attested(SNP, number=1)
    mixed = with_parts(made, {"vcek.der": other.endorsements.get("vcek.der")})
    assert refusal(mixed)[0] in ("W3B-9106", "W3B-9107")


@pytest.mark.parametrize("at", [LIFETIME.begin - 1, LIFETIME.end + 1])
def test_before_and_after_its_certificates_it_is_refused(at: int) -> None:
    assert refusal(attested(SNP), at=at)[0] == "W3B-9105"
    assert appraised(attested(SNP)).valid_until == LIFETIME.end


def signed_by(machine: Machine) -> Attested:
    """A report that the simulated VCEK signs for a machine other than its own."""
    maker = attester(SNP)
    assert isinstance(maker, SevSnpAttester)
    return with_data(attested(SNP), snp_report.signed(machine.body(bytes(64), MEASURED.digest(48)), maker.key))


def test_an_endorsement_of_another_chip_or_tcb_is_refused() -> None:
    maker = attester(SNP)
    assert isinstance(maker, SevSnpAttester)
    newer = replace(maker.machine, tcb=replace(maker.machine.tcb, microcode=214))
    assert refusal(signed_by(newer)) == ("W3B-9107", "report.reported_tcb")
    elsewhere = replace(maker.machine, chip_id=bytes([1] * 64))
    assert refusal(signed_by(elsewhere)) == ("W3B-9107", "report.chip_id")
    assert refusal(signed_by(replace(maker.machine, product="Genoa"))) == ("W3B-9107", "report.cpuid")
    assert appraised(signed_by(maker.machine)).findings == ()


def test_the_policy_counts() -> None:
    made = attested(SNP)
    assert refusal(made, policy=AppraisalPolicy(allow_smt=False)) == ("W3B-9109", "report.policy.smt")
    old = AppraisalPolicy(minimum_svn={"tcb.microcode": 214})
    assert refusal(made, policy=old) == ("W3B-9110", "svn.tcb.microcode")


def test_the_certificates_say_that_they_are_simulated() -> None:
    parts = attested(SNP).endorsements.parts
    chain = x509.load_pem_x509_certificates(parts["cert_chain.pem"])
    for certificate in (x509.load_der_x509_certificate(parts["vcek.der"]), *chain):
        for name in (certificate.subject, certificate.issuer):
            (organisation,) = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
            assert organisation.value == "SIMULATED - NOT AMD - NO TRUST"


@pytest.mark.parametrize(("product", "length"), [("Rome", 64), ("Milan", 8), ("Turin", 64)])
def test_a_machine_that_there_is_not(product: str, length: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        Machine(bytes(length), product)
    assert caught.value.code == "W3B-9101"


GENUINE = Attested(
    Evidence(SNP, bytes.fromhex(read("sev_snp/report_milan.hex").decode())),
    Endorsements({"vcek.der": read("sev_snp/vcek_milan.der"), "cert_chain.pem": read("sev_snp/cert_chain_milan")}),
)


def test_a_genuine_report_is_refused_under_the_simulated_root() -> None:
    at = 1_717_200_000  # 2024-06-01
    assert appraised(GENUINE, at=at, anchors=VendorAnchors()).is_affirming_under_vendor
    assert refusal(GENUINE, at=at) == ("W3B-9107", "certificates")
    ours = attested(SNP).endorsements.parts
    for name in ours:
        assert refusal(with_parts(GENUINE, {name: ours[name]}), at=at)[0] in ("W3B-9106", "W3B-9107")


@pytest.mark.parametrize(
    ("name", "content", "field"),
    [
        ("vcek.key", b"no key", "amd/vcek.key"),
        ("vcek.pem", b"no certificate", "amd/vcek.pem"),
        ("ark.pem", b"no certificate", "amd/ark.pem"),
        ("chip_id", bytes(63), "amd/chip_id"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, field: str) -> None:
    folder = copied(tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        open_attester(Store(folder))
    assert (caught.value.code, caught.value.field) == ("W3B-9117", field)


def copied(tmp_path: Path, number: int = 0) -> Path:
    """A copy of an installation's AMD."""
    attester(SNP, number)
    folder = tmp_path / "amd"
    shutil.copytree(home(number) / "tee/simulated/amd", folder)
    return folder


def test_certificates_of_another_installation_are_refused(tmp_path: Path) -> None:
    attester(SNP, 1)
    theirs = home(1) / "tee/simulated/amd"
    folder = copied(tmp_path)
    for name in ("ark.pem", "ask.pem", "vcek.pem"):
        own = (folder / name).read_bytes()
        (folder / name).write_bytes((theirs / name).read_bytes())
        with pytest.raises(InvalidInput) as caught:
            open_attester(Store(folder))
        assert caught.value.code == "W3B-9117"
        (folder / name).write_bytes(own)
    assert open_attester(Store(folder)).roots == attester(SNP).roots


def test_its_keys_are_private() -> None:
    attester(SNP)
    for path in (home(0) / "tee/simulated/amd").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
