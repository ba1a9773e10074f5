"""A peer that a test plays: it shakes hands like a node, and then sends what it likes and keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence

from l1.consensus.messages import MessageError, Vote, decode
from l1.consensus.tally import is_equivocation
from l1.nodes.handshake import HandshakeError, Identity
from l1.nodes.network import parse_endpoint
from l1.nodes.wire import LIMITS, Kind, Status, encode_status, frame, read_frame


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @staticmethod
    async def dial(listen: str, secret: bytes, domain: bytes) -> Client:
        reader, writer = await asyncio.open_connection(*parse_endpoint(listen))
        await asyncio.wait_for(Identity(secret, domain).shake(reader, writer, dialed=True), 20)
        return Client(reader, writer)

    def send(self, kind: Kind, body: bytes) -> None:
        self.writer.write(frame(kind, body))

    async def is_cut_off(self, seconds: float = 20) -> bool:
        """Whether the node hangs up; what it sends until then is passed over."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(1 << 16):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.writer.close()


class Collector:
    """Listens to several nodes from a thread, across their restarts, and keeps every vote that it hears."""

    def __init__(self, listens: Sequence[str], domain: bytes) -> None:
        self.votes: set[Vote] = set()
        self._listens = listens
        self._domain = domain
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def equivocations(self) -> list[tuple[Vote, Vote]]:
        """Every pair of votes that convicts, found without the node's own tally."""
        by_delegate: dict[tuple[int, int], list[Vote]] = {}
        for vote in self.votes:
            by_delegate.setdefault((vote.height, vote.delegate), []).append(vote)
        return [
            (first, second)
            for votes in by_delegate.values()
            for at, first in enumerate(votes)
            for second in votes[:at]
            if is_equivocation(first, second)
        ]

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._listen(index, each)) for index, each in enumerate(self._listens)]
        while not self._stop.is_set():
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, index: int, listen: str) -> None:
        while True:
            with contextlib.suppress(OSError, HandshakeError, TimeoutError, asyncio.IncompleteReadError):
                client = await Client.dial(listen, bytes([100 + index]) * 32, self._domain)
                try:
                    await self._keep(client)
                finally:
                    client.close()
            await asyncio.sleep(0.05)

    async def _keep(self, client: Client) -> None:
        # Who says how far it is gets what was said of the open height before it came.
        client.send(Kind.STATUS, encode_status(Status(0, bytes(32))))
        while True:
            kind, body = await read_frame(client.reader)
            if kind is Kind.VOTE:
                with contextlib.suppress(MessageError):
                    message = decode(body, max_bytes=LIMITS[kind])
                    if isinstance(message, Vote):
                        self.votes.add(message)
