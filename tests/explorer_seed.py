"""Test only: a ledger as a busy hour leaves it, the same at every run but for the clock. Explorer and browser tests and
the screenshots of the docs look at it."""

from __future__ import annotations

import random

from coordinator.ledger.control_tables import AuditRow, CoordinatorRow, LeadershipRow, QuotaRow, QuotaUseRow
from coordinator.ledger.history_tables import RerunRow, TxEventRow
from coordinator.ledger.outbox_tables import (
    NonceRow,
    OutboxTxRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
    WebhookMessageRow,
)
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import (
    DeadLetterRow,
    DeviceCursorRow,
    DeviceRow,
    GapRow,
    ProjectRow,
    ProjectVersionRow,
    ProverEventRow,
    ProverRow,
    ReadingRow,
    StreamCursorRow,
    TaskEventRow,
    TaskRow,
)
from tests.explorer_basics import MINUTE, SENDER, WINDOW, Seed, device_of, digest, keys, prover_address
from tests.explorer_work import _event_at, task
from verifier.reading import KeyType, Reading


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
