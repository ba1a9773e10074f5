"""Our genesis as geth's genesis file: the same block 0, and Osaka's rules from it on.

geth calls the contracts of EIP-7002 and EIP-7251 at the end of each block and refuses a block of a chain without them
(both EIPs: a call to no code makes the block invalid). Our executor calls neither. So a chain that both shall execute has
code there that answers nothing (`with_request_contracts`): no request is ever made, and the state does not change.
"""

from __future__ import annotations

from typing import Any, Final

from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.system_contracts import NO_REQUESTS, REQUEST_CONTRACTS
from l1.engine.rpc import EngineError

# EIP-2935 and EIP-4788: our executor adds these contracts to every genesis that does not name them.
_SYSTEM_CONTRACTS: Final = {
    bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935"): GenesisAccount(
        nonce=1,
        code=bytes.fromhex(
            "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257"
            "611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
        ),
    ),
    bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"): GenesisAccount(
        nonce=1,
        code=bytes.fromhex(
            "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414"
            "603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
        ),
    ),
}
_BLOCK_FORKS: Final = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
)
_TIME_FORKS: Final = ("shanghai", "cancun", "prague", "osaka")
# Blobs do not exist on our chain, and the schedule is never used; geth wants one, with a maximum above zero (EIP-7918).
_BLOB_SCHEDULE: Final = {"target": 1, "max": 1, "baseFeeUpdateFraction": 5_007_716}


class GenesisUnfit(EngineError):
    """geth cannot execute the chain of this genesis; the message says why and what to do."""


def geth_genesis(genesis: Genesis) -> dict[str, Any]:
    """geth's genesis document. Raises GenesisUnfit, or GenesisInvalid where our own executor refuses it."""
    if genesis.forks:
        raise GenesisUnfit(
            f"geth cannot execute this chain: its genesis names the fork {min(genesis.forks)!r} of ours, whose native "
            "precompiles geth does not have. Leave config.w3bstream out of the genesis"
        )
    for name, address in REQUEST_CONTRACTS.items():
        account = genesis.alloc.get(address, GenesisAccount())
        if (account.code, account.storage) != (NO_REQUESTS.code, {}):
            raise GenesisUnfit(
                f"geth cannot execute this chain: its genesis needs the code 0x00 at 0x{address.hex()} ({name}). "
                "Every chain with staking has it, and python -m l1.engine adds it to the genesis of a new --data-dir"
            )
    _, first = genesis.executor()
    return {
        "config": {
            "chainId": genesis.chain_id,
            **{f"{name}Block": 0 for name in _BLOCK_FORKS},
            "terminalTotalDifficulty": 0,
            **{f"{name}Time": 0 for name in _TIME_FORKS},
            "blobSchedule": dict.fromkeys(_TIME_FORKS[1:], _BLOB_SCHEDULE),
        },
        "nonce": "0x0",
        "timestamp": hex(first.timestamp),
        "extraData": "0x" + first.extra_data.hex(),
        "gasLimit": hex(first.gas_limit),
        "difficulty": "0x0",
        "mixHash": "0x" + first.prev_randao.hex(),
        "coinbase": "0x" + first.beneficiary.hex(),
        "baseFeePerGas": hex(first.base_fee_per_gas),
        "alloc": {
            address.hex(): {
                "balance": hex(account.balance),
                "nonce": hex(account.nonce),
                "code": "0x" + account.code.hex(),
                "storage": {_word(slot): _word(value) for slot, value in account.storage.items()},
            }
            for address, account in (_SYSTEM_CONTRACTS | dict(genesis.alloc)).items()
        },
    }


def _word(value: int) -> str:
    return f"0x{value:064x}"
