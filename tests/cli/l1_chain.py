"""Test only: a chain of one delegate with staking and governance that wait seconds, and key files of its accounts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import Request, urlopen

from eth_account import Account
from eth_hash.auto import keccak

from l1.chain.consensus_rules import ConsensusRules
from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.genesis_delegates import delegates_json
from l1.chain.system_contracts import with_contracts
from l1.consensus.parameters import DEVNET
from l1.governance.parameters import DAY, Parameters
from l1.nodes.keys import DEVNET_POWER, DelegateKeys, derive, save_keys
from l1.process import ChainProcess
from l1.staking.parameters import IIP_53, IOTX

SEED = b"the one delegate of these tests."
RICH = 10_000_000 * IOTX
VOTING_SECONDS = 12
"""Two commands and some on a busy machine must fit into the vote; the test then waits for its end."""


@dataclass(frozen=True)
class L1:
    """A running chain."""

    rpc: str
    folder: Path
    operator: DelegateKeys

    @property
    def operator_file(self) -> Path:
        return self.folder / "operator.key"

    def account(self, name: str) -> tuple[Path, str]:
        """Key file and address of a rich account."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text("0x" + keccak(name.encode()).hex() + "\n")
        return path, str(Account.from_key(keccak(name.encode())).address).lower()

    def head_time(self) -> int:
        """Seconds since the Unix epoch of the newest block: the time that the chain's contracts know."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]}
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(self.rpc, json.dumps(asked).encode(), headers), timeout=10) as answer:
            return int(json.load(answer)["result"]["timestamp"], 16)

    def registration(self, name: str) -> Path:
        """What `keygen` prints for a fresh delegate."""
        keys = derive(keccak(name.encode()), 1)[0]
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(delegates_json([keys.registration(1)])[0]))
        return path


@contextmanager
def running_chain(folder: Path, *, contracts: bool = True) -> Iterator[L1]:
    """Rich accounts are `alice`, `bob` and `carol`; the delegate has the default self-stake."""
    folder.mkdir(parents=True, exist_ok=True)
    (operator,) = derive(SEED, 1)
    data = folder / "chain"
    data.mkdir()
    (data / "delegates.seed").write_text(SEED.hex())
    save_keys(operator, folder / "operator.key")
    l1 = L1("", folder, operator)
    rich = {bytes.fromhex(l1.account(name)[1][2:]): GenesisAccount(balance=RICH) for name in ("alice", "bob", "carol")}
    rules = ConsensusRules(DEVNET.name, 50, 300, staking=replace(IIP_53, withdraw_wait=1, exit_epochs=1))
    genesis = Genesis(
        chain_id=4690,
        timestamp=int(time.time()),
        alloc={operator.address: GenesisAccount(balance=RICH)} | rich,
        delegates=(operator.registration(DEVNET_POWER),) if contracts else (),
        consensus=rules if contracts else None,
    )
    process = Parameters(support_period=DAY, voting_delay=1, voting_period=VOTING_SECONDS, time_lock=1)
    if contracts:
        genesis = with_contracts(genesis, process=process, period_floor=1)
    path = folder / "genesis.json"
    path.write_text(genesis.to_json())
    options = ("--min-interval", "0.05", "--block-time", "0.3", "--idle-blocks", "1")
    with ChainProcess(data, path, options=options) as node:
        yield replace(l1, rpc=node.rpc_url)
