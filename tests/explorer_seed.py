"""Test only: a ledger as a busy hour leaves it, the same at every run but for the clock. Explorer and browser tests and
the screenshots of the docs look at it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from coordinator.api.auth import ALL_SCOPES, key_hash
from coordinator.ledger.control_tables import AuditRow, CoordinatorRow, LeadershipRow, QuotaRow, QuotaUseRow
from coordinator.ledger.history_tables import RerunRow, TxEventRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import (
    ApiKeyRow,
    AttemptRow,
    DeadLetterRow,
    DeviceCursorRow,
    DeviceRow,
    GapRow,
    NonceRow,
    OutboxTxRow,
    ProjectRow,
    ProjectVersionRow,
    ProverEventRow,
    ProverRow,
    ReadingRow,
    StreamCursorRow,
    TaskEventRow,
    TaskRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
    WebhookMessageRow,
)
from verifier.reading import KeyType, Reading

MINUTE = 60_000
WINDOW = 16
SENDER = f"0x{'5e' * 20}"
ROUTER = f"0x{3:040x}"
LOST = "lease expired or worker died"
HEAD = 4_812
FINAL_BLOCK = 4_806


def secret_of(number: int) -> str:
    """The API key with that number."""
    return f"w3b_{number:012x}_{'k' * 43}"


ADMIN_KEY = secret_of(1)
HARBOUR_KEY = secret_of(2)
"""Works for project 1 only."""
OSLO_KEY = secret_of(3)
"""Works for project 2 only."""
REVOKED_KEY = secret_of(4)
READER_KEY = secret_of(5)
"""Reads tasks of every project, and nothing else."""
EXPIRED_KEY = secret_of(6)


def digest(*parts: object) -> str:
    """32 bytes that look like a hash, the same for the same parts."""
    return f"0x{random.Random(repr(parts)).getrandbits(256):064x}"


def word(value: int) -> bytes:
    """One ABI word."""
    return value.to_bytes(32, "big", signed=value < 0)


@dataclass
class Seed:
    """What was written, by name."""

    now: int
    rows: list[Any] = field(default_factory=list)
    tasks: dict[str, str] = field(default_factory=dict)
    """A task's id by its state; `waiting`, `proving`, `assigned`, `paused` and `retry` are OPEN ones."""
    tx: str = ""
    """Hash of a settlement."""
    replaced: str = ""
    """Hash of a transaction that a higher fee replaced."""
    block: int = 0
    message: str = ""
    dead_message: str = ""
    endpoint: str = ""
    prover: str = "zkp.groth16-0"
    device: str = ""
    _tx: int = 0
    _attempt: int = 0
    _gaps: int = 0

    def add(self, *rows: Any) -> None:
        """Keep rows to be written."""
        self.rows.extend(rows)


def keys(now: int) -> list[ApiKeyRow]:
    """The keys above."""
    bound = [scope for scope in ALL_SCOPES if scope != "admin"]
    made: list[ApiKeyRow] = []
    for number, name, scopes, project, revoked, expires in (
        (1, "first admin key", list(ALL_SCOPES), None, None, None),
        (2, "harbour dashboard", bound, 1, None, None),
        (3, "oslo dashboard", bound, 2, None, None),
        (4, "left the company", list(ALL_SCOPES), None, now - 1, None),
        (5, "task reader", ["tasks:read"], None, None, None),
        (6, "last year's key", list(ALL_SCOPES), None, None, now - 1),
    ):
        made.append(
            ApiKeyRow(
                id=f"key_{number:012x}",
                name=name,
                secret_hash=key_hash(secret_of(number)),
                scopes=scopes,
                project_id=project,
                created_at=now - 90 * MINUTE,
                revoked_at=revoked,
                expires_at=expires,
            )
        )
    return made


