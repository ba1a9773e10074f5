"""The devices of a chaos run: they sign readings, send them until they are acknowledged, and remember what was.

As real fleets do, they leave numbers out, send out of order and twice, and some of what comes is no reading at all.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nats
import nats.errors
import nats.js.errors

from coordinator.api.client import Client
from coordinator.projects.example import example
from verifier.errors import Unavailable, W3bstreamError
from verifier.reading import DeviceKey, KeyType
from w3bstream.v1 import project_pb2

BURST_SECONDS = 1.0
GAP, REORDER, TWICE, REPLAY, HOSTILE, STRAIGHT = 0.05, 0.2, 0.2, 0.05, 0.2, 0.1
"""Shares of the bursts that leave a number out, come out of order, hold a message twice, hold another reading under a
number that was used, hold bytes that are no reading, and that are sent past the API, straight into the stream."""
PUBLISH_SECONDS = 180.0
SEND_SECONDS = 20.0
FINAL_EVENT = "w3bstream.task.final"


@dataclass
class Fleet:
    """A project and its devices."""

    project_id: int
    keys: list[DeviceKey]
    sequences: list[int]
    """The last number that each device used."""


def make_fleet(client: Client, name: str, devices: int) -> Fleet:
    """Create a project and publish it with the sample program. Raises Unavailable (W3B-8102) when that takes too long."""
    keys = [DeviceKey.generate(KeyType.BABYJUBJUB) for _ in range(devices)]
    project = client.create_project(name)
    client.publish_version(project.id, example(name, [key.registration() for key in keys]))
    ends = time.monotonic() + PUBLISH_SECONDS
    while client.get_project(project.id).versions[-1].state != project_pb2.VERSION_STATE_PUBLISHED:
        if time.monotonic() > ends:
            raise Unavailable("W3B-8102", f"project {name} was not published within {PUBLISH_SECONDS:g} s")
        time.sleep(0.2)
    return Fleet(project.id, keys, [0] * devices)


@dataclass
class Record:
    """What the devices know."""

    acknowledged: set[tuple[int, bytes]] = field(default_factory=set)
    """(project, wire form) of each message that the service said it has."""
    positions: set[tuple[int, int]] = field(default_factory=set)
    """(project, stream position) of each message that NATS itself acknowledged: none of them is a reading."""
    refused: dict[str, int] = field(default_factory=dict)
    """Messages that were refused at the API's door, by code."""
    unheard: int = 0
    """Sends that ended without an answer; all were repeated."""

    def refuse(self, code: str) -> None:
        """Count a refusal."""
        self.refused[code] = self.refused.get(code, 0) + 1


