"""Which calls are privileged acts, and how each gets into the audit log: centrally, so that no service can forget one.

The gate opens an act around the call. The services' ledger (`AuditedLedger`) writes its row in the first transaction
that the call commits; where there was none, or the call failed, the gate writes the row itself at once after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.access.audit import Act, append
from coordinator.api.auth import SCOPES
from coordinator.ledger.store import Ledger

ACTIONS = {
    "/w3bstream.v1.ProjectService/CreateProject": "project.create",
    "/w3bstream.v1.ProjectService/PublishVersion": "project.publish",
    "/w3bstream.v1.ProjectService/PauseProject": "project.pause",
    "/w3bstream.v1.ProjectService/ResumeProject": "project.resume",
    "/w3bstream.v1.TaskService/CancelTask": "task.cancel",
    "/w3bstream.v1.TaskService/RequeueTask": "task.requeue",
    "/w3bstream.v1.TaskService/RequeueTasks": "task.requeue",
    "/w3bstream.v1.TaskService/RerunTask": "task.rerun",
    "/w3bstream.v1.IngestService/RequeueDeadLetters": "dead_letter.requeue",
    "/w3bstream.v1.ChainService/RetryDapp": "dapp.retry",
    "/w3bstream.v1.ChainService/Reconcile": "chain.reconcile",
    "/w3bstream.v1.ProverService/DrainProver": "prover.drain",
    "/w3bstream.v1.WebhookService/CreateWebhook": "webhook.create",
    "/w3bstream.v1.WebhookService/SetWebhookDisabled": "webhook.disable",
    "/w3bstream.v1.WebhookService/RotateWebhookSecret": "webhook.rotate",
    "/w3bstream.v1.WebhookService/ReplayMessage": "webhook.replay",
    "/w3bstream.v1.WebhookService/ReplayMessages": "webhook.replay",
    "/w3bstream.v1.AdminService/CreateApiKey": "api_key.create",
    "/w3bstream.v1.AdminService/RevokeApiKey": "api_key.revoke",
    "/w3bstream.v1.AdminService/CreateIdentity": "identity.create",
    "/w3bstream.v1.AdminService/RevokeIdentity": "identity.revoke",
    "/w3bstream.v1.AdminService/SetQuota": "quota.set",
    "/w3bstream.v1.AdminService/PruneLedger": "ledger.prune",
    "/w3bstream.v1.AuthService/Login": "identity.login",
}
"""The name of each privileged act: the one table."""
OWN_RECORD = frozenset(
    {
        "/w3bstream.v1.TaskService/SubmitTask",
        "/w3bstream.v1.JobService/SubmitJob",
        "/w3bstream.v1.IngestService/Ingest",
    }
)
"""Work, not administration: each job and reading is a row of its own, with who sent it."""
_READS = ("Get", "List", "Watch", "ReplayStream", "VerifyStream")
_SUBJECTS = ("task_id", "webhook_id", "message_id", "api_key_id", "prover_id", "did", "name", "resource")
"""Fields of requests that say what the act is done to, in this order."""
_SHOWN = ("name", "scopes", "reason", "disabled", "drain", "resource", "allowance", "use_default", "events", "act")
"""Fields of requests that the log keeps. No other: what a field may hold one day is not known here."""
MAX_SHOWN = 200


def action_of(method: str) -> str:
    """The act's name, or an empty text for a call that is none.

    A method that stands in no table and does not read is an act under its own name, so that a new one is never missed.
    """
    if method in ACTIONS or method in OWN_RECORD:
        return ACTIONS.get(method, "")
    service, _, name = method.rpartition("/")
    if not service.startswith("/w3bstream.") or name.startswith(_READS) or SCOPES.get(method, "").endswith(":read"):
        return ""
    return f"{service.rpartition('.')[2]}.{name}"


def describe(act: Act, request: Any) -> None:
    """Say from the request what the act is done to."""
    fields = type(request).DESCRIPTOR.fields_by_name
    act.project_id = int(getattr(request, "project_id", 0)) or None
    for name in _SUBJECTS:
        if name in fields and getattr(request, name):
            act.subject = str(getattr(request, name))
            break
    else:
        act.subject = f"project {act.project_id}" if act.project_id else ""
    for name in _SHOWN:
        if name in fields:
            value = getattr(request, name)
            act.detail[name] = value if isinstance(value, bool | int) else _text(value)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_SHOWN]
    return [str(each)[:MAX_SHOWN] for each in list(value)[:20]]


_act: ContextVar[Act | None] = ContextVar("act", default=None)


def set_act(act: Act | None) -> None:
    """Note the act of the call that this task serves."""
    _act.set(act)


def note(*, actor: str = "", subject: str = "", **detail: Any) -> None:
    """Say more of the act under way, before its transaction ends: who, what was made, never a secret."""
    act = _act.get()
    if act is not None:
        act.actor = actor or act.actor
        act.subject = subject or act.subject
        act.detail.update(detail)


class AuditedLedger(Ledger):
    """A ledger whose transactions write the act under way.

    Parameters: `ledger` is the one that does the work; this is another door to it, with the same connections.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.__dict__.update(ledger.__dict__)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """As the ledger's; the first of an act also holds the act's row."""
        act = _act.get()
        async with super().transaction() as session:
            yield session
            if act is not None and not act.recorded:
                await append(session, self.clock(), act)
        if act is not None:
            act.recorded = True