def _projects(seed: Seed) -> None:
    for number, name, state, devices in ((1, "harbour-air", "ACTIVE", 8), (2, "weather-oslo", "ACTIVE", 5)):
        version = ProjectVersionRow(
            project_id=number,
            version=1,
            file=f"schema: w3bstream/v1\nname: {name}\nwindow:\n  readings: {WINDOW}\n  seconds: 30\n",
            config={"assurance": "zkp(groth16)"},
            config_hash=digest("config", number),
            device_set_root=digest("devices", number),
            scheme="poseidon-bn254-v1",
            window_capacity=WINDOW,
            window_max_age_ms=30_000,
            programs=[
                {
                    "kind": "zkp.groth16",
                    "name": "temperature_window",
                    "program_id": digest("program"),
                    "verifier": f"0x{4:040x}",
                }
            ],
            state="PUBLISHED",
            created_at=seed.now - 80 * MINUTE,
        )
        seed.add(
            ProjectRow(
                id=number,
                name=name,
                owner_key_id="key_000000000001",
                state=state,
                version=1,
                created_at=seed.now - 81 * MINUTE,
            ),
            version,
        )
        for position in range(devices):
            seed.add(
                DeviceRow(
                    project_id=number,
                    version=1,
                    position=position,
                    device=device_of(number, position),
                    key_type=1,
                    public_key=f"0x{position:0128x}",
                    label=f"Station {position + 1}",
                )
            )
    seed.add(
        ProjectRow(
            id=3,
            name="pump-house",
            owner_key_id="key_000000000001",
            state="PAUSED",
            version=0,
            created_at=seed.now - 9 * MINUTE,
        ),
        StreamCursorRow(
            project_id=3,
            stopped_code="W3B-1008",
            stopped_reason="the DA server nats://da.example.org:4222 does not answer",
        ),
        QuotaRow(
            project_id=1, resource="readings", allowance=100_000, period_seconds=3600, updated_at=seed.now - MINUTE
        ),
        QuotaUseRow(project_id=1, resource="readings", period_start=seed.now - 20 * MINUTE, used=41_200),
    )
    seed.device = device_of(1, 2)


def device_of(project: int, position: int) -> str:
    """A device's id."""
    return f"0x{random.Random(f'{project}/{position}').getrandbits(160):040x}"


def _provers(seed: Seed) -> None:
    chance = random.Random(7)
    for number in range(5):
        name, status = f"zkp.groth16-{number}", ("BUSY", "BUSY", "BUSY", "IDLE", "OFFLINE")[number]
        seed.add(
            ProverRow(
                id=name,
                kind="zkp.groth16",
                address=prover_address(number),
                node=f"node-{number % 2 + 1}",
                status=status,
                heartbeat_at=seed.now - (9 * MINUTE if status == "OFFLINE" else 800),
                mirrored_status=status,
                trust="development key",
                created_at=seed.now - 75 * MINUTE,
                updated_at=seed.now - 800,
            )
        )
        at, busy = seed.now - 58 * MINUTE, False
        seed.add(ProverEventRow(prover_id=name, status="OFFLINE", reason="worker is starting", at=at - 40_000))
        while at < seed.now - (10 * MINUTE if status == "OFFLINE" else 20_000):
            busy = not busy
            reason = "holds a lease" if busy else "takes work"
            seed.add(ProverEventRow(prover_id=name, status="BUSY" if busy else "IDLE", reason=reason, at=at))
            at += int(chance.uniform(25_000, 160_000) if busy else chance.uniform(4_000, 90_000))
        if number == 2:
            seed.add(ProverEventRow(prover_id=name, status="OFFLINE", reason="no heartbeat", at=seed.now - 21 * MINUTE))
            seed.add(ProverEventRow(prover_id=name, status="IDLE", reason="takes work", at=seed.now - 18 * MINUTE))
        reason = {"OFFLINE": "no heartbeat", "BUSY": "holds a lease", "IDLE": "takes work"}[status]
        seed.add(ProverEventRow(prover_id=name, status=status, reason=reason, at=max(at, seed.now - 9 * MINUTE)))


