"""What a chaos run starts: the service, `w3bstream up`, a webhook receiver and now and then a chain, each a process.

They die with the run. What the service starts by itself (NATS, Ray, mostly the chain) is found among its descendants.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from coordinator.api.auth import KEY_FILE
from coordinator.api.client import Client
from coordinator.chaos.faults import FaultKind
from coordinator.chaos.process_tree import Process, descendants, look
from coordinator.chaos.rpc_proxy import RpcProxy
from coordinator.chaos.wall_clock import WallClock
from coordinator.intake.nats_server import DIES_WITH_PARENT
from coordinator.service.embedded_chain import write_genesis
from coordinator.service.home import LOCK_FILE
from coordinator.settlement.signer import KeyFileSigner
from verifier.errors import Conflict, Unavailable

FOLDER = "chaos"
"""Folder in the home that makes it a chaos home; it holds the receiver's record and what the processes printed."""
_OPERATORS = (KEY_FILE, "ledger.db", LOCK_FILE, "api.json")
"""Files that an installation has made; with them and without `FOLDER` a home is somebody's own."""
_PARTS = {
    FaultKind.WORKER_KILLED: "ray::ProverWorker",
    FaultKind.WORKER_FROZEN: "ray::ProverWorker",
    FaultKind.RAYLET_KILLED: "raylet",
    FaultKind.NATS_KILLED: "nats-server",
    FaultKind.NATS_FROZEN: "nats-server",
    FaultKind.CHAIN_KILLED: "l1",
    FaultKind.CHAIN_FROZEN: "l1",
}
"""What a fault looks for among the service's descendants."""
_ITSELF = frozenset({FaultKind.COORDINATOR_KILLED, FaultKind.COORDINATOR_FROZEN})


def claim_home(home: Path) -> None:
    """Make `home` a chaos home. Raises Conflict (W3B-8101) when it is an operator's, Unavailable (W3B-8008)."""
    found = [name for name in _OPERATORS if (home / name).exists()]
    if found and not (home / FOLDER).is_dir():
        raise Conflict("W3B-8101", f"{home} holds {found[0]} of an installation that is not chaos's own", field="home")
    try:
        (home / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            "W3B-8008", f"the home folder {home} cannot be made: {error.strerror}", field="home"
        ) from error


def _spawn(command: Sequence[str], environment: Mapping[str, str], output: Path) -> subprocess.Popen[bytes]:
    """A process that gets SIGTERM when the thread that calls this ends (prctl(2), PR_SET_PDEATHSIG)."""
    launched = [sys.executable, "-I", "-S", "-c", DIES_WITH_PARENT, str(os.getpid()), *command]
    with output.open("ab") as sink:
        # A session of its own: Ctrl-C is for the run, which then ends its processes in order.
        return subprocess.Popen(
            launched, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )


class _Part:
    """One process, started, killed and frozen again and again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ended(self) -> int | None:
        """The exit status of the last start; None while it runs or was never started."""
        return self._process.poll() if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether its process is there; a frozen one is."""
        return self._process is not None and self._process.poll() is None

    def itself(self) -> Process | None:
        """Its process."""
        return look(self._process.pid) if self._process is not None and self.running else None

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()


