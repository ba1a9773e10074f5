"""Two executors of one chain, ours and geth, and what is compared of each block."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from l1_assembly import counter_runtime, storer_runtime

from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.system_contracts import with_request_contracts
from l1.engine.execution import Executed
from l1.engine.geth import GethExecutor
from l1.engine.process import GethProcess
from native import _native

CHAIN_ID = 4690
RICH = 10**24
SENDERS = [Account.from_key(number.to_bytes(32, "big")) for number in range(1, 21)]
COUNTER, STORER, RUNNER, EMPTY, DOOMED = (bytes([0xC0 + index]) * 20 for index in range(5))
NOBODY = b"\x77" * 20
GAS = 1_000_000
# size = CALLDATASIZE - 32; CALLDATACOPY(0, 32, size); ok = STATICCALL(GAS, CALLDATALOAD(0), 0, size, 0, 0);
# RETURNDATACOPY(0, 0, RETURNDATASIZE); LOG1(0, RETURNDATASIZE, ok); STOP
RUNNER_CODE = bytes.fromhex("602036038060205f375f5f825f5f355afa3d5f5f3e3d5fa100")
# SELFDESTRUCT to the address in the first word of call data.
DOOMED_CODE = bytes.fromhex("5f35ff")


def address(account: LocalAccount) -> bytes:
    """An account's address, 20 bytes."""
    return bytes.fromhex(account.address[2:])


def genesis(**more: Any) -> Genesis:
    """Rich senders, contracts that do something, and an account that is there and empty."""
    alloc = {address(each): GenesisAccount(RICH) for each in SENDERS}
    alloc[COUNTER] = GenesisAccount(nonce=1, code=counter_runtime())
    alloc[STORER] = GenesisAccount(nonce=1, code=storer_runtime(), storage={slot: slot + 1 for slot in range(5)})
    alloc[RUNNER] = GenesisAccount(nonce=1, code=RUNNER_CODE)
    alloc[DOOMED] = GenesisAccount(balance=5, nonce=1, code=DOOMED_CODE, storage={1: 1})
    alloc[EMPTY] = GenesisAccount()
    return with_request_contracts(Genesis(CHAIN_ID, timestamp=1_000, alloc=alloc, **more))


def signed(sender: LocalAccount, nonce: int, **fields: Any) -> _native.Transaction:
    """A transaction: legacy where `gasPrice` is given, of type 1 with `accessList` besides, else EIP-1559 or EIP-7702."""
    fees = {} if "gasPrice" in fields else {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
    base = {"chainId": CHAIN_ID, "nonce": nonce, "gas": GAS, "value": 0, **fees}
    return _native.Transaction.decode(bytes(sender.sign_transaction(base | fields).raw_transaction))


class Pair:
    """revm and geth at one head."""

    def __init__(self, first: Genesis, process: GethProcess) -> None:
        self.genesis = first
        self.native, self.first_block = first.executor()
        # Longer than a loaded machine needs: geth answers an empty block if it is asked too soon.
        self.geth = GethExecutor(process.engine, build_seconds=1.0)
        self.process = process
        self.head = self.first_block
        self.built = 0
        self.compared = 0
        self.transactions = 0
        assert self.geth.head_hash == self.first_block.hash, "block 0 is the same block"

    def nonce(self, sender: LocalAccount) -> int:
        """An account's nonce at the head."""
        return self.native.view(self.native.head_number).nonce(address(sender))

    def build(self, transactions: list[_native.Transaction], **choice: Any) -> _native.ExecutedBlock:
        """A block of ours on the head, and no other's: geth says why a block is invalid when it sees it first."""
        attributes = {
            "beneficiary": b"\xbe" * 20,
            "timestamp": self.head.timestamp + 1,
            "prev_randao": self.head.hash,
            "parent_beacon_block_root": bytes(32),
            "extra_data": b"",
        }
        self.built += 1
        chosen = attributes | choice
        extra_data = self.built.to_bytes(8) + bytes(chosen["extra_data"])[:24]
        return self.native.build(transactions, **(chosen | {"extra_data": extra_data}))

    def same(self, ours: Executed, theirs: Executed) -> None:
        """Check that both executed the same block to the same end."""
        assert theirs.block.hash == ours.block.hash
        assert theirs.block.encoded == ours.block.encoded
        assert theirs.encoded_receipts == ours.encoded_receipts
        self.compared += 1
        self.transactions += len(ours.block.transactions)

    def ours(self, transactions: list[_native.Transaction], **choice: Any) -> _native.ExecutedBlock:
        """A block of ours, that geth calls valid."""
        executed = self.build(transactions, **choice)
        self.same(executed, self.geth.import_block(executed.block.encoded))
        return executed

    def append(self, executed: _native.ExecutedBlock) -> None:
        """Make it the head of both."""
        raw = executed.block.encoded
        self.geth.append(self.geth.import_block(raw))
        self.native.append(executed)
        self.head = executed.block