def prover_address(number: int) -> str:
    """Who is paid."""
    return f"0x{number + 0xA0:040x}"


def raw_transaction(number: int) -> bytes:
    """A type-2 envelope with a maxFeePerGas of 1.2 gwei; nobody checks its signature here."""
    import rlp

    body = [
        b"\x12\x52",
        number.to_bytes(4, "big").lstrip(b"\0"),
        b"\x3b\x9a\xca\x00",
        (1_200_000_000).to_bytes(4, "big"),
    ]
    return b"\x02" + rlp.encode([*body, b"", b"\x00" * 20, b"", b"", []])


def transaction(seed: Seed, purpose: str, ref: dict[str, Any], state: str, at: int, block: int | None) -> OutboxTxRow:
    """An outbox row and its steps on the ladder."""
    seed._tx += 1
    number, sent = seed._tx, state not in ("QUEUED", "REFUSED")
    row = OutboxTxRow(
        id=number,
        dedupe_key=f"{purpose}:{number}",
        chain_id=4690,
        purpose=purpose,
        ref=ref,
        to=ROUTER,
        data=b"\xde\xad\xbe\xef" + bytes(640),
        state=state,
        sender=SENDER if sent else "",
        nonce=number if sent else None,
        raw=raw_transaction(number) if sent else None,
        tx_hash=digest("tx", number) if sent else "",
        block_number=block,
        block_hash=digest("block", block) if block else "",
        gas_used=(392_000 + number * 7_919 % 26_000 if purpose == "settle" else 121_000 + number * 31 % 9_000)
        if block
        else None,
        tries=int(sent),
        created_at=at,
        updated_at=at + 2_000,
    )
    steps = ["QUEUED", "SENT", "MINED", "SAFE", "FINAL"]
    for index, step in enumerate(steps[: steps.index(state) + 1] if state in steps else ["QUEUED", state]):
        seed.add(
            TxEventRow(
                tx_id=number,
                source=steps[index - 1] if index else "",
                target=step,
                tx_hash=row.tx_hash if index else "",
                block_number=block if index >= 2 else None,
                at=at + index * 400,
            )
        )
    seed.add(row)
    return row


STATE_STEPS = {
    "RECEIVED": 0,
    "OPEN": 1,
    "SATISFIED": 4,
    "SETTLED": 5,
    "FINAL": 6,
}


