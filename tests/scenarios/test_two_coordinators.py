"""What must hold: of two coordinators on one PostgreSQL one leads; when it is stopped for a while (SIGSTOP), and when it
is killed, the other goes on; when NATS, which both share, is killed, both go on once it is back; every accepted reading
is in exactly one window, every task settles once, each keeps one webhook-id, and the one that was stopped writes nothing
more when it wakes up."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from eth_utils.address import to_checksum_address

from coordinator.api.client import Client
from coordinator.intake.nats_server import server_binary
from coordinator.settlement.signer import KeyFileSigner
from l1.process import ChainProcess
from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from tests.e2e.webhook_listener import Listener
from verifier.errors import Unavailable

VALUES = temperatures(64)
LEASE_SECONDS = 8
TAKEN_OVER_SECONDS = 90.0
PROVING_SECONDS = 240.0
"""Ray starts anew with each leader; on a busy machine only after some tries."""
NATS = """
listen: 127.0.0.1:{port}
max_payload: 65536
jetstream {{ store_dir: {store}, sync_interval: always }}
"""


class OnPostgres(Installation):
    """An installation whose ledger is on PostgreSQL; its client has the first coordinator's admin key."""

    def __init__(self, home: Path, settings: dict[str, str], admin_key: Path) -> None:
        super().__init__(home, settings)
        self._ledger_url = settings["LEDGER_URL"]
        self._admin_key = admin_key

    def client(self) -> Client:
        target = json.loads((self.home / "api.json").read_text())["target"]
        return Client(target, self._admin_key.read_text().strip(), timeout=60.0)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Rows of the ledger, read by the driver itself, past the service's code."""
        for number in range(1, len(values) + 1):
            query = query.replace("?", f"${number}", 1)

        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self._ledger_url)
            try:
                return list(await connection.fetch(query, *values))
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def pause(self) -> None:
        """SIGSTOP to the service alone: its workers go on."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def says(self) -> str:
        """What the service says about who leads."""
        with self.client() as client:
            return next(part.detail for part in client.get_status().components if part.name == "leader")

    def leads(self) -> bool:
        """Whether it says that itself does."""
        return f":{self.process.pid}, this one" in self.says()


class OwnNats:
    """A NATS server that belongs to nobody's service."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self._configuration = folder / "nats.conf"
        self._configuration.write_text(NATS.format(port=self._port, store=json.dumps(str(folder / "streams"))))
        self.url = f"nats://127.0.0.1:{self._port}"
        self.start()

    def _listens(self) -> bool:
        with socket.socket() as found:
            return found.connect_ex(("127.0.0.1", self._port)) == 0

    def start(self) -> None:
        """Start it on what it has stored, and wait until it listens."""
        command = [str(server_binary()), "--config", str(self._configuration)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._listens, 30, "NATS listens")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(30)


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[OwnNats]:
    made = OwnNats(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def homes(tmp_path: Path, keys: Path) -> tuple[Path, Path]:
    """Two home folders whose coordinators sign with one account."""
    first, second = (with_keys(tmp_path / name, keys) for name in ("first", "second"))
    KeyFileSigner.at(first / "keys" / "coordinator.json")
    shutil.copy2(first / "keys" / "coordinator.json", second / "keys" / "coordinator.json")
    return first, second


@pytest.fixture
def rpc_url(tmp_path: Path, homes: tuple[Path, Path]) -> Iterator[str]:
    """A chain that belongs to nobody's service, on which the coordinators' account has funds."""
    account = to_checksum_address(KeyFileSigner.at(homes[0] / "keys" / "coordinator.json").address)
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps({"chainId": 4690, "alloc": {account: {"balance": str(10**24)}}}))
    node = ChainProcess(tmp_path / "chain", genesis)
    yield node.rpc_url
    node.stop()


