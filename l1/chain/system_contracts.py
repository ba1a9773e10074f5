"""The contracts that a genesis with delegates has: staking, whose first candidates the delegates are, evidence of
equivocation, and governance."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from l1.chain.consensus_rules import ConsensusRules
from l1.chain.genesis import Genesis, GenesisAccount, GenesisInvalid
from l1.chain.staking_view import staking_call
from l1.governance import parameters as governance
from l1.governance.genesis import GOVERNANCE_ADDRESS, genesis_account
from l1.staking.contract import STAKING_ADDRESS
from l1.staking.evidence import EVIDENCE, EVIDENCE_ADDRESS
from l1.staking.genesis import REWARD_POOL, FirstCandidate, check_constants, first_votes, staking_account
from l1.staking.parameters import IIP_53
from native import _native

REQUEST_CONTRACTS: Final = {
    "EIP-7002": bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002"),
    "EIP-7251": bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"),
}
"""Where Prague's rules look for withdrawal and consolidation requests."""
NO_REQUESTS: Final = GenesisAccount(nonce=1, code=b"\x00")
"""A contract that stops at once: whoever calls it gets nothing, and a request cannot be made."""
LEAST_GAS_LIMIT = 1 << 25
"""Of a block on a chain with staking: an epoch ends with two system calls, each of up to 16,777,216 (EIP-7825)."""


def with_contracts(
    genesis: Genesis,
    *,
    pool: int = REWARD_POOL,
    process: governance.Parameters = governance.Parameters(),  # noqa: B008 - frozen
    period_floor: int = governance.DAY,
) -> Genesis:
    """The genesis with the contracts, under its own rules, or the default ones.

    Every delegate of the genesis becomes a candidate whose owner is its operator. What stood as its power is its
    self-stake, and the votes of that are its power.

    Parameters
    ----------
    process, period_floor
        Numbers of the governance process, and the least seconds of each of its periods.

    Raises
    ------
    GenesisInvalid
        Without delegates, where an account is in the way, or when a contract refuses a number or a delegate.
    """
    if not genesis.delegates:
        raise GenesisInvalid("delegates: staking needs some to begin with")
    rules = genesis.consensus or ConsensusRules()
    staking = rules.staking or IIP_53
    rules = replace(rules, staking=staking)
    assert rules.staking is not None, "it was given"
    for address in (STAKING_ADDRESS, EVIDENCE_ADDRESS, GOVERNANCE_ADDRESS):
        if address in genesis.alloc:
            raise GenesisInvalid(f"alloc.0x{address.hex()}: a contract of the chain has this address")
    first = [FirstCandidate(each.address, each.address, each.key, each.proof, each.power) for each in genesis.delegates]
    try:
        account = staking_account(rules.staking, first, genesis.timestamp, pool)
        code, storage = genesis_account(STAKING_ADDRESS, period_floor, process)
    except ValueError as error:
        raise GenesisInvalid(str(error)) from error
    alloc = dict(genesis.alloc)
    alloc[STAKING_ADDRESS] = GenesisAccount(account.balance, 1, account.code, account.storage)
    alloc[EVIDENCE_ADDRESS] = GenesisAccount(0, 1, EVIDENCE.deployed_code)
    alloc[GOVERNANCE_ADDRESS] = GenesisAccount(0, 1, code, storage)
    delegates = tuple(each._replace(power=first_votes(each.power)) for each in genesis.delegates)
    return with_request_contracts(replace(genesis, alloc=alloc, delegates=delegates, consensus=rules))


def with_request_contracts(genesis: Genesis) -> Genesis:
    """The genesis with the contracts that geth calls. A contract that it names already stays."""
    return replace(genesis, alloc=dict.fromkeys(REQUEST_CONTRACTS.values(), NO_REQUESTS) | dict(genesis.alloc))


def check_contracts(genesis: Genesis, state: _native.StateView) -> None:
    """Check that the first state holds what the rules promise. Raises GenesisInvalid.

    Parameters
    ----------
    state
        After block 0.
    """
    staking = genesis.consensus.staking if genesis.consensus else None
    if staking is None:
        return
    if genesis.gas_limit < LEAST_GAS_LIMIT:
        raise GenesisInvalid(f"gasLimit: {genesis.gas_limit} is below {LEAST_GAS_LIMIT}, which elections may need")
    try:
        check_constants(staking_call(state), staking)
    except (ValueError, RuntimeError) as error:
        raise GenesisInvalid(f"alloc.0x{STAKING_ADDRESS.hex()}: {error}") from error
    if not state.code(EVIDENCE_ADDRESS):
        raise GenesisInvalid(f"alloc.0x{EVIDENCE_ADDRESS.hex()}: the contract that keeps evidence must be here")
