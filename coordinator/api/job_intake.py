"""What a job must pass before it is committed: the project, the readings, the signed intent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from coordinator.access.dids import account_did
from coordinator.access.intents import JobIntent, readings_hash, signer_of
from coordinator.api.auth import Caller
from coordinator.api.idempotency import request_hash, require_idempotency_key
from coordinator.api.reading_check import ReadingCheck
from coordinator.api.surroundings import Installation
from coordinator.api.unbroken import Unbroken
from coordinator.jobs.commits import JobCommits, Proposal
from coordinator.jobs.rows import NewJob, job_id, pack
from coordinator.ledger.store import Ledger
from verifier.errors import InvalidInput, NotFound, Refused
from verifier.reading import Reading
from verifier.statement import Domain
from w3bstream.v1 import job_pb2

MAX_READINGS = 1024
MAX_PROJECT = (1 << 31) - 1
"""Largest project id of the ledger."""
LARGEST = (1 << 63) - 1
_NONCE = re.compile(r"0|[1-9][0-9]{0,77}")


class JobIntake:
    """Accepts jobs; durable when it answers.

    Parameters: `defaults` are the installation's quotas by resource.
    """

    def __init__(
        self,
        ledger: Ledger,
        installation: Installation,
        check: ReadingCheck,
        unbroken: Unbroken,
        defaults: Mapping[str, int],
    ) -> None:
        self._ledger = ledger
        self._installation = installation
        self._check = check
        self._unbroken = unbroken
        self._commits = JobCommits(ledger, defaults)

    async def accept(
        self,
        caller: Caller,
        method: str,
        request: Message,
        readings: Sequence[bytes],
        intent: job_pb2.JobIntent | None = None,
    ) -> NewJob:
        """The job's row. A repeat gets the row of the first call.

        Raises InvalidInput (also for a reading that would be refused: nothing is taken then), NotFound (W3B-1006),
        Conflict (W3B-7007, W3B-7026), Refused (W3B-7025, W3B-7027) and OverQuota (W3B-7028).
        """
        project_id: int = request.project_id  # type: ignore[attr-defined]
        caller.require_project(project_id)
        if not 0 < project_id <= MAX_PROJECT:
            raise NotFound("W3B-1006", f"there is no project {project_id}", field="project_id")
        if intent is None:
            now, did = self._ledger.clock(), ""
            identity = job_id(caller.key_id, method, require_idempotency_key(request))
            row = NewJob(identity, project_id, request_hash(request), caller.key_id, now, now)
        else:
            row, did = self._signed(caller, project_id, readings, intent)
        if readings:
            await self._unbroken.run(self._require_good(caller, project_id, readings))
            row.readings = pack(readings)
        return await self._commits.commit(Proposal(row, len(readings), did))

    async def finish(self) -> None:
        """Wait until everything that was asked for is committed."""
        await self._commits.finish()

    def _signed(
        self, caller: Caller, project_id: int, readings: Sequence[bytes], sent: job_pb2.JobIntent
    ) -> tuple[NewJob, str]:
        """The job of a signed intent, its readings still missing, and the signer's DID."""
        now = self._ledger.clock()
        if _NONCE.fullmatch(sent.nonce) is None:
            raise InvalidInput("W3B-7008", f"nonce {sent.nonce[:40]!r} is not a decimal uint256", field="intent.nonce")
        if sent.project_id != project_id:
            raise Refused("W3B-7025", f"the intent is for project {sent.project_id}", field="intent.project_id")
        intent = JobIntent(project_id, sent.up_to, readings_hash(readings), int(sent.nonce), sent.deadline)
        if sent.deadline * 1000 <= now:
            raise Refused("W3B-7027", f"the intent's deadline {sent.deadline} has passed", field="intent.deadline")
        deployment = self._installation.deployment
        domain = Domain(deployment.chain_id, deployment.router_bytes())
        address = signer_of(intent, domain, sent.signature)
        identity = "0x" + intent.digest(domain).hex()
        row = NewJob(identity, project_id, identity, caller.key_id, now, now, f"0x{address.hex()}", sent.nonce)
        row.deadline_at, row.asked_up_to = min(sent.deadline * 1000, LARGEST), min(sent.up_to, LARGEST)
        return row, account_did(deployment.chain_id, address)

    async def _require_good(self, caller: Caller, project_id: int, readings: Sequence[bytes]) -> None:
        """Raises InvalidInput for the first reading that the intake would refuse."""
        if len(readings) > MAX_READINGS:
            raise InvalidInput("W3B-7010", f"{len(readings)} readings; at most {MAX_READINGS}", field="readings")
        await self._check.admission(project_id)
        for index, verdict in enumerate(await self._check.check(caller, readings)):
            field = f"readings[{index}]"
            if not isinstance(verdict, Reading):
                raise InvalidInput(verdict.code, verdict.message, field=field, next_step=verdict.next_step)
            if verdict.project != project_id:
                raise InvalidInput("W3B-1009", f"reading {index} is for project {verdict.project}", field=field)
