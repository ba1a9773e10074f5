"""One scrape: everything in the catalogue, in Prometheus' text format. What cannot be had is left out."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version

import structlog
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from sqlalchemy import Connection, select

from coordinator.intake.stream import DaStream
from coordinator.ledger.store import Ledger
from coordinator.observability.families import Labels, family, summed
from coordinator.observability.history import History
from coordinator.observability.lookout import PATIENCE_SECONDS, Look, Lookout
from coordinator.observability.loop_lag import LoopLag
from coordinator.observability.standing import CURSORS, LEDGER_ERRORS, ledger_problem, read_standing
from coordinator.observability.tally import REGISTRY

log = structlog.get_logger(__name__)

StreamOf = Callable[[int], Awaitable[DaStream]]
"""The DA layer of a project."""

FRESH_SECONDS = 1.0
"""Scrapes within this time get the same text."""
MOST_STREAMS = 256
"""Projects whose streams are asked in one scrape."""
STREAMS_AT_ONCE = 16


class _Families:
    """A registry, as the client library writes it out."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        """Every family."""
        yield from self._families


class Exposition:
    """The text of `/metrics`.

    Parameters: `leads` says whether this coordinator leads; `stream_of` gives a project's DA layer; `by_project` adds
    the project's id to the intake's metrics.
    """

    def __init__(
        self,
        ledger: Ledger,
        lookout: Lookout,
        lag: LoopLag,
        *,
        leads: Callable[[], bool],
        stream_of: StreamOf,
        by_project: bool = False,
    ) -> None:
        self._ledger = ledger
        self._lookout = lookout
        self._lag = lag
        self._leads = leads
        self._stream_of = stream_of
        self._by_project = by_project
        self._history = History(ledger)
        self._one = asyncio.Lock()
        self._at = -FRESH_SECONDS
        self._text = b""

    async def begin(self) -> None:
        """Begin to count the ledger's history from here. Raises what `Ledger.read` raises."""
        await self._history.follow()

    async def text(self) -> bytes:
        """The metrics as they are, at most a second old."""
        async with self._one:
            if time.monotonic() - self._at >= FRESH_SECONDS:
                families = [*await self._ledger_families(), *await self._around()]
                self._text = generate_latest(_Families([*families, *REGISTRY.collect()]))
                self._at = time.monotonic()
            return self._text

    async def _ledger_families(self) -> list[Family]:
        try:
            await self._history.follow()
            now = self._ledger.clock()
            standing = await self._ledger.read(lambda each: read_standing(each, now, by_project=self._by_project))
        except LEDGER_ERRORS as error:
            code, reason = ledger_problem(error)
            log.warning("metrics_without_ledger", code=code, reason=reason)
            return self._history.families()
        return [*self._history.families(), *standing]

    async def _around(self) -> list[Family]:
        look = await self._lookout.look()
        build = (version("w3bstream"), platform.python_version())
        found: list[tuple[str, Mapping[Labels, float]]] = [
            ("w3bstream_build_info", {build: 1.0}),
            ("w3bstream_leader", {(): float(self._leads())}),
            ("w3bstream_ready", {(): float(look.ready)}),
            ("w3bstream_check_ok", {(check.name,): float(check.ok) for check in look.checks}),
            ("w3bstream_disk_free_bytes", {(): look.disk_free}),
            ("w3bstream_event_loop_lag_seconds", {(): self._lag.worst}),
            *_chain_values(look),
        ]
        made = [family(name, values) for name, values in found]
        lag = await self._stream_lag()
        if lag is not None:
            made.append(family("w3bstream_stream_lag_messages", lag, by_project=self._by_project))
        return made

    async def _stream_lag(self) -> dict[Labels, float] | None:
        """Messages not taken yet; None when the ledger does not answer. A stream that does not answer is left out."""

        def cursors(connection: Connection) -> list[tuple[int, int]]:
            rows = connection.execute(
                select(CURSORS.c.project_id, CURSORS.c.next_position).order_by(CURSORS.c.project_id).limit(MOST_STREAMS)
            )
            return [(row.project_id, row.next_position) for row in rows]

        try:
            rows = await self._ledger.read(cursors)
        except LEDGER_ERRORS:
            return None
        room = asyncio.Semaphore(STREAMS_AT_ONCE)

        async def behind(project_id: int, next_position: int) -> tuple[Labels, float] | None:
            try:
                async with room, asyncio.timeout(PATIENCE_SECONDS):
                    stream: DaStream = await self._stream_of(project_id)
                    state = await stream.state(project_id)
            except (*LEDGER_ERRORS, TimeoutError):
                return None
            label = (str(project_id),) if self._by_project else ()
            return None if state is None else (label, max(0, state.last + 1 - next_position))

        asked = await asyncio.gather(*(behind(*row) for row in rows))
        answered = [each for each in asked if each is not None]
        if rows and not answered:
            return None
        return ({} if self._by_project else {(): 0.0}) | summed(answered)


def _chain_values(look: Look) -> list[tuple[str, Mapping[Labels, float]]]:
    heads, found = look.heads, list[tuple[str, Mapping[Labels, float]]]()
    if heads.latest is not None:
        found += [
            ("w3bstream_chain_head_block", {(): heads.latest.number}),
            ("w3bstream_chain_head_seconds", {(): max(0.0, time.time() - heads.latest.timestamp)}),
            ("w3bstream_chain_base_fee_wei", {(): heads.latest.base_fee}),
        ]
        if heads.final is not None:
            found.append(("w3bstream_finality_lag_blocks", {(): max(0, heads.latest.number - max(heads.final, 0))}))
    if look.nonce_gap is not None:
        found.append(("w3bstream_outbox_nonce_gap", {(): look.nonce_gap}))
    return found
