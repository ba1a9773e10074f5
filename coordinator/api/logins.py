"""AuthService: a DID's holder signs a challenge and gets a short-lived token for it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete
from sqlmodel import col

from coordinator.access import dids
from coordinator.access.dids import LoginClaims
from coordinator.access.tokens import Tokens
from coordinator.api import acts, render
from coordinator.ledger.control_tables import IdentityRow, SpentTokenRow
from coordinator.ledger.store import Ledger
from verifier.errors import Refused
from w3bstream.v1 import admin_pb2, admin_pb2_grpc

KEPT = 86_400_000
"""Milliseconds that a spent challenge is kept after it ran out."""


class AuthService(admin_pb2_grpc.AuthServiceServicer):
    """Logs in.

    Parameters: `names` are the host:port under which clients may reach this installation.
    """

    def __init__(self, ledger: Ledger, tokens: Tokens, names: Callable[[], frozenset[str]]) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._names = names

    async def GetChallenge(self, request: admin_pb2.GetChallengeRequest, context: object) -> admin_pb2.Challenge:
        """A challenge for any well-formed DID: who is registered is not told to strangers."""
        did = dids.parse(request.did).did
        challenge, expires_at = self._tokens.challenge(did, self._ledger.clock())
        return admin_pb2.Challenge(
            challenge=challenge, audience=self._tokens.installation, expires_at=render.timestamp(expires_at)
        )

    async def Login(self, request: admin_pb2.LoginRequest, context: object) -> admin_pb2.LoginResponse:
        """Turn a signed challenge into a token; the challenge is spent in the same transaction."""
        did, now = dids.parse(request.did), self._ledger.clock()
        acts.note(subject=did.did)
        if request.target not in self._names():
            raise Refused(
                "W3B-7022",
                f"the login was made for {request.target[:100]!r}, which is no name of this installation",
                field="target",
                next_step="Dial the API under a name that W3BSTREAM_API_NAMES lists.",
            )
        token_id, expires_at = self._tokens.read_challenge(did.did, request.challenge, now)
        claims = LoginClaims(did.did, self._tokens.installation, request.target, request.challenge)
        dids.check_login(did, claims, request.proof)
        scopes, project_id = await self._spend(did.did, token_id, expires_at, now)
        token, ends = self._tokens.issue(did.did, scopes, project_id, now)
        return admin_pb2.LoginResponse(
            token=token, expires_at=render.timestamp(ends), scopes=scopes, project_id=project_id or 0
        )

    async def _spend(self, did: str, token_id: str, expires_at: int, now: int) -> tuple[list[str], int | None]:
        """Spend the challenge; returns what the identity may do and where."""
        spent = SpentTokenRow(id=f"challenge {token_id}", expires_at=expires_at)
        async with self._ledger.transaction() as session:
            row = await session.get(IdentityRow, did, populate_existing=True)
            if row is None or row.revoked_at is not None:
                raise Refused("W3B-7022", f"{did} is not registered here, or was revoked", field="did")
            if await session.get(SpentTokenRow, spent.id, populate_existing=True) is not None:
                raise Refused("W3B-7022", "the challenge was used before", field="challenge")
            acts.note(actor=did)
            session.add(spent)
            await session.flush()
            await session.exec(delete(SpentTokenRow).where(col(SpentTokenRow.expires_at) < now - KEPT))
            return row.scopes, row.project_id
