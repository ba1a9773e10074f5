"""A geth of our own: one process on loopback with free ports, without peers, that ends with us.

State is kept by hash and never pruned (`--state.scheme hash --gcmode archive`): each block's state is written when the
block is, so a geth that was killed lacks a few blocks. By path, it would start from block 0 again.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from l1.chain.genesis import Genesis
from l1.engine.client import EngineClient
from l1.engine.genesis import geth_genesis
from l1.engine.rpc import SECRET_BYTES, EngineError, JsonRpc

VARIABLE: Final = "W3BSTREAM_GETH"
"""Environment variable that names geth's executable."""
_PR_SET_PDEATHSIG: Final = 1
# Loaded before the fork: between fork and exec a child may only make system calls.
_LIBC = ctypes.CDLL(None, use_errno=True)
# geth has no option that keeps it from listening for peers; its settings file has.
_SETTINGS: Final = '[Node.P2P]\nMaxPeers = 0\nNoDiscovery = true\nNoDial = true\nListenAddr = ""\n'
_TAIL_BYTES: Final = 8_000
_TAIL_LINES: Final = 10


@dataclass(frozen=True)
class GethSettings:
    """How to run geth."""

    executable: Path
    """geth."""
    data_dir: Path
    """Its folder, made if absent; one process at a time."""
    http_port: int = 0
    """TCP port of `eth_` methods for everybody on this machine; 0 takes a free one."""
    verbosity: int = 2
    """geth's log level: 0 silent to 5 detail; 2 is warnings."""
    start_timeout: float = 60.0
    """Seconds that it may take to answer."""


def find_geth(named: Path | None = None) -> Path:
    """geth's executable: the one named, that of `W3BSTREAM_GETH`, or the one on PATH. Raises EngineError."""
    wanted = str(named) if named is not None else os.environ.get(VARIABLE) or "geth"
    found = shutil.which(wanted)
    if found is None:
        raise EngineError(
            f"there is no geth at {wanted!r}. Build it: go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.8, "
            f"then name it with --geth, or in {VARIABLE} (docs/how-to/drive-geth.md)"
        )
    return Path(found)


class GethProcess:
    """A running geth. Constructing it waits until the Engine API answers; it dies with its parent.

    Linux ends it when the *thread* that started it ends: start it from a thread that lives as long as it should.
    """

    def __init__(self, genesis: Genesis, settings: GethSettings) -> None:
        """Make the folder if it is new, and start geth on it.

        Raises
        ------
        EngineError
            When it ends or stays silent; the message has the last lines of its log.
        """
        folder = settings.data_dir
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "geth.log"
        secret = _secret(folder / "jwt.hex")
        if not (folder / "geth" / "chaindata").exists():
            self._initialize(genesis, settings)
        (folder / "geth.toml").write_text(_SETTINGS, encoding="utf-8")
        engine_port = _free_port()
        http_port = settings.http_port or _free_port()
        # A socket's path has at most 104 bytes, and a data folder's may be longer. The folder is its owner's alone.
        self._sockets = Path(tempfile.mkdtemp(prefix="w3bstream-geth-"))
        own = self._sockets / "geth.ipc"
        self._process = _start(_command(genesis, settings, engine_port, http_port, own), self._log)
        self.engine = EngineClient(JsonRpc(f"http://127.0.0.1:{engine_port}", secret), own)
        """Its Engine API."""
        self.rpc_url = f"http://127.0.0.1:{http_port}"
        """Where its JSON-RPC answers everybody on this machine."""
        try:
            self._await(settings.start_timeout)
            self.engine.require_methods()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def require_running(self, within: float = 0.0) -> None:
        """Raises EngineError with the last lines of its log when it has ended, or ends in so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(within)
            raise EngineError(f"geth ended with status {status}; its last words: {self._tail()}")

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, wait, and return the exit status; SIGKILL after `timeout` seconds."""
        self.engine.rpc.close()
        if self.running:
            self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._ended()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running:
            self._process.kill()
        self._ended()

    def _ended(self) -> int:
        status = self._process.wait()
        shutil.rmtree(self._sockets, ignore_errors=True)
        return status

    def __enter__(self) -> GethProcess:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def _initialize(self, genesis: Genesis, settings: GethSettings) -> None:
        path = settings.data_dir / "genesis.json"
        path.write_text(json.dumps(geth_genesis(genesis)), encoding="utf-8")
        base = [str(settings.executable), "--datadir", str(settings.data_dir), "--state.scheme", "hash"]
        done = subprocess.run([*base, "init", str(path)], capture_output=True, check=False)
        if done.returncode:
            text = done.stderr[-_TAIL_BYTES:].decode(errors="replace").strip()
            raise EngineError(f"geth did not take the genesis (status {done.returncode}): {text}")

    def _await(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            self.require_running()
            try:
                self.engine.rpc.call("eth_chainId")
            except EngineError as error:
                if time.monotonic() > deadline:
                    raise EngineError(f"geth did not answer within {timeout} s: {error}; {self._tail()}") from error
                time.sleep(0.05)  # until it listens
            else:
                return

    def _tail(self) -> str:
        lines = self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:]) or "(none)"


def _command(genesis: Genesis, settings: GethSettings, engine_port: int, http_port: int, own: Path) -> list[str]:
    folder = settings.data_dir
    options = {
        "config": folder / "geth.toml",
        "datadir": folder,
        "networkid": genesis.chain_id,
        "state.scheme": "hash",
        "gcmode": "archive",
        "syncmode": "full",
        "cache": 256,
        "verbosity": settings.verbosity,
        "authrpc.addr": "127.0.0.1",
        "authrpc.port": engine_port,
        "authrpc.jwtsecret": folder / "jwt.hex",
        "ipcpath": own,
        "http.addr": "127.0.0.1",
        "http.port": http_port,
        "http.api": "eth,net,web3,txpool",
        "miner.gaslimit": genesis.gas_limit,
        # Reading the staking contract may take more gas than a block has; geth's limit in seconds stays.
        "rpc.gascap": 0,
        # As our own mempool: any tip will do. geth takes no smaller price than 1 wei.
        "miner.gasprice": 1,
        "txpool.pricelimit": 1,
        # Our chain has no blobs: the pool has room for none.
        "blobpool.datacap": 1,
    }
    named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [
        str(settings.executable),
        *named,
        "--http",
        "--nat",
        "none",
        "--nodiscover",
        "--snapshot=false",
    ]


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def die_with_parent() -> None:
        # Linux prctl(2). The parent may have died before the call took effect.
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as file:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            preexec_fn=die_with_parent,  # noqa: PLW1509
            # A group of its own: Ctrl-C is for the parent, which then ends geth when it is done with it.
            start_new_session=True,
        )


def _secret(path: Path) -> bytes:
    """The secret of the authenticated port, from the file, which is made if it is not there. Raises EngineError."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("0x" + secrets.token_hex(SECRET_BYTES) + "\n")
    try:
        raw = bytes.fromhex(path.read_text(encoding="ascii").strip().removeprefix("0x"))
    except (ValueError, OSError) as error:
        raise EngineError(f"{path} is no secret ({error}): delete it, and another is made") from error
    if len(raw) != SECRET_BYTES:
        raise EngineError(f"{path} is no secret of {SECRET_BYTES} bytes: delete it, and another is made")
    return raw


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
