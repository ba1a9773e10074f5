"""Genuine evidence through the bindings: every field, refusals as one exception, other implementations beside it."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from native_hierarchies import P384_ORDER
from native_vectors import FOLDER, Genuine, genuine, pem

from native._native import (
    NITRO_ROOTS,
    NVIDIA_DEVICE_ROOTS,
    NVIDIA_RIM_ROOTS,
    SEV_SNP_ROOTS,
    AttestationRefused,
    nitro_verify,
    sev_snp_verify,
    x509_verify,
)

PLATFORMS = ["sev-snp", "nitro", "nitro-enclave", "nvidia-h100"]


def test_a_report_of_milan() -> None:
    vector = genuine()["sev-snp"]
    report = vector.verify()
    raw = vector.evidence
    assert (report.version, report.guest_svn, report.policy, report.vmpl) == (2, 0, 0x30000, 0)
    assert (report.policy_debug, report.policy_smt, report.policy_migrate_ma) == (False, True, False)
    assert (report.policy_single_socket, report.policy_abi) == (False, (0, 0))
    assert (report.product, report.product_name, report.signing_key, report.csp_id) == (
        "Milan",
        "Milan-B0",
        "vcek",
        None,
    )
    for field, start, end in (
        ("family_id", 0x10, 0x20),
        ("image_id", 0x20, 0x30),
        ("report_data", 0x50, 0x90),
        ("measurement", 0x90, 0xC0),
        ("host_data", 0xC0, 0xE0),
        ("id_key_digest", 0xE0, 0x110),
        ("author_key_digest", 0x110, 0x140),
        ("report_id", 0x140, 0x160),
        ("report_id_ma", 0x160, 0x180),
        ("chip_id", 0x1A0, 0x1E0),
    ):
        assert getattr(report, field) == raw[start:end], field
    for field, start in (("current", 0x38), ("reported", 0x180), ("committed", 0x1E0), ("launch", 0x1F0)):
        tcb = getattr(report, f"{field}_tcb")
        assert tcb.raw == int.from_bytes(raw[start : start + 8], "little")
        assert (tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode) == (
            raw[start],
            *raw[start + 1 : start + 2],
            *raw[start + 6 : start + 8],
        )
        assert tcb.fmc is None
    assert report.current_version == tuple(raw[0x1E8:0x1EB][::-1])
    assert report.committed_version == tuple(raw[0x1EC:0x1EF][::-1])
    assert report.platform_info == int.from_bytes(raw[0x40:0x48], "little")
    assert (report.cpuid, report.launch_mitigations, report.current_mitigations) == (None, None, None)
    assert (report.author_key_enabled, report.chip_key_masked) == (False, False)
    assert report.root == SEV_SNP_ROOTS["Milan"]


def test_a_debug_report_of_milan() -> None:
    report = sev_snp_verify(
        (FOLDER / "sev_snp/report_milan_debug.bin").read_bytes(),
        [(FOLDER / "sev_snp/vcek_milan_debug.der").read_bytes(), *pem("sev_snp/cert_chain_milan")],
        list(SEV_SNP_ROOTS.values()),
        1_700_000_000,
    )
    assert report.policy_debug
    assert report.reported_tcb != genuine()["sev-snp"].verify().reported_tcb


def test_documents_of_nitro() -> None:
    document = genuine()["nitro"].verify()
    assert document.module_id == "i-0bbf1bfe232b8c2ce-enc0191ba35c9d1b77a"
    assert (document.timestamp, document.digest, document.debug) == (1_725_911_352_400, "SHA384", True)
    assert sorted(document.pcrs) == list(range(16))
    assert {len(value) for value in document.pcrs.values()} == {48}
    assert (document.public_key, len(document.user_data), len(document.nonce)) == (b"dummy", 68, 20)
    assert document.certificate in genuine()["nitro"].evidence
    assert document.root == NITRO_ROOTS["aws.nitro-enclaves"]
    enclave = genuine()["nitro-enclave"].verify()
    assert (enclave.debug, enclave.timestamp, len(enclave.public_key)) == (False, 1_734_707_282_370, 32)
    early = nitro_verify((FOLDER / "nitro/debug_aws.bin").read_bytes(), list(NITRO_ROOTS.values()), 1_614_963_710)
    assert (early.public_key, early.user_data, early.nonce, early.debug) == (None, None, None, True)


def test_a_report_of_h100() -> None:
    vector = genuine()["nvidia-h100"]
    report = vector.verify()
    assert report.nonce == vector.evidence[4:36]
    assert report.response_nonce.hex() == "b4b8a06aaaa35542839388e159d447a5d6f6194998fd86513e2d591ccf640985"
    assert [index for index, _, _ in report.measurements] == list(range(1, 65))
    assert {(kind, len(value)) for _, kind, value in report.measurements} == {(1, 48)}
    assert (report.driver_version, report.vbios_version, report.slot) == ("550.90.07", "96.00.9F.00.01", 0)
    assert report.opaque[17] == b"1010\0"
    assert report.firmware_digest == report.opaque[20]
    assert report.root == NVIDIA_DEVICE_ROOTS["NVIDIA Device Identity CA"]


def test_vlek_and_turin_hierarchies() -> None:
    """Chains of which there is no genuine report: their certificates hold under the pinned roots."""
    anchors = list(SEV_SNP_ROOTS.values())
    turin = [(FOLDER / "sev_snp/vcek_turin.der").read_bytes(), *pem("sev_snp/cert_chain_turin")]
    assert x509_verify(turin, anchors, 1_760_000_000)
    for product, files in {
        "Milan": ["sev_snp/cert_chain_milan_vlek"],
        "Genoa": ["sev_snp/ask_genoa.pem", "sev_snp/ark_genoa.pem"],
    }.items():
        certificates = [each for name in files for each in pem(name)]
        assert hashlib.sha256(certificates[-1]).digest() == SEV_SNP_ROOTS[product]


def test_roots_are_named_by_their_certificates() -> None:
    nvidia = genuine()["nvidia-h100"].certificates[-1]
    assert hashlib.sha256(nvidia).digest() == NVIDIA_DEVICE_ROOTS["NVIDIA Device Identity CA"]
    for roots in (SEV_SNP_ROOTS, NITRO_ROOTS, NVIDIA_DEVICE_ROOTS, NVIDIA_RIM_ROOTS):
        assert all(len(fingerprint) == 32 for fingerprint in roots.values())


def refused(vector: Genuine, evidence: bytes | None = None, **changes: object) -> tuple[str, str]:
    with pytest.raises(AttestationRefused) as caught:
        vector.verify(evidence, **changes)
    reason, field, text = caught.value.args
    assert text
    return reason, field


@pytest.mark.parametrize("platform", PLATFORMS)
def test_refused_before_and_after_its_time(platform: str) -> None:
    vector = genuine()[platform]
    assert vector.verify(time=vector.first)
    assert vector.verify(time=vector.last)
    assert refused(vector, time=vector.first - 1) == ("not-yet-valid", "certificate.validity")
    assert refused(vector, time=vector.last + 1) == ("expired", "certificate.validity")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_refused_under_other_roots(platform: str) -> None:
    vector = genuine()[platform]
    others = [root for other in genuine().values() for root in other.anchors if root not in vector.anchors]
    for anchors in ([], others, list(NVIDIA_RIM_ROOTS.values())):
        assert refused(vector, anchors=anchors) == ("anchor", "certificates")


def test_the_invalid_twin_of_a_document() -> None:
    twin = base64.b64decode((FOLDER / "nitro/invalid_2024.b64").read_bytes())
    refused(genuine()["nitro"], twin)


@pytest.mark.parametrize("platform", PLATFORMS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_is_refused(platform: str, data: st.DataObject) -> None:
    vector = genuine()[platform]
    place = data.draw(st.integers(0, len(vector.evidence) - 1))
    value = data.draw(st.integers(1, 255))
    changed = bytearray(vector.evidence)
    changed[place] ^= value
    refused(vector, bytes(changed))


@pytest.mark.parametrize("platform", PLATFORMS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_bytes_are_refused(platform: str, data: st.DataObject) -> None:
    vector = genuine()[platform]
    refused(vector, data.draw(st.binary(max_size=2_000)))
    cut = data.draw(st.integers(0, len(vector.evidence) - 1))
    refused(vector, vector.evidence[:cut])
    refused(vector, vector.evidence + data.draw(st.binary(min_size=1, max_size=64)))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_oversized_evidence_is_refused_by_its_size(platform: str) -> None:
    vector = genuine()[platform]
    assert refused(vector, vector.evidence + bytes(1 << 24))[0] == "length"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_threads_get_the_same_answers(platform: str) -> None:
    vector = genuine()[platform]
    spoiled = vector.evidence[:100] + bytes([vector.evidence[100] ^ 1]) + vector.evidence[101:]

    def one(number: int) -> bool:
        if number % 2:
            return refused(vector, spoiled) is not None
        return vector.verify().root in vector.anchors

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(40)))


def test_signatures_have_a_twin() -> None:
    """(r, n - s) holds wherever (r, s) does: other bytes that mean the same.

    Whoever refuses replays must go by what is signed, never by the bytes of the evidence.
    """
    vector = genuine()["nvidia-h100"]
    s = int.from_bytes(vector.evidence[-48:])
    twin = vector.evidence[:-48] + (P384_ORDER - s).to_bytes(48)
    assert vector.verify(twin).nonce == vector.verify().nonce


def test_openssl_finds_the_same_signatures() -> None:
    """The three signatures again with `cryptography`, which is OpenSSL's arithmetic."""
    snp, h100 = genuine()["sev-snp"], genuine()["nvidia-h100"]
    little = [int.from_bytes(snp.evidence[at : at + 72], "little") for at in (0x2A0, 0x2E8)]
    big = [int.from_bytes(h100.evidence[at : at + 48 if at + 48 else None]) for at in (-96, -48)]
    for vector, message, (r, s) in ((snp, snp.evidence[:0x2A0], little), (h100, h100.evidence[:-96], big)):
        key = serialization.load_der_public_key(x509_verify(vector.certificates, vector.anchors, vector.time))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA384()))


def test_arguments_of_the_wrong_kind() -> None:
    vector = genuine()["sev-snp"]
    with pytest.raises(TypeError):
        vector.verify("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        vector.verify(certificates=[1])
    with pytest.raises(ValueError, match="32 bytes"):
        vector.verify(anchors=[b"short"])
    with pytest.raises(OverflowError):
        vector.verify(time=1 << 63)
