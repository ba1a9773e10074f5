"""Test only: tasks of the busy hour in any state, with their attempts, transactions and timelines."""

from __future__ import annotations

import random
from typing import Any

from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow, TaskEventRow, TaskRow
from tests.explorer_basics import (
    HEAD,
    LOST,
    MINUTE,
    ROUTER,
    SENDER,
    WINDOW,
    Seed,
    digest,
    prover_address,
    raw_transaction,
    word,
)


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
