"""Test only: an executor in this process whose clock a test sets, with contracts on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rlp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from web3 import Web3

from l1.chain.genesis import Genesis, GenesisAccount
from native import _native
from tests.contracts.chain_client import Chain, Reverted
from verifier import bindings as b

GAS = 16_000_000
"""Of a transaction; EIP-7825 allows 16,777,216."""
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "tee-contracts.md"
TOLERANCE = 0.03
"""Calldata bytes that happen to be zero, and lengths of DER integers, move a figure this much."""
PAYER = Account.from_key(keccak(b"tee payer"))
SENDER = bytes.fromhex(PAYER.address[2:])


def require_documented(row: str, gas: int) -> None:
    """The gas table of docs/reference/tee-contracts.md has this figure in the row."""
    (line,) = [each for each in DOCS.read_text().splitlines() if each.startswith(f"| {row} |")]
    documented = int(line.split("|")[2].strip().replace(",", ""))
    assert abs(gas - documented) <= TOLERANCE * gas, f"{row}: measured {gas}, documented {documented}"


@dataclass
class Host:
    """A chain of one producer."""

    chain_id: int
    time: int
    """Unix seconds of its head and of the blocks to come."""
    forks: Mapping[str, int] = field(default_factory=dict)
    extra_data: bytes = b""
    """Of every block: what a header of ours names the next set by."""
    accounts: Sequence[LocalAccount] = (PAYER,)
    """Who may send, the first by default."""
    chain: _native.Chain = field(init=False)
    nonces: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        alloc = {bytes.fromhex(each.address[2:]): GenesisAccount(balance=10**30) for each in self.accounts}
        genesis = Genesis(
            chain_id=self.chain_id, base_fee_per_gas=7, timestamp=self.time, alloc=alloc, forks=self.forks
        )
        self.chain, _ = genesis.executor()

    def send(self, data: bytes, to: bytes = b"", sender: LocalAccount = PAYER) -> _native.ExecutedBlock:
        """A block with one transaction."""
        nonce = self.nonces.get(sender.address, 0)
        self.nonces[sender.address] = nonce + 1
        fields = {
            "chainId": self.chain_id,
            "nonce": nonce,
            "gas": GAS,
            "maxFeePerGas": 10**12,
            "maxPriorityFeePerGas": 0,
            "to": to,
            "value": 0,
            "data": data,
        }
        signed = sender.sign_transaction(fields)
        block = self.chain.build(
            [_native.Transaction.decode(bytes(signed.raw_transaction))],
            beneficiary=bytes(20),
            timestamp=self.time,
            prev_randao=bytes(32),
            parent_beacon_block_root=bytes(32),
            extra_data=self.extra_data,
        )
        assert set(block.outcomes) == {None}
        self.chain.append(block)
        return block

    def do(self, data: bytes, to: bytes) -> _native.ExecutedBlock:
        """A transaction that must succeed."""
        block = self.send(data, to)
        if not block.receipts[0].status:
            raise AssertionError(f"refused: {self.ask(data, to)}")
        return block

    def call(self, data: bytes, to: bytes | None = None, sender: bytes = SENDER) -> _native.CallResult:
        """A call at the head, whose clock it sees."""
        return self.chain.view(self.chain.head_number).call(
            sender=sender,
            to=to,
            data=data,
            value=0,
            gas=GAS,
            gas_price=0,
            tip=None,
            access_list=[],
            gas_cap=GAS,
        )

    def ask(self, data: bytes, to: bytes, sender: bytes = SENDER) -> bytes | b.Revert:
        """What a call returns, or why it is refused."""
        result = self.call(data, to, sender)
        if result.status == "success":
            return bytes(result.output)
        return b.decode_revert(bytes(result.output)) if result.status == "revert" else b.Revert("Halt", {})

    def refusal(self, data: bytes, to: bytes, sender: bytes = SENDER) -> b.Revert:
        """Why a call is refused; fails when it is not."""
        found = self.ask(data, to, sender)
        assert isinstance(found, b.Revert), "the call was accepted"
        return found

    def deploy(self, contract: str, *arguments: Any) -> bytes:
        """Put a contract of ours on the chain; its address."""
        return self.create(b.creation_code(contract, *arguments))

    def create(self, code: bytes) -> bytes:
        """Put code on the chain; it must succeed."""
        address = keccak(bytes(rlp.encode([SENDER, self.nonces.get(PAYER.address, 0)])))[12:]
        block = self.send(code)
        if not block.receipts[0].status:
            result = self.call(code)
            raise AssertionError(f"refused: {b.decode_revert(bytes(result.output))}")
        return address

    def read(self, contract: str, function: str, to: bytes, *arguments: Any) -> Any:
        """What a view of a contract returns: its one value."""
        output = self.ask(b.encode_call(contract, function, *arguments), to)
        assert isinstance(output, bytes), output
        (value,) = b.decode_result(contract, function, output)
        return value


class HostChain(Chain):
    """A host as tests know a chain that is a process of its own."""

    def __init__(self, host: Host) -> None:
        super().__init__("host", Web3(), host.accounts[0])
        self.host = host

    def now(self) -> int:
        """The host's clock."""
        return self.host.time

    def pass_time(self, until: int) -> None:
        """A block beyond `until`."""
        self.host.time = until + 1
        self.host.send(b"", SENDER)

    def call(
        self, to: str | bytes, data: bytes, sender: LocalAccount | str | None = None, gas: int = GAS
    ) -> bytes | b.Revert:
        """A call at the head."""
        assert gas
        name = sender if isinstance(sender, str) else (sender or self.funded).address
        return self.host.ask(data, _bytes(to), bytes.fromhex(name[2:]))

    def submit(self, sender: LocalAccount, to: str | bytes | None, data: bytes, gas: int = GAS, value: int = 0) -> Any:
        """A block; its receipt as JSON-RPC has it."""
        assert gas
        assert not value
        block = self.host.send(data, b"" if to is None else _bytes(to), sender)
        receipt = block.receipts[0]
        logs = [{"topics": topics, "data": content} for _, topics, content in receipt.logs]
        return {"status": int(receipt.status), "gasUsed": block.block.gas_used, "logs": logs}

    def send(self, sender: LocalAccount, to: str | bytes | None, data: bytes, gas: int = GAS, value: int = 0) -> Any:
        """`submit` that must succeed; raises Reverted with the reason."""
        receipt = self.submit(sender, to, data, gas, value)
        if receipt["status"] != 1:
            raise Reverted(str(self.call(to or b"", data, sender)))
        return receipt


def _bytes(address: str | bytes) -> bytes:
    return bytes.fromhex(address[2:]) if isinstance(address, str) else address
