"""A task's trace, from its timeline: pure functions of the ledger's rows.

Every id is derived from the task's and from what the span is about, so that a trace told twice (a crash between telling
and writing down that it was told) is the same spans again, and nothing doubles. Times are the ledger's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from coordinator.ledger.transitions import TERMINAL_TASK_STATES, TaskState

ROOT = "task"
_SCOPE = InstrumentationScope("w3bstream.tasks")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_MS = 1_000_000
"""Nanoseconds in a millisecond."""


class Timeline(NamedTuple):
    """The rows about one task, as they stand in the ledger; each with its columns as attributes."""

    task: Any
    """Of TASKS."""
    events: Sequence[Any]
    """Of EVENTS, by id."""
    attempts: Mapping[int, Any]
    """Of ATTEMPTS, by id."""
    txs: Mapping[int, Any]
    """Of OUTBOX, by id."""
    tx_events: Mapping[int, Sequence[Any]]
    """Of TX_EVENTS, by transaction, by id."""


@dataclass(frozen=True)
class Piece:
    """A span before it has ids."""

    key: str
    """What it is about; unique in the task."""
    parent: str
    """The key of the span that it is part of; empty for the root."""
    name: str
    start: int
    end: int
    """Both in milliseconds."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[tuple[int, str, str]] = ()
    """(when, what, why) of what happened meanwhile."""
    error: str = ""
    """Why it came to a bad end; empty when it did not."""
    kind: SpanKind = SpanKind.INTERNAL


def trace_id_of(task_id: str, trace: str) -> int:
    """The trace of a task: its submitter's (`TaskRow.trace`, a traceparent), or one of its own from its id."""
    given = _parsed(trace)
    return given[0] if given else _number(16, task_id, "trace")


def traceparent_of(task_id: str, trace: str) -> str:
    """The `traceparent` of a task's root span, for spans and calls that are part of it."""
    return f"00-{trace_id_of(task_id, trace):032x}-{_number(8, task_id, ROOT):016x}-01"


def proof_traceparent(task_id: str, trace: str, attempt_id: int) -> str:
    """The `traceparent` of an attempt's `prove` span, for what the worker does meanwhile."""
    span_id = _number(8, task_id, f"attempt {attempt_id} prove")
    return f"00-{trace_id_of(task_id, trace):032x}-{span_id:016x}-01"


def _parsed(traceparent: str) -> tuple[int, int] | None:
    """(trace id, span id) of W3C Trace Context's header; None when it is not one."""
    parts = traceparent.split("-")
    if len(parts) != 4 or (len(parts[1]), len(parts[2])) != (32, 16):
        return None
    return int(parts[1], 16), int(parts[2], 16)


def _number(size: int, *about: str) -> int:
    digest = hashlib.sha256("\x00".join(("w3bstream", *about)).encode()).digest()
    return int.from_bytes(digest[:size], "big") or 1


def task_pieces(timeline: Timeline, end_event: int) -> list[Piece]:
    """The spans of one life of a task: up to the terminal event `end_event`, from its start or from the last time it had
    ended before an operator put it back."""
    ends = [row for row in timeline.events if row.subject == "task" and row.target in TERMINAL_TASK_STATES]
    before = [row for row in ends if row.id < end_event]
    last = next(row for row in ends if row.id == end_event)
    begun = before[-1].id if before else 0
    events = [row for row in timeline.events if begun < row.id <= end_event]
    root = ROOT if not before else f"{ROOT} {len(before)}"
    task = timeline.task
    start = before[-1].at if before else min(task.first_reading_at, events[0].at)
    attributes = {
        "w3bstream.task": task.id,
        "w3bstream.project": task.project_id,
        "w3bstream.version": task.version,
        "w3bstream.readings": task.count,
        "w3bstream.state": last.target,
        "w3bstream.output": task.output,
    }
    notes = [(row.at, f"{row.subject} {row.target}", row.reason) for row in events]
    error = "" if last.target == TaskState.FINAL else f"{last.code} {last.reason}".strip() or last.target
    pieces = [Piece(root, "", "task", start, last.at, attributes, notes, error)]
    steps = [row for row in events if row.subject == "task"]
    pieces += _task_stages(timeline, root, start, steps)
    for attempt_id in dict.fromkeys(row.attempt_id for row in events if row.subject == "attempt"):
        mine = [row for row in events if row.subject == "attempt" and row.attempt_id == attempt_id]
        pieces += _attempt(timeline, root, timeline.attempts.get(attempt_id), mine, events)
    return pieces


def _task_stages(timeline: Timeline, root: str, start: int, steps: Sequence[Any]) -> Iterator[Piece]:
    named = {"RECEIVED": "intake.window", "OPEN": "record", "SETTLED": "settle", "FINAL": "finality"}
    before = start
    for row in steps:
        name = named.get(row.target)
        if name is not None and name != "settle":
            key = f"{root} {name} {row.id}"
            yield Piece(key, root, name, before, row.at)
            if name == "record" and timeline.task.record_tx is not None:
                yield from _transaction(timeline, key, timeline.task.record_tx)
        before = row.at