class Load(threading.Thread):
    """Sends until `finish`; then it goes on only until everything is acknowledged.

    Parameters: `connect` makes a client; `rate` is readings a second of all fleets together; `home` is where the
    embedded NATS says how it is reached; `seed` draws everything but the devices' keys.
    """

    def __init__(
        self, connect: Callable[[], Client], fleets: Sequence[Fleet], rate: float, *, home: Path, seed: int
    ) -> None:
        super().__init__(name="load", daemon=True)
        self.record = Record()
        """Read it once the thread has ended, or for figures only."""
        self.sent = 0
        """Readings signed so far."""
        self._connect = connect
        self._fleets = fleets
        self._rate = rate
        self._endpoint = home / "nats" / "endpoint.json"
        self._random = random.Random(f"w3bstream load {seed}")
        self._pending: deque[tuple[int, list[bytes]]] = deque()
        self._finishing = threading.Event()
        self._abandoned = threading.Event()

    @property
    def waiting(self) -> int:
        """Messages that were not acknowledged yet."""
        return sum(len(batch) for _, batch in tuple(self._pending))

    def finish(self) -> None:
        """Sign nothing more; resend what was not acknowledged, then end."""
        self._finishing.set()

    def abandon(self) -> None:
        """End at once."""
        self._abandoned.set()
        self._finishing.set()

    def run(self) -> None:
        """The thread."""
        owed, turn, before = self._rate * BURST_SECONDS, 0, time.monotonic()
        while not self._finishing.is_set():
            if owed >= 1:
                fleet = self._fleets[turn % len(self._fleets)]
                self._pending.append((fleet.project_id, self._burst(fleet, int(owed))))
                turn, owed = turn + 1, owed % 1
            self._send_pending()
            self._finishing.wait(BURST_SECONDS)
            # By the clock: a device goes on measuring while nobody answers it.
            owed, before = owed + self._rate * (time.monotonic() - before), time.monotonic()
        while self._pending and not self._abandoned.is_set():
            self._send_pending()
            self._abandoned.wait(BURST_SECONDS if self._pending else 0)

    def _burst(self, fleet: Fleet, count: int) -> list[bytes]:
        draw = self._random
        made = [self._sign(fleet) for _ in range(count)]
        if draw.random() < REORDER:
            draw.shuffle(made)
        if draw.random() < TWICE:
            made.append(draw.choice(made))
        if draw.random() < REPLAY:
            index = draw.randrange(len(fleet.keys))
            if fleet.sequences[index]:
                made.append(self._signed(fleet, index, fleet.sequences[index]))
        if draw.random() < HOSTILE:
            made.insert(draw.randrange(len(made) + 1), self._hostile(made[0]))
        if draw.random() < STRAIGHT:
            asyncio.run(self._send_straight(fleet))
        return made

    def _sign(self, fleet: Fleet) -> bytes:
        index = self._random.randrange(len(fleet.keys))
        fleet.sequences[index] += 2 if self._random.random() < GAP else 1
        self.sent += 1
        return self._signed(fleet, index, fleet.sequences[index])

    def _signed(self, fleet: Fleet, index: int, sequence: int) -> bytes:
        value = self._random.randint(-400, 800)
        payload = value.to_bytes(4, "big", signed=True)
        return fleet.keys[index].sign(fleet.project_id, sequence, time.time_ns() // 1_000_000, payload).to_wire()

    def _hostile(self, sound: bytes) -> bytes:
        """Noise, a cut reading, or one with a flipped bit."""
        choice = self._random.randrange(3)
        if choice == 0:
            return self._random.randbytes(self._random.randrange(300))
        if choice == 1:
            return sound[: self._random.randrange(len(sound))]
        at = self._random.randrange(len(sound))
        return sound[:at] + bytes([sound[at] ^ 1 << self._random.randrange(8)]) + sound[at + 1 :]

    def _send_pending(self) -> None:
        """Everything in order, until one send is not answered."""
        if not self._pending:
            return
        with self._connect() as client:
            while self._pending and not self._abandoned.is_set():
                if not self._send(client, *self._pending[0]):
                    return
                self._pending.popleft()

    def _send(self, client: Client, project_id: int, batch: list[bytes]) -> bool:
        """Whether the batch needs no further try."""
        try:
            summary = client.ingest(batch, timeout=SEND_SECONDS)
        except W3bstreamError:
            self.record.unheard += 1
            return False
        refused = {refusal.index: refusal.code for refusal in summary.refusals}
        for index, wire in enumerate(batch):
            if index in refused:
                self.record.refuse(refused[index])
            else:
                self.record.acknowledged.add((project_id, wire))
        return True

    async def _send_straight(self, fleet: Fleet) -> None:
        """Noise under a device's subject, as somebody would who has the stream's password."""
        subject = f"da.{fleet.project_id}.{self._random.choice(fleet.keys).device.hex()}"
        noise = self._random.randbytes(self._random.randrange(1, 300))
        try:
            known = json.loads(self._endpoint.read_text())
            url = f"nats://{known['user']}:{known['password']}@127.0.0.1:{known['port']}"
            client = await nats.connect(url, allow_reconnect=False, connect_timeout=2, error_cb=_unheard)
        except (OSError, ValueError, nats.errors.Error):
            return  # NATS is down: nothing was sent, nothing is remembered
        try:
            acknowledged = await client.jetstream(timeout=2).publish(subject, noise)
            self.record.positions.add((fleet.project_id, acknowledged.seq))
        except (OSError, nats.errors.Error, nats.js.errors.Error):
            self.record.unheard += 1
        finally:
            await client.close()


async def _unheard(_error: Exception) -> None:
    """A connection that breaks shows in the call that used it."""