def task(seed: Seed, project: int, number: int, state: str, made: int, *, kind: str = "", **values: Any) -> TaskRow:
    """A task over the `number`-th window of a project, with its attempts, transactions and timeline.

    Parameters: `kind` says more of an OPEN one: `waiting`, `assigned`, `proving` or `retry`.
    """
    chance = random.Random(f"{project}/{number}")
    start, task_id = number * WINDOW + 1, digest("task", project, number)
    first = made - int(chance.uniform(9_000, 26_000))
    block = HEAD - 3 - int((seed.now - made) / 4_000)
    row = TaskRow(
        id=task_id,
        project_id=project,
        version=1,
        window_start=start,
        window_end=start + WINDOW,
        count=WINDOW,
        readings_root=digest("root", project, number),
        device_set_root=digest("devices", project),
        inputs=digest("inputs", project, number),
        state=state,
        kinds=["zkp.groth16"],
        deadline_at=made + 60 * MINUTE,
        first_reading_at=first,
        created_at=made,
        updated_at=made,
        **values,
    )
    at = made

    def event(subject: str, source: str, target: str, reason: str, attempt: int | None = None, code: str = "") -> None:
        seed.add(
            TaskEventRow(
                task_id=task_id,
                project_id=project,
                attempt_id=attempt,
                subject=subject,
                source=source,
                target=target,
                reason=reason,
                code=code,
                at=at,
            )
        )
        row.updated_at = at

    seed.add(row)
    event("task", "", "RECEIVED", "window closed")
    far = STATE_STEPS.get(state, 1)
    if state == "CANCELLED":
        at += 3_000
        event("task", "RECEIVED", "CANCELLED", "cancelled by key_000000000001: wrong calibration")
        row.reason = "cancelled by key_000000000001: wrong calibration"
        return row
    record = transaction(
        seed,
        "apply_batch",
        {"statuses": [], "tasks": [task_id], "assignments": []},
        "FINAL" if far else "SENT",
        at,
        block - 3 if far else None,
    )
    row.record_tx = record.id
    if not far:
        return row
    at += int(chance.uniform(1_500, 3_500))
    event("task", "RECEIVED", "OPEN", "task record mined")
    row.reason = "task record mined"
    if state in ("FAILED", "EXPIRED") or kind == "retry":
        losses = 5 if state == "FAILED" else 1 if kind == "retry" else 0
        for _ in range(losses):
            _lost(seed, row, at, event, chance.randrange(4))
            at += 31_000
        row.attempts_used = losses
        if state == "FAILED":
            row.code, row.reason = "W3B-3005", "5 of 5 attempts were lost or rejected"
            event("task", "OPEN", "FAILED", row.reason, code=row.code)
        elif state == "EXPIRED":
            row.code, row.reason = "W3B-3006", "deadline passed: no prover was online"
            event("task", "OPEN", "EXPIRED", row.reason, code=row.code)
        else:
            row.next_attempt_at, row.reason = seed.now + 900_000, LOST
        return row
    if kind == "waiting":
        return row
    far = {"assigned": 1, "proving": 2}.get(kind, far)
    at += int(chance.uniform(200, 9_000))
    _prove(seed, row, lambda: at, event, chance, block=block, far=far, number=number)
    return row


def _lost(seed: Seed, row: TaskRow, at: int, event: Any, prover: int) -> None:
    seed._attempt += 1
    name = f"zkp.groth16-{prover}"
    attempt = AttemptRow(
        id=seed._attempt,
        task_id=row.id,
        kind="zkp.groth16",
        program_id=digest("program"),
        prover_id=name,
        prover_address=prover_address(prover),
        fence=row.next_fence,
        state="LOST",
        lease_expires_at=at + 30_000,
        heartbeat_at=at,
        deadline_at=row.deadline_at,
        code="W3B-3008",
        reason=LOST,
        created_at=at,
        updated_at=at + 30_000,
    )
    row.next_fence += 1
    seed.add(attempt)
    event("attempt", "", "ASSIGNED", f"leased to {name}", attempt.id)
    event("attempt", "PROVING", "LOST", LOST, attempt.id, "W3B-3008")


