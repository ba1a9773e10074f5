"""A receipt of a real block of the executor, shown to the Solidity light client by header, certificate and trie proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import rlp
from eth_abi.abi import decode
from light_chain import GAS, Contract, Host, creation, receipt_call, refusal
from light_chain import point_of as point_of_footer
from light_headers import CHAIN, NOW, PARAMETERS, set_of, signed
from trie import HexaryTrie

from l1.consensus.messages import domain_of
from l1.nodes.keys import derive
from native import _native

KEYS = derive(b"r" * 32, 4)
DELEGATES = set_of(KEYS)
PAYEE = b"\x11" * 20
COUNTS = [1, 2, 20, 130]
"""Receipts in a block: a lone leaf, a branch, and indices whose RLP has one byte and two."""


@dataclass
class Shown:
    """A block with receipts, and what a prover has of it."""

    contract: Contract
    header: bytes
    footer: bytes
    receipts: list[bytes]
    trie: HexaryTrie

    def proof(self, index: int) -> list[bytes]:
        return [bytes(rlp.encode(node)) for node in self.trie.get_proof(rlp.encode(index))]

    def ask(self, index: int, proof: list[bytes]) -> _native.CallResult:
        data = receipt_call(self.header, self.footer, point_of_footer(self.footer), index, proof)
        return self.contract.host.call(data, self.contract.address)


def encoded(receipt: _native.Receipt) -> bytes:
    """EIP-2718 bytes of a receipt."""
    logs: list[Any] = [[address, topics, data] for address, topics, data in receipt.logs]
    body = rlp.encode([int(receipt.status), receipt.cumulative_gas_used, receipt.logs_bloom, logs])
    return bytes([receipt.type] * (receipt.type > 0)) + bytes(body)


def block_of(count: int) -> _native.ExecutedBlock:
    """Our chain's block 1 with so many transfers, whose header names the next set."""
    from eth_account import Account
    from eth_hash.auto import keccak

    from l1.chain.genesis import Genesis, GenesisAccount

    payer = Account.from_key(keccak(b"payer"))
    alloc = {bytes.fromhex(payer.address[2:]): GenesisAccount(balance=10**30)}
    chain, _ = Genesis(chain_id=CHAIN, base_fee_per_gas=7, timestamp=NOW, alloc=alloc).executor()
    fields = {"chainId": CHAIN, "gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 0, "to": PAYEE}
    signed_ = [payer.sign_transaction(fields | {"nonce": nonce, "value": 1}) for nonce in range(count)]
    executed = chain.build(
        [_native.Transaction.decode(bytes(each.raw_transaction)) for each in signed_],
        beneficiary=bytes(20),
        timestamp=NOW,
        prev_randao=bytes(32),
        parent_beacon_block_root=bytes(32),
        extra_data=DELEGATES.root(),
    )
    assert set(executed.outcomes) == {None}
    return executed


@pytest.fixture(scope="module", params=COUNTS)
def shown(request: pytest.FixtureRequest) -> Shown:
    executed = block_of(request.param)
    receipts = [encoded(each) for each in executed.receipts]
    trie = HexaryTrie({})
    for index, each in enumerate(receipts):
        trie[rlp.encode(index)] = each
    assert trie.root_hash == executed.block.receipts_root
    header = executed.block.header
    footer = signed(header, KEYS, (0, 1, 3), domain_of(CHAIN, bytes(32)))
    contract = Host(NOW).deploy(creation(PARAMETERS, CHAIN, bytes(32), DELEGATES))
    return Shown(contract, header, footer, receipts, trie)


def test_every_receipt_is_proven(shown: Shown) -> None:
    for index, receipt in enumerate(shown.receipts):
        result = shown.ask(index, shown.proof(index))
        assert refusal(result) == ""
        assert decode(["bytes"], result.output) == (receipt,)
    print(f"verifyReceipt, {len(shown.receipts)} receipts, the last: {result.gas_used} gas of {GAS}")


def test_another_index_is_not_proven(shown: Shown) -> None:
    """A proof shows what is at its own index, not that a receipt is somewhere; nor is there one beyond the block's."""
    count = len(shown.receipts)
    for index in (count, 1 << 200):
        for given in (shown.proof(index), shown.proof(0)):
            assert shown.ask(index, given).status == "revert"
    if count > 1:
        assert refusal(shown.ask(1, shown.proof(0))) == "ReceiptNotProven"


def test_a_changed_proof_is_refused(shown: Shown) -> None:
    """A node changed, left out, or put in."""
    index = len(shown.receipts) // 2
    proof = shown.proof(index)
    for at, node in enumerate(proof):
        for place in {0, 1, len(node) // 2, len(node) - 1}:
            changed = node[:place] + bytes([node[place] ^ 1]) + node[place + 1 :]
            assert shown.ask(index, [*proof[:at], changed, *proof[at + 1 :]]).status == "revert"
        assert shown.ask(index, proof[:at] + proof[at + 1 :]).status == "revert"
    assert refusal(shown.ask(index, [])) == "ReceiptNotProven"
    assert refusal(shown.ask(index, [*proof, proof[0]])) == "ReceiptNotProven"


def test_a_receipt_of_a_header_that_is_not_final_is_refused(shown: Shown) -> None:
    """Everything that refuses a header refuses its receipts."""
    few = signed(shown.header, KEYS, (0, 1), domain_of(CHAIN, bytes(32)))
    other = Shown(shown.contract, shown.header, few, shown.receipts, shown.trie)
    assert refusal(other.ask(0, shown.proof(0))) == "PowerInsufficient"
    forged = Shown(shown.contract, shown.header[:-1] + b"\x01", shown.footer, shown.receipts, shown.trie)
    assert refusal(forged.ask(0, shown.proof(0))) == "SignatureInvalid"
