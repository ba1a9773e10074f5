"""From the ledger's rows to the API's messages; nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.tables import (
    ApiKeyRow,
    AttemptRow,
    DeadLetterRow,
    ProjectRow,
    ProjectVersionRow,
    ProverEventRow,
    ProverRow,
    TaskEventRow,
    TaskRow,
)
from coordinator.scheduling.quote import Estimate, KindQuote, Range
from coordinator.webhooks.endpoints import signing_of
from coordinator.webhooks.signatures import public_key
from verifier.errors import InvalidInput, W3bstreamError
from verifier.outputs import decode_outputs
from w3bstream.v1 import admin_pb2, ingest_pb2, project_pb2, prover_pb2, task_pb2, webhook_pb2

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""What a protobuf Timestamp may hold: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z."""
_DAPP = {None: "", True: "processed", False: "failed"}


def timestamp(milliseconds: int | None) -> Timestamp | None:
    """Milliseconds since the Unix epoch as a Timestamp; None stays unset."""
    if milliseconds is None:
        return None
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def milliseconds(at: Timestamp, field: str) -> int:
    """A Timestamp of a request as milliseconds since the Unix epoch.

    Raises InvalidInput (W3B-7008) for one outside of protobuf's years 1 to 9999.
    """
    if not (FIRST_SECOND <= at.seconds <= LAST_SECOND and 0 <= at.nanos < 10**9):
        raise InvalidInput(
            "W3B-7008", f"{at.seconds} s and {at.nanos} ns is no time in the years 1 to 9999", field=field
        )
    return at.seconds * 1000 + at.nanos // 1_000_000


def task_state(state: str) -> task_pb2.TaskState.ValueType:
    """The enum's value of a ledger state."""
    return task_pb2.TaskState.Value(f"TASK_STATE_{state}")


def project(row: ProjectRow) -> project_pb2.Project:
    """A project."""
    return project_pb2.Project(
        id=row.id or 0,
        name=row.name,
        state=project_pb2.ProjectState.Value(f"PROJECT_STATE_{row.state}"),
        version=row.version,
        created_at=timestamp(row.created_at),
    )


def quote(
    row: ProjectVersionRow,
    kinds: Sequence[KindQuote],
    provers: Mapping[str, int],
    whole: Estimate | None,
    gas_price: int | None,
) -> project_pb2.Quote:
    """A quote for tasks of a version; `provers` are there by kind, `gas_price` is wei a gas."""
    programs = {program["kind"]: program["program_id"] for program in row.programs}
    assurance = row.config.get("assurance", {})
    made = project_pb2.Quote(
        project_id=row.project_id,
        version=row.version,
        kinds=[
            project_pb2.KindQuote(
                kind=each.kind,
                program_id=programs[each.kind],
                samples=each.samples,
                provers=provers.get(each.kind, 0),
                **({name: _range(getattr(each, name)) for name in _FIGURES} if each.samples else {}),
            )
            for each in kinds
        ],
        threshold=row.threshold,
        gas_price="" if gas_price is None else str(gas_price),
        confirm_kind=str(assurance.get("confirm", "")),
        confirm_within_seconds=int(assurance.get("confirm_within", 0)),
    )
    if whole is not None:
        made.estimated_kinds.extend(whole.kinds)
        made.total_ms.CopyFrom(_range(whole.total_ms))
        made.gas.CopyFrom(_range(whole.gas))
        if gas_price is not None:
            made.price_p50, made.price_p95 = str(whole.gas.p50 * gas_price), str(whole.gas.p95 * gas_price)
    return made


_FIGURES = ("proving_ms", "total_ms", "gas")


def _range(found: Range) -> project_pb2.QuoteRange:
    return project_pb2.QuoteRange(p50=found.p50, p95=found.p95)


def project_version(row: ProjectVersionRow, devices: int, transaction_hash: str) -> project_pb2.ProjectVersion:
    """A version, its project file included."""
    return project_pb2.ProjectVersion(
        project_id=row.project_id,
        version=row.version,
        state=project_pb2.VersionState.Value(f"VERSION_STATE_{row.state}"),
        config_hash=row.config_hash,
        device_set_root=row.device_set_root,
        scheme=row.scheme,
        window_capacity=row.window_capacity,
        window_seconds=row.window_max_age_ms // 1000,
        programs=[
            project_pb2.ProgramRef(
                kind=str(each["kind"]),
                name=str(each["name"]),
                program_id=str(each["program_id"]),
                verifier=str(each["verifier"]),
            )
            for each in row.programs
        ],
        threshold=row.threshold,
        devices=devices,
        file=row.file,
        transaction_hash=transaction_hash,
        created_at=timestamp(row.created_at),
    )


def result(outputs: Sequence[str] | None, public_output: bytes | None) -> list[task_pb2.OutputField]:
    """The public output by name; empty where it, or the program that names it, is not known."""
    if outputs is None or public_output is None:
        return []
    try:
        fields = decode_outputs(outputs, public_output)
    except W3bstreamError:
        # The installed program is not the one that was proven: the bytes stand in the answer, their names do not.
        return []
    return [task_pb2.OutputField(name=each.name, type=each.type, value=each.value) for each in fields]


