"""The events, as CloudEvents 1.0 JSON in structured mode (https://github.com/cloudevents/spec, v1.0.2).

An event's bytes are made once, stored in the ledger, signed and sent; a retry sends the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.openings import completeness_of
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.tables import TaskRow
from verifier.finality_proof import FinalityProof

TASK_FINAL = "w3bstream.task.final"
TASK_FAILED = "w3bstream.task.failed"
TASK_EXPIRED = "w3bstream.task.expired"
TASK_FROZEN = "w3bstream.task.frozen"
TASK_CONFIRMED = "w3bstream.task.confirmed"
TASK_UNCONFIRMED = "w3bstream.task.unconfirmed"
TASK_CONTRADICTED = "w3bstream.task.contradicted"
MAX_BODY = 20_000
"""Bytes of an event, as Standard Webhooks asks ("Payload size")."""
_MAX_REASON = 1000
EVENT_TYPES = (
    *(TASK_FINAL, TASK_FAILED, TASK_EXPIRED, TASK_FROZEN),
    *(TASK_CONFIRMED, TASK_UNCONFIRMED, TASK_CONTRADICTED),
)
"""Every event type there is."""

EVIDENCE_METHOD = "w3bstream.v1.EvidenceService/GetEvidence"
"""gRPC method that streams the evidence of a settled task."""

OutputsOf = Callable[[str], Sequence[str] | None]
"""From a program's name to the words of its public output, each `<ABI type> <name>`; None when they are not known."""
_EXACT_BITS = 53
"""JSON numbers hold integers exactly up to 2^53 (RFC 8259 §6)."""


@dataclass(frozen=True)
class VerifiedProof:
    """A proof that the Router accepted for the task."""

    kind: str
    """Proof kind, such as `zkp.groth16`."""
    program_id: str
    """0x hex, 32 bytes."""
    prover: str
    """Address that is paid, 0x hex."""
    statement_digest: str
    """EIP-712 digest of the Statement, 0x hex."""
    trust: str
    """The prover's trust anchor in words: `development key`, or what begins with `SIMULATED` where no hardware stands
    behind the proof."""


@dataclass(frozen=True)
class Site:
    """Where the events point to."""

    chain_id: int
    """EIP-155 chain id."""
    router: str
    """Address of the Router, 0x hex."""
    link_base: str = ""
    """The explorer's URL without a slash at the end; empty gives links relative to the installation."""


def _fitted(event: dict[str, Any]) -> bytes:
    """The event's bytes; where they are too many, first without the proof of finality, which holds the public output
    too, and then without the public output. The evidence has both."""
    data = event["data"]
    if (settlement := data.get("settlement")) and "finality_proof" in settlement and _is_large(event):
        note = {"omitted": True, "cli": data["evidence"]["cli"]}
        data = {**data, "settlement": {**settlement, "finality_proof": note}}
        event = {**event, "data": data}
    if "output" in data and _is_large(event):
        event = {**event, "data": {**data, "output": {"hash": data["output"]["hash"], "omitted": True}}}
    return canonical(event)


def _is_large(event: dict[str, Any]) -> bool:
    return len(canonical(event)) > MAX_BODY