def _prove(
    seed: Seed, row: TaskRow, clock: Any, event: Any, chance: random.Random, *, block: int, far: int, number: int
) -> None:
    """From the lease on. The times of the later steps are offsets to the lease's."""
    seed._attempt += 1
    prover = number % 4
    name, began = f"zkp.groth16-{prover}", clock()
    attempt = AttemptRow(
        id=seed._attempt,
        task_id=row.id,
        kind="zkp.groth16",
        program_id=digest("program"),
        prover_id=name,
        prover_address=prover_address(prover),
        fence=row.next_fence,
        hedge=number % 23 == 0,
        state="ASSIGNED",
        lease_expires_at=seed.now + 240_000,
        heartbeat_at=seed.now - 600,
        deadline_at=row.deadline_at,
        created_at=began,
        updated_at=began,
    )
    row.next_fence += 1
    seed.add(attempt)
    states = [("ASSIGNED", "", f"leased to {name}"), ("PROVING", "ASSIGNED", "assignment mined, sent to the prover")]
    states += [("PROVED", "PROVING", "proof verified off chain")]
    offsets = [0, int(chance.uniform(1_400, 3_200)), int(chance.uniform(6_500, 11_000))]
    assign = transaction(
        seed,
        "apply_batch",
        {"statuses": [], "tasks": [], "assignments": [attempt.id]},
        "FINAL" if far > 1 else "SENT",
        began,
        block - 2 if far > 1 else None,
    )
    attempt.assign_tx = assign.id
    for index, (target, source, reason) in enumerate(states[: min(far, 3)]):
        _event_at(seed, row, "attempt", source, target, reason, attempt.id, began + sum(offsets[: index + 1]))
        attempt.state = target
    if far == 2:
        attempt.stage, attempt.progress = ("witness", 0.15) if number % 2 else ("proof", 0.62)
    if far < 3:
        return
    done = began + sum(offsets)
    total, low, high = chance.randrange(180, 330), chance.randrange(40, 90), chance.randrange(200, 290)
    row.public_output = attempt.public_output = b"".join(map(word, (WINDOW, total * WINDOW, low, high)))
    row.output = attempt.output = digest("output", row.id)
    attempt.proof, attempt.seconds = bytes(416), {"witness": offsets[2] / 4_000, "prove": offsets[2] * 0.7 / 1_000}
    row.provenance = "in-proof"
    _event_at(seed, row, "task", "OPEN", "SATISFIED", "assurance reached", None, done + 20)
    row.reason = "assurance reached"
    ladder = {3: "QUEUED", 4: "SENT", 5: "MINED", 6: "FINAL"}[far]
    settle = transaction(
        seed, "settle", {"attempt_id": attempt.id, "task_id": row.id}, ladder, done, block if far > 4 else None
    )
    attempt.settle_tx = settle.id
    if far >= 4:
        attempt.state = "POSTED"
        _event_at(seed, row, "attempt", "PROVED", "POSTED", "settlement transaction sent", attempt.id, done + 400)
    if far >= 5:
        attempt.state, row.block_number, row.transaction_hash = "VERIFIED", block, settle.tx_hash
        row.dapp_ok, row.reason, row.block_hash = number % 41 != 0, "Router finalised the task", settle.block_hash
        _event_at(seed, row, "attempt", "POSTED", "VERIFIED", "settlement transaction mined", attempt.id, done + 2_100)
        _event_at(seed, row, "task", "SATISFIED", "SETTLED", "Router finalised the task", None, done + 2_110)
    if far >= 6:
        row.finality_source, row.reason = "single-producer", "settlement final"
        lag = int(chance.uniform(1_900, 6_400))
        _event_at(seed, row, "task", "SETTLED", "FINAL", "settlement final", None, done + 2_110 + lag)
        seed.tx, seed.block = settle.tx_hash, block


def _event_at(
    seed: Seed, row: TaskRow, subject: str, source: str, target: str, reason: str, attempt: int | None, at: int
) -> None:
    seed.add(
        TaskEventRow(
            task_id=row.id,
            project_id=row.project_id,
            attempt_id=attempt,
            subject=subject,
            source=source,
            target=target,
            reason=reason,
            at=at,
        )
    )
    row.updated_at = at


