"""A whole API on a loop of its own thread: real ledger, real server, and on request real NATS and intake."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from coordinator.api.auth import ALL_SCOPES, bootstrap_admin_key
from coordinator.api.client import Client
from coordinator.api.server import ApiServer
from coordinator.api.surroundings import ComponentStatus
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.jobs.runner import JobRunner
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeviceRow, ProjectRow, ProjectVersionRow, TaskRow
from coordinator.projects.example import example
from coordinator.projects.file import ProjectFile
from coordinator.settings import Settings
from tests.databases import catch_up_ids
from verifier.bindings import Deployment
from verifier.reading import DeviceKey, KeyType

Result = TypeVar("Result")
OUTPUTS = ["uint32 count", "int64 sum", "int32 minimum", "int32 maximum"]


@dataclass(frozen=True)
class Prepared:
    """A program that is ready."""

    program_id: bytes = b"\x05" * 32
    verifier: bytes = b"\x06" * 20


@dataclass
class Site:
    """The installation around the API: a deployment that no chain needs to hold here."""

    deployment: Deployment = field(
        default_factory=lambda: Deployment(4690, 1, *(f"0x{number:040x}" for number in range(1, 6)))
    )
    chain_rpc_url: str = "http://127.0.0.1:8545"
    owner: bytes = b"\x07" * 20
    parts: list[ComponentStatus] = field(default_factory=lambda: [ComponentStatus("ledger", True, "42 tasks")])

    async def prepare(self, file: ProjectFile) -> Mapping[str, Prepared]:
        """Every program at once."""
        return {part.kind: Prepared() for part in file.model.programs}

    async def components(self) -> Sequence[ComponentStatus]:
        """As the test set them."""
        return self.parts


class Live:
    """The running API and what a test needs to look behind it.

    Parameters: `ledger_url` is a ledger of its own; SQLite in `home` when it is empty.
    """

    def __init__(self, home: Path, ledger_url: str = "") -> None:
        home.mkdir(mode=0o700, exist_ok=True)
        self.home = home
        self.settings = Settings(home=home, ledger_url=ledger_url, api_host="127.0.0.1", api_port=0)
        self.site = Site()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.ledger: Ledger
        self.server: ApiServer
        self.intake: Intake
        self.runner: JobRunner
        self.target = ""
        self.admin_key = ""

    def run(self, work: Coroutine[Any, Any, Result], seconds: float = 60.0) -> Result:
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def client(self, key: str | None = None, timeout: float = 30.0) -> Client:
        """A client with the admin key, or another one."""
        return Client(self.target, self.admin_key if key is None else key, timeout=timeout)

    def key(self, *scopes: str, project_id: int = 0) -> str:
        """A fresh API key with these scopes (none: all but admin)."""
        with self.client() as admin:
            wanted = scopes or tuple(scope for scope in ALL_SCOPES if scope != "admin")
            return admin.create_api_key("test", wanted, project_id=project_id).secret

    def add(self, *rows: Any) -> None:
        """Write rows to the ledger."""
        self.run(self._add(rows))

    async def _add(self, rows: Sequence[Any]) -> None:
        async with self.ledger.transaction() as session:
            session.add_all(rows)
            await session.flush()
            await catch_up_ids(session, *{type(row).__tablename__ for row in rows if isinstance(row, ProjectRow)})

    async def start(self, nats: EmbeddedNats | None) -> None:
        """Start the ledger, the intake and the server."""
        self.ledger = Ledger(self.settings.ledger)
        await self.ledger.migrate()
        path = await bootstrap_admin_key(self.ledger, self.home)
        self.admin_key = path.read_text().strip()
        if nats is not None:
            await nats.start()
        self.intake = Intake(self.ledger, self.settings, nats.url if nats else "nats://127.0.0.1:1", workers=0)
        self._intake_task = asyncio.create_task(self.intake.run()) if nats else None
        self.run_jobs()
        self.server = self.new_server()
        host, port = await self.server.start()
        self.target = f"{host}:{port}"

    def run_jobs(self) -> None:
        """Begin to work jobs off, as a service that starts."""
        self.runner = JobRunner(self.ledger, self.intake)
        self.running_jobs = asyncio.create_task(self.runner.run())

    async def jobs_end(self) -> None:
        """Wait until the runner died or was stopped. Raises what it died of."""
        await self.running_jobs

    def new_server(self) -> ApiServer:
        """A server over the same ledger and intake."""
        return ApiServer(
            self.ledger,
            self.settings,
            intake=self.intake,
            installation=self.site,
            signatures=CryptoPool(0),
            outputs_of=lambda name: OUTPUTS if name == "temperature_window" else None,
        )

    async def stop(self, nats: EmbeddedNats | None) -> None:
        """End everything."""
        await self.server.stop(0.2)
        self.runner.stop()
        await self.running_jobs
        await self.intake.stop()
        if self._intake_task is not None:
            await self._intake_task
        if nats is not None:
            await nats.stop()
        await self.ledger.close()

    @contextmanager
    def running(self, *, nats: bool) -> Iterator[Live]:
        """The API, up until the block ends."""
        self._thread.start()
        server = EmbeddedNats(self.home) if nats else None
        self.run(self.start(server))
        try:
            yield self
        finally:
            self.run(self.stop(server))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


DEVICES = [DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([number]) * 32) for number in (1, 2)]
"""The devices of the projects below."""


def project_rows(project_id: int, name: str, devices: Sequence[DeviceKey] = DEVICES) -> list[Any]:
    """A project with one published version, as intake and settlement leave it."""
    file = example(name, [device.registration() for device in devices])
    version = ProjectVersionRow(
        project_id=project_id,
        version=1,
        file=file,
        config={"da": {"url": "embedded"}, "window": {"readings": 16}, "deadline_seconds": 3600},
        config_hash="0x01",
        device_set_root=f"0x{2:064x}",
        scheme="poseidon-bn254-v1",
        window_capacity=16,
        window_max_age_ms=600_000,
        programs=[
            {
                "kind": "zkp.groth16",
                "name": "temperature_window",
                "program_id": f"0x{5:064x}",
                "verifier": f"0x{6:040x}",
            }
        ],
        state="PUBLISHED",
        created_at=1,
    )
    rows: list[Any] = [ProjectRow(id=project_id, name=name, owner_key_id="key_0", version=1, created_at=1)]
    return [*rows, version, *(_device_row(project_id, at, device) for at, device in enumerate(devices))]


def _device_row(project_id: int, position: int, key: DeviceKey) -> DeviceRow:
    return DeviceRow(
        project_id=project_id,
        version=1,
        position=position,
        device=f"0x{key.device.hex()}",
        key_type=int(key.key_type),
        public_key=f"0x{key.public_key.hex()}",
    )


def task_row(
    number: int, *, project_id: int = 1, state: str = "OPEN", created_at: int = 1000, **values: Any
) -> TaskRow:
    """A task over the window [10 n, 10 n + 10)."""
    return TaskRow(
        **{
            "id": f"0x{project_id:032x}{number:032x}",
            "project_id": project_id,
            "version": 1,
            "window_start": 10 * number,
            "window_end": 10 * number + 10,
            "count": 3,
            "readings_root": f"0x{3:064x}",
            "device_set_root": f"0x{2:064x}",
            "inputs": f"0x{4:064x}",
            "state": state,
            "kinds": ["zkp.groth16"],
            "deadline_at": 2_000_000,
            "first_reading_at": 1,
            "created_at": created_at,
            "updated_at": created_at,
            **values,
        }
    )


def reading(
    sequence: int, value: int = 70, *, device: int = 0, project_id: int = 1, payload: bytes | None = None
) -> bytes:
    """A signed reading in wire form."""
    data = value.to_bytes(4, "big", signed=True) if payload is None else payload
    return DEVICES[device].sign(project_id, sequence, 1_700_000_000_000 + sequence, data).to_wire()
