"""What must hold: an event says how to get the evidence, stays below 20 KB, and no output keeps it from being made."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coordinator.ledger.tables import TaskRow
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