def _readings(seed: Seed, rows: list[TaskRow]) -> None:
    for row in rows:
        devices = 8 if row.project_id == 1 else 5
        for offset in range(WINDOW):
            position = row.window_start + offset
            sequence, device = position // devices + 1, device_of(row.project_id, position % devices)
            received = row.first_reading_at + offset * (row.created_at - row.first_reading_at) // WINDOW
            reading = Reading(
                project=row.project_id,
                device=bytes.fromhex(device[2:]),
                sequence=sequence,
                timestamp=received - 700,
                payload=(180 + position * 37 % 90).to_bytes(4, "big", signed=True),
                key_type=KeyType.BABYJUBJUB,
                signature=bytes(64),
            )
            seed.add(
                ReadingRow(
                    project_id=row.project_id,
                    position=position,
                    version=1,
                    device=device,
                    sequence=sequence,
                    timestamp=reading.timestamp,
                    wire=reading.to_wire(),
                    received_at=received,
                    task_id=row.id,
                )
            )
    last = {number: max(row.window_end for row in rows if row.project_id == number) for number in (1, 2)}
    for number, devices in ((1, 8), (2, 5)):
        seed.add(
            StreamCursorRow(project_id=number, next_position=last[number], window_start=last[number], open_count=0)
        )
        for position in range(devices):
            seed.add(
                DeviceCursorRow(
                    project_id=number, device=device_of(number, position), last_sequence=last[number] // devices + 1
                )
            )
    for device, first, until in ((2, 41, 52), (2, 130, 131), (5, 88, 88)):
        seed.add(
            GapRow(
                project_id=1,
                device=device_of(1, device),
                first_missing=first,
                last_missing=until,
                missing=until - first + 1,
                at=seed.now - 22 * MINUTE,
            )
        )
    for number, (code, reason) in enumerate(
        (
            ("W3B-1003", "the signature does not hold"),
            ("W3B-1005", "sequence 77 came before"),
            ("W3B-1004", "device is not in the device set of version 1"),
        )
    ):
        seed.add(
            DeadLetterRow(
                project_id=1,
                position=9_000 + number,
                code=code,
                reason=reason,
                device=device_of(1, number),
                sequence=77 + number,
                wire=b"\x01",
                at=seed.now - (3 + number) * MINUTE,
            )
        )


def _webhooks(seed: Seed, rows: list[TaskRow]) -> None:
    for number, project, url, disabled, why in (
        (1, 1, "https://hooks.harbour.example/w3bstream", False, ""),
        (2, 2, "https://oslo.example/results", False, ""),
        (3, 1, "https://old.harbour.example/hook", True, "410 Gone"),
    ):
        seed.add(
            WebhookEndpointRow(
                id=f"ep_{number:016x}",
                project_id=project,
                url=url,
                secret="whsec_" + "S" * 43,
                events=[],
                disabled=disabled,
                disabled_reason=why,
                created_at=seed.now - 79 * MINUTE,
            )
        )
    seed.endpoint = f"ep_{1:016x}"
    final = [row for row in rows if row.state in ("FINAL", "FAILED")][-24:]
    for number, row in enumerate(final):
        state = "DEAD" if number == 3 else "PENDING" if number == len(final) - 1 else "DELIVERED"
        made = row.updated_at + 50
        message = WebhookMessageRow(
            id=f"msg_{number:024x}",
            endpoint_id=f"ep_{row.project_id:016x}",
            project_id=row.project_id,
            event_type=f"w3bstream.task.{row.state.lower()}",
            subject=row.id,
            body=b'{"data":{"count":16,"state":"FINAL"},"specversion":"1.0","type":"w3bstream.task.final"}',
            state=state,
            tries=10 if state == "DEAD" else 1 + number % 3,
            next_at=made + 90_000,
            created_at=made,
            delivered_at=made + 800 if state == "DELIVERED" else None,
        )
        seed.add(message)
        if state == "DEAD":
            seed.dead_message = message.id
        elif row.project_id == 1 and state == "DELIVERED":
            seed.message = message.id
        for each in range(message.tries):
            good = state == "DELIVERED" and each == message.tries - 1
            seed.add(
                WebhookDeliveryRow(
                    message_id=message.id,
                    at=made + each * 5_000,
                    status_code=200 if good else 503,
                    error="" if good else "503 Service Unavailable",
                    duration_ms=41 + number * 3,
                )
            )


def _control(seed: Seed) -> None:
    seed.add(
        CoordinatorRow(
            id="co_00000000000a",
            host="alpha/4211",
            api="127.0.0.1:50051",
            started_at=seed.now - 80 * MINUTE,
            heartbeat_at=seed.now - 900,
        ),
        CoordinatorRow(
            id="co_00000000000b", host="beta/977", started_at=seed.now - 61 * MINUTE, heartbeat_at=seed.now - 1_200
        ),
        LeadershipRow(
            role="loops",
            holder="co_00000000000a",
            fence=3,
            expires_at=seed.now + 8_000,
            since=seed.now - 61 * MINUTE,
        ),
        AuditRow(
            at=seed.now - 40 * MINUTE,
            actor="key_000000000001",
            action="api_key.create",
            subject="key_000000000002",
            outcome="ok",
            peer="127.0.0.1",
            detail={},
            previous_hash=digest("audit", 0),
            hash=digest("audit", 1),
        ),
        NonceRow(chain_id=4690, sender=SENDER, next_nonce=seed._tx + 1),
    )


