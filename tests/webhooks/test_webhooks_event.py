"""What must hold: an event says how to get the evidence, stays below 20 KB, and no output keeps it from being made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.api import render
from coordinator.ledger.tables import TaskRow
from coordinator.webhooks import task_events
from coordinator.webhooks.event import MAX_BODY, TASK_FINAL, Site, cloud_event, task_data

SITE = Site(4690, "0x" + "3c" * 20, "https://explorer.example.org")
OUTPUTS = ("uint32 count", "int256 sum", "bytes32 root")
WORDS = (16).to_bytes(32, "big") + (-5).to_bytes(32, "big", signed=True) + b"\x01" * 32


def task(**changes: Any) -> TaskRow:
    values: dict[str, Any] = {
        "id": "0x" + "6b" * 32,
        "project_id": 1,
        "version": 1,
        "window_start": 1,
        "window_end": 17,
        "count": 16,
        "state": "FINAL",
        "inputs": "0x" + "1a" * 32,
        "output": "0x" + "2b" * 32,
        "public_output": WORDS,
        "transaction_hash": "0x" + "4d" * 32,
        "missing": 2**60,
        "duplicates": 0,
        "late": 0,
        "reordered": 0,
        "provenance": "in-proof",
        "code": "",
        "reason": "",
    }
    return TaskRow(**{**values, **changes})


def event(data: dict[str, Any]) -> bytes:
    return cloud_event("msg_1", TASK_FINAL, project_id=1, subject="0x", at=1_700_000_000_000, data=data)


def test_a_settled_task_says_how_to_get_its_evidence() -> None:
    data = task_data(task(), SITE, outputs=OUTPUTS)
    assert data["evidence"] == {
        "cli": f"w3bstream evidence get {data['task_id']}",
        "grpc": "w3bstream.v1.EvidenceService/GetEvidence",
        "request": {"task_id": data["task_id"]},
    }
    assert data["output"]["fields"] == {"count": 16, "sum": "-5", "root": "0x" + "01" * 32}
    assert data["completeness"]["missing"] == str(2**60)
    assert "evidence" not in task_data(task(transaction_hash="", state="FAILED"), SITE)


AWAITED = {"confirm_kind": "zkp.groth16", "confirmation": "AWAITED", "confirm_by": 1_700_000_000_000}


def test_the_second_stage_stands_in_the_event_and_in_the_answer() -> None:
    assert "confirmation" not in task_data(task(), SITE)
    assert task_data(task(**AWAITED), SITE)["confirmation"] == {
        "kind": "zkp.groth16",
        "state": "AWAITED",
        "confirm_by": "2023-11-14T22:13:20.000Z",
        "reason": "",
    }
    missed = task(**AWAITED | {"confirmation": "MISSED", "confirm_code": "W3B-3011", "confirm_reason": "late"})
    assert task_data(missed, SITE)["confirmation"]["code"] == "W3B-3011"
    times = {"id": "0x", "created_at": 1, "updated_at": 1, "deadline_at": 1, "first_reading_at": 1}
    answer = render.task(task(**AWAITED, **times, confirmation_at=5), None).confirmation
    assert (answer.kind, answer.state, answer.confirm_by.seconds) == ("zkp.groth16", "AWAITED", 1_700_000_000)
    assert not render.task(task(**times), None).HasField("confirmation")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"updated_at": 5}, ["final"]),
        ({"updated_at": 3, "confirmation": "CONFIRMED", "confirmation_at": 5}, ["confirmed"]),
        ({"updated_at": 5, "confirmation": "CONFIRMED", "confirmation_at": 5}, ["final", "confirmed"]),
        ({"updated_at": 5, "confirmation": "CONFIRMED", "confirmation_at": 3}, ["final"]),
        ({"updated_at": 5, "confirmation": "AWAITED", "confirmation_at": 5}, ["final"]),
        ({"updated_at": 3, "confirmation": "MISSED", "confirmation_at": 5}, ["unconfirmed"]),
        ({"updated_at": 3, "confirmation": "CONTRADICTED", "confirmation_at": 5}, ["contradicted"]),
        ({"state": "FROZEN", "updated_at": 5, "confirmation": "CONTRADICTED", "confirmation_at": 5}, ["frozen"]),
        ({"state": "SATISFIED", "updated_at": 3, "confirmation": "MISSED", "confirmation_at": 5}, ["unconfirmed"]),
    ],
)
def test_what_moved_now_is_told_and_nothing_else(changes: dict[str, Any], told: list[str]) -> None:
    found = task_events.due_events(task(**changes), 5)
    assert [each.removeprefix("w3bstream.task.") for each in found] == told


@given(st.integers(0, 40_000), st.text(max_size=3000))
def test_no_event_is_larger_than_receivers_take(size: int, reason: str) -> None:
    data = task_data(task(public_output=b"\xff" * size, code="W3B-3005", reason=reason), SITE)
    raw = event(data)
    assert len(raw) <= MAX_BODY
    output = json.loads(raw)["data"]["output"]
    assert output["hash"] == "0x" + "2b" * 32
    assert output.get("omitted") is True or output["abi"] == "0x" + "ff" * size


@given(st.binary(max_size=200))
def test_an_output_that_does_not_decode_is_told_without_its_fields(raw: bytes) -> None:
    data = task_data(task(public_output=raw), SITE, outputs=("uint32 count", "string name", "bytes data"))
    assert data["output"]["abi"] == "0x" + raw.hex()
    assert event(data)
