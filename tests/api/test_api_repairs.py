"""Dead tasks put back over the API, re-runs asked for, outputs compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from api_live import Live, project_rows, task_row
from eth_abi.abi import encode

from coordinator.ledger.history_tables import RerunRow
from coordinator.ledger.tables import AttemptRow, ProverRow, TaskRow
from verifier.errors import Conflict, Denied, InvalidInput, NotFound

WORDS = ["uint32", "int64", "int32", "int32"]


def attempt_row(number: int, task: TaskRow, output: bytes) -> AttemptRow:
    return AttemptRow(
        id=number,
        task_id=task.id,
        kind="zkp.groth16",
        program_id="0x05",
        prover_id=f"zkp.groth16-{number}",
        prover_address="0x" + "11" * 20,
        fence=number,
        state="PROVED",
        lease_expires_at=1,
        heartbeat_at=1,
        deadline_at=1,
        output=f"0x{number}",
        public_output=output,
        created_at=1,
        updated_at=1,
    )


@pytest.fixture
def dead(live: Live) -> list[TaskRow]:
    """Two failed tasks, an expired one and a final one."""
    live.add(*project_rows(1, "weather"))
    states = (("FAILED", "W3B-3005"), ("FAILED", "W3B-5002"), ("EXPIRED", "W3B-3006"), ("FINAL", ""))
    rows = [task_row(number, state=state, created_at=number) for number, (state, _) in enumerate(states, 1)]
    for row, (_, code) in zip(rows, states, strict=True):
        row.code = code
    live.add(*rows)
    return rows


def test_one_task_is_put_back_with_reason_and_deadline(live: Live, dead: list[TaskRow]) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    with live.client() as client:
        task = client.requeue_task(dead[0].id, "mended", deadline=until)
        assert (task.state, task.requeues) == (1, 1), "RECEIVED: it has no record on chain"
        assert task.deadline.ToDatetime(UTC) == until
        assert client.get_task(dead[0].id).timeline[-1].reason.endswith(": mended")
        with pytest.raises(Conflict, match="W3B-3001"):
            client.requeue_task(dead[0].id)
        with pytest.raises(Conflict, match="W3B-3001"):
            client.requeue_task(dead[3].id)
        with pytest.raises(InvalidInput, match="W3B-7008"):
            client.requeue_task(dead[1].id, "x" * 201)
        with pytest.raises(InvalidInput, match="W3B-3006"):
            client.requeue_task(dead[1].id, deadline=datetime(2020, 1, 1, tzinfo=UTC))


def test_all_dead_tasks_of_a_project_are_put_back_by_code(live: Live, dead: list[TaskRow]) -> None:
    with live.client() as client:
        assert list(client.requeue_tasks(1, code="W3B-5002").task_ids) == [dead[1].id]
        answer = client.requeue_tasks(1)
        assert list(answer.task_ids) == [dead[0].id, dead[2].id]
        assert not answer.refused
        assert not answer.has_more
        with pytest.raises(NotFound, match="W3B-2002"):
            client.requeue_tasks(9)


def test_a_key_of_another_project_or_without_the_scope_is_refused(live: Live, dead: list[TaskRow]) -> None:
    live.add(*project_rows(2, "rain"))
    with live.client(live.key(project_id=2)) as client:
        for call in (
            lambda: client.requeue_task(dead[0].id),
            lambda: client.requeue_tasks(1),
            lambda: client.rerun_task(dead[0].id),
            lambda: client.diff_outputs(dead[0].id),
        ):
            with pytest.raises(Denied, match="W3B-7005"):
                call()
    with live.client(live.key("tasks:read")) as client, pytest.raises(Denied, match="W3B-7004"):
        client.requeue_task(dead[0].id)


def test_a_rerun_waits_for_a_prover_of_the_kind(live: Live, dead: list[TaskRow]) -> None:
    task = dead[3]
    kind = task.kinds[0]
    live.add(ProverRow(id="p-0", kind=kind, address="0x1", created_at=1, updated_at=1))
    live.add(ProverRow(id="p-1", kind="tee.other", address="0x2", created_at=1, updated_at=1))
    with live.client() as client:
        made = client.rerun_task(task.id, prover_id="p-0")
        assert (made.state, made.kind, made.prover_id, made.verdict) == ("QUEUED", kind, "p-0", "")
        assert client.get_rerun(made.id) == made
        assert client.get_task(task.id).timeline[-1].subject == "rerun"
        with pytest.raises(NotFound, match="W3B-3084"):
            client.get_rerun(999)
        with pytest.raises(NotFound, match="W3B-3007"):
            client.rerun_task(task.id, prover_id="nobody")
        for wrong in ({"prover_id": "p-1"}, {"kind": "tee.other"}, {"prover_id": "p-0", "kind": "tee.other"}):
            with pytest.raises(InvalidInput, match="W3B-7008"):
                client.rerun_task(task.id, **wrong)


def test_outputs_are_compared_field_by_field(live: Live, dead: list[TaskRow]) -> None:
    task = dead[3]
    live.add(attempt_row(1, task, encode(WORDS, [3, -5, -10, 7])), attempt_row(2, task, encode(WORDS, [3, -5, -10, 7])))
    with live.client() as client:
        assert client.diff_outputs(task.id).same
        other = RerunRow(
            task_id=task.id,
            kind="zkp.groth16",
            prover_id="p-0",
            state="DONE",
            output="0x9",
            public_output=encode(WORDS, [3, -6, -10, 7]),
            same=False,
            code="W3B-3082",
            created_at=1,
            updated_at=1,
        )
        live.add(other)
        found = client.diff_outputs(task.id)
    assert not found.same
    assert [(each.subject, each.prover_id) for each in found.sources] == [
        ("attempt", "zkp.groth16-1"),
        ("attempt", "zkp.groth16-2"),
        ("rerun", "p-0"),
    ]
    assert {field.name: (list(field.values), field.same) for field in found.fields} == {
        "count": (["3", "3", "3"], True),
        "sum": (["-5", "-5", "-6"], False),
        "minimum": (["-10", "-10", "-10"], True),
        "maximum": (["7", "7", "7"], True),
    }


def test_outputs_that_no_manifest_fits_are_compared_as_bytes(live: Live, dead: list[TaskRow]) -> None:
    live.add(attempt_row(1, dead[3], b"\x01"), attempt_row(2, dead[3], b"\x02"))
    with live.client() as client:
        (field,) = client.diff_outputs(dead[3].id).fields
    assert (field.name, list(field.values), field.same) == ("public_output", ["0x01", "0x02"], False)
