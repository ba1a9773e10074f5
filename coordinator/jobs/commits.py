"""Group commit of jobs: what is asked for at the same time is committed in one transaction, each with its own outcome.

There is no timer. While one transaction is on its way to the disk, new jobs queue; the next one takes them all. So a
lone job waits for nobody, and under load one fsync carries many (the method of PostgreSQL's and MySQL's group commit).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, bindparam, exists, insert, select, tuple_

from coordinator.access.quotas import (
    JOBS,
    OPEN_TASKS,
    READINGS,
    Counter,
    Limit,
    OverQuota,
    count_open_tasks,
    counter,
    with_defaults,
)
from coordinator.jobs.rows import COLUMNS, NewJob
from coordinator.ledger.control_tables import IdentityRow, JobRow, QuotaRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, ProjectVersionRow
from verifier.errors import Conflict, NotFound, Refused, W3bstreamError

BATCH = 512
"""Jobs of one transaction: databases bound the parameters of one statement."""
QUIET_TURNS = 1
"""Turns of the event loop without a new job after which a batch is closed. More would make all callers wait for one
commit and leave the processor idle while the disk works."""
SCOPE = "tasks:write"
BUSY_SECONDS = 0.5

Outcome = NewJob | W3bstreamError
_JOB: Table = JobRow.__table__  # type: ignore[attr-defined]
_PROJECT: Table = ProjectRow.__table__  # type: ignore[attr-defined]
_VERSION: Table = ProjectVersionRow.__table__  # type: ignore[attr-defined]
_QUOTA: Table = QuotaRow.__table__  # type: ignore[attr-defined]
_IDENTITY: Table = IdentityRow.__table__  # type: ignore[attr-defined]
_PUBLISHED = exists().where(_VERSION.c.project_id == _PROJECT.c.id, _VERSION.c.state == "PUBLISHED")
_ACTIVE = (
    select(_PROJECT.c.id, _QUOTA.c.resource, _QUOTA.c.allowance, _QUOTA.c.period_seconds)
    .select_from(_PROJECT.outerjoin(_QUOTA, _QUOTA.c.project_id == _PROJECT.c.id))
    .where(_PROJECT.c.state == "ACTIVE", _PUBLISHED, _PROJECT.c.id.in_(bindparam("ids", expanding=True)))
)
_KNOWN = select(*(_JOB.c[name] for name in COLUMNS)).where(_JOB.c.id.in_(bindparam("ids", expanding=True)))
_ADD = insert(_JOB)
_SIGNERS = select(_IDENTITY.c.did, _IDENTITY.c.scopes, _IDENTITY.c.project_id, _IDENTITY.c.revoked_at)


@dataclass(frozen=True)
class Proposal:
    """A job that passed every check that needs no database."""

    row: NewJob
    readings: int
    """How many it brings."""
    signer_did: str = ""
    """The did:pkh that signed it; empty for an unsigned one."""


class JobCommits:
    """Commits proposals.

    Parameters: `defaults` are the installation's quotas by resource.
    """

    def __init__(self, ledger: Ledger, defaults: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._defaults = defaults
        self._queue: list[tuple[Proposal, asyncio.Future[Outcome]]] = []
        self._task: asyncio.Task[None] | None = None

    async def commit(self, proposal: Proposal) -> NewJob:
        """The job, durable; the first one when it is a repeat.

        Raises NotFound (W3B-1006), Conflict (W3B-7007, W3B-7026), Refused (W3B-7025), OverQuota (W3B-7028) and what the
        database raises.
        """
        mine: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((proposal, mine))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="job-commits")
        outcome = await mine
        if isinstance(outcome, W3bstreamError):
            raise outcome
        return outcome

    async def finish(self) -> None:
        """Wait until nothing is queued."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._gather()
                batch, self._queue = self._queue[:BATCH], self._queue[BATCH:]
                await self._settle(batch)
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Let calls that have arrived already join, until some turns of the loop bring no more."""
        seen = quiet = 0
        while quiet < QUIET_TURNS and len(self._queue) < BATCH:
            quiet = quiet + 1 if len(self._queue) == seen else 0
            seen = len(self._queue)
            await asyncio.sleep(0)

    async def _settle(self, batch: Sequence[tuple[Proposal, asyncio.Future[Outcome]]]) -> None:
        """Commit, and tell each caller; a failure of the database is everyone's."""
        try:
            outcomes = await self._commit([proposal for proposal, _ in batch])
        except Exception as error:  # whatever it is, it is the callers' to raise: their gate logs it
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), outcome in zip(batch, outcomes, strict=True):
            if not waiting.done():
                waiting.set_result(outcome)

    async def _commit(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        clock, defaults = self._ledger.clock, self._defaults
        return await self._ledger.write(lambda connection: _accept(connection, clock(), defaults, proposals))


def _accept(
    connection: Connection, now: int, defaults: Mapping[str, int], proposals: Sequence[Proposal]
) -> list[Outcome]:
    """Decide each proposal in its turn and insert what is accepted; all in the caller's transaction."""
    held = _active(connection, defaults, {proposal.row.project_id for proposal in proposals})
    signed = [proposal for proposal in proposals if proposal.signer_did]
    taken = _nonces(connection, signed)
    signers = _signers(connection, {proposal.signer_did for proposal in signed})
    known = _known(connection, proposals)
    allowed = _Quotas(connection, now, held)
    outcomes: list[Outcome] = []
    fresh: list[NewJob] = []
    for proposal in proposals:
        row = proposal.row
        if (found := known.get(row.id)) is not None:
            outcomes.append(_repeat(found, row))
            continue
        try:
            if (row.project_id, JOBS) not in held:
                what = f"project {row.project_id} does not exist, is paused or has no version"
                raise NotFound("W3B-1006", what, field="project_id")
            if proposal.signer_did:
                _require_signer(signers, proposal)
                if (row.signer, row.nonce) in taken:
                    raise Conflict("W3B-7026", f"{row.signer} has used nonce {row.nonce}", field="intent.nonce")
            allowed.take(row.project_id, proposal.readings)
        except W3bstreamError as refusal:
            outcomes.append(refusal)
            continue
        known[row.id] = row
        taken.add((row.signer, row.nonce))
        fresh.append(row)
        outcomes.append(row)
    if fresh:
        connection.execute(_ADD, [row.columns() for row in fresh])
    allowed.store()
    return outcomes


def _repeat(found: NewJob, asked: NewJob) -> Outcome:
    if found.key_id != asked.key_id:
        return Conflict("W3B-7026", f"the intent was submitted by another caller as job {found.id}", field="intent")
    if found.request_hash != asked.request_hash:
        return Conflict("W3B-7007", "the idempotency key was used for another job", field="idempotency_key")
    return found


def _active(connection: Connection, defaults: Mapping[str, int], project_ids: set[int]) -> dict[tuple[int, str], Limit]:
    """The limits of those that take readings and jobs: active, with a published version."""
    own: dict[tuple[int, str], Limit] = {}
    active = set()
    for project_id, resource, allowance, period in connection.execute(_ACTIVE, {"ids": list(project_ids)}):
        active.add(project_id)
        if resource is not None:
            own[project_id, resource] = Limit(allowance, period, own=True)
    return with_defaults(own, defaults, active)


def _known(connection: Connection, proposals: Sequence[Proposal]) -> dict[str, NewJob]:
    rows = connection.execute(_KNOWN, {"ids": [proposal.row.id for proposal in proposals]})
    return {row.id: NewJob(*row) for row in rows}


def _nonces(connection: Connection, signed: Sequence[Proposal]) -> set[tuple[str | None, str | None]]:
    pairs = [(proposal.row.signer, proposal.row.nonce) for proposal in signed]
    if not pairs:
        return set()
    query = select(_JOB.c.signer, _JOB.c.nonce).where(tuple_(_JOB.c.signer, _JOB.c.nonce).in_(pairs))
    return {(signer, nonce) for signer, nonce in connection.execute(query)}


def _signers(connection: Connection, dids: set[str]) -> dict[str, tuple[list[str], int | None]]:
    """What each valid signer may do, and in which project only."""
    if not dids:
        return {}
    rows = connection.execute(_SIGNERS.where(_IDENTITY.c.did.in_(dids), _IDENTITY.c.revoked_at.is_(None)))
    return {row.did: (row.scopes, row.project_id) for row in rows}


def _require_signer(signers: Mapping[str, tuple[list[str], int | None]], proposal: Proposal) -> None:
    did, project_id = proposal.signer_did, proposal.row.project_id
    if did not in signers:
        raise Refused("W3B-7025", f"{did} is not registered here, or was revoked", field="intent.signature")
    scopes, only = signers[did]
    if SCOPE not in scopes or only not in (None, project_id):
        raise Refused("W3B-7025", f"{did} may not submit jobs to project {project_id}", field="intent.signature")


class _Quotas:
    """The counters that one transaction needs, each read once."""

    def __init__(self, connection: Connection, now: int, held: Mapping[tuple[int, str], Limit]) -> None:
        self._connection = connection
        self._now = now
        self._held = held
        self._counters: dict[tuple[int, str], Counter] = {}
        self._full: dict[int, OverQuota | None] = {}

    def take(self, project_id: int, readings: int) -> None:
        """Count one job and its readings. Raises OverQuota (W3B-7028) and counts neither."""
        if project_id not in self._full:
            self._full[project_id] = self._over_open_tasks(project_id)
            for resource in (JOBS, READINGS):
                held = self._held[project_id, resource]
                self._counters[project_id, resource] = counter(self._connection, held, self._now, project_id, resource)
        full = self._full[project_id]
        if full is not None:
            raise full
        self._counters[project_id, READINGS].require(readings)
        self._counters[project_id, JOBS].take(1)
        self._counters[project_id, READINGS].take(readings)

    def _over_open_tasks(self, project_id: int) -> OverQuota | None:
        allowance = self._held[project_id, OPEN_TASKS].allowance
        if not allowance or count_open_tasks(self._connection, project_id) < allowance:
            return None
        message = f"project {project_id} has {allowance} tasks or more that wait for provers"
        return OverQuota("W3B-7028", message, field=OPEN_TASKS, retry_after=BUSY_SECONDS)

    def store(self) -> None:
        """Write what was taken."""
        for each in self._counters.values():
            each.store(self._connection)
