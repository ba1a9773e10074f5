"""DCAP on our own chain's executor: genuine quotes at their date, and session keys of simulated enclaves."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import SimulatedAttester, attest
from provers.tee.simulation.vendors import SimulatedVendors
from tests.contracts.dcap_world import genuine
from tests.contracts.tee_host import Host
from tests.contracts.tee_world import Secret
from verifier import bindings as b
from verifier import dcap_calldata as calldata
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.binding import register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact, kind_of, tee_program_id
from verifier.attestation.policy import TcbPolicy
from verifier.bindings import tee
from verifier.completeness import Completeness
from verifier.errors import InvalidInput
from verifier.statement import Domain, Opening, Statement
from verifier.tee import SESSION_KEY, TeeProof

CHAIN, NOW = 4690, 1_800_000_000
JUNE_2025 = 1750334171
PROVER = b"\x44" * 20
MEASURED = Measured(*(hashlib.sha256(each.encode()).digest() for each in ("runtime", "program", "configuration")))
OTHER = Measured(*(hashlib.sha256(each.encode()).digest() for each in ("runtime", "other", "configuration")))
OPENING = Opening(bytes(32), bytes(32), 1, 21, 3, Completeness(missing=2))
OUTPUT = bytes(32) + OPENING.completeness.encode()
DOCS = Path(__file__).parents[2] / "docs/reference/dcap-on-chain.md"
HARDENING = TcbPolicy(accepted_statuses=frozenset({"UpToDate", "ConfigurationAndSWHardeningNeeded"}))
PLATFORMS = pytest.mark.parametrize("platform", [Platform.SGX, Platform.TDX], ids=str)


@pytest.mark.parametrize(
    ("name", "platform"), [("sgx/quote_v3", Platform.SGX), ("tdx/quote_v4", Platform.TDX)], ids=["sgx", "tdx"]
)
def test_a_genuine_quote_is_accepted_on_our_chain(name: str, platform: Platform) -> None:
    """P-256 is the executor's own precompile here (EIP-7951)."""
    chain = Host(CHAIN, JUNE_2025)
    data, endorsements = genuine(name)
    store = chain.deploy(calldata.STORE, VendorAnchors().of(platform)[0].der)
    adapter = chain.deploy(calldata.ADAPTER, store, *calldata.adapter_arguments(platform, HARDENING))
    call = b.encode_call(calldata.ADAPTER, "appraise", calldata.evidence(data))
    assert chain.refusal(call, adapter).name == "EvidenceRefused"
    chain.do(calldata.collateral_calls(data, endorsements).together(), store)
    found = chain.ask(call, adapter)
    assert isinstance(found, bytes), found
    changed = bytearray(calldata.evidence(data))
    changed[-1] ^= 1
    call = b.encode_call(calldata.ADAPTER, "appraise", bytes(changed))
    assert chain.refusal(call, adapter).args["field"].rstrip(b"\0") == b"quote.signature"
    assert chain.read(calldata.ADAPTER, "isSimulated", adapter) is False


class Enclave:
    """A simulated machine's program, and its verifier on our chain."""

    def __init__(self, attester: SimulatedAttester, platform: Platform) -> None:
        self.chain, self.attester, self.platform = Host(CHAIN, NOW), attester, platform
        (root,) = attester.roots[platform]
        self.store = self.chain.deploy(calldata.STORE, root)
        arguments = calldata.adapter_arguments(platform, TcbPolicy(minimum_evaluation_number=17))
        self.adapter = self.chain.deploy(calldata.ADAPTER, self.store, *arguments)
        self.router = self.chain.deploy("Router", bytes(20), bytes(20), False)
        self.verifier = self.chain.deploy("TeeVerifier", self.router, self.adapter, 7 * 86_400)
        self.domain = Domain(CHAIN, self.router)
        found = artifact(platform, attester.measurements(MEASURED))
        self.program = tee_program_id(kind_of(platform), found)

    def evidence(self, secret: Secret, measured: Measured = MEASURED, **options: Any) -> bytes:
        """Of the secret; its collateral is brought to the store."""
        made = attest(
            self.attester,
            measured,
            secret.key.digest(self.domain),
            lambda devices: register_key(self.platform, self.domain, secret.key, devices),
            now=NOW,
            **options,
        )
        self.chain.do(calldata.collateral_calls(made.evidence.data, made.endorsements).together(), self.store)
        return calldata.evidence(made.evidence.data)

    def refusal(self, secret: Secret, evidence: bytes) -> str:
        return self.chain.refusal(tee.register_session_key(secret.key, evidence), self.verifier).name