class ServicePart(_Part):
    """The service.

    Parameters: `port` is the API's, the same over all restarts; `settings` are further variables without their prefix;
    `clock` is the wall clock that it and its children go by, None for the machine's.
    """

    def __init__(self, home: Path, port: int, settings: Mapping[str, str], clock: WallClock | None = None) -> None:
        super().__init__()
        self.home = home
        """Its home folder."""
        self._target = f"127.0.0.1:{port}"
        # What this user's shell sets for the installation of every day is not meant for this one.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("W3BSTREAM_", "RAY_"))}
        ours = {"HOME": str(home), "API_PORT": str(port), **settings}
        self._environment = kept | {f"W3BSTREAM_{name}": value for name, value in ours.items()}
        if clock is not None:
            self._environment = clock.environment(self._environment)

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        command = Path(sysconfig.get_path("scripts")) / "w3bstream"
        self._process = _spawn([str(command), "up"], self._environment, self.home / FOLDER / "service.out")

    def client(self, timeout: float = 20.0) -> Client:
        """An administrator's client; whether anybody answers shows in its calls."""
        return Client(self._target, (self.home / KEY_FILE).read_text().strip(), timeout=timeout)

    def targets(self, kind: FaultKind) -> list[Process]:
        """Which processes a fault may strike now; none while they are down."""
        itself = self.itself()
        if itself is None:
            return []
        if kind in _ITSELF:
            return [itself]
        wanted = _PARTS[kind]
        return [each for each in descendants(itself.pid) if _is(each, wanted)]

    async def stop(self, seconds: float) -> int | None:
        """SIGTERM and wait; the exit status, or None when it did not end within `seconds`."""
        if self._process is None:
            return None
        if self.running:
            self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill_all(self) -> None:
        """SIGKILL to it and everything that it started."""
        if (itself := self.itself()) is not None:
            below = descendants(itself.pid)
            self.kill()
            for each in below:
                each.send(signal.SIGKILL)


def _is(process: Process, wanted: str) -> bool:
    if wanted.startswith("ray::"):
        return process.command[0].startswith(wanted)
    if wanted == "l1":
        return process.command[1:3] == ("-m", "l1")
    return Path(process.command[0]).name == wanted


class ReceiverPart(_Part):
    """The webhook receiver, `python -m coordinator.chaos.receiver`. Parameters: `seed` draws which messages it fails."""

    def __init__(self, folder: Path, port: int, seed: int) -> None:
        super().__init__()
        self._folder, self._port, self._seed = folder, port, seed
        self.behave("ok")

    def url(self, project_id: int) -> str:
        """Where it listens for a project."""
        return f"http://127.0.0.1:{self._port}/{project_id}"

    def trust(self, secrets: Mapping[int, str]) -> None:
        """Tell it the endpoints' secrets by project."""
        self._write("secrets.json", json.dumps({str(project): secret for project, secret in secrets.items()}))

    def behave(self, mode: str) -> None:
        """`ok`, `failing` (500) or `slow SECONDS`."""
        self._write("mode", mode)

    def _write(self, name: str, text: str) -> None:
        draft = self._folder / f"{name}.new"
        draft.touch(mode=0o600)
        draft.write_text(text)
        draft.replace(self._folder / name)

    def start(self) -> None:
        """Start it, without waiting until it listens."""
        module = ["-m", "coordinator.chaos.receiver", str(self._folder), str(self._port), str(self._seed)]
        self._process = _spawn([sys.executable, *module], dict(os.environ), self._folder / "receiver.out")


DELEGATES = 4
"""Of the chain; few, so that the machine is the service's."""


class ChainPart(_Part):
    """The chain of the home folder, `python -m l1`, apart from the service, and the wire between the two.

    It is the chain that the service would run itself, on the same data. Parameters: `port` is the node's, the same over
    all restarts; `seed` draws what the wire loses.
    """

    def __init__(self, home: Path, port: int, seed: int) -> None:
        super().__init__()
        self._output = home / FOLDER / "chain.out"
        self._folder, self._port = home / "chain", port
        account = KeyFileSigner.at(home / "keys" / "coordinator.json").address
        self._genesis = write_genesis(self._folder, bytes.fromhex(account.removeprefix("0x")), DELEGATES)
        self.proxy = RpcProxy(port, seed)
        """What the service is given."""

    def start(self) -> None:
        """Start the node, without waiting until it listens."""
        where = ["--data-dir", str(self._folder), "--genesis", str(self._genesis), "--port", str(self._port)]
        self._process = _spawn([sys.executable, "-m", "l1", *where], dict(os.environ), self._output)

    def listens(self) -> bool:
        """Whether the node takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def end(self) -> None:
        """SIGKILL to the node; no more wire."""
        self.kill()
        self.proxy.close()
