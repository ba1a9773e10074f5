"""Looks at what the service stands on: ledger, leader, NATS, chain, provers and disk. At most once a second, however
many ask, and never for longer than a few seconds: a part that hangs is a part that is down."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection, func, select

from coordinator.explorer.chain_view import ChainView, Heads
from coordinator.ledger.control_tables import CoordinatorRow
from coordinator.ledger.coordinators import ALIVE_LEASES, standing
from coordinator.ledger.leadership import database_now
from coordinator.ledger.outbox_tables import NonceRow
from coordinator.ledger.store import Ledger
from coordinator.observability.checks import Check, Seen, judge
from coordinator.observability.standing import LEDGER_ERRORS, OUTBOX, PROVERS, ledger_problem, waiting_kinds
from coordinator.settings import Settings
from coordinator.settlement.chain import Chain

Found = TypeVar("Found")
log = structlog.get_logger(__name__)
FRESH_SECONDS = 1.0
PATIENCE_SECONDS = 3.0
"""How long a part may take to answer."""
NATS_PORT = 4222
NONCES = NonceRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Look:
    """One look around."""

    checks: tuple[Check, ...]
    heads: Heads
    disk_free: int
    """Bytes."""
    nonce_gap: int | None = None
    """Nonces given out that neither the chain nor a transaction in flight has; None when it is not known."""

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def problems(self) -> str:
        """The checks that do not hold, in words; empty when all do."""
        return "; ".join(f"{check.name}: {check.code}: {check.reason}" for check in self.checks if not check.ok)


@dataclass(frozen=True)
class _Rows:
    """What the ledger says."""

    waiting: dict[tuple[str, ...], int] = field(default_factory=dict)
    online: frozenset[str] = frozenset()
    sent: bool = False
    next_nonce: int | None = None
    in_flight: frozenset[int] = frozenset()


class Lookout:
    """Looks around for one coordinator.

    Parameters: `me` is its id in the ledger; `chain` and `view` are the chain; `account` is who sends transactions, 0x
    hex; `nats_url` is the operator's NATS, or several with commas between them.
    """

    def __init__(
        self, ledger: Ledger, settings: Settings, *, me: str, chain: Chain, view: ChainView, account: str, nats_url: str
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._me = me
        self._chain = chain
        self._view = view
        self._account = account.lower()
        self._nats_url = nats_url
        self._one = asyncio.Lock()
        self._looked = -FRESH_SECONDS
        self._last: Look | None = None
        self._head: int | None = None
        self._moved = time.monotonic()

    async def look(self) -> Look:
        """How everything stands; at most a second old. Never raises because of a part that is down."""
        async with self._one:
            if self._last is None or time.monotonic() - self._looked >= FRESH_SECONDS:
                self._last = await self._look()
                self._looked = time.monotonic()
            return self._last

    async def _look(self) -> Look:
        rows, (beat, leader, ledger_error), heads, nats_error, free = await asyncio.gather(
            _bounded(self._ledger.read(self._read), _Rows()),
            self._ledger_part(),
            self._view.heads(),
            nats_problem(self._nats_url),
            asyncio.to_thread(_free_bytes, self._settings.home),
        )
        self._note_head(heads)
        seen = Seen(
            ledger_error=ledger_error,
            beat_seconds=beat,
            beat_within=ALIVE_LEASES * self._settings.leader_seconds,
            leader=leader,
            nats_error=nats_error,
            chain_error=_coded(heads.error) if heads.error else None,
            head_still_seconds=time.monotonic() - self._moved,
            waits_for_block=rows.sent,
            waiting=rows.waiting,
            online=rows.online,
            disk_free=free,
            disk_reserve=self._settings.disk_reserve_mib << 20,
        )
        gap = None if heads.error else await _bounded(self._nonce_gap(rows), None)
        return Look(judge(seen), heads, free, gap)

    def _note_head(self, heads: Heads) -> None:
        if heads.latest is not None and heads.latest.number != self._head:
            self._head, self._moved = heads.latest.number, time.monotonic()

    async def _ledger_part(self) -> tuple[float | None, str, tuple[str, str] | None]:
        """(seconds since this coordinator's last write, who leads, (code, reason) of what is wrong)."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await standing(self._ledger, round(self._settings.leader_seconds * 1000))
                async with self._ledger.reading() as session:
                    now = await database_now(session, self._ledger)
                    row = await session.get(CoordinatorRow, self._me)
        except LEDGER_ERRORS as error:
            return None, "", ledger_problem(error)
        except TimeoutError:
            return None, "", ("W3B-8020", f"the ledger did not answer within {PATIENCE_SECONDS:.0f} s")
        beat = None if row is None else max(0, now - row.heartbeat_at) / 1000
        return beat, "" if found.leader is None else found.leader.id, None

    def _read(self, connection: Connection) -> _Rows:
        online = connection.execute(select(PROVERS.c.kind).where(PROVERS.c.status.in_(("IDLE", "BUSY"))).distinct())
        sent = connection.execute(
            select(OUTBOX.c.nonce).where(
                OUTBOX.c.state.in_(("SENT", "MINED")), func.lower(OUTBOX.c.sender) == self._account
            )
        ).scalars()
        waits = connection.execute(select(OUTBOX.c.id).where(OUTBOX.c.state == "SENT").limit(1)).first()
        next_nonce = connection.execute(
            select(NONCES.c.next_nonce).where(func.lower(NONCES.c.sender) == self._account)
        ).scalar()
        return _Rows(
            waiting={kinds: count for kinds, (count, _) in waiting_kinds(connection).items()},
            online=frozenset(online.scalars()),
            sent=waits is not None,
            next_nonce=next_nonce,
            in_flight=frozenset(nonce for nonce in sent if nonce is not None),
        )

    async def _nonce_gap(self, rows: _Rows) -> int | None:
        if rows.next_nonce is None:
            return 0
        mined = await self._chain.nonce(self._account)
        return sum(nonce not in rows.in_flight for nonce in range(mined, rows.next_nonce))


async def _bounded(work: Awaitable[Found], otherwise: Found) -> Found:
    """What the work gives; `otherwise` when it fails with a code or takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await work
    except (*LEDGER_ERRORS, TimeoutError):
        return otherwise


def _coded(text: str) -> tuple[str, str]:
    """The code and the rest of `W3B-…: text`; W3B-5001 where there is none."""
    code, _, rest = text.partition(": ")
    return (code, rest) if code.startswith("W3B-") else ("W3B-5001", text)


def _free_bytes(home: Path) -> int:
    """Free bytes of the folder's disk; none when it cannot be looked at."""
    try:
        return shutil.disk_usage(home).free
    except OSError as error:
        log.warning("disk_not_known", home=str(home), reason=str(error))
        return 0


async def nats_problem(urls: str) -> str:
    """Why no NATS server of these answers; empty when one greets and has JetStream."""
    problems = []
    for url in (each.strip() for each in urls.split(",")):
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            host, port = parts.hostname or "", parts.port or NATS_PORT
        except ValueError as error:
            problems.append(f"a NATS URL cannot be read: {error}")
            continue
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await _greeting(host, port, greets=parts.scheme in ("nats", "tls"))
        except TimeoutError:
            problems.append(f"NATS at {host}:{port} did not answer within {PATIENCE_SECONDS:.0f} s")
        except (OSError, ValueError) as error:
            problems.append(f"NATS at {host}:{port}: {error}")
        else:
            return ""
    return "; ".join(problems)[:300]


async def _greeting(host: str, port: int, *, greets: bool) -> None:
    """A server speaks first: `INFO {…}`. Raises OSError and ValueError when it does not, or has no JetStream."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if not greets:  # a websocket's server waits for its client
            return
        line = await reader.readline()
        if not line.startswith(b"INFO "):
            raise ValueError("it is no NATS server" if line else "it closed the connection")
        if not json.loads(line[5:]).get("jetstream"):
            raise ValueError("it has no JetStream")
    finally:
        writer.close()