def canonical(event: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, no spaces, ASCII only."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def decode_output(public_output: bytes, outputs: Sequence[str]) -> dict[str, Any]:
    """The public output by name. Integers wider than 53 bits become decimal text, bytes become 0x hex.

    Parameters: `outputs` holds `<ABI type> <name>` for each word, as a program's manifest does.
    """
    fields = [text.split() for text in outputs]
    values = decode([kind for kind, _ in fields], public_output)
    named: dict[str, Any] = {}
    for (kind, name), value in zip(fields, values, strict=True):
        if isinstance(value, bytes):
            named[name] = "0x" + value.hex()
        elif isinstance(value, int) and not isinstance(value, bool):
            width = int(kind.removeprefix("u").removeprefix("int") or 256)
            named[name] = value if width <= _EXACT_BITS else str(value)
        else:
            named[name] = value
    return named


def _hex(value: bytes | None) -> str:
    return "" if value is None else "0x" + value.hex()


def _confirmation(task: TaskRow) -> dict[str, Any]:
    """Where the second stage of the task's assurance is."""
    found: dict[str, Any] = {"kind": task.confirm_kind, "state": task.confirmation, "reason": task.confirm_reason}
    if task.confirm_by is not None:
        found["confirm_by"] = _moment(task.confirm_by)
    if task.confirm_code:
        found["code"] = task.confirm_code
    return found


def _moment(at: int) -> str:
    """Milliseconds since the Unix epoch as RFC 3339."""
    return datetime.fromtimestamp(at / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def task_data(
    task: TaskRow,
    site: Site,
    proofs: Sequence[VerifiedProof] = (),
    outputs: Sequence[str] | None = None,
    finality_proof: FinalityProof | None = None,
) -> dict[str, Any]:
    """The `data` of an event about `task`, as the ledger holds it now.

    `finality_proof` shows that the settlement is final, for a task that has one.
    """
    data: dict[str, Any] = {
        "task_id": task.id,
        "project_id": task.project_id,
        "version": task.version,
        "window": {"start": task.window_start, "end": task.window_end},
        "count": task.count,
        "completeness": asdict(completeness_of(task)) | {"missing": str(task.missing)},
        "state": task.state,
        "requeues": task.requeues,
        "inputs": task.inputs,
        "provenance": task.provenance,
        "link": f"{site.link_base}/tasks/{task.id}",
    }
    if task.code:
        data["error"] = {"code": task.code, "reason": task.reason[:_MAX_REASON]}
    if task.confirmation:
        data["confirmation"] = _confirmation(task)
    if task.output:
        data["output"] = {"hash": task.output, "abi": _hex(task.public_output)}
        if outputs is not None and task.public_output is not None:
            # An output that is not what the program promises must not keep its own event from being told.
            with suppress(DecodingError, ValueError):
                data["output"]["fields"] = decode_output(task.public_output, outputs)
    if task.transaction_hash:
        data["settlement"] = {
            "chain_id": site.chain_id,
            "router": site.router,
            "transaction_hash": task.transaction_hash,
            "block_number": task.block_number,
            "block_hash": task.block_hash,
            "finality_source": task.finality_source,
            "dapp_ok": task.dapp_ok,
        }
        if finality_proof is not None:
            data["settlement"]["finality_proof"] = finality_proof.to_json()
        # Its digest is not known yet: the file is made from the chain's blocks after this event (docs/reference/
        # evidence-format.md), and the bytes of the event must not change.
        data["evidence"] = {
            "cli": f"w3bstream evidence get {task.id}",
            "grpc": EVIDENCE_METHOD,
            "request": {"task_id": task.id},
        }
    if proofs:
        data["proofs"] = [asdict(proof) for proof in proofs]
    return data


def cloud_event(
    message_id: str, event_type: str, *, project_id: int, subject: str, at: int, data: dict[str, Any]
) -> bytes:
    """The event's bytes. `at` is in milliseconds since the Unix epoch; `message_id` is also the webhook-id."""
    return _fitted(
        {
            "specversion": "1.0",
            "id": message_id,
            "source": f"/projects/{project_id}",
            "type": event_type,
            "subject": subject,
            "time": _moment(at),
            "datacontenttype": "application/json",
            "data": data,
        }
    )


async def enqueue_task_event(
    session: AsyncSession, now: int, task: TaskRow, event_type: str, data: dict[str, Any]
) -> list[str]:
    """Put an event about `task` into the outbox of every endpoint that wants it; once per endpoint, type, task, and time
    that the task was put back.

    Call it in the transaction that made the event true. Returns the new message ids.
    """

    def body(message_id: str) -> bytes:
        return cloud_event(message_id, event_type, project_id=task.project_id, subject=task.id, at=now, data=data)

    return await enqueue_webhooks(
        session,
        now,
        project_id=task.project_id,
        event_type=event_type,
        subject=task.id,
        body=body,
        generation=task.requeues,
    )
