"""The verifiers of attestation evidence against the Python bindings, and as a contract in Solidity asks them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode
from evidence_calls import NITRO, NVIDIA_H100, SEV_SNP, Asked, ask, frame, parts
from l1_wallet import CHAIN_ID, FEES, RICH, key, send
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractLogicError

from l1.chain.genesis import Genesis
from l1.process import ChainProcess
from native import _native
from tests.attestation.native import native_hierarchies as ours
from tests.attestation.native.native_vectors import Genuine, genuine
from verifier.contracts.compile import compile_sources

ZERO = bytes(32)
GENUINE: dict[str, Asked] = {
    "sev-snp": SEV_SNP,
    "nitro": NITRO,
    "nitro-enclave": NITRO,
    "nvidia-h100": NVIDIA_H100,
}
PRODUCTS = {"Milan": 1, "Genoa": 2, "Turin": 3}


@pytest.fixture(scope="module")
def view() -> _native.StateView:
    chain, _ = Genesis(chain_id=CHAIN_ID, forks={"attestation": 0}).executor()
    return chain.view(0)


def of(name: str, time: int | None = None) -> bytes:
    vector = genuine()[name]
    return frame(vector.evidence, vector.certificates, vector.time if time is None else time)


def sha256(data: bytes | None) -> bytes:
    return ZERO if data is None else hashlib.sha256(data).digest()


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def snp_words(report: Any) -> dict[str, bytes]:
    """What the words must be, of what the bindings say."""
    tcb = report.reported_tcb
    levels = {name: number(getattr(tcb, name) or 0) for name in ("bootloader", "tee", "snp", "microcode", "fmc")}
    plain = {name: number(getattr(report, name)) for name in ("policy", "vmpl", "guest_svn", "platform_info")}
    return {
        "root": report.root,
        "issued_at": ZERO,
        "report_data": report.report_data,
        "measurement": report.measurement + bytes(16),
        "host_data": report.host_data,
        "id_key_digest": report.id_key_digest + bytes(16),
        "product": number(PRODUCTS[report.product]),
        "signing_key": number(["vcek", "vlek"].index(report.signing_key)),
        "chip": sha256(report.chip_id),
        **levels,
        **plain,
    }


def nitro_words(document: Any) -> dict[str, bytes]:
    data = {name: getattr(document, name) for name in ("user_data", "nonce", "public_key")}
    return {
        "root": document.root,
        "issued_at": number(document.timestamp // 1000),
        **{f"pcr{index}": document.pcrs[index] + bytes(16) for index in range(3)},
        "debug": number(document.debug),
        **{name: sha256(value) for name, value in data.items()},
        **{f"{name}_length": number(len(value or b"")) for name, value in data.items()},
        "module": sha256(document.module_id.encode()),
    }


def h100_words(report: Any, certificate: bytes) -> dict[str, bytes]:
    blocks = {index: value for index, _, value in report.measurements}
    every = b"".join(struct.pack(">BBH", index, kind, len(value)) + value for index, kind, value in report.measurements)
    return {
        "root": report.root,
        "issued_at": ZERO,
        "nonce": report.nonce,
        "driver_version": sha256(report.driver_version.encode()),
        "vbios_version": sha256(report.vbios_version.encode()),
        "firmware_digest": report.firmware_digest + bytes(16),
        "device": sha256(certificate),
        "measurement_count": number(len(blocks)),
        "measurements_digest": sha256(every),
        **{f"block{index}": sha256(blocks.get(index)) for index in range(1, 65)},
    }


def expected(vector: Genuine) -> dict[str, bytes]:
    verified = vector.verify()
    if vector.name == "sev-snp":
        return snp_words(verified)
    return h100_words(verified, vector.certificates[0]) if vector.name == "nvidia-h100" else nitro_words(verified)


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_evidence_is_answered_with_what_the_bindings_read(view: _native.StateView, name: str) -> None:
    vector, verifier = genuine()[name], GENUINE[name]
    result = ask(view, verifier, of(name))
    assert result.status == "success"
    want = {"holds": number(1), "valid_until": number(vector.last), **expected(vector)}
    assert dict(verifier.named(result.output)) == want


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_evidence_holds_in_its_time_only(view: _native.StateView, name: str) -> None:
    vector, verifier = genuine()[name], GENUINE[name]
    for time in (vector.first, vector.last):
        assert ask(view, verifier, of(name, time)).output[:32] == number(1)
    for time in (0, vector.first - 1, vector.last + 1, 2**63 - 1):
        result = ask(view, verifier, of(name, time))
        assert (result.status, result.output) == ("success", ZERO)
    result = ask(view, verifier, of(name, 2**63), 1_000_000)
    assert (result.status, result.output, result.gas_used) == ("halt", b"", 1_000_000)
    assert "time" in result.halt_reason


def test_gas_is_the_pages_formula(view: _native.StateView) -> None:
    for name, verifier in GENUINE.items():
        data = of(name)
        zeros = data.count(0)
        assert ask(view, verifier, data).gas_used == 21_000 + 4 * zeros + 16 * (len(data) - zeros) + verifier.gas(data)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("provider", [None, "Example Cloud"])
def test_simulated_reports_name_their_own_root(view: _native.StateView, product: str, provider: str | None) -> None:
    """Each product and kind of key, of which no genuine report is published."""
    certificates, anchors = ours.chain(ours.snp_parts(ours.endorsements(product, provider=provider)))
    report = ours.snp_report(product, provider=provider is not None)
    answer = SEV_SNP.named(ask(view, SEV_SNP, frame(report, certificates, ours.NOW)).output)
    want = snp_words(_native.sev_snp_verify(report, certificates, anchors, ours.NOW))
    assert {name: answer[name] for name in want} == want
    assert answer["root"] == anchors[0]
    assert answer["root"] not in _native.SEV_SNP_ROOTS.values()


def test_simulated_documents_and_gpus_name_their_own_root(view: _native.StateView) -> None:
    certificates, anchors = ours.chain(ours.nitro_parts())
    answer = NITRO.named(ask(view, NITRO, frame(ours.nitro_document(certificates), [], ours.NOW)).output)
    assert answer["root"] == anchors[0] != next(iter(_native.NITRO_ROOTS.values()))
    certificates, anchors = ours.chain(ours.h100_parts())
    answer = NVIDIA_H100.named(ask(view, NVIDIA_H100, frame(ours.h100_report(), certificates, ours.NOW)).output)
    assert answer["root"] == anchors[0] != next(iter(_native.NVIDIA_DEVICE_ROOTS.values()))


def test_a_list_that_revokes_refuses_and_one_that_does_not_ends_the_validity(view: _native.StateView) -> None:
    chain = ours.snp_parts(ours.endorsements("Genoa"))
    certificates, _ = ours.chain(chain)
    report = ours.snp_report("Genoa")

    def answered(revoked: list[str]) -> bytes:
        listed = ours.revocation_list(chain[0], revoked)
        return ask(view, SEV_SNP, frame(report, certificates, ours.NOW, [listed])).output

    assert SEV_SNP.named(answered(["VCEK"]))["valid_until"] == number(ours.NOW + ours.DAY)
    assert answered(["ASK"]) == ZERO


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainProcess]:
    """A chain that has the fork from block 3 on."""
    folder = tmp_path_factory.mktemp("attestation")
    genesis = folder / "genesis.json"
    config = {"w3bstream": {"attestationBlock": 3}}
    alloc = {key(1).address: {"balance": str(RICH)}}
    genesis.write_text(json.dumps({"chainId": CHAIN_ID, "config": config, "alloc": alloc}))
    options = ["--min-interval", "0.05", "--block-time", "1"]
    with ChainProcess(folder / "chain", genesis, options=options) as running:
        yield running


@pytest.fixture(scope="module")
def contract(node: ChainProcess) -> Contract:
    """Pins AMD's Milan root."""
    source = __file__.replace("test_l1_evidence_verifiers.py", "PinnedRoots.sol")
    with open(source, encoding="utf-8") as file:
        _, contracts = compile_sources({"PinnedRoots.sol": file.read()})
    artifact = contracts["PinnedRoots.sol"]["PinnedRoots"]
    web3 = Web3(Web3.HTTPProvider(node.rpc_url))
    code = "0x" + artifact["evm"]["bytecode"]["object"] + encode(["bytes32"], [_native.SEV_SNP_ROOTS["Milan"]]).hex()
    address = send(web3, key(1), data=code, gas=2_000_000)["contractAddress"]
    return web3.eth.contract(address, abi=artifact["abi"])


