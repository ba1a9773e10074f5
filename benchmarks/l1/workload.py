"""The transactions that every executor gets: calls of a contract that counts them, from twenty senders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import rlp
from eth_account import Account
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

CHAIN_ID = 4690
GAS_LIMIT = 60_000_000
"""Of a block, everywhere."""
FUNDS = 10**24
"""Wei of each sender at the start."""
SENDERS = [Account.from_key(number.to_bytes(32, "big")) for number in range(1, 21)]
_FEES = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**9, "chainId": CHAIN_ID, "value": 0}
# Slot 0 += 1; LOG1 with the new value as topic and data; returns it.
_RUNTIME = "5f54600101805f55805f5260205fa160205ff3"
_INIT = f"60{len(_RUNTIME) // 2:02x}600b5f3960{len(_RUNTIME) // 2:02x}5ff300" + _RUNTIME
COUNTER = to_checksum_address(keccak(rlp.encode([bytes.fromhex(SENDERS[0].address[2:]), 0]))[12:])
"""Address of the contract that the first sender's first transaction makes."""


@dataclass(frozen=True)
class Workload:
    """Signed transactions in the order in which they are sent."""

    rounds: int
    """Rounds, the warm-up among them."""
    calls: int
    """Calls of the counter in one round."""

    @cached_property
    def deployment(self) -> bytes:
        """Makes the counter: one SSTORE and one log a call."""
        return _signed(0, nonce=0, gas=500_000, data="0x" + _INIT)

    @cached_property
    def of_rounds(self) -> list[list[bytes]]:
        """The calls of each round; senders take turns."""
        found = []
        for number in range(self.rounds):
            first = number * self.calls
            found.append([_call(index) for index in range(first, first + self.calls)])
        return found


def _call(index: int) -> bytes:
    turn, sender = divmod(index, len(SENDERS))
    return _signed(sender, nonce=turn + (sender == 0), gas=60_000, to=COUNTER)


def _signed(sender: int, **fields: int | str) -> bytes:
    return bytes(SENDERS[sender].sign_transaction(_FEES | fields).raw_transaction)
