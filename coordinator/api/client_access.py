"""The client's calls about identities, logins, quotas and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from w3bstream.v1 import admin_pb2, admin_pb2_grpc

SECURE = "https://"


def dialled(target: str) -> str:
    """The host:port that a target means: what a login is made for."""
    host = target.removeprefix(SECURE).rstrip("/")
    return host if ":" in host.rpartition("]")[2] else f"{host}:443"


class AccessCalls:
    """Who may do what, how much, and who did."""

    if TYPE_CHECKING:
        target: str
        _channel: grpc.Channel
        _admin: admin_pb2_grpc.AdminServiceStub
        _call: Callable[..., Any]
        _once: Callable[..., Any]

    def create_identity(
        self, did: str, name: str, scopes: Sequence[str], *, project_id: int = 0, idempotency_key: str = ""
    ) -> admin_pb2.Identity:
        """Register a DID, or give a registered one this name, these scopes and this project."""
        from coordinator.api.client import new_idempotency_key

        request = admin_pb2.CreateIdentityRequest(
            did=did,
            name=name,
            scopes=scopes,
            project_id=project_id,
            idempotency_key=idempotency_key or new_idempotency_key(),
        )
        answer: admin_pb2.Identity = self._call(self._admin.CreateIdentity, request)
        return answer

    def list_identities(self) -> list[admin_pb2.Identity]:
        """Every identity."""
        return list(self._call(self._admin.ListIdentities, admin_pb2.ListIdentitiesRequest()).identities)

    def revoke_identity(self, did: str) -> admin_pb2.Identity:
        """Revoke an identity at once, its tokens too."""
        answer: admin_pb2.Identity = self._call(self._admin.RevokeIdentity, admin_pb2.RevokeIdentityRequest(did=did))
        return answer

    def login(self, did: str, prove: Callable[[str, str, str], str]) -> admin_pb2.LoginResponse:
        """Log in: `prove(audience, target, challenge)` signs with the DID's key. The answer's token is sent as a key.

        Raises Refused (W3B-7022).
        """
        stub: Any = admin_pb2_grpc.AuthServiceStub(self._channel)
        found = self._call(stub.GetChallenge, admin_pb2.GetChallengeRequest(did=did))
        target = dialled(self.target)
        proof = prove(found.audience, target, found.challenge)
        request = admin_pb2.LoginRequest(did=did, challenge=found.challenge, target=target, proof=proof)
        answer: admin_pb2.LoginResponse = self._once(stub.Login, request)
        return answer

    def list_quotas(self, project_id: int) -> list[admin_pb2.Quota]:
        """What a project may use, and has used."""
        return list(self._call(self._admin.ListQuotas, admin_pb2.ListQuotasRequest(project_id=project_id)).quotas)

    def set_quota(self, project_id: int, resource: str, allowance: int | None) -> admin_pb2.Quota:
        """Give a project a quota of its own (0: no limit), or with None the installation's default again."""
        request = admin_pb2.SetQuotaRequest(
            project_id=project_id, resource=resource, allowance=allowance or 0, use_default=allowance is None
        )
        answer: admin_pb2.Quota = self._call(self._admin.SetQuota, request)
        return answer

    def prune_ledger(self, older_than_seconds: int, *, act: bool = False) -> admin_pb2.PruneLedgerResponse:
        """Count what may be forgotten, or forget it: once only; call again while the answer says `has_more`."""
        request = admin_pb2.PruneLedgerRequest(older_than_seconds=older_than_seconds, act=act)
        answer: admin_pb2.PruneLedgerResponse = self._call(self._admin.PruneLedger, request)
        return answer

    def audit(
        self, *, actor: str = "", action: str = "", project_id: int = 0, oldest_first: bool = False
    ) -> Iterator[admin_pb2.AuditEntry]:
        """Privileged acts, newest first unless told otherwise."""
        token = ""
        while True:
            page = self._call(
                self._admin.ListAudit,
                admin_pb2.ListAuditRequest(
                    actor=actor,
                    action=action,
                    project_id=project_id,
                    oldest_first=oldest_first,
                    page_size=200,
                    page_token=token,
                ),
            )
            yield from page.entries
            token = page.next_page_token
            if not token:
                return
