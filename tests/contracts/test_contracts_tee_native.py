"""The adapters over our L1's precompiles, with genuine evidence at its date and simulated evidence of keys of ours."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from eth_abi.abi import encode
from eth_hash.auto import keccak

from native import _native
from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested, SimulatedAttester, attest
from provers.tee.simulation.vendors import SimulatedVendors
from tests.contracts.tee_host import Host, require_documented
from tests.contracts.tee_world import Secret
from verifier import bindings as b
from verifier.attestation import accelerated, onchain
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.binding import direct, register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact, kind_of, tee_program_id
from verifier.bindings import tee
from verifier.completeness import Completeness
from verifier.statement import Domain, Opening, Statement
from verifier.tee import DIRECT, SESSION_KEY, TeeProof

CHAIN = 4690
VECTORS = Path(__file__).parents[1] / "vectors" / "attestation"
MEASURED = Measured(*(hashlib.sha256(each.encode()).digest() for each in ("runtime", "program", "configuration")))
NOW = 1_800_000_000
PROVER = b"\x44" * 20
POLICY = tee.SevSnpPolicy()


def seconds(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC).timestamp())


def ders(name: str) -> list[bytes]:
    """The certificates of a PEM file, DER."""
    found = x509.load_pem_x509_certificates((VECTORS / name).read_bytes())
    return [each.public_bytes(Encoding.DER) for each in found]


def host(time: int) -> Host:
    return Host(CHAIN, time, forks={"verifiers": 0, "attestation": 0})


def vendor_roots(platform: Platform) -> list[bytes]:
    return [each.sha256 for each in VendorAnchors().of(platform)]


def appraise(chain: Host, adapter: bytes, evidence: bytes) -> Any:
    """The appraisal, or error and field."""
    found = chain.ask(b.encode_call("IAttestation", "appraise", evidence), adapter)
    if isinstance(found, b.Revert):
        return found.name, found.args.get("field", b"").rstrip(b"\0").decode()
    return b.decode_result("IAttestation", "appraise", found)[0]


# --- Genuine evidence ---


MILAN_AT, NITRO_AT, H100_AT = seconds(2024, 6, 1), seconds(2024, 12, 20, 15, 20), seconds(2024, 6, 1)
MILAN_CHAIN = [(VECTORS / "sev_snp/vcek_milan.der").read_bytes(), *ders("sev_snp/cert_chain_milan")]
MILAN = bytes.fromhex((VECTORS / "sev_snp/report_milan.hex").read_text())
NITRO = base64.b64decode((VECTORS / "nitro/enclave_2024.b64").read_bytes())


@cache
def milan(time: int = MILAN_AT) -> tuple[Host, bytes]:
    chain = host(time)
    roots = vendor_roots(Platform.SEV_SNP)
    return chain, chain.deploy("SevSnpAttestation", roots, dataclasses.astuple(POLICY))


def test_a_genuine_milan_report_is_accepted() -> None:
    chain, adapter = milan()
    report = _native.sev_snp_verify(MILAN, MILAN_CHAIN, vendor_roots(Platform.SEV_SNP), MILAN_AT, [])
    measurements = {"measurement": report.measurement, "host_data": report.host_data}
    found = appraise(chain, adapter, onchain.frame(MILAN, MILAN_CHAIN))
    expected = artifact(Platform.SEV_SNP, measurements)
    assert found == (expected, report.report_data, b"", seconds(2030, 4, 3, 19, 23, 43))
    assert chain.read("SevSnpAttestation", "isSimulated", adapter) is False
    assert chain.read("SevSnpAttestation", "route", adapter) == "native"


@pytest.mark.parametrize("place", [0x10, 0x50, 0x90, 0xC0, 0x180, 0x1A0, 0x2A0, 0x2E0])
def test_a_changed_milan_report_is_refused(place: int) -> None:
    chain, adapter = milan()
    changed = bytearray(MILAN)
    changed[place] ^= 1
    found = appraise(chain, adapter, onchain.frame(bytes(changed), MILAN_CHAIN))
    assert found in [("EvidenceRefused", "signature"), ("MalformedEvidence", "evidence")]


def test_a_milan_report_is_refused_outside_of_its_certificates_dates() -> None:
    for time in (seconds(2022, 1, 1), seconds(2031, 1, 1)):
        assert appraise(*milan(time), onchain.frame(MILAN, MILAN_CHAIN)) == ("EvidenceRefused", "signature")


def test_a_genuine_report_is_refused_by_other_roots() -> None:
    """By another product's root, and by a simulated one."""
    chain = host(MILAN_AT)
    genoa = next(each.sha256 for each in VendorAnchors().of(Platform.SEV_SNP) if "Genoa" in each.name)
    for root, simulated in ((genoa, False), (bytes(32), True)):
        adapter = chain.deploy("SevSnpAttestation", [root], dataclasses.astuple(POLICY))
        assert appraise(chain, adapter, onchain.frame(MILAN, MILAN_CHAIN)) == ("EvidenceRefused", "root")
        assert chain.read("SevSnpAttestation", "isSimulated", adapter) is simulated


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"bootloader": 255}, "bootloader"),
        ({"tee": 255}, "tee"),
        ({"snp": 255}, "snp"),
        ({"microcode": 255}, "microcode"),
        ({"fmc": 1}, "fmc"),
        ({"guest_svn": 1 << 31}, "guestSvn"),
        ({"allow_smt": False}, "smt"),
        ({"lists": 1}, "lists"),
    ],
    ids=str,
)
def test_the_policy_refuses_a_genuine_report(change: dict[str, Any], field: str) -> None:
    chain = host(MILAN_AT)
    policy = dataclasses.astuple(dataclasses.replace(POLICY, **change))
    adapter = chain.deploy("SevSnpAttestation", vendor_roots(Platform.SEV_SNP), policy)
    assert appraise(chain, adapter, onchain.frame(MILAN, MILAN_CHAIN)) == ("EvidenceRefused", field)


