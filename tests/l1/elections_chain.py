"""Test only: a chain with staking and short epochs, whose delegates' keys are all here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount
from l1_wallet import CHAIN_ID, RICH, key, sign

from l1.chain.blockchain import Blockchain
from l1.chain.consensus_rules import ConsensusRules
from l1.chain.duties import Duties, duties, system_transactions
from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.mempool import Mempool
from l1.chain.producer import ProducerSettings, build_block
from l1.chain.staking_view import staking_call
from l1.chain.system_contracts import with_contracts
from l1.consensus.schedule import proposer_index
from l1.nodes.devnet import Devnet
from l1.nodes.keys import DEVNET_POWER, DelegateKeys, derive
from l1.staking.contract import STAKING_ADDRESS, encode_call, encode_key, read_state
from l1.staking.parameters import IIP_53, IOTX, Parameters
from l1.staking.state import StakingState
from native import _native

EPOCH = 8
STAKING = replace(IIP_53, withdraw_wait=1, exit_epochs=1)
OPERATOR_WEI = 100 * IOTX


def elections_genesis(
    keys: Sequence[DelegateKeys], staking: Parameters = STAKING, poor: Sequence[bytes] = (), epoch: int = EPOCH
) -> Genesis:
    """These keys are the first delegates; operators in `poor` begin with nothing."""
    alloc = {bytes.fromhex(key(number).address[2:]): GenesisAccount(balance=RICH * 100) for number in range(1, 11)}
    alloc |= {each.address: GenesisAccount(balance=OPERATOR_WEI) for each in keys if each.address not in poor}
    plain = Genesis(
        chain_id=CHAIN_ID,
        alloc=alloc,
        timestamp=1_700_000_000,
        delegates=tuple(each.registration(DEVNET_POWER) for each in keys),
        consensus=ConsensusRules("devnet", 20, 20, epoch, staking),
    )
    return with_contracts(plain)


class Grower:
    """Makes blocks without votes, each by the proposer of its round 0, or by another one."""

    def __init__(self, chain: Blockchain, keys: Sequence[DelegateKeys]) -> None:
        self.chain = chain
        self.keys = {each.address: each for each in keys}

    def proposer(self) -> DelegateKeys:
        """Whose turn it is in round 0."""
        height = self.chain.head_number + 1
        delegates = self.chain.delegates_at(height)
        rules = self.chain.genesis.consensus
        assert rules is not None
        return self.keys[delegates.members[proposer_index(height, 0, len(delegates), rules.parameters())].address]

    def due(self, keys: DelegateKeys | None = None) -> Duties:
        return duties(self.chain, (keys or self.proposer()).address)

    def build(
        self, raw: Sequence[bytes] = (), keys: DelegateKeys | None = None, due: Duties | None = None
    ) -> _native.ExecutedBlock:
        chosen = keys or self.proposer()
        wanted = self.due(chosen) if due is None else due
        first = system_transactions(self.chain, chosen.operator, wanted)
        offered = [*first, *(_native.Transaction.decode(each) for each in raw)]
        return build_block(self.chain, offered, chosen.address, self.chain.head.block.timestamp + 1, wanted)

    def grow(self, raw: Sequence[bytes] = (), keys: DelegateKeys | None = None) -> _native.ExecutedBlock:
        executed = self.build(raw, keys)
        assert executed.outcomes == [None] * len(executed.outcomes)
        self.chain.commit(executed)
        return executed

    def to(self, height: int) -> None:
        while self.chain.head_number < height:
            self.grow()

    def state(self) -> StakingState:
        view = self.chain.view(self.chain.head_number)
        epoch = (self.chain.head_number - 1) // EPOCH + 1
        return read_state(staking_call(view), epoch, with_buckets=True)

    def nonce(self, account: LocalAccount) -> int:
        return self.chain.view(self.chain.head_number).nonce(bytes.fromhex(account.address[2:]))


def candidate_keys(number: int) -> DelegateKeys:
    """Keys of somebody whom no genesis names."""
    return derive(bytes([number]) * 32, 1)[0]


def account_of(keys: DelegateKeys) -> LocalAccount:
    account: LocalAccount = Account.from_key(keys.operator)
    return account


def registration(keys: DelegateKeys, owner: LocalAccount, nonce: int, stake: int = 3_000_000) -> bytes:
    """A candidate's registration with so many IOTX, signed by its owner."""
    named = keys.registration(0)
    point, proof = encode_key(named.key, named.proof)
    data = encode_call("register", keys.address, bytes.fromhex(owner.address[2:]), point, proof, 91, True)
    value = (stake + 100) * IOTX
    return sign(owner, CHAIN_ID, nonce, to=STAKING_ADDRESS, value=value, data=data, gas=3_000_000)


async def decide(chain: Blockchain, keys: Sequence[DelegateKeys], height: int, mempool: Mempool | None = None) -> None:
    """Run the embedded devnet until this height is decided."""
    devnet = Devnet(chain, mempool or Mempool(), keys, ProducerSettings(min_interval=0.01, idle_interval=0.02))
    running = asyncio.create_task(devnet.run())
    async with asyncio.timeout(60):
        while chain.head_number < height:
            assert not running.done(), running
            await asyncio.sleep(0.01)  # the devnet runs on this loop; there is no event to wait for
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def opened(folder: Path, genesis: Genesis | None) -> Blockchain:
    return Blockchain(folder, genesis)
