"""Test only: the service as its users run it, `w3bstream up` in a process of its own, with a home folder of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import psutil
from web3 import Web3
from web3.contract import Contract

from coordinator.api.client import Client
from provers.programs_index import installed_programs
from provers.zkp.circom import CircomProver
from tests.patience import PATIENCE
from verifier.bindings import abi_of
from w3bstream.v1 import task_pb2

COMMAND = Path(sysconfig.get_path("scripts")) / "w3bstream"
READY = "The API listens on "
START_SECONDS = 120.0
STOP_SECONDS = 60.0
PART_SECONDS = 30.0
"""How long a part that died may take until it runs again."""
LINGERING = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's helpers outlive a Ray that was killed: for a minute they try to tell the cluster, which is gone, of its end."""
LINGER_SECONDS = 90.0
STATUS_NAME = {"ProjectRegistry": "registry", "Router": "router", "TemperatureDapp": "temperature_dapp"}
"""Contract to its name in the service's status."""
FINAL = task_pb2.TASK_STATE_FINAL


def until(holds: Callable[[], Any], seconds: float, what: str, every: float = 0.1) -> Any:
    """Wait until `holds()` is true, and return what it returned."""
    ends = time.monotonic() + seconds * PATIENCE
    while not (found := holds()):
        assert time.monotonic() < ends, f"not within {seconds:g} s: {what}"
        time.sleep(every)
    return found


def set_up_keys(basetemp: Path) -> Path:
    """The folder with compiled circuits and proving keys, made by the first who asks: 15 seconds or so.

    `basetemp` is the test run's temporary folder; the processes of one run (pytest-xdist) share what lies beside theirs.
    """
    folder = (basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp) / "proving-keys"
    prover = CircomProver(folder)  # its lock makes the others wait
    for program in installed_programs().values():
        if program.kind == prover.kind:
            prover.prepare(program, lambda stage, done: None)
    return folder


def with_keys(home: Path, keys: Path) -> Path:
    """A fresh home folder that shares only proving keys and compiled circuits with `keys`, never an account's key."""
    (home / "keys").mkdir(parents=True, mode=0o700)
    (home / "keys" / "groth16").symlink_to(keys / "keys" / "groth16")
    (home / "cache").symlink_to(keys / "cache")
    return home


def clean_environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what other tests may have set for Ray or the service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("W3BSTREAM_", "RAY_"))}
    # A start that takes little of the machine: one worker, and few delegates.
    own = {"PROVERS": "1", "CHAIN_DELEGATES": "4"} | dict(settings)
    return kept | {"W3BSTREAM_HOME": str(home)} | {f"W3BSTREAM_{name}": value for name, value in own.items()}


def outside_loopback(process: psutil.Process) -> tuple[set[str], list[tuple[str, str, int]]]:
    """Names of the processes of the tree that have an open door, and the doors that are not on loopback: listening TCP
    sockets and bound UDP ones."""
    names, outside = set(), []
    for each in [process, *process.children(recursive=True)]:
        try:
            connections = each.net_connections(kind="inet")
        except psutil.NoSuchProcess:  # a short-lived child
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN or (connection.type == 2 and not connection.raddr):
                names.add(each.name())
                address = ip_address(connection.laddr.ip)
                mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
                if not (mapped or address).is_loopback:
                    outside.append((each.name(), connection.laddr.ip, connection.laddr.port))
    return names, outside