def test_a_genuine_debug_guest_is_refused() -> None:
    report = (VECTORS / "sev_snp/report_milan_debug.bin").read_bytes()
    vcek = (VECTORS / "sev_snp/vcek_milan_debug.der").read_bytes()
    chain, adapter = milan()
    assert appraise(chain, adapter, onchain.frame(report, [vcek, *MILAN_CHAIN[1:]])) == ("EvidenceRefused", "debug")


@cache
def nitro(time: int, max_age: int = 3600) -> tuple[Host, bytes]:
    chain = host(time)
    return chain, chain.deploy("NitroAttestation", vendor_roots(Platform.NITRO), max_age)


def test_a_genuine_nitro_document_is_accepted() -> None:
    chain, adapter = nitro(NITRO_AT)
    document = _native.nitro_verify(NITRO, vendor_roots(Platform.NITRO), NITRO_AT)
    found = appraise(chain, adapter, onchain.frame(NITRO))
    pcrs = {f"pcr{index}": document.pcrs[index] for index in range(3)}
    fields = [
        (len(each), hashlib.sha256(each).digest()) if each is not None else (0, bytes(32))
        for each in (document.user_data, document.nonce, document.public_key)
    ]
    assert found[0] == artifact(Platform.NITRO, pcrs)
    assert found[1] == encode(["(uint256,bytes32)"] * 3, fields)
    assert 0 < found[3] - NITRO_AT < 4 * 3600
    assert chain.read("NitroAttestation", "isSimulated", adapter) is False


def test_a_nitro_document_is_refused_when_it_is_old() -> None:
    late = NITRO_AT + 2 * 86_400
    assert appraise(*nitro(late), onchain.frame(NITRO)) == ("EvidenceRefused", "signature")
    issued = _native.nitro_verify(NITRO, vendor_roots(Platform.NITRO), NITRO_AT).timestamp // 1000
    assert appraise(*nitro(issued + 101, 100), onchain.frame(NITRO)) == ("EvidenceRefused", "age")
    assert appraise(*nitro(issued + 99, 100), onchain.frame(NITRO))[0] != "EvidenceRefused"
    # From the future: its leaf certificate is not valid yet either.
    assert appraise(*nitro(issued - 61), onchain.frame(NITRO))[0] == "EvidenceRefused"


