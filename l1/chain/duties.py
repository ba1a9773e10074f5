"""What a block must contain besides its users' transactions; every node computes it from the state before the block.

Each block names the delegates that decide the next one (`extraData`). On a chain with staking it also pays the base fees
of its parent into the reward pool, as IoTeX does (iotex-core, `DepositGas`): Ethereum's rules burn them, so they come
back as a withdrawal (EIP-4895), which any Ethereum client executes. Two blocks of each epoch begin with a system call of
their proposer (`l1.staking.system_calls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import rlp
from coincurve import PrivateKey
from eth_hash.auto import keccak

from l1.chain.blockchain import Blockchain
from l1.chain.staking_view import staking_call
from l1.staking.contract import STAKING_ADDRESS, read_state
from l1.staking.parameters import Parameters
from l1.staking.system_calls import BlockHeaders, expected_system_calls
from native import _native

GWEI: Final = 10**9
SYSTEM_GAS: Final = 16_777_216
"""Gas limit of a system call: the most that a transaction may have (EIP-7825). What it does not use costs nothing."""

Withdrawal = tuple[int, int, bytes, int]
"""Index, validator index, address, amount in gwei."""


class DutyUndone(ValueError):
    """A block that lacks what it must contain, or cannot be made; the message names the field."""


@dataclass(frozen=True)
class Duties:
    """Of one block."""

    extra_data: bytes
    """Root of the delegate set that decides the block after it; empty on a chain without delegates."""
    withdrawals: tuple[Withdrawal, ...] = ()
    """What the chain itself pays after the transactions."""
    calls: tuple[bytes, ...] = ()
    """Call data of the transactions to the staking contract that the block begins with, sent by its beneficiary."""


def duties(chain: Blockchain, beneficiary: bytes) -> Duties:
    """Duties of the block after the head.

    Raises
    ------
    DutyUndone
        When the beneficiary has no seat, on a chain with staking.
    """
    due, staking = duties_of_nobody(chain), chain.staking
    if staking is None:
        return due
    return replace(due, calls=_calls(chain, staking, chain.head_number + 1, beneficiary))


def duties_of_nobody(chain: Blockchain) -> Duties:
    """What the block after the head contains whoever makes it: all but the system calls."""
    if not chain.genesis.delegates:
        return Duties(b"")
    height = chain.head_number + 1
    fees = () if chain.staking is None else _fees(chain, height)
    return Duties(chain.delegates_at(height + 1).root(), fees)


def _fees(chain: Blockchain, height: int) -> tuple[Withdrawal, ...]:
    """The parent's base fees in whole gwei; what is less stays burnt."""
    parent = chain.head.block
    amount = parent.base_fee_per_gas * parent.gas_used // GWEI
    return ((height, 0, STAKING_ADDRESS, amount),) if amount else ()


def _calls(chain: Blockchain, staking: Parameters, height: int, beneficiary: bytes) -> tuple[bytes, ...]:
    epoch = staking.epoch_of(height)
    polls, ends = height == staking.poll_height(epoch), height == staking.last_height(epoch)
    if not polls and not ends:
        return ()
    beneficiaries: list[bytes] = []
    if ends:
        beneficiaries = [*chain.beneficiaries(staking.first_height(epoch), height - 1), beneficiary]
    state = read_state(staking_call(chain.view(chain.head_number)), epoch)
    finalized = chain.hash_of(staking.first_height(epoch) - 1)
    try:
        return expected_system_calls(staking, state, BlockHeaders(height, beneficiaries, finalized))
    except ValueError as error:
        raise DutyUndone(f"beneficiary: {error}") from error


def check_duties(block: _native.Block, due: Duties) -> None:
    """Check what can be seen before the block is executed. Raises DutyUndone."""
    if block.extra_data != due.extra_data:
        raise DutyUndone(f"extraData is {block.extra_data.hex()}, not {due.extra_data.hex()}")
    if tuple(block.withdrawals) != due.withdrawals:
        raise DutyUndone(f"withdrawals are {_shown(block.withdrawals)}, not {_shown(due.withdrawals)}")
    if len(block.transactions) < len(due.calls):
        raise DutyUndone(f"transactions: the block must begin with {len(due.calls)} system calls")
    for position, (transaction, data) in enumerate(zip(block.transactions, due.calls, strict=False)):
        if transaction.sender != block.beneficiary or transaction.to != STAKING_ADDRESS or transaction.value:
            raise DutyUndone(f"transactions[{position}]: the beneficiary's system call must be here")
        if transaction.input != data:
            raise DutyUndone(f"transactions[{position}]: the system call says something else than the state")


def check_done(executed: _native.ExecutedBlock, due: Duties) -> None:
    """Check that every system call of an executed block succeeded. Raises DutyUndone."""
    for position, receipt in enumerate(executed.receipts[: len(due.calls)]):
        if not receipt.status:
            raise DutyUndone(f"transactions[{position}]: the system call failed")


def system_transactions(chain: Blockchain, operator: bytes, due: Duties) -> list[_native.Transaction]:
    """The system calls as signed transactions (EIP-1559), for the next block.

    Parameters
    ----------
    operator
        secp256k1 secret of the block's beneficiary, 32 bytes.

    Raises
    ------
    DutyUndone
        When the operator cannot pay the gas.
    """
    if not due.calls:
        return []
    key = PrivateKey(operator)
    sender = bytes(keccak(key.public_key.format(compressed=False)[1:])[12:])
    view, price = chain.view(chain.head_number), chain.next_base_fee
    needed, has = len(due.calls) * SYSTEM_GAS * price, view.balance(sender)
    if has < needed:
        raise DutyUndone(
            f"operator 0x{sender.hex()} has {has} wei, and the gas limits of this block's system calls come to {needed}: "
            "send it coins"
        )
    nonce = view.nonce(sender)
    return [
        signed_transaction(
            key,
            chain_id=chain.chain_id,
            nonce=nonce + at,
            tip=0,
            fee=price,
            gas=SYSTEM_GAS,
            to=STAKING_ADDRESS,
            data=data,
        )
        for at, data in enumerate(due.calls)
    ]


def signed_transaction(
    key: PrivateKey, *, chain_id: int, nonce: int, tip: int, fee: int, gas: int, to: bytes, data: bytes
) -> _native.Transaction:
    """A transaction of type 2 (EIP-1559) without value; `tip` and `fee` are wei a gas at most."""
    fields = [chain_id, nonce, tip, fee, gas, to, 0, data, []]
    digest = keccak(b"\x02" + rlp.encode(fields))
    signature = key.sign_recoverable(digest, hasher=None)
    r, s, parity = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    return _native.Transaction.decode(b"\x02" + rlp.encode([*fields, parity, r, s]))


def _shown(withdrawals: Sequence[Withdrawal]) -> str:
    return str([(index, validator, "0x" + address.hex(), gwei) for index, validator, address, gwei in withdrawals])
