"""`python -m l1 keygen`, `genesis` and `node`: from a delegate's keys to a chain of separate nodes."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from l1.chain.genesis import Genesis, GenesisAccount, GenesisInvalid, load_genesis, parse_genesis
from l1.chain.genesis_delegates import GenesisDelegate, delegates_json, parse_delegates
from l1.chain.genesis_delegates import GenesisDelegatesInvalid as DelegatesInvalid
from l1.chain.store import StoreError
from l1.nodes.assembly import SeparateSettings, parameters_of, run
from l1.nodes.delegate import Halted
from l1.nodes.keys import DEVNET_POWER, KeysError, generate, load_keys, save_keys
from l1.nodes.network import NetworkSettings, endpoints, parse_endpoint
from l1.nodes.wal import NAME, WalError, abandon

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
Everybody who runs a node needs the same file: compare the genesis hash that is printed. Blocks are decided by more than
two thirds of the delegates' power, so four of equal power go on when one fails, and three do not.
"""
_NODE_EPILOG = """\
example, a delegate that dials two others:
  python -m l1 node --data-dir ./alice --genesis genesis.json --key alice.key --listen 0.0.0.0:30400 \\
      --peer bob.example:30400 --peer carol.example:30400 --rpc-port 8545
without --key the node follows the chain and serves JSON-RPC, and casts nothing.
The node prints one JSON line {"rpc": ..., "listen": ...} when it answers, and writes it to node.json in the data folder.
SIGTERM stops it; start it again with the same --data-dir. Traffic between nodes is authenticated when they connect, and
not encrypted: run it over a private network, a VPN or TLS. Never start a delegate from a copy of its folder.
"""


class _Refused(Exception):
    """The command cannot be carried out; the message says why and what to do."""


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Run a chain as separate nodes.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (help_, epilog, add, _) in _COMMANDS.items():
        add(
            commands.add_parser(
                name,
                help=help_,
                description=help_,
                epilog=epilog.replace("python -m l1", prog),
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return parser


def _add_keygen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="key file to make, mode 0600; it must not be there yet")
    parser.add_argument("--power", type=int, default=DEVNET_POWER, help="votes, rau (2,000,000 IOTX)")


def _add_genesis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delegates", type=Path, nargs="+", required=True, help="what keygen printed, one file each, in proposer order"
    )
    parser.add_argument("--out", type=Path, required=True, help="genesis file to make; it must not be there yet")
    parser.add_argument("--base", type=Path, help="a genesis file without delegates to start from (none)")
    parser.add_argument("--chain-id", type=int, help="EIP-155 chain id (4690, or the base's)")
    parser.add_argument(
        "--fund", action="append", default=[], metavar="ADDRESS=WEI", help="an account's first balance; repeatable"
    )


def _add_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the chain, made if absent")
    parser.add_argument("--genesis", type=Path, help="genesis file; needed for a new folder")
    parser.add_argument("--key", type=Path, help="the delegate's key file; without it the node only watches")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT for other nodes, port 0 takes a free one")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT", help="a node to dial; repeatable")
    parser.add_argument("--rpc-host", default="127.0.0.1", help="address of JSON-RPC (127.0.0.1)")
    parser.add_argument("--rpc-port", type=int, default=0, help="its TCP port, 0 takes a free one (0)")
    parser.add_argument(
        "--allow-host", action="append", default=[], help="another HTTP Host name to answer; repeatable"
    )
    parser.add_argument("--interval", type=float, default=2.5, help="seconds from block to block, on all nodes (2.5)")
    parser.add_argument(
        "--idle", type=float, default=0.0, help="seconds more that a proposer waits for transactions, on all nodes (0)"
    )
    parser.add_argument(
        "--abandon-log",
        action="store_true",
        help=f"set {NAME} aside; watch until voting is safe, then vote with a new one",
    )
    parser.add_argument(
        "--vote-from",
        type=int,
        metavar="HEIGHT",
        help="with a new log: vote from this height on without waiting; only if this delegate never voted there",
    )
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def main(arguments: Sequence[str], prog: str = "python -m l1") -> int:
    """Parse, run, and answer the exit status: 0 done or stopped by a signal, 2 bad arguments, data or keys."""
    options = _parser(prog).parse_args(arguments)
    carry_out = _COMMANDS[options.command][3]
    try:
        carry_out(options)
    except (_Refused, DelegatesInvalid, GenesisInvalid, KeysError, StoreError, WalError, Halted, OSError) as error:
        sys.stderr.write(f"{prog} {options.command}: {error}\n")
        return 2
    return 0


