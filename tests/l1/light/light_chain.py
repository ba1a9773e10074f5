"""Test only: the Solidity light client on the executor, beside the Python one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rlp
from eth_account import Account
from eth_hash.auto import keccak

from l1.chain.genesis import Genesis, GenesisAccount
from l1.consensus.delegates import DelegateSet
from l1.consensus.parameters import Parameters
from l1.contracts.abi import Artifact
from l1.light.client import UNBONDING_SECONDS
from l1.staking.points import key_point, signature_point
from native import _native

HOST_CHAIN = 7
"""Id of the chain that the contract is on."""
GAS = 16_000_000
"""Of a transaction; EIP-7825 allows 16,777,216."""
REASONS = {
    "HeaderInvalid": "header",
    "ClientStale": "stale",
    "HeaderOld": "old",
    "EpochUnknown": "epoch",
    "SetMismatch": "set",
    "BitmapInvalid": "bitmap",
    "PowerInsufficient": "power",
    "SignatureInvalid": "signature",
}
"""The contract's errors, and what `NotFinal` calls the same."""
ARTIFACT = Artifact("verifier.contracts", "L1LightClient")
SOMEBODY = Account.from_key(keccak(b"somebody"))


def pack(delegates: DelegateSet) -> bytes:
    """The set as the contract takes it: address (20), power (12), key (128) of each."""
    return b"".join(each.address + each.power.to_bytes(12) + key_point(each.key) for each in delegates.members)


def point_of(footer: bytes, otherwise: bytes = bytes(256)) -> bytes:
    """The footer's signature as 256 bytes; `otherwise` for bytes that are no signature."""
    try:
        return signature_point(footer[4:100])
    except ValueError:
        return otherwise


def final_call(header: bytes, footer: bytes, signature: bytes) -> bytes:
    return ARTIFACT.encode_call("requireFinal", header, footer, signature)


def advance_call(header: bytes, footer: bytes, signature: bytes, delegates: bytes = b"") -> bytes:
    return ARTIFACT.encode_call("advance", header, footer, signature, delegates)


def receipt_call(header: bytes, footer: bytes, signature: bytes, index: int, proof: Sequence[bytes]) -> bytes:
    return ARTIFACT.encode_call("verifyReceipt", header, footer, signature, index, list(proof))


def creation(
    parameters: Parameters,
    chain_id: int,
    genesis_hash: bytes,
    delegates: DelegateSet,
    *,
    packed: bytes | None = None,
    root: bytes | None = None,
    number: int = 0,
    timestamp: int = 0,
    unbonding: int = UNBONDING_SECONDS,
) -> bytes:
    """Code that makes the contract with a checkpoint."""
    named = delegates.root() if root is None else root
    given = pack(delegates) if packed is None else packed
    terms = (chain_id, genesis_hash, number, timestamp, named, given, parameters.blocks_per_epoch, unbonding)
    return ARTIFACT.creation_code(terms)


@dataclass
class Host:
    """A chain with EIP-2537 that contracts are put on, and its clock."""

    time: int
    """Unix seconds of its head."""
    chain: _native.Chain = field(init=False)
    nonce: int = 0

    def __post_init__(self) -> None:
        alloc = {bytes.fromhex(SOMEBODY.address[2:]): GenesisAccount(balance=10**30)}
        self.chain, _ = Genesis(chain_id=HOST_CHAIN, base_fee_per_gas=7, timestamp=self.time, alloc=alloc).executor()

    def mine(self, transactions: list[_native.Transaction], seconds: int = 0) -> _native.ExecutedBlock:
        """The next block, so many seconds later."""
        self.time += seconds
        block = self.chain.build(
            transactions,
            beneficiary=bytes(20),
            timestamp=self.time,
            prev_randao=bytes(32),
            parent_beacon_block_root=bytes(32),
            extra_data=b"",
        )
        assert set(block.outcomes) <= {None}
        self.chain.append(block)
        return block

    def send(self, data: bytes, to: bytes = b"", gas: int = GAS, value: int = 0) -> _native.ExecutedBlock:
        """A block with one transaction."""
        fields = {
            "chainId": HOST_CHAIN,
            "nonce": self.nonce,
            "gas": gas,
            "maxFeePerGas": 10**12,
            "maxPriorityFeePerGas": 0,
            "to": to,
            "value": value,
            "data": data,
        }
        self.nonce += 1
        return self.mine([_native.Transaction.decode(bytes(SOMEBODY.sign_transaction(fields).raw_transaction))])

    def call(self, data: bytes, to: bytes | None = None, gas: int = GAS) -> _native.CallResult:
        """A call at the head, whose clock it sees."""
        return self.chain.view(self.chain.head_number).call(
            sender=bytes.fromhex(SOMEBODY.address[2:]),
            to=to,
            data=data,
            value=0,
            gas=gas,
            gas_price=0,
            tip=None,
            access_list=[],
            gas_cap=GAS,
        )

    def deploy(self, code: bytes) -> Contract:
        """Put a contract on the chain; it must succeed."""
        assert refusal(self.call(code)) == ""
        address = keccak(_created(bytes.fromhex(SOMEBODY.address[2:]), self.nonce))[12:]
        block = self.send(code)
        assert block.receipts[0].status
        return Contract(self, address, block.block.gas_used)


def _created(sender: bytes, nonce: int) -> bytes:
    return bytes(rlp.encode([sender, nonce]))


@dataclass
class Contract:
    """A light client on the host chain."""

    host: Host
    address: bytes
    gas: int = 0
    """What its creation cost."""

    def ask(self, data: bytes) -> str:
        """Why a call is refused; empty when it is not."""
        return refusal(self.host.call(data, self.address))

    def do(self, data: bytes) -> _native.ExecutedBlock:
        """A transaction, which must succeed."""
        assert self.ask(data) == ""
        block = self.host.send(data, self.address)
        assert block.receipts[0].status
        return block

    def head(self) -> tuple[int, int]:
        number, until = self.read("head")
        return number, until

    def delegates(self) -> tuple[bytes, int, int]:
        """Root, number and quorum of the known set."""
        root, count, quorum, _ = self.read("delegateSet")
        return root, count, quorum

    def read(self, name: str) -> tuple[Any, ...]:
        """What a function without arguments returns."""
        return ARTIFACT.decode_result(name, self.host.call(ARTIFACT.encode_call(name), self.address).output)


def refusal(result: _native.CallResult) -> str:
    """The error's name; empty for success."""
    if result.status == "success":
        return ""
    assert result.status == "revert", f"halted: {result.halt_reason}"
    name = ARTIFACT.error_name(result.output)
    assert name, "no error of the contract"
    return name


def events(block: _native.ExecutedBlock) -> list[str]:
    """Names of the events of a block's transaction."""
    found = [ARTIFACT.decode_event(topics, data) for _, topics, data in block.receipts[0].logs]
    return [each.name for each in found if each is not None]


def documented(row: str) -> list[int]:
    """The figures of a row of the gas table in docs/reference/light-client.md."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "light-client.md").read_text()
    (line,) = [each for each in text.splitlines() if each.startswith(f"| {row} |")]
    return [int(cell.strip().replace(",", "")) for cell in line.strip("|").split("|")[1:]]
