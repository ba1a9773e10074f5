"""`tee.nvidia-h100`: a guest and its GPUs are appraised as one, and no GPU can be left out, added, changed or moved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_installations import (
    DOMAIN,
    KEY,
    MEASURED,
    NOW,
    OTHERS,
    STATEMENT,
    bump,
    digest,
    flipped,
    installation,
    with_data,
)

from provers.tee.simulation.attester import Attested, SimulatedAttester, attest
from verifier.attestation.anchors import TrustAnchors, VendorAnchors
from verifier.attestation.binding import CallerData, SessionKey, direct, register_key
from verifier.attestation.composite import Composite, Part, appraise_composite
from verifier.attestation.evidence import Evidence, Platform
from verifier.attestation.identity import artifact
from verifier.attestation.policy import AppraisalPolicy, ReferenceValue, ReferenceValues
from verifier.attestation.result import SIMULATED_HARDWARE, AnchorKind, Tier
from verifier.errors import InvalidInput, Refused
from verifier.statement import Domain

CPUS = pytest.mark.parametrize("cpu", [Platform.TDX, Platform.SEV_SNP], ids=str)
GPUS = 2


@cache
def guest(cpu: Platform, gpus: int = GPUS, number: int = 0) -> SimulatedAttester:
    return installation(number).composite(cpu, gpus)


def binding(cpu: Platform, domain: Domain = DOMAIN, key: SessionKey = KEY) -> Callable[[Sequence[bytes]], CallerData]:
    return lambda devices: register_key(cpu, domain, key, devices)


@cache
def made(cpu: Platform, gpus: int = GPUS, number: int = 0) -> Attested:
    return attest(guest(cpu, gpus, number), MEASURED, KEY.digest(DOMAIN), binding(cpu), now=NOW)


def anchors_of(cpu: Platform, number: int = 0) -> TrustAnchors:
    return installation(number).anchors(cpu, Platform.NVIDIA_H100)


def appraised(found: Attested, anchors: TrustAnchors | None = None, **changes: Any) -> Composite:
    cpu = found.evidence.platform
    roots = anchors or anchors_of(cpu)
    main, *devices = (Part(each.evidence, each.endorsements, roots) for each in (found, *found.devices))
    arguments: dict[str, Any] = {"at": NOW, "digest": KEY.digest(DOMAIN), "bind": binding(cpu)}
    return appraise_composite(main, devices, changes.pop("policy", AppraisalPolicy()), **arguments | changes)


def refusal(found: Attested, **changes: Any) -> list[tuple[str, str]]:
    """Codes and fields; fails where nothing speaks against it."""
    verdict = appraised(found, **changes).verdict
    assert verdict.status is Tier.CONTRAINDICATED
    with pytest.raises(Refused):
        verdict.require(allow_simulated=True)
    return [(each.code, each.field) for each in verdict.findings]


SWAPPED = ("W3B-9112", "cpu.report_data")


@CPUS
def test_a_guest_with_its_gpus_holds_and_never_for_hardware(cpu: Platform) -> None:
    known = ReferenceValues(KEY.program_id, (ReferenceValue(cpu, guest(cpu).measurements(MEASURED)),))
    found = appraised(made(cpu), reference=known)
    verdict = found.verdict
    assert (verdict.findings, verdict.status) == ((), Tier.WARNING)
    assert verdict.vector.claims() | {"hardware": SIMULATED_HARDWARE} == verdict.vector.claims()
    assert (verdict.vector.executables, verdict.vector.sourced_data) == (3, 2)
    assert (verdict.platform, verdict.anchor.kind) == ("nvidia-h100", AnchorKind.SIMULATED)
    assert verdict.is_simulated
    assert not verdict.is_affirming_under_vendor
    assert len(found.devices) == GPUS
    assert verdict.valid_until == min(each.valid_until for each in (found.cpu, *found.devices))
    assert verdict.require(allow_simulated=True) is verdict
    with pytest.raises(Refused) as caught:
        verdict.require()
    assert caught.value.code == "W3B-9114"


@CPUS
def test_no_vendor_vouches_for_any_part(cpu: Platform) -> None:
    found = appraised(made(cpu), VendorAnchors())
    assert [each.code for each in found.verdict.findings] == ["W3B-9107"] * (1 + GPUS)
    assert (found.verdict.status, found.verdict.claims["cpu"]) == (Tier.CONTRAINDICATED, {})


def test_the_verdict_is_simulated_where_one_part_is() -> None:
    """A part under a vendor's anchors does not make the others' simulated ones vanish."""
    found = made(Platform.TDX, 1)
    (gpu,) = found.devices
    for cpu_anchors, gpu_anchors in (
        (anchors_of(Platform.TDX), VendorAnchors()),
        (VendorAnchors(), anchors_of(Platform.TDX)),
    ):
        verdict = appraise_composite(
            Part(found.evidence, found.endorsements, cpu_anchors),
            [Part(gpu.evidence, gpu.endorsements, gpu_anchors)],
            AppraisalPolicy(),
            at=NOW,
            digest=KEY.digest(DOMAIN),
            bind=binding(Platform.TDX),
        ).verdict
        assert verdict.is_simulated
        assert verdict.status is Tier.CONTRAINDICATED
        assert [each.code for each in verdict.findings] == ["W3B-9107"]


@CPUS
def test_one_installations_gpu_under_anothers_root_is_refused(cpu: Platform) -> None:
    """The CPU vouches for it, and its own chain does not lead to an anchor."""
    (theirs,) = guest(Platform.TDX, 1, 1).devices(KEY.digest(DOMAIN), now=NOW)
    caller = register_key(cpu, DOMAIN, KEY, [theirs.evidence.data])
    mixed = guest(cpu).attest(MEASURED, caller, now=NOW, devices=(theirs,))
    assert refusal(mixed) == [("W3B-9107", "devices[0].certificates")]


@CPUS
def test_a_swapped_gpu_is_refused(cpu: Platform) -> None:
    """Another report of the same GPU over the same digest is not the one that the CPU vouches for."""
    again = guest(cpu).devices(KEY.digest(DOMAIN), now=NOW)
    for at in range(GPUS):
        devices = tuple(again[each] if each == at else made(cpu).devices[each] for each in range(GPUS))
        assert refusal(replace(made(cpu), devices=devices)) == [SWAPPED]


@CPUS
def test_a_missing_gpu_is_refused(cpu: Platform) -> None:
    for devices in (made(cpu).devices[:1], made(cpu).devices[1:]):
        assert refusal(replace(made(cpu), devices=devices)) == [SWAPPED]
    none = replace(made(cpu), devices=())
    assert refusal(none) == [("W3B-9112", "devices"), SWAPPED]


@CPUS
def test_an_additional_gpu_is_refused(cpu: Platform) -> None:
    more = guest(cpu, GPUS + 1).devices(KEY.digest(DOMAIN), now=NOW)[GPUS]
    assert refusal(replace(made(cpu), devices=(*made(cpu).devices, more))) == [SWAPPED]
    assert refusal(replace(made(cpu), devices=(more, *made(cpu).devices))) == [SWAPPED]


@CPUS
def test_another_order_is_refused(cpu: Platform) -> None:
    assert refusal(replace(made(cpu), devices=made(cpu).devices[::-1])) == [SWAPPED]


@CPUS
@settings(max_examples=40)
@given(st.lists(st.integers(0, 3 * GPUS - 1), max_size=4))
def test_only_the_devices_in_their_order_are_the_devices(cpu: Platform, chosen: list[int]) -> None:
    """Of reports of the same GPUs over this digest, made again, and over another one."""
    reports = [*made(cpu).devices, *again(cpu, KEY.digest(DOMAIN)), *again(cpu, digest("other"))]
    devices = tuple(reports[each] for each in chosen)
    if chosen == list(range(GPUS)):
        assert appraised(replace(made(cpu), devices=devices)).verdict.findings == ()
    else:
        assert SWAPPED in refusal(replace(made(cpu), devices=devices))


@cache
def again(cpu: Platform, nonce: bytes) -> tuple[Attested, ...]:
    return guest(cpu).devices(nonce, now=NOW)


@CPUS
def test_one_gpu_is_not_two(cpu: Platform) -> None:
    """The CPU honestly vouches for two reports, both of one GPU."""
    maker = guest(cpu, 1)
    devices = maker.devices(KEY.digest(DOMAIN), now=NOW) + maker.devices(KEY.digest(DOMAIN), now=NOW)
    caller = binding(cpu)([each.evidence.data for each in devices])
    twice = maker.attest(MEASURED, caller, now=NOW, devices=devices)
    assert refusal(twice) == [("W3B-9112", "devices[1]")]
    caller = binding(cpu)([devices[0].evidence.data] * 2)
    same = maker.attest(MEASURED, caller, now=NOW, devices=(devices[0], devices[0]))
    assert refusal(same) == [("W3B-9112", "devices[1]")]


@CPUS
def test_a_gpus_nonce_of_another_digest_is_refused(cpu: Platform) -> None:
    """A report that the GPU made for another key: the CPU vouches for it, and it speaks for something else."""
    other = replace(KEY, nonce=digest("another nonce")).digest(DOMAIN)
    old = guest(cpu, 1).devices(other, now=NOW)
    caller = binding(cpu)([each.evidence.data for each in old])
    replayed = guest(cpu, 1).attest(MEASURED, caller, now=NOW, devices=old)
    assert refusal(replayed) == [("W3B-9112", "devices[0].nonce")]


@CPUS
def test_a_guest_that_vouches_for_no_gpu_is_no_composite(cpu: Platform) -> None:
    alone = guest(cpu).attest(MEASURED, register_key(cpu, DOMAIN, KEY), now=NOW)
    assert refusal(alone) == [("W3B-9112", "devices")]
    assert appraised(alone, minimum_devices=0).verdict.findings == ()
    assert refusal(made(cpu), minimum_devices=GPUS + 1) == [("W3B-9112", "devices")]


@CPUS
@pytest.mark.parametrize("name", ["public_key", "program_id", "prover", "nonce", "expiry"])
def test_another_session_key_is_refused_in_every_part(cpu: Platform, name: str) -> None:
    other = replace(KEY, **{name: bump(getattr(KEY, name))})
    found = refusal(made(cpu), digest=other.digest(DOMAIN), bind=binding(cpu, key=other))
    assert found == [SWAPPED, *(("W3B-9112", f"devices[{at}].nonce") for at in range(GPUS))]


@CPUS
def test_a_statement_is_bound_directly(cpu: Platform) -> None:
    def bind(devices: Sequence[bytes]) -> CallerData:
        return direct(cpu, DOMAIN, STATEMENT, devices)

    wanted = {"digest": STATEMENT.digest(DOMAIN), "bind": bind}
    found = attest(guest(cpu), MEASURED, STATEMENT.digest(DOMAIN), bind, now=NOW)
    assert appraised(found, **wanted).verdict.findings == ()
    assert SWAPPED in refusal(found)
    second_half = found.devices[0].evidence.data, found.devices[1].evidence.data
    half = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in second_half)).hexdigest()
    assert appraised(found, **wanted).cpu.claims["caller_data"]["report_data"][64:] == half


@CPUS
def test_the_cpus_own_findings_count(cpu: Platform) -> None:
    known = ReferenceValues(KEY.program_id, (ReferenceValue(cpu, guest(cpu).measurements(OTHERS[0])),))
    ((code, field),) = refusal(made(cpu), reference=known)
    assert (code, field.startswith("cpu.measurements.")) == ("W3B-9111", True)
    debug = attest(guest(cpu), MEASURED, KEY.digest(DOMAIN), binding(cpu), now=NOW, debug=True)
    assert {code for code, _ in refusal(debug)} == {"W3B-9109"}


@CPUS
def test_a_device_without_manifests_or_with_another_driver_counts_against_the_whole(cpu: Platform) -> None:
    first, second = made(cpu).devices
    parts = {"certificates.pem": second.endorsements.parts["certificates.pem"]}
    bare = replace(second, endorsements=replace(second.endorsements, parts=parts))
    found = refusal(replace(made(cpu), devices=(first, bare)))
    assert found == [
        ("W3B-9111", "devices[1].collateral.driver.swidtag"),
        ("W3B-9111", "devices[1].collateral.vbios.swidtag"),
    ]
    other = ReferenceValue(Platform.NVIDIA_H100, {"driver_version": b"1"})
    found = refusal(made(cpu), device_reference=ReferenceValues(bytes(32), (other,)))
    assert found == [("W3B-9111", f"devices[{at}].measurements.driver_version") for at in range(GPUS)]


@CPUS
def test_a_changed_bit_in_any_part_is_refused(cpu: Platform) -> None:
    """Of the CPU's evidence in its own name, of a GPU's in both names, where its form holds."""
    whole = made(cpu)
    for at in range(0, 600, 37):
        (code, field) = spoken_against(with_data(whole, flipped(whole.evidence.data, at)))
        assert (code[:6], field.split(".")[0]) == ("W3B-91", "cpu")
        gpu = with_data(whole.devices[0], flipped(whole.devices[0].evidence.data, at))
        assert spoken_against(replace(whole, devices=(gpu, whole.devices[1]))) in (
            SWAPPED,
            *(("W3B-9101", f"devices[0].report.{name}") for name in ("measurements", "slot", "opaque")),
            *(("W3B-9102", f"devices[0].report.{name}") for name in ("request", "response")),
        )


def spoken_against(found: Attested) -> tuple[str, str]:
    """The first code and field, raised or found."""
    try:
        return refusal(found)[0]
    except InvalidInput as error:
        return error.code, error.field


@CPUS
def test_its_program_is_what_the_cpu_measures(cpu: Platform) -> None:
    maker = guest(cpu)
    assert (maker.platform, maker.signer) == (Platform.NVIDIA_H100, cpu)
    alone = installation(0).attester(cpu)
    assert artifact(maker.signer, maker.measurements(MEASURED)) == artifact(cpu, alone.measurements(MEASURED))


def test_what_is_no_composite_is_refused_by_its_field() -> None:
    whole = made(Platform.TDX, 1)
    (gpu,) = whole.devices
    roots = anchors_of(Platform.TDX)
    main, device = (Part(each.evidence, each.endorsements, roots) for each in (whole, gpu))

    def field(cpu: Part, devices: list[Part], **changes: Any) -> str:
        arguments: dict[str, Any] = {"at": NOW, "digest": KEY.digest(DOMAIN), "bind": binding(Platform.TDX)}
        with pytest.raises(InvalidInput) as caught:
            appraise_composite(cpu, devices, AppraisalPolicy(), **arguments | changes)
        assert caught.value.code == "W3B-9101"
        return caught.value.field

    assert field(device, [main]) == "cpu"
    assert field(main, [device, main]) == "devices[1]"
    assert field(main, [device] * 17) == "devices"
    assert field(main, [device], digest=bytes(31)) == "digest"
    assert field(main, [device], at=0) == "cpu.at"
    legacy = replace(main, evidence=Evidence(Platform.SEV, whole.evidence.data))
    assert field(legacy, [device]) == "cpu"  # whoever asks the firmware chooses its mnonce: it vouches for nothing


@pytest.mark.parametrize(
    ("cpu", "gpus"), [(Platform.SGX, 1), (Platform.NITRO, 1), (Platform.TDX, 0), (Platform.TDX, 9)]
)
def test_a_guest_that_cannot_be_is_refused(cpu: Platform, gpus: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        installation(0).composite(cpu, gpus)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "cpu" if gpus == 1 else "gpus")


def test_the_ear_has_the_verdict_and_every_part() -> None:
    found = appraised(made(Platform.TDX))
    ear = found.to_ear()
    assert list(ear["submods"]) == ["nvidia-h100", "nvidia-h100/tdx", "nvidia-h100/device0", "nvidia-h100/device1"]
    assert {each["ear_status"] for each in ear["submods"].values()} == {"warning"}
    verdict = ear["submods"]["nvidia-h100"]
    assert verdict["ear_verifier_claims"]["trust_anchor"] == "simulated"
    assert [each["driver_version"] for each in verdict["ear_attester_claims"]["devices"]] == ["570.00.SIMULATED"] * 2
    bad = appraised(replace(made(Platform.TDX), devices=made(Platform.TDX).devices[::-1])).to_ear()
    statuses = [each["ear_status"] for each in bad["submods"].values()]
    assert statuses == ["contraindicated", "contraindicated", "warning", "warning"]