def task(row: TaskRow, outputs: Sequence[str] | None) -> task_pb2.Task:
    """A task; `outputs` as its program's manifest lists them."""
    return task_pb2.Task(
        id=row.id,
        project_id=row.project_id,
        project_version=row.version,
        window_start=row.window_start,
        window_end=row.window_end,
        count=row.count,
        state=task_state(row.state),
        reason=row.reason,
        code=row.code,
        inputs=row.inputs,
        readings_root=row.readings_root,
        device_set_root=row.device_set_root,
        output=row.output,
        public_output=row.public_output or b"",
        result=result(outputs, row.public_output),
        provenance=row.provenance,
        finality_source=row.finality_source,
        transaction_hash=row.transaction_hash,
        block_number=row.block_number or 0,
        dapp=_DAPP[row.dapp_ok],
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        deadline=timestamp(row.deadline_at),
        first_reading_at=timestamp(row.first_reading_at),
        completeness=task_pb2.Completeness(
            missing=row.missing, duplicates=row.duplicates, late=row.late, reordered=row.reordered
        ),
        requeues=row.requeues,
        confirmation=_confirmation(row),
    )


def _confirmation(row: TaskRow) -> task_pb2.Confirmation | None:
    """The second stage of the task's assurance; None where it has none."""
    if not row.confirm_kind:
        return None
    return task_pb2.Confirmation(
        kind=row.confirm_kind,
        state=row.confirmation,
        confirm_by=timestamp(row.confirm_by),
        at=timestamp(row.confirmation_at),
        code=row.confirm_code,
        reason=row.confirm_reason,
    )


def attempt(row: AttemptRow, trust: str) -> task_pb2.Attempt:
    """An attempt; `trust` is its prover's trust anchor in words."""
    return task_pb2.Attempt(
        id=row.id or 0,
        kind=row.kind,
        prover_id=row.prover_id,
        prover_address=row.prover_address,
        fence=row.fence,
        state=row.state,
        stage=row.stage,
        progress=row.progress,
        code=row.code,
        reason=row.reason,
        seconds=row.seconds,
        program_id=row.program_id,
        proof=row.proof or b"",
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
        hedge=row.hedge,
        trust=trust,
    )


def transaction(purpose: str, row: OutboxTxRow) -> task_pb2.Transaction:
    """A transaction by what it did for the task: record, assign or settle."""
    return task_pb2.Transaction(
        hash=row.tx_hash,
        purpose=purpose,
        state=row.state,
        block_number=row.block_number or 0,
        gas_used=row.gas_used or 0,
        code=row.code,
        reason=row.reason,
    )


def task_event(row: TaskEventRow) -> task_pb2.TaskEvent:
    """A line of the timeline."""
    return task_pb2.TaskEvent(
        id=row.id or 0,
        task_id=row.task_id,
        project_id=row.project_id,
        subject=row.subject,
        attempt_id=row.attempt_id or 0,
        source=row.source,
        target=row.target,
        reason=row.reason,
        code=row.code,
        at=timestamp(row.at),
    )


def dead_letter(row: DeadLetterRow) -> ingest_pb2.DeadLetter:
    """A refused message."""
    return ingest_pb2.DeadLetter(
        position=row.position,
        code=row.code,
        reason=row.reason,
        device=row.device,
        sequence=row.sequence or 0,
        reading=row.wire,
        at=timestamp(row.at),
        requeued_at=None if row.requeued_at is None else timestamp(row.requeued_at),
    )


def prover(row: ProverRow, *, task_id: str, registered: bool, verified: int, failed: int) -> prover_pb2.Prover:
    """A prover with its record."""
    return prover_pb2.Prover(
        id=row.id,
        kind=row.kind,
        address=row.address,
        status=prover_status(row.status),
        draining=row.draining,
        node=row.node,
        trust=row.trust,
        task_id=task_id,
        registered=registered,
        verified=verified,
        failed=failed,
        heartbeat_at=timestamp(row.heartbeat_at or None),
    )


def prover_status(status: str) -> prover_pb2.ProverStatus.ValueType:
    """The enum's value of a ledger status."""
    return prover_pb2.ProverStatus.Value(f"PROVER_STATUS_{status}")


def prover_event(row: ProverEventRow) -> prover_pb2.ProverEvent:
    """A change of a prover's status."""
    return prover_pb2.ProverEvent(
        id=row.id or 0,
        prover_id=row.prover_id,
        status=prover_status(row.status),
        reason=row.reason,
        at=timestamp(row.at),
    )


def api_key(row: ApiKeyRow) -> admin_pb2.ApiKey:
    """An API key without its secret."""
    return admin_pb2.ApiKey(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        project_id=row.project_id or 0,
        created_at=timestamp(row.created_at),
        revoked_at=timestamp(row.revoked_at),
        expires_at=timestamp(row.expires_at),
        last_used_at=timestamp(row.last_used_at),
    )


def webhook(row: WebhookEndpointRow) -> webhook_pb2.Webhook:
    """An endpoint without its secrets."""
    return webhook_pb2.Webhook(
        id=row.id,
        project_id=row.project_id,
        url=row.url,
        events=row.events,
        disabled=row.disabled,
        created_at=timestamp(row.created_at),
        signing=signing_of(row),
        public_key=public_key(row.signing_key) if row.signing_key else "",
        previous_until=timestamp(row.previous_until or None),
        disabled_reason=row.disabled_reason,
        failing_since=timestamp(row.failing_since or None),
    )


def webhook_message(row: WebhookMessageRow, tries: Iterable[WebhookDeliveryRow]) -> webhook_pb2.WebhookMessage:
    """A message with every try to deliver it."""
    return webhook_pb2.WebhookMessage(
        id=row.id,
        webhook_id=row.endpoint_id,
        event_type=row.event_type,
        subject=row.subject,
        state=row.state,
        deliveries=[
            webhook_pb2.Delivery(
                at=timestamp(each.at),
                status_code=each.status_code or 0,
                error=each.error,
                duration_ms=each.duration_ms,
            )
            for each in tries
        ],
        created_at=timestamp(row.created_at),
        next_try_at=timestamp(row.next_at) if row.state == "PENDING" else None,
    )
