"""`python -m l1.engine`: delegates in one process, and geth."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from l1.chain.genesis import GenesisInvalid, load_genesis
from l1.chain.store import StoreError
from l1.commands import REFUSED, Command, Refused, chain_id, one_line, port, seconds, whole
from l1.consensus.delegates import MAX_DELEGATES
from l1.engine.host import LEAST_INTERVAL, Host, HostSettings
from l1.engine.process import VARIABLE, find_geth
from l1.engine.rpc import EngineError
from l1.nodes.keys import KeysError
from l1.serving import run_until_stopped

_DESCRIPTION: Final = "Run a chain whose delegates decide, by Roll-DPoS, blocks that geth builds and executes."
_EPILOG: Final = f"""\
geth is not part of this program: go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.8 builds one.
example, a new chain of four delegates:
  echo '{{"chainId": 4690, "alloc": {{"0x<address>": {{"balance": "1000000000000000000000"}}}}}}' > genesis.json
  python -m l1.engine --data-dir ./chain --genesis genesis.json --delegates 4 --geth ~/go/bin/geth
It prints one JSON line {{"rpc": "http://127.0.0.1:...", "geth": ..., "head": ...}} when it answers, and writes it to
node.json in the data folder. At "rpc" geth's eth_, net_ and web3_ methods answer, and w3b_ methods with the certificates;
"geth" is geth's own port. SIGTERM stops both. Start it again with the same --data-dir: certificates are checked again,
and a geth that fell behind gets its blocks from the store.
Blocks must not call a native precompile (0x...573301 to 04): geth has none, and would compute another state.
Without --geth the environment variable {VARIABLE} or PATH names geth. See docs/how-to/drive-geth.md.
"""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the chain and of geth, made if absent")
    parser.add_argument("--geth", type=Path, help=f"geth's executable ({VARIABLE}, or geth on PATH)")
    parser.add_argument("--genesis", type=Path, help="genesis JSON for a new folder (one without accounts)")
    parser.add_argument("--chain-id", type=chain_id, help="EIP-155 chain id, must agree with the genesis (4690)")
    parser.add_argument(
        "--delegates",
        type=whole(1, MAX_DELEGATES),
        default=4,
        help="delegates of a new chain whose genesis names none, all in this process (4)",
    )
    parser.add_argument(
        "--interval", type=seconds, default=LEAST_INTERVAL, help="least seconds between two blocks, 1 or more (1.0)"
    )
    parser.add_argument("--idle", type=seconds, default=5.0, help="seconds after which an empty block is made (5.0)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=port, default=0, help="TCP port, 0 takes a free one (0)")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def _run(options: argparse.Namespace) -> int:
    if options.interval < LEAST_INTERVAL:
        raise Refused(f"--interval: {LEAST_INTERVAL} or more, geth takes no two blocks of one second")
    if options.idle <= 0:
        raise Refused("--idle: above 0")
    logging.basicConfig(stream=sys.stderr, level=options.log_level)
    settings = HostSettings(
        data_dir=options.data_dir,
        geth=find_geth(options.geth),
        genesis=None if options.genesis is None else load_genesis(options.genesis, options.chain_id),
        delegates=options.delegates,
        interval=options.interval,
        idle=options.idle,
        host=options.host,
        port=options.port,
    )
    asyncio.run(run_until_stopped(Host(settings), options.data_dir))
    return 0


GETH: Final = Command(
    _options, _run, _DESCRIPTION, _EPILOG, (Refused, EngineError, GenesisInvalid, KeysError, StoreError, OSError)
)
"""Delegates and geth."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and answer the exit status: 0 stopped by a signal, 2 bad arguments, data or geth."""
    parser = argparse.ArgumentParser(
        prog="python -m l1.engine",
        description=GETH.description,
        epilog=GETH.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    GETH.options(parser)
    parser.add_argument("--json", action="store_true", help="what was wrong as one line of JSON")
    options = parser.parse_args(arguments)
    try:
        return GETH.carry_out(options)
    except GETH.refusals as error:
        told = one_line(error)
        text = json.dumps({"error": {"message": told}}) if options.json else f"{parser.prog}: {told}"
        sys.stderr.write(text + "\n")
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
