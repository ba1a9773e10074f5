"""Readings pulled, checked, deduplicated, committed and acknowledged, against bare nats-py fetch and ack.

    python -m benchmarks.spine.intake [--readings 8192] [--rounds 5] [--json]

Both sides read the same signed readings (Baby Jubjub, 118 bytes, from several devices) from the same embedded NATS
server (file store, every write synced) in batches of the same size, in turn. Ours ends with every reading and every
window's task in a ledger (SQLite) and the last acknowledgement at the server; the peer's with every message acknowledged.
Publishing is not timed. Each round has a stream and a ledger of its own. The figures are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.js import api
from sqlalchemy import event
from sqlmodel import select

from benchmarks.spine.figures import LOAD, load_average, parser, show
from coordinator.intake.batch import Judged
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.reader import BATCH, ProjectReader
from coordinator.intake.recorder import Recorder, Turn
from coordinator.intake.stream import CONSUMER, JetStream, stream_name
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeviceRow, ProjectRow, ProjectVersionRow, ReadingRow, TaskRow
from coordinator.projects.programs import Manifest
from coordinator.service.logs import configure_logs
from verifier.commitment import POSEIDON_BN254_V1
from verifier.reading import DeviceKey, KeyType, Reading

DEVICES = 8
CAPACITY = 16
ROUND_SECONDS = 300.0
LOOK_SECONDS = 0.005
PROGRAMS = {"bench": Manifest("bench", "zkp.groth16", CAPACITY, "int32", POSEIDON_BN254_V1.name, "in-proof")}
KEYS = tuple(DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([at + 1] * 32)) for at in range(DEVICES))


def _sign(span: tuple[int, int]) -> list[bytes]:
    return [
        KEYS[at % DEVICES].sign(1, at // DEVICES + 1, 1_700_000_000_000 + at, at.to_bytes(4, "big")).to_wire()
        for at in range(*span)
    ]


def signed_readings(count: int) -> list[Reading]:
    """`count` readings of project 1, the devices in turn; signed by every core."""
    spans = [(at, min(at + 128, count)) for at in range(0, count, 128)]
    with ProcessPoolExecutor() as pool:
        return [Reading.from_wire(wire) for part in pool.map(_sign, spans) for wire in part]


async def _ledger(path: Path, *, fsync: bool) -> Ledger:
    """A fresh ledger with the project published, on disk or left to the page cache."""
    ledger = Ledger.at(path)
    if not fsync:

        @event.listens_for(ledger.engine.sync_engine, "connect")
        def on_connect(connection: object, _record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.close()

    await ledger.migrate()
    devices = [key.registration() for key in KEYS]
    async with ledger.transaction() as session:
        session.add(ProjectRow(id=1, name="bench", owner_key_id="key_bench", created_at=1))
        session.add(
            ProjectVersionRow(
                project_id=1,
                version=1,
                file="",
                config={"da": {"url": "embedded"}, "window": {"readings": CAPACITY, "seconds": 3600}},
                config_hash="0x00",
                device_set_root=f"0x{POSEIDON_BN254_V1.device_set_root(devices).hex()}",
                scheme=POSEIDON_BN254_V1.name,
                window_capacity=CAPACITY,
                window_max_age_ms=3_600_000,
                programs=[{"kind": "zkp.groth16", "name": "bench", "program_id": "0x00", "verifier": "0x00"}],
                state="PUBLISHED",
                created_at=1,
            )
        )
        for position, device in enumerate(devices):
            session.add(
                DeviceRow(
                    project_id=1,
                    version=1,
                    position=position,
                    device=f"0x{device.device.hex()}",
                    key_type=int(device.key_type),
                    public_key=f"0x{device.public_key.hex()}",
                )
            )
    return ledger


class _Watched(Recorder):
    """A recorder that says when everything is in the ledger: nobody has to ask, and asking costs time."""

    def __init__(self, ledger: Ledger, pool: CryptoPool, readings: int) -> None:
        super().__init__(ledger, pool, 1, PROGRAMS)
        self._readings = readings
        self.whole = asyncio.Event()

    async def turn(self, messages: Sequence[StreamMessage] | Judged = ()) -> Turn:
        """A turn as ever."""
        turn = await super().turn(messages)
        if turn.next_position > self._readings:
            self.whole.set()
        return turn


@dataclass
class _Site:
    """One server, and what both sides read."""

    folder: Path
    url: str
    readings: Sequence[Reading]
    rounds: int = 0

    async def filled(self) -> JetStream:
        """The project's stream, made anew, with every reading in it."""
        stream = await JetStream.connect(self.url)
        client = await nats.connect(self.url)
        if await stream.state(1) is not None:
            await client.jetstream().delete_stream(stream_name(1))
        await client.close()
        await stream.ensure(1)
        await stream.publish(self.readings)
        return stream

    async def bare(self) -> float:
        """Seconds for nats-py to fetch and acknowledge every message."""
        await (await self.filled()).close()
        client = await nats.connect(self.url)
        js = client.jetstream()
        began = time.perf_counter()
        pulling = await js.pull_subscribe(
            f"da.{1}.*", durable="bare", config=api.ConsumerConfig(ack_policy=api.AckPolicy.EXPLICIT)
        )
        taken = 0
        while taken < len(self.readings):
            messages = await pulling.fetch(BATCH, timeout=10)
            for message in messages:
                await message.ack()
            taken += len(messages)
        await _acknowledged(js, "bare", len(self.readings))
        took = time.perf_counter() - began
        await client.close()
        return took

    async def ours(self, *, fsync: bool) -> float:
        """Seconds for the intake to read, check, commit and acknowledge every message."""
        stream = await self.filled()
        self.rounds += 1
        ledger = await _ledger(self.folder / f"ledger-{self.rounds}.db", fsync=fsync)
        pool = CryptoPool()

        async def connected() -> JetStream:
            return stream

        recorder = _Watched(ledger, pool, len(self.readings))
        reader = ProjectReader(ledger, 1, connected, recorder)
        client = await nats.connect(self.url)
        began = time.perf_counter()
        running = asyncio.create_task(reader.run())
        async with asyncio.timeout(ROUND_SECONDS):
            await recorder.whole.wait()
        await _acknowledged(client.jetstream(), CONSUMER, len(self.readings))
        took = time.perf_counter() - began
        reader.end()
        await running
        await self._require_all(ledger)
        for each in (client, stream, ledger):
            await each.close()
        pool.close()
        return took

    async def _require_all(self, ledger: Ledger) -> None:
        async with ledger.reading() as session:
            rows = (await session.exec(select(ReadingRow.sequence, ReadingRow.task_id))).all()
            tasks = (await session.exec(select(TaskRow.id))).all()
        if len(rows) != len(self.readings) or len(tasks) != len(rows) // CAPACITY:
            raise RuntimeError(f"{len(rows)} readings and {len(tasks)} tasks of {len(self.readings)} readings")


