"""Simulated evidence: what the formats allow and no genuine vector shows, and never accepted under a vendor's root."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_hierarchies import (
    COMPOSITE_DEVICE_ID,
    FIRMWARE,
    NOW,
    chain,
    chip_id,
    device_identity,
    endorsements,
    h100_parts,
    h100_report,
    nitro_document,
    nitro_parts,
    snp_parts,
    snp_report,
)
from native_vectors import genuine

from native._native import (
    NITRO_ROOTS,
    NVIDIA_DEVICE_ROOTS,
    SEV_SNP_ROOTS,
    AttestationRefused,
    SnpReport,
    h100_verify,
    nitro_verify,
    sev_snp_verify,
)

PRODUCTS = ["Milan", "Genoa", "Turin"]


def refused(work: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(AttestationRefused) as caught:
        work()
    reason, field, text = caught.value.args
    assert text
    return reason, field


def snp(report: bytes, extensions: dict[str, bytes]) -> SnpReport:
    certificates, anchors = chain(snp_parts(extensions))
    return sev_snp_verify(report, certificates, anchors, NOW)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_every_version_of_every_product(product: str, version: int) -> None:
    report = snp(snp_report(product, version), endorsements(product))
    assert (report.version, report.product, report.product_name) == (version, product, f"{product}-B1")
    tcb = report.reported_tcb
    assert (tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode) == (4, 1, 22, 213)
    assert tcb.fmc == (9 if product == "Turin" else None)
    assert report.chip_id == chip_id(product).ljust(64, b"\0")
    assert (report.cpuid is None) == (version == 2)
    assert (report.launch_mitigations, report.current_mitigations) == ((3, 7) if version == 5 else (None, None))
    assert (report.current_version, report.committed_version) == ((1, 55, 21), (1, 55, 20))
    assert (report.guest_svn, report.signing_key, report.csp_id) == (7, "vcek", None)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_providers_key(product: str) -> None:
    extensions = endorsements(product, provider="Example Cloud")
    report = snp(snp_report(product, provider=True), extensions)
    assert (report.signing_key, report.csp_id, report.chip_id) == ("vlek", "Example Cloud", bytes(64))
    mismatch = ("mismatch", "report.signing_key")
    assert refused(lambda: snp(snp_report(product), extensions)) == mismatch
    assert refused(lambda: snp(snp_report(product, provider=True), endorsements(product))) == mismatch


def without(product: str, *numbers: str) -> dict[str, bytes]:
    return {number: value for number, value in endorsements(product).items() if number not in numbers}


@pytest.mark.parametrize(
    ("product", "extensions", "expected"),
    [
        ("Milan", without("Milan", "2"), ("missing", "certificate.product_name")),
        ("Milan", without("Milan", "3.1"), ("missing", "certificate.tcb")),
        ("Milan", without("Milan", "3.8"), ("missing", "certificate.tcb")),
        ("Milan", without("Milan", "4"), ("missing", "certificate.chip_id")),
        ("Milan", endorsements("Milan") | {"2": b"\x16\x04Rome"}, ("unknown", "certificate.product_name")),
        ("Milan", endorsements("Milan") | {"2": b"\x0c\x05Milan"}, ("encoding", "certificate.product_name")),
        ("Milan", endorsements("Milan") | {"2": b"\x16\x06Milan\x07"}, ("value", "certificate.product_name")),
        ("Milan", endorsements("Milan") | {"2": b"\x16\x00"}, ("value", "certificate.product_name")),
        ("Milan", endorsements("Milan") | {"5": b"\x16\x01x"}, ("unknown", "certificate.csp_id")),
        ("Milan", endorsements("Milan") | {"4": bytes(8)}, ("length", "certificate.chip_id")),
        ("Milan", endorsements("Milan") | {"4": b"\x04\x40" + bytes(64)}, ("length", "certificate.chip_id")),
        ("Turin", endorsements("Turin") | {"4": bytes(64)}, ("length", "certificate.chip_id")),
        ("Milan", endorsements("Milan") | {"3.9": b"\x02\x01\x00"}, ("mismatch", "certificate.tcb")),
        ("Turin", without("Turin", "3.9"), ("mismatch", "certificate.tcb")),
        ("Milan", endorsements("Milan") | {"3.4": b"\x02\x01\x01"}, ("value", "certificate.tcb")),
        ("Milan", endorsements("Milan") | {"3.3": b"\x02\x02\x01\x00"}, ("encoding", "certificate.tcb")),
        ("Milan", endorsements("Milan") | {"3.3": b"\x02\x02\x00\x16"}, ("encoding", "certificate.tcb")),
        ("Milan", endorsements("Milan") | {"3.3": b"\x02\x01\x16\x00"}, ("encoding", "certificate.tcb")),
        ("Milan", endorsements("Milan") | {"3.3": b"\x02\x01\x17"}, ("mismatch", "report.reported_tcb")),
        ("Milan", endorsements("Milan") | {"3.8": b"\x02\x01\x01"}, ("mismatch", "report.reported_tcb")),
        ("Turin", endorsements("Turin") | {"3.9": b"\x02\x01\x08"}, ("mismatch", "report.reported_tcb")),
        ("Milan", endorsements("Milan", chip=bytes(64)), ("mismatch", "report.chip_id")),
        ("Turin", endorsements("Turin", chip=bytes(8)), ("mismatch", "report.chip_id")),
    ],
)
def test_an_endorsement_that_is_not_the_reports(
    product: str, extensions: dict[str, bytes], expected: tuple[str, str]
) -> None:
    assert refused(lambda: snp(snp_report(product), extensions)) == expected


def test_a_report_of_another_product() -> None:
    assert refused(lambda: snp(snp_report("Genoa"), endorsements("Milan"))) == ("mismatch", "report.cpuid")
    # Turin's chip has 8 bytes; what stands behind them is 0.
    longer = snp_report("Turin", changes={0x1A8: b"\x01"})
    assert refused(lambda: snp(longer, endorsements("Turin"))) == ("mismatch", "report.chip_id")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({0x08: b"\0\0\x01"}, ("value", "report.policy")),
        ({0x30: b"\x04"}, ("value", "report.vmpl")),
        ({0x48: bytes([7 << 2])}, ("signature", "report.signing_key")),
        ({0x34: b"\x02"}, ("algorithm", "report.signature_algorithm")),
        ({0x00: b"\x06"}, ("version", "report.version")),
        ({0x4F: b"\x01"}, ("value", "report.reserved")),
        ({0x200: b"\x01"}, ("value", "report.reserved")),
    ],
)
def test_signed_reports_that_no_firmware_makes(changes: dict[int, bytes], expected: tuple[str, str]) -> None:
    """The signature holds; the field does not."""
    assert refused(lambda: snp(snp_report("Milan", changes=changes), endorsements("Milan"))) == expected


def nitro(changes: dict[str, object] | None = None) -> object:
    certificates, anchors = chain(nitro_parts())
    return nitro_verify(nitro_document(certificates, changes), anchors, NOW)


def test_a_document() -> None:
    certificates, anchors = chain(nitro_parts())
    document = nitro_verify(nitro_document(certificates), anchors, NOW)
    assert (document.debug, document.public_key, document.user_data) == (False, b"key", b"data")
    assert document.timestamp == NOW * 1000
    assert document.root == anchors[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"timestamp": (NOW + 61) * 1000}, ("not-yet-valid", "document.timestamp")),
        ({"timestamp": 1 << 63}, ("not-yet-valid", "document.timestamp")),
        ({"timestamp": 0}, ("value", "payload.timestamp")),
        ({"digest": "SHA512"}, ("algorithm", "payload.digest")),
        ({"pcrs": {}}, ("length", "payload.pcrs")),
        ({"pcrs": {0: bytes(64)}}, ("length", "payload.pcrs")),
        ({"pcrs": {32: bytes(48)}}, ("value", "payload.pcrs")),
        ({"user_data": bytes(513)}, ("length", "payload.user_data")),
        ({"nonce": bytes(513)}, ("length", "payload.nonce")),
        ({"public_key": bytes(1025)}, ("length", "payload.public_key")),
        ({"extra": 0}, ("unknown", "payload")),
        ({"cabundle": []}, ("length", "payload.cabundle")),
        ({"cabundle": [b"\x30\x00"] * 8}, ("length", "payload.cabundle")),
    ],
)
def test_signed_documents_that_no_hypervisor_makes(changes: dict[str, object], expected: tuple[str, str]) -> None:
    assert refused(lambda: nitro(changes)) == expected


def test_a_clock_may_be_a_minute_off() -> None:
    assert nitro({"timestamp": (NOW + 60) * 1000 + 999})


@settings(max_examples=40, deadline=None)
@given(
    user_data=st.none() | st.binary(max_size=512),
    nonce=st.none() | st.binary(max_size=512),
    public_key=st.none() | st.binary(min_size=1, max_size=1024),
    numbers=st.sets(st.integers(0, 31), min_size=1),
)
def test_what_is_signed_is_what_is_returned(
    user_data: bytes | None, nonce: bytes | None, public_key: bytes | None, numbers: set[int]
) -> None:
    pcrs = {number: bytes([number]) * 48 for number in numbers}
    certificates, anchors = chain(nitro_parts())
    changes: dict[str, object] = {"user_data": user_data, "nonce": nonce, "public_key": public_key, "pcrs": pcrs}
    document = nitro_verify(nitro_document(certificates, changes), anchors, NOW)
    assert (document.user_data, document.nonce, document.public_key) == (user_data, nonce, public_key)
    assert document.pcrs == pcrs
    assert document.debug == (0 in numbers)


def h100(report: bytes, extensions: tuple[tuple[str, bytes, bool], ...] | None = None) -> object:
    certificates, anchors = chain(h100_parts(extensions))
    return h100_verify(report, certificates, anchors, NOW)


def test_a_gpu() -> None:
    certificates, anchors = chain(h100_parts())
    report = h100_verify(h100_report(nonce=b"n" * 32), certificates, anchors, NOW)
    assert (report.nonce, report.driver_version, report.vbios_version) == (b"n" * 32, "570.01", "96.00.9F.01.02")
    assert report.firmware_digest == FIRMWARE
    bare = h100_verify(h100_report(opaque={}, measurements=1), certificates, anchors, NOW)
    assert (bare.driver_version, bare.vbios_version, bare.firmware_digest, bare.opaque) == (None, None, None, {})
    assert len(bare.measurements) == 1


@pytest.mark.parametrize(
    ("opaque", "expected"),
    [
        ({20: bytes(48)}, ("mismatch", "report.firmware_digest")),
        ({20: bytes(32)}, ("length", "report.firmware_digest")),
        ({3: b""}, ("value", "report.driver_version")),
        ({3: b"\0"}, ("value", "report.driver_version")),
        ({3: b"570.01"}, ("value", "report.driver_version")),
        ({3: b"570\xff\0"}, ("value", "report.driver_version")),
        ({3: b"5" * 65 + b"\0"}, ("value", "report.driver_version")),
        ({6: bytes(7)}, ("value", "report.vbios_version")),
        ({6: b"\1" * 8}, ("value", "report.vbios_version")),
        ({100: bytes(1021)}, ("length", "report.opaque")),
    ],
)
def test_signed_reports_that_no_gpu_makes(opaque: dict[int, bytes], expected: tuple[str, str]) -> None:
    assert refused(lambda: h100(h100_report(opaque=opaque))) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ("missing", "certificate.firmware_digest")),
        (b"", ("encoding", "certificate.firmware_digest")),
        (device_identity(FIRMWARE)[:-1], ("encoding", "certificate.firmware_digest")),
        (device_identity(bytes(48)), ("mismatch", "report.firmware_digest")),
        (
            device_identity(FIRMWARE).replace(b"\x02\x01\x01", b"\x02\x01\x02"),
            ("version", "certificate.firmware_digest"),
        ),
        (
            device_identity(FIRMWARE).replace(b"\x04\x02\x02", b"\x04\x02\x03"),
            ("algorithm", "certificate.firmware_digest"),
        ),
    ],
)
def test_a_gpu_certificate_of_other_firmware(value: bytes | None, expected: tuple[str, str]) -> None:
    extensions = () if value is None else ((COMPOSITE_DEVICE_ID, value, False),)
    assert refused(lambda: h100(h100_report(), extensions)) == expected


def test_never_under_a_vendors_root_nor_the_vendor_under_ours() -> None:
    anchor = ("anchor", "certificates")
    amd, aws, nvidia = (list(roots.values()) for roots in (SEV_SNP_ROOTS, NITRO_ROOTS, NVIDIA_DEVICE_ROOTS))
    vectors = genuine()
    certificates, ours = chain(snp_parts(endorsements("Milan")))
    assert refused(lambda: sev_snp_verify(snp_report("Milan"), certificates, amd, NOW)) == anchor
    assert refused(lambda: vectors["sev-snp"].verify(anchors=ours)) == anchor
    mixed = [*certificates[:2], vectors["sev-snp"].certificates[2]]
    assert refused(lambda: sev_snp_verify(snp_report("Milan"), mixed, amd, NOW)) == ("issuer", "certificate.issuer")

    enclaves, ours = chain(nitro_parts())
    assert refused(lambda: nitro_verify(nitro_document(enclaves), aws, NOW)) == anchor
    assert refused(lambda: vectors["nitro"].verify(anchors=ours)) == anchor

    gpus, ours = chain(h100_parts())
    assert refused(lambda: h100_verify(h100_report(), gpus, nvidia, NOW)) == anchor
    assert refused(lambda: vectors["nvidia-h100"].verify(anchors=ours)) == anchor
    mixed = [*gpus[:4], vectors["nvidia-h100"].certificates[4]]
    assert refused(lambda: h100_verify(h100_report(), mixed, nvidia, NOW)) == ("issuer", "certificate.issuer")
