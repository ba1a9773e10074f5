"""The genesis of an embedded chain: delegates whose keys one folder holds, with staking and governance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from l1.chain.consensus_rules import ConsensusRules
from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.system_contracts import with_contracts
from l1.consensus.parameters import DEVNET
from l1.governance.parameters import DAY, Parameters
from l1.nodes.keys import DEVNET_POWER, devnet_keys

OPERATOR_WEI = 1_000 * 10**18
"""What each operator begins with: the gas of its system calls for longer than a devnet lives."""
GOVERNANCE = Parameters(support_period=DAY, voting_delay=30, voting_period=60, time_lock=30, grace_period=DAY)
"""A proposal goes through in minutes, where a network takes weeks."""


def with_devnet(genesis: Genesis, folder: Path, count: int, blocks_per_epoch: int = DEVNET.blocks_per_epoch) -> Genesis:
    """The genesis with so many delegates of equal self-stake, whose keys are those of `folder`.

    Raises
    ------
    KeysError
        When the folder's seed cannot be used.
    GenesisInvalid
        When the genesis has an account where a contract or an operator belongs.
    """
    keys = devnet_keys(folder, count)
    timing = DEVNET.timing
    operators = {each.address: GenesisAccount(balance=OPERATOR_WEI) for each in keys}
    named = replace(
        genesis,
        delegates=tuple(each.registration(DEVNET_POWER) for each in keys),
        consensus=ConsensusRules(DEVNET.name, timing.interval, timing.idle, blocks_per_epoch),
        alloc=operators | dict(genesis.alloc),
    )
    return with_contracts(named, process=GOVERNANCE, period_floor=1)
