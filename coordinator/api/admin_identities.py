"""The part of AdminService that registers DIDs."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlmodel import col, select

from coordinator.access import dids
from coordinator.api import render
from coordinator.api.auth import check_scopes, current_caller
from coordinator.api.idempotency import Once
from coordinator.ledger.control_tables import IdentityRow
from coordinator.ledger.store import Ledger
from coordinator.projects.service import get_project
from verifier.errors import InvalidInput, NotFound
from w3bstream.v1 import admin_pb2

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


def rendered(row: IdentityRow) -> admin_pb2.Identity:
    """The identity as administrators see it."""
    return admin_pb2.Identity(
        did=row.did,
        name=row.name,
        scopes=row.scopes,
        project_id=row.project_id or 0,
        created_at=render.timestamp(row.created_at),
        revoked_at=render.timestamp(row.revoked_at),
    )


class IdentityMethods:
    """Registers, lists and revokes."""

    _ledger: Ledger
    _forget: Callable[[str], None]

    async def CreateIdentity(self, request: admin_pb2.CreateIdentityRequest, context: object) -> admin_pb2.Identity:
        """Register a DID; one that is registered, revoked or not, gets this name, these scopes and this project."""
        once = Once(current_caller(), "CreateIdentity", request)
        did = dids.parse(request.did).did
        project_id = request.project_id or None
        if _NAME.fullmatch(request.name) is None:
            raise InvalidInput("W3B-7008", f"name {request.name[:40]!r} is not 1 to 100 characters", field="name")
        scopes = check_scopes(request.scopes, project_id)
        async with self._ledger.transaction() as session:
            answer = await once.answered(session, admin_pb2.Identity)
            if answer is not None:
                return answer
            if project_id is not None:
                await get_project(session, project_id)
            now = self._ledger.clock()
            row = await session.get(IdentityRow, did, populate_existing=True)
            row = row or IdentityRow(did=did, name="", scopes=[], created_at=now)
            row.name, row.scopes, row.project_id, row.revoked_at = request.name, scopes, project_id, None
            session.add(row)
            answer = rendered(row)
            await once.store(session, now, answer)
        self._forget(did)
        return answer

    async def ListIdentities(
        self, request: admin_pb2.ListIdentitiesRequest, context: object
    ) -> admin_pb2.ListIdentitiesResponse:
        """Every identity, revoked ones too, oldest first."""
        query = select(IdentityRow).order_by(col(IdentityRow.created_at), col(IdentityRow.did))
        async with self._ledger.reading() as session:
            rows = (await session.exec(query)).all()
        return admin_pb2.ListIdentitiesResponse(identities=[rendered(row) for row in rows])

    async def RevokeIdentity(self, request: admin_pb2.RevokeIdentityRequest, context: object) -> admin_pb2.Identity:
        """Revoke at once, its tokens and its calls under way too; once more changes nothing."""
        did = dids.parse(request.did).did
        async with self._ledger.transaction() as session:
            row = await session.get(IdentityRow, did, populate_existing=True)
            if row is None:
                raise NotFound("W3B-7023", f"there is no identity {did}", field="did")
            row.revoked_at = row.revoked_at or self._ledger.clock()
            session.add(row)
        self._forget(did)
        return rendered(row)