def _attempt(
    timeline: Timeline, root: str, attempt: Any, mine: Sequence[Any], events: Sequence[Any]
) -> Iterator[Piece]:
    if attempt is None:
        return
    key = f"attempt {attempt.id}"
    begun = {row.target: row.at for row in mine if row.source != row.target}
    first, last = mine[0], mine[-1]
    queued = [row.at for row in events if row.id < first.id and _frees(row)]
    if first.target == "ASSIGNED" and queued:
        yield Piece(f"{key} queue", root, "queue", queued[-1], first.at, {"w3bstream.kind": attempt.kind})
    attributes = {
        "w3bstream.attempt": attempt.id,
        "w3bstream.kind": attempt.kind,
        "w3bstream.prover": attempt.prover_id,
        "w3bstream.fence": attempt.fence,
        "w3bstream.hedge": attempt.hedge,
        "w3bstream.state": last.target,
    }
    bad = last.target in ("LOST", "REJECTED")
    yield Piece(key, root, "attempt", first.at, last.at, attributes, (), f"{last.code} {last.reason}" if bad else "")
    proving, proved = begun.get("PROVING"), begun.get("PROVED")
    if "ASSIGNED" in begun and proving is not None:
        yield Piece(f"{key} assign", key, "assign", begun["ASSIGNED"], proving)
        if attempt.assign_tx is not None:
            yield from _transaction(timeline, f"{key} assign", attempt.assign_tx)
    if proving is not None:
        yield from _proving(attempt, key, proving, proved if proved is not None else last.at)
    if proved is not None and "VERIFIED" in begun:
        yield Piece(f"{key} settle", key, "settle", proved, begun["VERIFIED"])
        if attempt.settle_tx is not None:
            yield from _transaction(timeline, f"{key} settle", attempt.settle_tx)


def _frees(row: Any) -> bool:
    """Whether the task waited for a prover from here: it became OPEN, or an attempt ended badly."""
    return (row.subject == "task" and row.target == "OPEN") or (
        row.subject == "attempt" and row.target in ("LOST", "REJECTED")
    )


def _proving(attempt: Any, parent: str, start: int, end: int) -> Iterator[Piece]:
    """The call to the worker, with the seconds of each stage that it reported (their spans it tells itself), and what
    came after it: the check off chain and the way to the ledger."""
    about = {"rpc.system": "ray", "w3bstream.prover": attempt.prover_id}
    for stage, seconds in (attempt.seconds or {}).items():
        if isinstance(seconds, int | float):
            about[f"w3bstream.seconds.{stage}"] = float(seconds)
    yield Piece(f"{parent} prove", parent, "prove", start, end, about, kind=SpanKind.CLIENT)
    if attempt.proved_at is not None and attempt.proved_at < end:
        yield Piece(f"{parent} verify", parent, "verify", max(start, attempt.proved_at), end)


def _transaction(timeline: Timeline, parent: str, tx_id: int) -> Iterator[Piece]:
    """A transaction on the ladder, each rung a span."""
    tx, steps = timeline.txs.get(tx_id), timeline.tx_events.get(tx_id, ())
    if tx is None or not steps:
        return
    key = f"{parent} tx {tx_id}"
    attributes = {"w3bstream.transaction": tx_id, "w3bstream.purpose": tx.purpose, "w3bstream.tx_hash": tx.tx_hash}
    notes = [(row.at, row.target, row.reason) for row in steps]
    yield Piece(key, parent, f"tx {tx.purpose}", steps[0].at, steps[-1].at, attributes, notes, kind=SpanKind.CLIENT)
    for row, following in pairwise(steps):
        yield Piece(f"{key} {row.id}", key, f"tx.{row.target.lower()}", row.at, following.at)


def delivery_piece(row: Any) -> Piece:
    """A webhook try; `row` has the columns of DELIVERIES, and the message's `event_type` and `endpoint_id`."""
    well = row.status_code is not None and 200 <= row.status_code < 300
    attributes = {
        "w3bstream.message": row.message_id,
        "w3bstream.endpoint": row.endpoint_id,
        "w3bstream.event": row.event_type,
        "http.response.status_code": row.status_code or 0,
    }
    error = "" if well else row.error or "no success"
    start = row.at - row.duration_ms
    return Piece(f"delivery {row.id}", ROOT, "webhook.delivery", start, row.at, attributes, (), error, SpanKind.CLIENT)


def spans(task_id: str, trace: str, pieces: Iterable[Piece], resource: Resource) -> list[ReadableSpan]:
    """The pieces as spans of the task's trace."""
    trace_id = trace_id_of(task_id, trace)

    def context(key: str) -> SpanContext:
        return SpanContext(trace_id, _number(8, task_id, key), is_remote=False, trace_flags=_SAMPLED)

    given = _parsed(trace)
    outside = SpanContext(trace_id, given[1], is_remote=True, trace_flags=_SAMPLED) if given else None
    return [
        ReadableSpan(
            name=piece.name,
            context=context(piece.key),
            parent=context(piece.parent) if piece.parent else outside,
            resource=resource,
            attributes={"w3bstream.task": task_id, **piece.attributes},
            events=[Event(what, {"reason": why}, at * _MS) for at, what, why in piece.notes],
            kind=piece.kind,
            status=Status(StatusCode.ERROR, piece.error) if piece.error else Status(StatusCode.UNSET),
            start_time=piece.start * _MS,
            end_time=max(piece.start, piece.end) * _MS,
            instrumentation_scope=_SCOPE,
        )
        for piece in pieces
    ]