class Installation:
    """One home folder and the service in it, which may be started and killed again and again.

    Parameters: `settings` are further variables of the service, without their prefix `W3BSTREAM_`; `environment` are
    others, by their whole names.
    """

    def __init__(
        self, home: Path, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self.output = home.parent / f"{home.name}.out"
        """What the service writes to standard output and standard error, over all its starts."""
        self._environment = clean_environment(home, settings or {}) | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._lingering: list[psutil.Process] = []

    @property
    def process(self) -> psutil.Process:
        """The service."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def start(self) -> None:
        """Start it and wait until its API listens."""
        seen = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as sink:
            self._process = subprocess.Popen(
                [str(COMMAND), "up"], env=self._environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        process = self._process

        def listens() -> bool:
            text = self.output.read_bytes()[seen:].decode()
            assert process.poll() is None, f"the service ended with {process.returncode}: {text[-4000:]}"
            return READY in text

        until(listens, START_SECONDS, "the API listens")

    def stop(self) -> None:
        """SIGTERM; require an orderly end that leaves no process behind. What lingers since a `kill` is ended here."""
        if self._process is None or self._process.poll() is not None:
            return
        children = self.process.children(recursive=True)
        self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        assert status == 0, f"ended with {status}: {self.output.read_text()[-4000:]}"
        self._require_gone(children, PART_SECONDS)
        for each in self._lingering:
            with suppress(psutil.NoSuchProcess):  # psutil looks whether it is still the same process
                each.kill()

    def require_nothing_lingers(self) -> None:
        """Require that what lingers since a `kill` ends by itself: within a minute or so."""
        self._require_gone(self._lingering, LINGER_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the service alone; require that its child processes end by themselves, those of `LINGERING` in
        their own time."""
        assert self._process is not None
        children = self.process.children(recursive=True)
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        until(lambda: all(map(self._is_helper, self._running(children))), PART_SECONDS, "the children of it end")
        self._lingering += self._running(children)

    @staticmethod
    def _is_helper(process: psutil.Process) -> bool:
        try:
            return process.cmdline()[:1] in [[name] for name in LINGERING]
        except psutil.NoSuchProcess:
            return False

    @staticmethod
    def _running(processes: list[psutil.Process]) -> list[psutil.Process]:
        """Those that have not ended."""
        found = []
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                    found.append(each)
        return found

    def _require_gone(self, processes: list[psutil.Process], seconds: float) -> None:
        psutil.wait_procs(processes, timeout=seconds)
        left = [each.cmdline()[:3] for each in self._running(processes)]
        assert not left, f"still running: {left}"

    def client(self) -> Client:
        """A client as a script on this machine makes one, with the first admin key."""
        target = json.loads((self.home / "api.json").read_text())["target"]
        return Client(target, (self.home / "admin.key").read_text().strip(), timeout=60.0)

    def child(self, *words: str) -> psutil.Process | None:
        """The service's own child whose command line has all of `words` as arguments or file names, if it runs."""
        for each in self.process.children():
            try:
                parts = {Path(part).name for part in each.cmdline()}
            except psutil.NoSuchProcess:
                continue
            if parts.issuperset(words) and each.status() != psutil.STATUS_ZOMBIE:
                return each
        return None

    def run_command(self, *arguments: str) -> str:
        """Run `w3bstream` as a user of this machine, require success, and return what it printed."""
        ran = subprocess.run(
            [str(COMMAND), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
        assert ran.returncode == 0, f"{arguments}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    @contextmanager
    def _ledger(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self.home / 'ledger.db'}?mode=ro", uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Rows of the ledger, read by SQLite itself, past the service's code."""
        with self._ledger() as connection:
            return connection.execute(query, values).fetchall()


class ChainView:
    """The chain as anybody with its RPC URL sees it, through web3.py and the committed ABIs."""

    def __init__(self, client: Client) -> None:
        status = client.get_status()
        self.rpc_url = status.chain_rpc_url
        """URL of JSON-RPC."""
        self.addresses = dict(status.contracts)
        """Address of each contract by its name in the service's status."""
        self.web3 = Web3(Web3.HTTPProvider(self.rpc_url, request_kwargs={"timeout": 30}))

    def contract(self, name: str) -> Contract:
        """A contract of the deployment."""
        address = Web3.to_checksum_address(self.addresses[STATUS_NAME[name]])
        return self.web3.eth.contract(address=address, abi=abi_of(name))

    def settlements(self, project_id: int) -> list[str]:
        """The task of each TaskSettled event of a project, as often as it occurs."""
        event = self.contract("Router").events.TaskSettled
        found = event.get_logs(from_block=0, argument_filters={"projectId": project_id})
        return ["0x" + log["args"]["taskId"].hex() for log in found]

    def totals(self, project_id: int) -> tuple[int, ...]:
        """(windows, count, sum, minimum, maximum, missing, duplicates, late, reordered) in the sample dApp."""
        return tuple(self.contract("TemperatureDapp").functions.totalsOf(project_id).call())