def test_a_genuine_debug_enclave_is_refused() -> None:
    debug = base64.b64decode((VECTORS / "nitro/debug_2024.b64").read_bytes())
    assert appraise(*nitro(seconds(2024, 9, 9, 20)), onchain.frame(debug)) == ("EvidenceRefused", "debug")


@pytest.mark.parametrize("place", [20, 200, 1000, 3000, -10])
def test_a_changed_nitro_document_is_refused(place: int) -> None:
    changed = bytearray(NITRO)
    changed[place] ^= 1
    found = appraise(*nitro(NITRO_AT), onchain.frame(bytes(changed)))
    assert found in [("EvidenceRefused", "signature"), ("MalformedEvidence", "evidence")]


@pytest.mark.parametrize("evidence", [b"", b"\x03", b"\x03\0", b"\0\0", b"\x03\0" + bytes(4), bytes(40)], ids=len)
def test_what_is_no_frame_is_refused(evidence: bytes) -> None:
    for chain, adapter in (milan(), nitro(NITRO_AT)):
        assert appraise(chain, adapter, evidence)[0] == "MalformedEvidence"
    for size in (10, 500, len(MILAN), len(onchain.frame(MILAN, MILAN_CHAIN)) - 1):
        cut = onchain.frame(MILAN, MILAN_CHAIN)[:size]
        assert appraise(*milan(), cut) == ("MalformedEvidence", "evidence")


def test_a_chain_without_the_precompiles_accepts_nothing() -> None:
    chain = Host(CHAIN, MILAN_AT)
    adapter = chain.deploy("SevSnpAttestation", vendor_roots(Platform.SEV_SNP), dataclasses.astuple(POLICY))
    assert appraise(chain, adapter, onchain.frame(MILAN, MILAN_CHAIN))[0] == "PrecompileMissing"
    adapter = chain.deploy("NitroAttestation", vendor_roots(Platform.NITRO), 3600)
    assert appraise(chain, adapter, onchain.frame(NITRO))[0] == "PrecompileMissing"


H100 = bytes.fromhex((VECTORS / "nvidia_h100/hopperAttestationReport.txt").read_text())


