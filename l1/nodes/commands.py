"""`python -m l1 keygen`, `genesis` and `node`: from a delegate's keys to a chain of separate nodes."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import logging
import socket
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from l1.chain.consensus_rules import ConsensusRules, RulesInvalid
from l1.chain.genesis import Genesis, GenesisAccount, GenesisInvalid, load_genesis, parse_genesis
from l1.chain.genesis_delegates import GenesisDelegate, delegates_json, parse_delegates
from l1.chain.genesis_delegates import GenesisDelegatesInvalid as DelegatesInvalid
from l1.chain.store import StoreError
from l1.chain.system_contracts import with_contracts
from l1.commands import Command, Refused, block_hash, chain_id, height, one_line, port, reason, seconds, whole
from l1.consensus.parameters import IIP_51, Parameters
from l1.nodes.assembly import SeparateSettings, parameters_of, run
from l1.nodes.bootstrap import CheckpointRefused
from l1.nodes.delegate import Halted
from l1.nodes.keys import DEVNET_POWER, KeysError, generate, load_keys, save_keys
from l1.nodes.network import NetworkSettings, endpoints, parse_endpoint
from l1.nodes.wal import NAME, WalError, abandon
from l1.staking.parameters import IOTX

_KEYGEN_EPILOG = """\
example:
  python -m l1 keygen --out alice.key > alice.json
alice.key holds two secrets: the operator's account, which also answers for the node when it connects, and the BLS key
that votes are signed with. Keep it on the machine that votes, and nowhere else: two nodes with one key contradict each
other, and the delegate is slashed. alice.json is public: it is what `python -m l1 genesis` takes.
"""
_GENESIS_EPILOG = """\
example:
  python -m l1 genesis --delegates alice.json bob.json carol.json dave.json --out genesis.json
Everybody who runs a node needs the same file: compare the genesis hash that is printed. The delegates are the first
candidates of the chain's staking contract, each with the self-stake that it registered; after the first epoch those whom
stakers elect decide. Blocks are decided by more than
two thirds of the delegates' power, so four of equal power go on when one fails, and three do not.
"""
_NODE_EPILOG = """\
example: a delegate that dials two others
  python -m l1 node --data-dir ./alice --genesis genesis.json --key alice.key --listen 0.0.0.0:30400 \\
      --peer bob.example:30400 --peer carol.example:30400 --rpc-port 8545
