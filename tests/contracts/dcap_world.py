"""Test only: a chain whose clock is the test's, with the DCAP contracts under a root."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from web3 import Web3
from web3.exceptions import TimeExhausted

from tests.contracts.chain_client import Chain, Reverted
from tests.contracts.conftest import ANVIL
from verifier import dcap_calldata as calldata
from verifier.attestation.evidence import Endorsements
from verifier.bindings import Revert
from verifier.bindings.abi import bytecode_of, decode_result, encode_call

VECTORS = Path(__file__).resolve().parents[1] / "vectors/attestation"
GAS = 16_000_000
"""Below the limit of a transaction (EIP-7825)."""


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def genuine(name: str) -> tuple[bytes, Endorsements]:
    """A published quote and its collateral."""
    return read(f"{name}.bin"), Endorsements({"collateral.json": read(f"{name}_collateral.json")})


def with_field(endorsements: Endorsements, **changes: str) -> Endorsements:
    """Collateral with other fields."""
    fields = json.loads(endorsements.get("collateral.json"))
    return Endorsements({"collateral.json": json.dumps(fields | changes).encode()})


@dataclass
class DcapChain:
    """An anvil that begins in 2025 and goes on when it is told to."""

    chain: Chain
    state: str = ""

    def at(self, when: int) -> None:
        """The time of the latest block, and so of every call."""
        if self.chain.now() != when:
            self.chain.rpc("evm_setNextBlockTimestamp", when)
            self.chain.rpc("evm_mine")
        assert self.chain.now() == when

    def keep(self) -> None:
        self.state = str(self.chain.rpc("evm_snapshot")["result"])

    def go_back(self) -> None:
        """To what was kept, its time as well."""
        assert self.chain.rpc("evm_revert", self.state)["result"] is True
        self.keep()

    def send(self, to: bytes | None, data: bytes) -> Any:
        """A transaction that must succeed; its receipt. anvil now and then leaves one that follows a revert waiting."""
        eth, sender = self.chain.web3.eth, self.chain.funded
        transaction: dict[str, Any] = {
            "chainId": eth.chain_id,
            "nonce": eth.get_transaction_count(sender.address, "latest"),
            "gas": GAS,
            "maxFeePerGas": max(2 * eth.gas_price, 10**9),
            "maxPriorityFeePerGas": 1,
            "data": data,
        }
        if to is not None:
            transaction["to"] = Web3.to_checksum_address(to)
        sent = eth.send_raw_transaction(sender.sign_transaction(transaction).raw_transaction)
        try:
            receipt = eth.wait_for_transaction_receipt(sent, timeout=2, poll_latency=0.01)
        except TimeExhausted:
            self.chain.rpc("evm_mine")
            receipt = eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)
        if receipt["status"] != 1:
            raise Reverted(str(self.chain.call(to, data, gas=GAS)) if to else "creation reverted")
        return receipt

    def deploy(self, contract: str, types: list[str], *arguments: Any) -> bytes:
        receipt = self.send(None, bytecode_of(contract) + encode(types, arguments))
        return bytes.fromhex(receipt["contractAddress"][2:])

    def store(self, root: bytes) -> bytes:
        return self.deploy("DcapCollateral", ["bytes"], root)

    def adapter(self, store: bytes, tee: int, statuses: frozenset[str], minimum: int = 0) -> bytes:
        types = ["address", "uint256", "uint256", "uint256"]
        return self.deploy("DcapAttestation", types, store, tee, calldata.accepted_statuses(statuses), minimum)

    def bring(self, store: bytes, calls: calldata.CollateralCalls, when: int) -> dict[str, int]:
        """Send the five calls one second apart, the last at `when`; gas by name."""
        names = list(vars(calls))
        used = {}
        for at, name in zip(range(when - len(names) + 1, when + 1), names, strict=True):
            self.chain.rpc("evm_setNextBlockTimestamp", at)
            used[name] = self.send(store, getattr(calls, name))["gasUsed"]
        return used

    def appraise(self, adapter: bytes, evidence: bytes) -> tuple[Any, ...] | Revert:
        """(artifact, caller data, devices, validUntil), or why it is not accepted."""
        found = self.chain.call(adapter, encode_call("DcapAttestation", "appraise", evidence), gas=GAS)
        return found if isinstance(found, Revert) else decode_result("DcapAttestation", "appraise", found)[0]

    def accepted(self, adapter: bytes, evidence: bytes) -> tuple[Any, ...]:
        found = self.appraise(adapter, evidence)
        if isinstance(found, Revert):
            raise Reverted(why(found))
        return found

    def refusal(self, contract: bytes, data: bytes) -> str:
        """Why a call is refused; fails when it is not."""
        return why(self.chain.refusal(self.chain.funded, contract, data, GAS))


def why(revert: Revert) -> str:
    """A refusal as `Name field`."""
    field = revert.args.get("field", b"")
    return f"{revert.name} {bytes(field).rstrip(bytes(1)).decode()}".rstrip()


def start(folder: Path, begin: int) -> Iterator[DcapChain]:
    """An anvil of Osaka rules whose first block is at `begin`, Unix seconds."""
    log = folder / "anvil.log"
    command = [str(ANVIL), "--port", "0", "--hardfork", "osaka", "--accounts", "1", "--timestamp", str(begin)]
    with log.open("w") as sink:
        process = subprocess.Popen(command, stdout=sink)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None, "anvil ended before it listened"
            assert time.monotonic() < deadline, "anvil does not listen"
            time.sleep(0.05)
        key = re.search(r"\(0\) (0x[0-9a-f]{64})", log.read_text())
        assert key is not None
        yield DcapChain(Chain.connect("anvil", f"http://{found[1]}", key[1]))
    finally:
        process.terminate()
        process.wait(timeout=10)


def pem_of(der: bytes) -> bytes:
    """A certificate, well formed or not, in the one spelling of PEM that openssl writes."""
    text = base64.b64encode(der)
    lines = b"".join(text[place : place + 64] + b"\n" for place in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"