def busy_hour(now: int, tasks: int = 170) -> Seed:
    """The rows; `tasks` is how many of them are FINAL."""
    seed = Seed(now)
    seed.add(*keys(now))
    _projects(seed)
    _provers(seed)
    rows: list[TaskRow] = []
    numbers = {1: 0, 2: 0}
    chance = random.Random(11)
    for index in range(tasks):
        share = index / tasks
        made = now - int((56 - 54.6 * share + 2.2 * chance.random()) * MINUTE)
        project = 1 if index % 3 else 2
        numbers[project] += 1
        completeness = {"missing": 12, "late": 1} if index == 60 else {}
        rows.append(task(seed, project, numbers[project], "FINAL", made, **completeness))
        seed.tasks["FINAL"] = rows[-1].id
    ends: list[tuple[str, str, float]] = [
        ("FAILED", "", 33.0),
        ("EXPIRED", "", 41.0),
        ("CANCELLED", "", 12.0),
        ("SETTLED", "", 0.42),
        ("SETTLED", "", 0.4),
        ("SATISFIED", "", 0.37),
        ("OPEN", "proving", 0.33),
        ("OPEN", "proving", 0.32),
        ("OPEN", "assigned", 0.28),
        ("OPEN", "retry", 1.4),
        ("OPEN", "waiting", 0.2),
        ("OPEN", "waiting", 0.18),
        ("RECEIVED", "", 0.05),
        ("FROZEN", "", 17.0),
    ]
    for state, kind, minutes in ends:
        numbers[1] += 1
        made = now - int(minutes * MINUTE)
        stored = "SETTLED" if state == "FROZEN" else state
        row = task(seed, 1, numbers[1], stored, made, kind=kind)
        if state == "FROZEN":
            row.state, row.code, row.reason = "FROZEN", "W3B-5007", "two different outputs proven"
            _event_at(seed, row, "task", "SETTLED", "FROZEN", row.reason, None, made + 30_000)
        rows.append(row)
        seed.tasks.setdefault(state, row.id)
        if kind:
            seed.tasks[kind] = row.id
    seed.add(
        RerunRow(
            task_id=seed.tasks["FINAL"],
            kind="zkp.groth16",
            prover_id="zkp.groth16-1",
            state="DONE",
            same=True,
            created_at=now - MINUTE,
            updated_at=now - MINUTE,
        )
    )
    bumped = next(row for row in seed.rows if isinstance(row, OutboxTxRow) and row.tx_hash == seed.tx)
    seed.replaced = digest("replaced")
    seed.add(
        TxEventRow(
            tx_id=bumped.id or 0,
            source="SENT",
            target="BUMPED",
            tx_hash=seed.replaced,
            reason="10 % more a gas",
            at=bumped.created_at + 300,
        )
    )
    _readings(seed, rows)
    _webhooks(seed, rows)
    _control(seed)
    return seed


async def write(ledger: Ledger, seed: Seed) -> None:
    """Write the rows, parents before children."""
    parents = (ProjectRow, TaskRow, WebhookEndpointRow)
    steps = (
        [row for row in seed.rows if isinstance(row, parents)],
        [row for row in seed.rows if isinstance(row, WebhookMessageRow)],
        [row for row in seed.rows if not isinstance(row, (*parents, WebhookMessageRow, TaskEventRow))],
        sorted((row for row in seed.rows if isinstance(row, TaskEventRow)), key=lambda row: row.at),
    )
    async with ledger.transaction() as session:
        for rows in steps:
            session.add_all(rows)
            await session.flush()