@pytest.fixture
def pair(
    homes: tuple[Path, Path], nats_server: OwnNats, rpc_url: str, postgresql_url: str
) -> Iterator[tuple[OnPostgres, OnPostgres]]:
    """Two coordinators that share everything but the home folder, not started."""
    settings = {
        "LEDGER_URL": postgresql_url,
        "NATS_URL": nats_server.url,
        "CHAIN_RPC_URL": rpc_url,
        "LEADER_SECONDS": str(LEASE_SECONDS),
        "ALLOW_LOOPBACK_WEBHOOKS": "true",
        "PROVERS": "1",
    }
    made = tuple(OnPostgres(home, settings, homes[0] / "admin.key") for home in homes)
    yield made[0], made[1]
    for each in made:
        each.stop()


def proving(one: OnPostgres, project: int) -> bool:
    """Whether a worker of this home proves a task of the project."""
    home = (one.home / "home.id").read_text().strip()
    rows = one.rows(
        "select attempt.id from attempt join task on task.id = task_id join prover on prover.id = prover_id "
        "where project_id = ? and attempt.state = 'PROVING' and prover.home = ?",
        project,
        home,
    )
    return bool(rows)


def terms(one: OnPostgres) -> int:
    """How many terms there were."""
    ((fence,),) = one.rows("select fence from leadership")
    return int(fence)


def ingest_while_nats_is_away(client: Client, nats: OwnNats, messages: list[bytes]) -> None:
    """NATS is killed with the readings half sent; the device sends all of them again until they are acknowledged."""
    client.ingest(messages[: len(messages) // 2])
    nats.kill()
    with pytest.raises(Unavailable) as away:
        client.ingest(messages, timeout=5)
    assert away.value.code in {"W3B-1008", "W3B-7012"}
    nats.start()

    def sent() -> bool:
        try:
            summary = client.ingest(messages)
        except Unavailable:
            return False
        assert (summary.accepted + summary.duplicates, summary.refused) == (len(messages), 0)
        return True

    until(sent, TAKEN_OVER_SECONDS, "NATS is back")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_coordinators(pair: tuple[OnPostgres, OnPostgres], nats_server: OwnNats) -> None:
    first, second = pair
    first.start()
    second.start()
    assert first.leads()
    assert not second.leads()
    assert "standing by" in second.says()
    with Listener() as listener, second.client() as client:
        project = WeatherProject(client, "two-coordinators")
        client.create_webhook(project.id, listener.url)
        client.ingest(project.sign(VALUES[:32]))
        until(lambda: proving(first, project.id), PROVING_SECONDS, "the first one's worker proves", every=0.05)
        first.pause()
        until(second.leads, TAKEN_OVER_SECONDS, "the second one leads")
        assert terms(second) == 2
        wait_final(client, project.id, 2, PROVING_SECONDS)
        first.wake()
        until(lambda: not first.leads(), TAKEN_OVER_SECONDS, "the first one knows that it does not lead")
        with first.client() as other:  # who stands by serves the API as well
            ingest_while_nats_is_away(other, nats_server, project.sign(VALUES[32:]))
        until(lambda: proving(second, project.id), PROVING_SECONDS, "the second one's worker proves", every=0.05)
        killed_at = time.time()
        second.kill()
        until(first.leads, TAKEN_OVER_SECONDS, "the first one leads again")
        print(f"taken over {time.time() - killed_at:.1f} s after SIGKILL, status included")
        with first.client() as other:
            tasks = wait_final(other, project.id, 4, PROVING_SECONDS)
        until(lambda: len({got.id for got in listener.got}) >= 4, 60, "a webhook for each task")
    assert terms(first) == 3
    require_exactly_once(first, project.id, VALUES)
    messages = first.rows("select id, subject from webhook_message where project_id = ?", project.id)
    assert sorted(row["subject"] for row in messages) == sorted(task.id for task in tasks)
    assert {got.id for got in listener.got} == {row["id"] for row in messages}
    proofs = first.rows("select task_id from attempt where state = 'VERIFIED'")
    assert sorted(row["task_id"] for row in proofs) == sorted(task.id for task in tasks)
    nonces = first.rows("select nonce from outbox_tx where nonce is not null")
    assert len({row["nonce"] for row in nonces}) == len(nonces)