def _keygen(options: argparse.Namespace) -> None:
    if options.power < 1:
        raise _Refused(f"--power: {options.power} is not 1 or more")
    keys = generate()
    try:
        save_keys(keys, options.out)
    except FileExistsError as error:
        raise _Refused(f"{options.out} is there already, and keys are not overwritten: name another --out") from error
    sys.stdout.write(json.dumps(delegates_json([keys.registration(options.power)])[0], indent=1) + "\n")


def _genesis(options: argparse.Namespace) -> None:
    base = Genesis(chain_id=4690) if options.base is None else load_genesis(options.base)
    if base.delegates:
        raise _Refused(f"{options.base} names delegates already: give a --base without them")
    delegates = tuple(_registration(each) for each in options.delegates)
    genesis = replace(
        base,
        chain_id=options.chain_id or base.chain_id,
        timestamp=base.timestamp or int(time.time()),
        delegates=delegates,
        alloc=dict(base.alloc) | _funds(options.fund),
    )
    parse_delegates(delegates_json(delegates))
    _, first = genesis.executor()
    try:
        with options.out.open("x", encoding="utf-8") as file:
            file.write(genesis.to_json() + "\n")
    except FileExistsError as error:
        raise _Refused(f"{options.out} is there already: name another --out") from error
    told = {"genesis_hash": "0x" + first.hash.hex(), "chain_id": genesis.chain_id, "delegates": len(delegates)}
    sys.stdout.write(json.dumps(told) + "\n")


def _registration(path: Path) -> GenesisDelegate:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _Refused(f"registration {path}: {error}. It is what `python -m l1 keygen` prints") from error
    try:
        return parse_delegates([document])[0]
    except DelegatesInvalid as error:
        raise _Refused(f"registration {path}: {error}. It is what `python -m l1 keygen` prints") from error


def _funds(texts: Sequence[str]) -> dict[bytes, GenesisAccount]:
    """Accounts of `ADDRESS=WEI`. Raises GenesisInvalid."""
    alloc = {}
    for text in texts:
        address, equals, wei = text.partition("=")
        if not equals:
            raise GenesisInvalid(f"--fund: {text!r} is not ADDRESS=WEI")
        alloc[address] = {"balance": wei}
    return dict(parse_genesis({"alloc": alloc}).alloc)


def _node(options: argparse.Namespace) -> None:
    try:
        host, port = parse_endpoint(options.listen)
        peers = endpoints(options.peer)
        parameters = parameters_of(options.interval, options.idle)
    except ValueError as error:
        raise _Refused(f"{error}: see python -m l1 node --help") from error
    logging.basicConfig(
        stream=sys.stderr, level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    keys = None if options.key is None else load_keys(options.key)
    log_path = options.data_dir / NAME
    if options.abandon_log:
        aside = abandon(log_path)
        sys.stderr.write(f"the log of votes was {'absent' if aside is None else f'set aside as {aside}'}\n")
    elif options.vote_from is not None and log_path.exists():
        raise _Refused(f"--vote-from is for a new log, and {log_path} is there: leave the option out")
    settings = SeparateSettings(
        data_dir=options.data_dir,
        genesis=None if options.genesis is None else load_genesis(options.genesis),
        keys=keys,
        network=NetworkSettings(host, port, peers),
        parameters=parameters,
        vote_from=options.vote_from,
        rpc_host=options.rpc_host,
        rpc_port=options.rpc_port,
        allowed_hosts=tuple(options.allow_host),
    )
    asyncio.run(run(settings))


_Add = Callable[[argparse.ArgumentParser], None]
_CarryOut = Callable[[argparse.Namespace], None]
_COMMANDS: Final[dict[str, tuple[str, str, _Add, _CarryOut]]] = {
    "keygen": ("Make a delegate's keys, and print its registration.", _KEYGEN_EPILOG, _add_keygen, _keygen),
    "genesis": ("Make a genesis from delegates' registrations.", _GENESIS_EPILOG, _add_genesis, _genesis),
    "node": ("Run a delegate, or a node that watches.", _NODE_EPILOG, _add_node, _node),
}
NAMES: Final = tuple(_COMMANDS)
"""The commands that `python -m l1` hands over."""
