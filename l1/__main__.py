"""`python -m l1`: run one node of the chain."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sqlite3
import sys
from pathlib import Path

from l1 import commands
from l1.chain.genesis import GenesisInvalid, load_genesis
from l1.chain.producer import ProducerSettings
from l1.chain.store import StoreError
from l1.consensus.delegates import MAX_DELEGATES
from l1.node import NodeSettings, run
from l1.nodes.devnet_genesis import with_devnet
from l1.nodes.keys import KeysError

_EPILOG = """\
example:
  echo '{"chainId": 4690, "alloc": {"0x<address>": {"balance": "1000000000000000000000"}}}' > genesis.json
  python -m l1 --data-dir ./chain --genesis genesis.json --port 8545
The node prints one JSON line {"rpc": "http://127.0.0.1:8545", ...} when it answers, and writes it to node.json in the
data folder. SIGTERM stops it. Start it again with the same --data-dir: no announced block is lost.
A chain of separate nodes, one a delegate: python -m l1 keygen, python -m l1 genesis, python -m l1 node (each --help).
The consensus on trial: python -m l1 simulate, python -m l1 modelcheck (each --help).
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m l1",
        description="Run a node of the W3bstream chain: Osaka EVM, Ethereum JSON-RPC, Roll-DPoS or one producer.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the chain, made if absent")
    parser.add_argument("--genesis", type=Path, help="genesis JSON; needed for a new folder")
    parser.add_argument(
        "--chain-id", type=commands.chain_id, help="EIP-155 chain id, must agree with the genesis (4690)"
    )
    parser.add_argument(
        "--delegates",
        type=int,
        default=0,
        help="a new chain whose blocks so many delegates decide, all in this process; the genesis names none (0)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=commands.port, default=0, help="TCP port, 0 takes a free one (0)")
    parser.add_argument("--allow-host", action="append", default=[], help="another HTTP Host name to answer")
    parser.add_argument(
        "--allow-origin", action="append", default=[], help="a web origin whose pages may call; repeatable (none)"
    )
    parser.add_argument("--block-time", type=commands.seconds, default=1.0, help="seconds, unit of --idle-blocks (1.0)")
    parser.add_argument(
        "--idle-blocks", type=commands.seconds, default=5.0, help="block times after which an empty block is made (5)"
    )
    parser.add_argument(
        "--min-interval", type=commands.seconds, default=0.25, help="least seconds between two blocks (0.25)"
    )
    parser.add_argument(
        "--finality-depth", type=commands.whole(0, 1 << 32), default=0, help="blocks from head to `finalized` (0)"
    )
    parser.add_argument("--beneficiary", default="0x" + "00" * 20, help="address that gets the tips")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and answer the exit status: 0 stopped by a signal, 2 bad arguments or data."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in commands.COMMANDS:
        return commands.run(arguments[0], arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=options.log_level)
    beneficiary = bytes.fromhex(options.beneficiary.removeprefix("0x")) if _is_address(options.beneficiary) else b""
    if not beneficiary:
        parser.error(f"--beneficiary: {options.beneficiary!r} is not an address of 20 bytes")
    if not 0 <= options.delegates <= MAX_DELEGATES:
        parser.error(f"--delegates: 0 to {MAX_DELEGATES}")
    if min(options.block_time, options.idle_blocks) <= 0 or min(options.min_interval, options.finality_depth) < 0:
        parser.error("--block-time and --idle-blocks are above 0, --min-interval and --finality-depth not below 0")
    try:
        genesis = None if options.genesis is None else load_genesis(options.genesis, options.chain_id)
        if options.delegates and genesis is not None and not genesis.delegates:
            genesis = with_devnet(genesis, options.data_dir, options.delegates)
        settings = NodeSettings(
            data_dir=options.data_dir,
            genesis=genesis,
            host=options.host,
            port=options.port,
            allowed_hosts=tuple(options.allow_host),
            allowed_origins=tuple(options.allow_origin),
            finality_depth=options.finality_depth,
            producer=ProducerSettings(
                min_interval=options.min_interval,
                idle_interval=options.block_time * options.idle_blocks,
                beneficiary=beneficiary,
            ),
        )
        asyncio.run(run(settings))
    except (GenesisInvalid, KeysError, StoreError, OSError, sqlite3.DatabaseError) as error:
        sys.stderr.write(f"python -m l1: {commands.one_line(error)}\n")
        return 2
    return 0


def _is_address(text: str) -> bool:
    digits = text.removeprefix("0x")
    return len(digits) == 40 and set(digits) <= set("0123456789abcdefABCDEF")


if __name__ == "__main__":
    sys.exit(main())