without --key the node follows the chain and serves JSON-RPC, and casts nothing.
The node prints one JSON line {"rpc": ..., "listen": ...} when it answers, and writes it to node.json in the data folder.
With --checkpoint HASH a new node fetches the state from its peers in place of every block since the first.
SIGTERM stops it; start it again with the same --data-dir. Traffic between nodes is authenticated when they connect, and
not encrypted: run it over a private network, a VPN or TLS. Never start a delegate from a copy of its folder.
"""

MAX_POWER: Final = 10**29
"""More than all coins there are (10^28 rau)."""


def _add_keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="key file to make, mode 0600; it must not be there yet")
    parser.add_argument(
        "--power",
        type=int,
        default=DEVNET_POWER,
        help="self-stake in the genesis, rau (2,000,000 IOTX); without staking, its votes themselves",
    )


def _add_genesis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delegates", type=Path, nargs="+", required=True, help="what keygen printed, one file each, in proposer order"
    )
    parser.add_argument("--out", type=Path, required=True, help="genesis file to make; it must not be there yet")
    parser.add_argument("--base", type=Path, help="a genesis file without delegates to start from (none)")
    parser.add_argument("--chain-id", type=chain_id, help="EIP-155 chain id (4690, or the base's)")
    parser.add_argument(
        "--fund", action="append", default=[], metavar="ADDRESS=WEI", help="an account's first balance; repeatable"
    )
    parser.add_argument("--interval", type=seconds, default=2.5, help="seconds from block to block (2.5)")
    parser.add_argument(
        "--idle", type=seconds, default=0.0, help="seconds more that a proposer waits for transactions (0)"
    )
    parser.add_argument(
        "--blocks-per-epoch",
        type=whole(1, 1 << 20),
        default=IIP_51.blocks_per_epoch,
        help="blocks that one elected set of delegates decides (1440, an hour of 2.5 s blocks)",
    )
    parser.add_argument(
        "--operator-iotx",
        type=whole(0, 10**20),
        default=1_000,
        help="first balance of each delegate's operator, IOTX, for the gas of its system calls (1000)",
    )
    parser.add_argument(
        "--without-staking",
        action="store_true",
        help="no staking, rewards, elections and governance: these delegates decide for ever",
    )


def _add_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the chain, made if absent")
    parser.add_argument("--genesis", type=Path, help="genesis file; needed for a new folder")
    parser.add_argument("--key", type=Path, help="the delegate's key file; without it the node only watches")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT for other nodes, port 0 takes a free one")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT", help="a node to dial; repeatable")
    parser.add_argument("--rpc-host", default="127.0.0.1", help="address of JSON-RPC (127.0.0.1)")
    parser.add_argument("--rpc-port", type=port, default=0, help="its TCP port, 0 takes a free one (0)")
    parser.add_argument(
        "--allow-host", action="append", default=[], help="another HTTP Host name to answer; repeatable"
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        help="seconds from block to block, the same on all nodes; only where the genesis has no consensus rules (2.5)",
    )
    parser.add_argument(
        "--idle", type=seconds, help="seconds more that a proposer waits for transactions; likewise (0)"
    )
    parser.add_argument(
        "--checkpoint",
        type=block_hash,
        metavar="HASH",
        help="a new folder begins at a snapshot that peers give, not at block 0: hash of a block that you know from a "
        "source you trust, at most three days old",
    )
    parser.add_argument(
        "--abandon-log",
        action="store_true",
        help=f"set {NAME} aside; watch until voting is safe, then vote with a new one",
    )
    parser.add_argument(
        "--vote-from",
        type=height,
        metavar="HEIGHT",
        help="with a new log: vote from this height on without waiting; only if this delegate never voted there",
    )
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def _keygen(options: argparse.Namespace) -> int:
    if not 1 <= options.power <= MAX_POWER:
        raise Refused(f"--power: {options.power} is not a number of rau from 1 to {MAX_POWER}")
    keys = generate()
    try:
        save_keys(keys, options.out)
    except FileExistsError as error:
        raise Refused(f"{options.out} is there already, and keys are not overwritten: name another --out") from error
    except OSError as error:
        raise _unwritable(options.out, error) from error
    registration = delegates_json([keys.registration(options.power)])[0]
    sys.stdout.write(json.dumps(registration, indent=None if options.json else 1) + "\n")
    return 0


def _genesis(options: argparse.Namespace) -> int:
    base = Genesis(chain_id=4690) if options.base is None else load_genesis(options.base)
    if base.delegates:
        raise Refused(f"{options.base} names delegates already: give a --base without them")
    delegates = tuple(_registration(each) for each in options.delegates)
    parse_delegates(delegates_json(delegates))
    alloc = dict(base.alloc) | _funds(options.fund)
    if not options.without_staking:
        operator = GenesisAccount(balance=options.operator_iotx * IOTX)
        alloc = {each.address: operator for each in delegates} | alloc
    genesis = replace(
        base,
        chain_id=options.chain_id or base.chain_id,
        timestamp=base.timestamp or int(time.time()),
        delegates=delegates,
        alloc=alloc,
        consensus=_rules(options, base),
    )
    if not options.without_staking:
        genesis = with_contracts(genesis)
    _, first = genesis.executor()
    try:
        with options.out.open("x", encoding="utf-8") as file:
            file.write(genesis.to_json() + "\n")
    except FileExistsError as error:
        raise Refused(f"{options.out} is there already: name another --out") from error
    except OSError as error:
        raise _unwritable(options.out, error) from error
    told = {"genesis_hash": "0x" + first.hash.hex(), "chain_id": genesis.chain_id, "delegates": len(delegates)}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _rules(options: argparse.Namespace, base: Genesis) -> ConsensusRules:
    if base.consensus:
        return base.consensus
    try:
        return ConsensusRules(
            interval=round(options.interval * 1000),
            idle=round(options.idle * 1000),
            blocks_per_epoch=options.blocks_per_epoch,
        )
    except RulesInvalid as error:
        raise Refused(f"{error}: see --interval, --idle and --blocks-per-epoch") from error


def _asked_parameters(options: argparse.Namespace) -> Parameters | None:
    """What --interval and --idle say, or None without them. Raises ValueError."""
    if options.interval is None and options.idle is None:
        return None
    return parameters_of(2.5 if options.interval is None else options.interval, options.idle or 0)


def _unwritable(path: Path, error: OSError) -> Refused:
    what = f"its folder {path.parent} is not there" if isinstance(error, FileNotFoundError) else error.strerror
    return Refused(f"{path} cannot be written: {what}: name another --out")


def _registration(path: Path) -> GenesisDelegate:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Refused(f"registration {path}: {reason(error)}. It is what `python -m l1 keygen` prints") from error
    try:
        return parse_delegates([document])[0]
    except DelegatesInvalid as error:
        raise Refused(f"registration {path}: {error}. It is what `python -m l1 keygen` prints") from error


def _funds(texts: Sequence[str]) -> dict[bytes, GenesisAccount]:
    """Accounts of `ADDRESS=WEI`. Raises GenesisInvalid."""
    alloc = {}
    for text in texts:
        address, equals, wei = text.partition("=")
        if not equals:
            raise GenesisInvalid(f"--fund: {text!r} is not ADDRESS=WEI")
        alloc[address] = {"balance": wei}
    return dict(parse_genesis({"alloc": alloc}).alloc)


def _node(options: argparse.Namespace) -> int:
    try:
        host, listen = parse_endpoint(options.listen)
        peers = endpoints(options.peer)
        parameters = _asked_parameters(options)
    except ValueError as error:
        raise Refused(f"{error}: see python -m l1 node --help") from error
    logging.basicConfig(
        stream=sys.stderr, level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    keys = None if options.key is None else load_keys(options.key)
    log_path = options.data_dir / NAME
    if options.abandon_log:
        aside = abandon(log_path)
        sys.stderr.write(f"the log of votes was {'absent' if aside is None else f'set aside as {aside}'}\n")
    elif options.vote_from is not None and log_path.exists():
        raise Refused(f"--vote-from is for a new log, and {log_path} is there: leave the option out")
    settings = SeparateSettings(
        data_dir=options.data_dir,
        genesis=None if options.genesis is None else load_genesis(options.genesis),
        keys=keys,
        network=NetworkSettings(host, listen, peers),
        parameters=parameters,
        vote_from=options.vote_from,
        checkpoint=options.checkpoint,
        rpc_host=options.rpc_host,
        rpc_port=options.rpc_port,
        allowed_hosts=tuple(options.allow_host),
    )
    try:
        asyncio.run(run(settings))
    except sqlite3.DatabaseError as error:
        raise Refused(
            f"{settings.data_dir}/chain.sqlite is damaged ({error}): choose another --data-dir and follow the chain anew"
        ) from error
    except OSError as error:
        if error.filename is None and error.errno in _CANNOT_LISTEN:
            raise Refused(f"{one_line(error)}: name another port or address with --listen or --rpc-port") from error
        raise
    return 0


_CANNOT_LISTEN: Final = {
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    socket.EAI_NONAME,
    socket.EAI_AGAIN,
    socket.EAI_NODATA,
}
_REFUSALS: Final = (Refused, DelegatesInvalid, GenesisInvalid, KeysError, StoreError, WalError, OSError)

KEYGEN: Final = Command(_add_keygen, _keygen, "Make a delegate's keys, and print its registration.", _KEYGEN_EPILOG)
"""`keygen`."""
GENESIS: Final = Command(
    _add_genesis, _genesis, "Make a genesis from delegates' registrations.", _GENESIS_EPILOG, _REFUSALS
)
"""`genesis`."""
NODE: Final = Command(
    _add_node, _node, "Run a delegate, or a node that watches.", _NODE_EPILOG, (*_REFUSALS, CheckpointRefused, Halted)
)
"""`node`."""
