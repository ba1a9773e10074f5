"""AdminService: API keys, and how the installation stands. Identities, quotas and the audit log are in `admin_*.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import acts, render
from coordinator.api.admin_audit import AuditMethods
from coordinator.api.admin_identities import IdentityMethods
from coordinator.api.admin_pruning import PruningMethods
from coordinator.api.admin_quotas import QuotaMethods
from coordinator.api.auth import ADMIN, check_scopes, current_caller, key_hash, new_key
from coordinator.api.idempotency import Once
from coordinator.api.surroundings import Installation
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ApiKeyRow, TaskRow
from coordinator.projects.service import get_project
from coordinator.settlement.endpoints import public_url
from verifier.errors import Conflict, InvalidInput, NotFound
from w3bstream.v1 import admin_pb2, admin_pb2_grpc

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
MAX_LIFETIME = 10 * 366 * 86_400
"""Seconds that an API key may be given."""
_NOT_CONTRACTS = ("chain_id", "block")


def _version() -> str:
    try:
        return version("w3bstream")
    except PackageNotFoundError:
        return "unpacked source"


class AdminService(IdentityMethods, QuotaMethods, AuditMethods, PruningMethods, admin_pb2_grpc.AdminServiceServicer):
    """Makes and revokes API keys and tells how each part stands.

    Parameters: `forget` is told of every key and identity that was revoked or changed; `defaults` are the
    installation's quotas by resource.
    """

    def __init__(
        self, ledger: Ledger, installation: Installation, forget: Callable[[str], None], defaults: Mapping[str, int]
    ) -> None:
        self._ledger = ledger
        self._installation = installation
        self._forget = forget
        self._defaults = defaults
        self._started_at = ledger.clock()

    async def CreateApiKey(
        self, request: admin_pb2.CreateApiKeyRequest, context: object
    ) -> admin_pb2.CreateApiKeyResponse:
        """Make an API key; its secret is in this answer only."""
        caller = current_caller()
        once = Once(caller, "CreateApiKey", request)
        project_id = request.project_id or None
        if _NAME.fullmatch(request.name) is None:
            raise InvalidInput("W3B-7008", f"name {request.name[:40]!r} is not 1 to 100 characters", field="name")
        scopes = check_scopes(request.scopes, project_id)
        lifetime = request.expires_in_seconds
        if lifetime > MAX_LIFETIME:
            raise InvalidInput("W3B-7008", f"{lifetime} s are more than 10 years", field="expires_in_seconds")
        async with self._ledger.transaction() as session:
            answer = await once.answered(session, admin_pb2.CreateApiKeyResponse)
            if answer is not None:
                return answer
            if project_id is not None:
                await get_project(session, project_id)
            now = self._ledger.clock()
            key_id, secret = new_key()
            row = ApiKeyRow(
                id=key_id,
                name=request.name,
                secret_hash=key_hash(secret),
                scopes=scopes,
                project_id=project_id,
                created_at=now,
                expires_at=now + lifetime * 1000 if lifetime else None,
            )
            session.add(row)
            acts.note(subject=key_id, project_id=project_id or 0, expires_in_seconds=lifetime)
            answer = admin_pb2.CreateApiKeyResponse(api_key=render.api_key(row), secret=secret)
            await once.store(session, now, answer)
        return answer

    async def ListApiKeys(
        self, request: admin_pb2.ListApiKeysRequest, context: object
    ) -> admin_pb2.ListApiKeysResponse:
        """Every key, revoked ones too, oldest first."""
        query = select(ApiKeyRow).order_by(col(ApiKeyRow.created_at), col(ApiKeyRow.id))
        async with self._ledger.reading() as session:
            rows = (await session.exec(query)).all()
        return admin_pb2.ListApiKeysResponse(api_keys=[render.api_key(row) for row in rows])

    async def RevokeApiKey(self, request: admin_pb2.RevokeApiKeyRequest, context: object) -> admin_pb2.ApiKey:
        """Revoke at once, watches and ingests under way included; once more changes nothing."""
        async with self._ledger.transaction() as session:
            row = await session.get(ApiKeyRow, request.api_key_id, populate_existing=True)
            if row is None:
                raise NotFound("W3B-7013", f"there is no API key {request.api_key_id[:100]!r}", field="api_key_id")
            if row.revoked_at is None:
                await _keep_one_admin(session, row)
                row.revoked_at = self._ledger.clock()
                session.add(row)
        self._forget(row.id)
        return render.api_key(row)

    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: object) -> admin_pb2.Status:
        """How each part stands, and the tasks by state that the key may see."""
        project_id = current_caller().project_id
        query = select(TaskRow.state, func.count()).group_by(col(TaskRow.state))
        if project_id is not None:
            query = query.where(TaskRow.project_id == project_id)
        async with self._ledger.reading() as session:
            tasks = dict((await session.exec(query)).all())
        deployment = self._installation.deployment
        contracts = {name: str(value) for name, value in asdict(deployment).items() if name not in _NOT_CONTRACTS}
        return admin_pb2.Status(
            components=[
                admin_pb2.Component(name=each.name, healthy=each.healthy, detail=each.detail, address=each.address)
                for each in await self._installation.components()
            ],
            chain_id=deployment.chain_id,
            contracts=contracts,
            tasks=tasks,
            version=_version(),
            started_at=render.timestamp(self._started_at),
            # Any key may ask for the status; the URL of the settings may hold the operator's access token.
            chain_rpc_url=public_url(self._installation.chain_rpc_url),
        )


async def _keep_one_admin(session: AsyncSession, leaving: ApiKeyRow) -> None:
    """Raises Conflict (W3B-7018) when no valid admin key without an end would be left."""
    # A key that runs out by itself does not count: the installation would be left without one.
    lasting = col(ApiKeyRow.revoked_at).is_(None), col(ApiKeyRow.expires_at).is_(None)
    valid = await session.exec(select(ApiKeyRow).where(*lasting))
    if (
        ADMIN in leaving.scopes
        and not leaving.expires_at
        and not any(ADMIN in row.scopes for row in valid if row.id != leaving.id)
    ):
        raise Conflict("W3B-7018", f"API key {leaving.id} is the last valid admin key", field="api_key_id")