@PLATFORMS
def test_a_simulated_enclaves_key_is_registered_once_and_signs(platform: Platform, tmp_path: Path) -> None:
    enclave = Enclave(SimulatedVendors.open(tmp_path).attester(platform), platform)
    secret = Secret.make(enclave.program, PROVER, NOW + 1000)
    evidence = enclave.evidence(secret)
    block = enclave.chain.do(tee.register_session_key(secret.key, evidence), enclave.verifier)
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d,]+) \|", DOCS.read_text(), re.MULTILINE))
    documented = int(rows[f"register, {platform.value}"].replace(",", ""))
    assert abs(block.block.gas_used - documented) < 0.01 * documented, block.block.gas_used

    statement = Statement(7, 1, keccak(b"task"), OPENING.commitment(), keccak(OUTPUT), enclave.program, PROVER)
    proof = TeeProof(OPENING, SESSION_KEY, secret.sign(statement.digest(enclave.domain)))
    call = b.verify(statement, OUTPUT, proof.encode())
    assert enclave.chain.ask(call, enclave.verifier, sender=enclave.router) == (1).to_bytes(32, "big")
    assert enclave.chain.read("TeeVerifier", "isSimulated", enclave.verifier) is True
    assert enclave.refusal(secret, evidence) == "NonceUsed"


@PLATFORMS
def test_evidence_of_something_else_registers_nothing(platform: Platform, tmp_path: Path) -> None:
    enclave = Enclave(SimulatedVendors.open(tmp_path).attester(platform), platform)
    mine, theirs = (Secret.make(enclave.program, PROVER, NOW + 1000) for _ in range(2))
    assert enclave.refusal(mine, enclave.evidence(theirs)) == "CallerDataMismatch"
    assert enclave.refusal(mine, enclave.evidence(mine, OTHER)) == "ProgramMismatch"
    assert enclave.refusal(mine, enclave.evidence(mine, debug=True)) == "EvidenceRefused"
    stranger = Enclave(SimulatedVendors.open(tmp_path / "other").attester(platform), platform)
    assert enclave.refusal(mine, stranger.evidence(mine)) == "EvidenceRefused"


def test_a_policy_that_no_contract_keeps_is_refused() -> None:
    for platform, policy, field in (
        (Platform.NITRO, TcbPolicy(), "platform"),
        (Platform.SGX, TcbPolicy(denied_advisories=frozenset({"INTEL-SA-00615"})), "tcb.denied_advisories"),
        (Platform.SGX, TcbPolicy(platform_grace_seconds=1), "tcb.platform_grace_seconds"),
        (Platform.TDX, TcbPolicy(qe_grace_seconds=1), "tcb.qe_grace_seconds"),
        (Platform.TDX, TcbPolicy(allow_smt=False), "tcb.allow_smt"),
        (Platform.TDX, TcbPolicy(accepted_statuses=frozenset({"OutOfDate"})), "tcb.accepted_statuses"),
    ):
        with pytest.raises(InvalidInput) as caught:
            calldata.adapter_arguments(platform, policy)
        assert (caught.value.code, caught.value.field) == ("W3B-9115", field)
    assert calldata.adapter_arguments(Platform.TDX, HARDENING) == (0x81, 0b1001, 0)