async def _acknowledged(js: nats.js.JetStreamContext, consumer: str, position: int) -> None:
    """Until the server knows that everything up to the position was acknowledged."""
    async with asyncio.timeout(ROUND_SECONDS):
        while True:
            info = await js.consumer_info(stream_name(1), consumer)
            if info.ack_floor is not None and info.ack_floor.stream_seq >= position:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def measure(readings: int = 8192, rounds: int = 5) -> dict[str, float]:
    """Messages a second on each side and their ratios; `intake_vs_nats` is with the ledger's fsync on."""
    load = load_average()
    signed = await asyncio.to_thread(signed_readings, readings)
    seconds: dict[str, list[float]] = {"bare": [], "fsync": [], "cached": []}
    with tempfile.TemporaryDirectory() as folder:
        configure_logs(Path(folder), quiet=True)
        server = EmbeddedNats(Path(folder))
        await server.start()
        try:
            site = _Site(Path(folder), server.url, signed)
            await site.ours(fsync=True)  # both sides warm: tables of multiples, compiled statements
            for _ in range(rounds):
                seconds["bare"].append(await site.bare())
                seconds["fsync"].append(await site.ours(fsync=True))
                seconds["cached"].append(await site.ours(fsync=False))
        finally:
            await server.stop()
    bare, fsync, cached = (readings / statistics.median(seconds[name]) for name in ("bare", "fsync", "cached"))
    return {
        LOAD: load,
        "intake_vs_nats": fsync / bare,
        "intake_vs_nats_no_fsync": cached / bare,
        "intake_per_second": fsync,
        "intake_per_second_no_fsync": cached,
        "nats_fetch_ack_per_second": bare,
    }


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--readings", type=int, default=8192, help="readings a round (8192)")
    options.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    chosen = options.parse_args()
    found = asyncio.run(measure(chosen.readings, chosen.rounds))
    title = f"{chosen.readings} readings, batches of {BATCH}, medians of {chosen.rounds} rounds"
    show(title, found, as_json=chosen.json)


if __name__ == "__main__":
    main()