def test_a_genuine_gpu_report_is_accepted() -> None:
    """Its reference values are those that it measures: NVIDIA's manifests of its firmware are not published."""
    chain, cpu = milan(H100_AT)
    certificates, roots = ders("nvidia_h100/hopperCertChain.txt"), vendor_roots(Platform.NVIDIA_H100)
    report = _native.h100_verify(H100, certificates, roots, H100_AT, [])
    firmware = (hash_of(report.driver_version), hash_of(report.vbios_version))
    rows = [(*firmware, index, hashlib.sha256(value).digest()) for index, _, value in report.measurements]
    adapter = chain.deploy("NvidiaH100Attestation", cpu, roots, rows, 0)
    assert chain.read("NvidiaH100Attestation", "isSimulated", adapter) is False

    def ask(evidence: bytes, nonce: bytes = report.nonce, contract: bytes = adapter) -> Any:
        call = b.encode_call("NvidiaH100Attestation", "appraiseGpu", onchain.frame(evidence, certificates), nonce)
        found = chain.ask(call, contract)
        if isinstance(found, b.Revert):
            return found.args["field"].rstrip(b"\0").decode()
        return b.decode_result("NvidiaH100Attestation", "appraiseGpu", found)[0]

    assert ask(H100) == hashlib.sha256(H100).digest()
    assert ask(H100, bytes(32)) == "nonce"
    for place in (0x10, 0x60, len(H100) // 2, len(H100) - 20):
        assert ask(H100[:place] + bytes((H100[place] ^ 1,)) + H100[place + 1 :]) in ("signature", "evidence")
    simulated = chain.deploy("NvidiaH100Attestation", cpu, [bytes(32)], rows, 0)
    assert ask(H100, contract=simulated) == "root"
    others = [(*row[:3], bytes(31) + b"\1") for row in rows]
    assert ask(H100, contract=chain.deploy("NvidiaH100Attestation", cpu, roots, others, 0)) == "measurements"


@pytest.mark.parametrize("row", [(0, b"\1" * 32), (65, b"\1" * 32), (1, bytes(32))])
def test_no_other_reference_value_is_deployed(row: tuple[int, bytes]) -> None:
    chain, cpu = milan()
    roots = vendor_roots(Platform.NVIDIA_H100)
    with pytest.raises(AssertionError, match="InvalidReference"):
        chain.deploy("NvidiaH100Attestation", cpu, roots, [(bytes(32), bytes(32), *row)], 0)


def test_an_adapter_without_roots_or_with_an_unsuitable_cpu_is_not_deployed() -> None:
    chain, adapter = nitro(NITRO_AT)
    with pytest.raises(AssertionError, match="InvalidRoots"):
        chain.deploy("NitroAttestation", [], 3600)
    with pytest.raises(AssertionError, match="UnsuitableCpu"):
        chain.deploy("NvidiaH100Attestation", adapter, vendor_roots(Platform.NVIDIA_H100), [], 0)


# --- Simulated evidence, from registration to result ---


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> SimulatedVendors:
    return SimulatedVendors.open(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def chain() -> Host:
    return host(NOW)


def roots_of(attester: SimulatedAttester, platform: Platform) -> list[bytes]:
    return [hashlib.sha256(each).digest() for each in attester.roots[platform]]


@dataclasses.dataclass
class Enclave:
    """A simulated attester's program on a chain with its verifier."""

    chain: Host
    attester: SimulatedAttester
    kind: str
    adapter: bytes
    router: bytes
    verifier: bytes

    @classmethod
    def deploy(cls, chain: Host, attester: SimulatedAttester, kind: str, adapter: bytes) -> Enclave:
        router = chain.deploy("Router", bytes(20), bytes(20), False)
        verifier = chain.deploy("TeeVerifier", router, adapter, 7 * 86_400)
        return cls(chain, attester, kind, adapter, router, verifier)

    @property
    def domain(self) -> Domain:
        return Domain(CHAIN, self.router)

    @property
    def program(self) -> bytes:
        measurements = self.attester.measurements(MEASURED)
        return tee_program_id(self.kind, artifact(self.attester.signer, measurements))

    def secret(self) -> Secret:
        return Secret.make(self.program, PROVER, NOW + 1000)

    def encoded(self, made: Attested) -> bytes:
        cpu = onchain.encode(made.evidence, made.endorsements)
        if not made.devices:
            return cpu
        return onchain.composite(cpu, [onchain.encode(each.evidence, each.endorsements) for each in made.devices])

    def evidence(self, secret: Secret, measured: Measured = MEASURED, *, debug: bool = False) -> bytes:
        signer = self.attester.signer
        made = attest(
            self.attester,
            measured,
            secret.key.digest(self.domain),
            lambda devices: register_key(signer, self.domain, secret.key, devices),
            now=NOW,
            debug=debug,
        )
        return self.encoded(made)

    def refusal(self, secret: Secret, evidence: bytes) -> tuple[str, str]:
        found = self.chain.refusal(tee.register_session_key(secret.key, evidence), self.verifier)
        return found.name, found.args.get("field", b"").rstrip(b"\0").decode()

    def statement(self, opening: Opening, output: bytes) -> Statement:
        return Statement(7, 1, keccak(b"task"), opening.commitment(), keccak(output), self.program, PROVER)

    def verify(self, statement: Statement, output: bytes, proof: TeeProof) -> Any:
        call = b.verify(statement, output, proof.encode())
        return self.chain.ask(call, self.verifier, sender=self.router)


OPENING = Opening(bytes(32), bytes(32), 1, 21, 3, Completeness(missing=2))
OUTPUT = bytes(32) + OPENING.completeness.encode()
TRUE = (1).to_bytes(32, "big")
NATIVE = ["sev-snp", "nitro", "nvidia-h100"]


@pytest.fixture(scope="module", params=NATIVE)
def enclave(request: pytest.FixtureRequest, chain: Host, vendors: SimulatedVendors) -> Enclave:
    snp = vendors.attester(Platform.SEV_SNP)
    policy = dataclasses.astuple(POLICY)
    if request.param == "nitro":
        attester = vendors.attester(Platform.NITRO)
        adapter = chain.deploy("NitroAttestation", roots_of(attester, Platform.NITRO), 3600)
    else:
        attester = snp
        adapter = chain.deploy("SevSnpAttestation", roots_of(snp, Platform.SEV_SNP), policy)
    if request.param == "nvidia-h100":
        attester = vendors.composite(Platform.SEV_SNP, 2)
        gpus = roots_of(attester, Platform.NVIDIA_H100)
        adapter = chain.deploy("NvidiaH100Attestation", adapter, gpus, references(attester, gpus), 0)
    return Enclave.deploy(chain, attester, f"tee.{request.param}", adapter)


def references(attester: SimulatedAttester, roots: list[bytes]) -> list[tuple[bytes, bytes, int, bytes]]:
    """Reference values of the GPUs' own firmware."""
    rows = set()
    for made in attester.devices(bytes(32), now=NOW):
        certificates = accelerated.certificates(made.endorsements, "certificates")
        report = _native.h100_verify(made.evidence.data, certificates, roots, NOW, [])
        firmware = (hash_of(report.driver_version), hash_of(report.vbios_version))
        rows |= {(*firmware, index, hashlib.sha256(value).digest()) for index, _, value in report.measurements}
    return sorted(rows)


def hash_of(version: str | None) -> bytes:
    return bytes(32) if version is None else hashlib.sha256(version.encode()).digest()


def test_a_simulated_key_is_registered_and_signs(enclave: Enclave) -> None:
    secret = enclave.secret()
    evidence = enclave.evidence(secret)
    block = enclave.chain.do(tee.register_session_key(secret.key, evidence), enclave.verifier)
    require_documented(f"register, native, `{enclave.kind}`", block.block.gas_used)
    statement = enclave.statement(OPENING, OUTPUT)
    body = secret.sign(statement.digest(enclave.domain))
    assert enclave.verify(statement, OUTPUT, TeeProof(OPENING, SESSION_KEY, body)) == TRUE
    assert enclave.refusal(secret, evidence)[0] == "NonceUsed"
    assert enclave.chain.read("TeeVerifier", "isSimulated", enclave.verifier) is True


def test_direct_evidence_is_accepted(enclave: Enclave) -> None:
    statement = enclave.statement(OPENING, OUTPUT)
    made = attest(
        enclave.attester,
        MEASURED,
        statement.digest(enclave.domain),
        lambda devices: direct(enclave.attester.signer, enclave.domain, statement, devices),
        now=NOW,
    )
    proof = TeeProof(OPENING, DIRECT, enclave.encoded(made))
    assert enclave.verify(statement, OUTPUT, proof) == TRUE
    other = dataclasses.replace(statement, project_id=8)
    refused = enclave.verify(other, OUTPUT, proof)
    assert isinstance(refused, b.Revert)
    assert refused.name == "CallerDataMismatch" or refused.args == {"field": b"nonce".ljust(32, b"\0")}


def test_another_program_is_refused(enclave: Enclave) -> None:
    secret = enclave.secret()
    other = dataclasses.replace(MEASURED, program=bytes(32))
    assert enclave.refusal(secret, enclave.evidence(secret, other))[0] == "ProgramMismatch"


def test_evidence_for_another_key_is_refused(enclave: Enclave) -> None:
    secret, other = enclave.secret(), enclave.secret()
    assert enclave.refusal(secret, enclave.evidence(other))[0] == "CallerDataMismatch"


def test_a_simulated_debug_guest_is_refused(enclave: Enclave) -> None:
    secret = enclave.secret()
    assert enclave.refusal(secret, enclave.evidence(secret, debug=True)) == ("EvidenceRefused", "debug")


def test_simulated_evidence_never_passes_a_vendors_adapter(enclave: Enclave) -> None:
    secret = enclave.secret()
    evidence = enclave.evidence(secret)
    chain = enclave.chain
    if enclave.kind == kind_of(Platform.NITRO):
        adapter = chain.deploy("NitroAttestation", vendor_roots(Platform.NITRO), 3600)
    else:
        roots = vendor_roots(Platform.SEV_SNP)
        adapter = chain.deploy("SevSnpAttestation", roots, dataclasses.astuple(POLICY))
    if enclave.kind == kind_of(Platform.NVIDIA_H100):
        simulated_cpu = chain.read("NvidiaH100Attestation", "CPU", enclave.adapter)
        gpus = vendor_roots(Platform.NVIDIA_H100)
        mixed = chain.deploy("NvidiaH100Attestation", bytes.fromhex(simulated_cpu[2:]), gpus, [], 0)
        assert chain.read("NvidiaH100Attestation", "isSimulated", mixed) is True
        assert appraise(chain, mixed, evidence) == ("EvidenceRefused", "root")
        adapter = chain.deploy("NvidiaH100Attestation", adapter, gpus, [], 0)
    assert chain.read("IAttestation", "isSimulated", adapter) is False
    assert appraise(chain, adapter, evidence) == ("EvidenceRefused", "root")


def test_a_gpu_must_be_vouched_for(chain: Host, vendors: SimulatedVendors) -> None:
    """Left out, swapped, of another question, or of unknown firmware: the CPU's evidence names exactly its GPUs."""
    snp = vendors.attester(Platform.SEV_SNP)
    cpu = chain.deploy("SevSnpAttestation", roots_of(snp, Platform.SEV_SNP), dataclasses.astuple(POLICY))
    attester = vendors.composite(Platform.SEV_SNP, 2)
    gpus = roots_of(attester, Platform.NVIDIA_H100)
    rows = references(attester, gpus)
    adapter = chain.deploy("NvidiaH100Attestation", cpu, gpus, rows, 0)
    enclave = Enclave.deploy(chain, attester, "tee.nvidia-h100", adapter)
    secret = enclave.secret()
    signer, digest = attester.signer, secret.key.digest(enclave.domain)
    made = attest(attester, MEASURED, digest, lambda d: register_key(signer, enclave.domain, secret.key, d), now=NOW)
    alone = onchain.encode(made.evidence, made.endorsements)
    first, second = (onchain.encode(each.evidence, each.endorsements) for each in made.devices)
    assert enclave.refusal(secret, onchain.composite(alone, [first])) == ("CallerDataMismatch", "")
    assert enclave.refusal(secret, onchain.composite(alone, [second, first])) == ("CallerDataMismatch", "")
    assert enclave.refusal(secret, onchain.composite(alone, [])) == ("MalformedEvidence", "gpus")
    assert enclave.refusal(secret, onchain.composite(alone, [first] * 9)) == ("MalformedEvidence", "gpus")
    (stale, _) = (onchain.encode(each.evidence, each.endorsements) for each in attester.devices(bytes(32), now=NOW))
    assert enclave.refusal(secret, onchain.composite(alone, [stale, second])) == ("EvidenceRefused", "nonce")
    tampered = first[:300] + bytes((first[300] ^ 1,)) + first[301:]
    assert enclave.refusal(secret, onchain.composite(alone, [tampered, second]))[0] in (
        "EvidenceRefused",
        "MalformedEvidence",
    )
    # Reference values of other firmware, and of one block that measures something else.
    good = onchain.composite(alone, [first, second])
    unknown = [(hash_of("other"), row[1], row[2], row[3]) for row in rows]
    wrong = [*rows[1:], (*rows[0][:3], bytes(31) + b"\1")]
    for table, field in ((unknown, "firmware"), (wrong, "measurements"), ([], "firmware")):
        other = chain.deploy("NvidiaH100Attestation", cpu, gpus, table, 0)
        assert appraise(chain, other, good) == ("EvidenceRefused", field)
    enclave.chain.do(tee.register_session_key(secret.key, good), enclave.verifier)


def test_the_vendors_roots_are_the_pinned_ones() -> None:
    """contracts/tee/VendorRoots.sol has a copy of each, since a contract reads no file."""
    source = (Path(b.__file__).parents[1] / "contracts" / "tee" / "VendorRoots.sol").read_text()
    for platform in (Platform.SGX, Platform.SEV_SNP, Platform.NITRO, Platform.NVIDIA_H100):
        for anchor in VendorAnchors().of(platform):
            assert source.count(f"0x{anchor.sha256.hex()};") == 1, anchor.name
    assert source.count("bytes32 internal constant") == 6