def milan() -> bytes:
    vector = genuine()["sev-snp"]
    return parts(vector.evidence, vector.certificates)


def accept(contract: Contract, number: int, certificates: int, given: bytes) -> Any:
    """The receipt of a transaction."""
    call = contract.functions.accept(number, certificates, given)
    fields = call.build_transaction({"from": key(1).address, "gas": 2_000_000, "nonce": 0, **FEES})
    return send(contract.w3, key(1), to=contract.address, data=fields["data"], gas=2_000_000)


def test_a_contract_believes_its_root_alone(contract: Contract) -> None:
    if contract.w3.eth.block_number < 2:
        # Block 3 has the fork's rules; the head, on whose state a call runs, is before it.
        with pytest.raises(ContractLogicError, match="no verifier"):
            contract.functions.read(2, 3, milan()).call()
    while contract.w3.eth.block_number < 3:
        send(contract.w3, key(1), to=key(2).address)
    assert accept(contract, 2, 3, milan())["status"] == 1
    assert contract.functions.accepted().call() == 1

    # Of any time: the chain's own clock is asked.
    lasting = [replace(part, not_before=0, not_after=2**32) for part in ours.snp_parts(ours.endorsements("Milan"))]
    certificates, anchors = ours.chain(lasting)
    simulated = parts(ours.snp_report("Milan"), certificates)
    head = contract.functions.read(2, 3, simulated).call()
    assert (head[0], head[1]) == (1, anchors[0])
    with pytest.raises(ContractLogicError, match="another root"):
        contract.functions.accept(2, 3, simulated).call()
    assert accept(contract, 2, 3, simulated)["status"] == 0
    assert contract.functions.accepted().call() == 1


def test_expired_evidence_does_not_hold_on_the_chain_and_malformed_evidence_reverts(contract: Contract) -> None:
    while contract.w3.eth.block_number < 3:
        send(contract.w3, key(1), to=key(2).address)
    document = genuine()["nitro-enclave"]
    with pytest.raises(ContractLogicError, match="does not hold"):
        contract.functions.accept(3, 0, parts(document.evidence, [])).call()
    assert contract.functions.read(3, 0, parts(document.evidence, [])).call() == (0, ZERO, 0, 0)
    gpu = genuine()["nvidia-h100"]
    assert contract.functions.read(4, 5, parts(gpu.evidence, gpu.certificates)).call()[1] == sha256(
        gpu.certificates[-1]
    )
    given = milan()
    for malformed in (given[:-1], given + b"\0", b"", given[1:]):
        with pytest.raises(ContractLogicError, match="malformed"):
            contract.functions.accept(2, 3, malformed).call()
    receipt = accept(contract, 2, 3, given[:-1])
    assert receipt["status"] == 0
    # The verifier took what it was given and no more: the rest of the transaction's gas came back.
    assert receipt["gasUsed"] < 700_000
