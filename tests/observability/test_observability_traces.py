"""One trace a task, whole and once: from its first reading to its webhook, whatever crashed or was down meanwhile."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import structlog

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.stream import JetStream
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.store import Ledger, move_task
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import TaskState
from coordinator.observability.spans import (
    client_span,
    exporter_at,
    server_span,
    start_tracing,
    stop_tracing,
    trace_headers,
    traceparent_in,
)
from coordinator.observability.task_spans import trace_id_of, traceparent_of
from coordinator.observability.task_traces import TaskTraces
from tests.api.api_live import Live
from tests.intake.intake_world import reading
from tests.observability.observability_world import ME, until_final
from tests.observability.otlp_collector import Collector, collector, text_of
from tests.settlement.memory_run import Run
from w3bstream.v1 import admin_pb2, admin_pb2_grpc

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""The traceparent of W3C Trace Context's own example."""


@pytest.fixture
def sink() -> Iterator[Collector]:
    """A collector."""
    with collector() as made:
        yield made


@pytest.fixture
def live_spans(sink: Collector) -> Iterator[Collector]:
    """A collector of this process's live spans; `stop_tracing` sends them."""
    start_tracing(exporter_at(sink.endpoint), ME)
    yield sink
    stop_tracing()


def traces_of(ledger: Ledger, home: Path, sink: Collector, *, leads: bool = True) -> TaskTraces:
    """A follower from the beginning of the ledger, or from where the last one in this home was."""
    made = TaskTraces(ledger, exporter_at(sink.endpoint), home, ME, lambda: leads)
    made._at = made._stored() or {"task": 0, "delivery": 0}
    return made


async def deliver(run: Run, task: TaskRow, status: int) -> None:
    """A webhook try about the task."""
    now = run.ledger.clock()
    async with run.ledger.transaction() as session:
        if await session.get(WebhookEndpointRow, "ep_1") is None:
            session.add(
                WebhookEndpointRow(
                    id="ep_1", project_id=1, url="http://127.0.0.1:1", secret="", events=[], created_at=now
                )
            )
            await session.flush()
        made = await enqueue_webhooks(
            session, now, project_id=1, event_type="final", subject=task.id, body=lambda _: b"{}"
        )
        await session.flush()
        session.add(WebhookDeliveryRow(message_id=made[0], at=now, status_code=status, duration_ms=40))


async def test_one_trace_a_task_with_every_stage(ledger_url: str, tmp_path: Path, sink: Collector) -> None:
    run = await Run.begin(ledger_url)
    first, second, third = await run.tasks()
    async with run.ledger.transaction() as session:
        (await session.get_one(TaskRow, second.id)).trace = CALLER
    await until_final(run)
    await deliver(run, first, 204)
    await deliver(run, second, 500)
    traces = traces_of(run.ledger, tmp_path, sink)
    assert await traces.step()
    assert sink.services == {"w3bstream"}
    for task, trace in ((first, ""), (second, CALLER), (third, "")):
        mine = [span for span in sink.spans if text_of(span, "w3bstream.task") == task.id]
        assert {int.from_bytes(span.trace_id, "big") for span in mine} == {trace_id_of(task.id, trace)}
        check_tree(mine, parent=CALLER.split("-")[2] if trace else "")
        names = Counter(span.name for span in mine)
        assert names >= Counter(
            ["task", "intake.window", "record", "queue", "attempt", "assign", "prove", "settle", "finality"]
        )
        assert {"tx settle", "tx apply_batch", "tx.queued", "tx.sent", "tx.mined"} <= set(names)
    tries = {text_of(span, "w3bstream.task"): span.status.code for span in sink.named("webhook.delivery")}
    assert tries == {first.id: 0, second.id: 2}  # unset, and error
    assert len({span.trace_id for span in sink.spans}) == 3
    # The submitter's trace holds the task's; the root's id is what live calls name as their parent.
    root = next(span for span in sink.named("task") if text_of(span, "w3bstream.task") == first.id)
    assert traceparent_of(first.id, "") == f"00-{root.trace_id.hex()}-{root.span_id.hex()}-01"
    await traces.stop()
    await run.ledger.close()


def check_tree(mine: list[Any], parent: str) -> None:
    """One root, under `parent` where there is one; each other span within one of the trace, and none backwards."""
    ids = {span.span_id for span in mine}
    assert len(ids) == len(mine), "two spans under one id"
    roots = [span for span in mine if span.parent_span_id not in ids]
    assert [span.name for span in roots] == ["task"]
    assert roots[0].parent_span_id.hex() == parent
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in mine)


async def test_nothing_is_lost_while_the_collector_is_down_and_nothing_doubles_after_a_crash(
    ledger_url: str, tmp_path: Path, sink: Collector
) -> None:
    run = await Run.begin(ledger_url)
    await until_final(run)
    sink.refuses = True
    before = traces_of(run.ledger, tmp_path, sink)
    assert not await before.step()
    assert not sink.spans
    assert not (tmp_path / "traces.json").exists()
    sink.refuses = False
    assert await before.step()
    told = {span.span_id for span in sink.spans}
    assert len(sink.named("task")) == 3
    # Killed after the collector took them and before the cursor was written.
    (tmp_path / "traces.json").unlink()
    again = traces_of(run.ledger, tmp_path, sink)
    assert await again.step()
    assert {span.span_id for span in sink.spans} == told
    # A restart that found its cursor tells nothing again.
    count = len(sink.spans)
    assert await traces_of(run.ledger, tmp_path, sink).step()
    assert len(sink.spans) == count
    await run.ledger.close()


async def test_who_stands_by_tells_nothing_and_misses_nothing_on_taking_over(
    ledger_url: str, tmp_path: Path, sink: Collector
) -> None:
    run = await Run.begin(ledger_url)
    await until_final(run)
    leads = [False]
    traces = TaskTraces(run.ledger, exporter_at(sink.endpoint), tmp_path, ME, lambda: leads[0])
    traces._at = {"task": 0, "delivery": 0}
    assert await traces.step()
    assert not sink.spans
    leads[0] = True
    assert await traces.step()
    ended = {text_of(span, "w3bstream.task") for span in sink.named("task")}
    assert ended, "what ended within the last minute is told"
    await run.ledger.close()


async def test_a_task_that_was_put_back_has_a_second_root_in_the_same_trace(
    ledger_url: str, tmp_path: Path, sink: Collector
) -> None:
    run = await Run.begin(ledger_url, tasks=1)
    task = (await run.tasks())[0]
    async with run.ledger.transaction() as session:
        await move_task(session, run.time[0], task.id, TaskState.FAILED, code="W3B-3005", reason="retry cap reached")
        await move_task(session, run.time[0] + 5, task.id, TaskState.RECEIVED)
    await until_final(run)
    assert await traces_of(run.ledger, tmp_path, sink).step()
    roots = sink.named("task")
    assert [span.status.code for span in roots] == [2, 0]
    assert "W3B-3005" in roots[0].status.message
    assert len({span.trace_id for span in roots}) == 1
    assert len({span.span_id for span in sink.spans}) == len(sink.spans)
    await run.ledger.close()


def test_an_api_call_continues_its_callers_trace(tmp_path: Path, ledger_url: str, live_spans: Collector) -> None:
    with Live(tmp_path, ledger_url).running(nats=False) as api, grpc.insecure_channel(api.target) as channel:
        metadata = (("authorization", f"Bearer {api.admin_key}"), ("traceparent", CALLER))
        admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), metadata=metadata)
    stop_tracing()
    span = live_spans.named("w3bstream.v1.AdminService/GetStatus")[0]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert text_of(span, "w3bstream.code") == "OK"


async def test_readings_published_by_us_carry_the_calls_context(tmp_path: Path, live_spans: Collector) -> None:
    nats = EmbeddedNats(tmp_path)
    await nats.start()
    stream = await JetStream.connect(nats.url)
    await stream.ensure(1)
    call = SimpleNamespace(invocation_metadata=lambda: (("traceparent", CALLER),))
    for number, current in ((1, True), (2, False)):  # a plain call, and a stream
        with server_span("/w3bstream.v1.IngestService/Ingest", call, current=current):
            await stream.publish([reading(number)])
    nameless = SimpleNamespace(invocation_metadata=lambda: ())
    with server_span("/w3bstream.v1.IngestService/Ingest", nameless):
        await stream.publish([reading(3)])
    consumer = await stream.consume(1, 1)
    messages: list[Any] = []
    while len(messages) < 3:
        messages += await consumer.fetch(3 - len(messages), 20)
    assert [each.trace.split("-")[1:2] for each in messages] == [[CALLER.split("-")[1]]] * 2 + [[]]
    await consumer.close()
    await stream.close()
    await nats.stop()


@pytest.mark.parametrize(
    "sent", ["", "00", "junk" * 100, "00-" + "0" * 32 + "-b7ad6b7169203331-01", CALLER.upper(), CALLER + "x"]
)
def test_a_strangers_header_that_is_no_traceparent_is_nothing(sent: str) -> None:
    assert traceparent_in({"traceparent": sent}) == ""
    assert traceparent_in({"traceparent": CALLER}) == CALLER
    assert traceparent_in(None) == ""


def test_calls_to_the_chain_are_traced_within_a_call_only(live_spans: Collector) -> None:
    with client_span("eth_call", {}):  # a loop that looks
        assert trace_headers() == {}
    call = SimpleNamespace(invocation_metadata=lambda: ())
    with server_span("/a/B", call), client_span("eth_call", {"server.address": "here"}):
        pass
    stop_tracing()
    child, parent = live_spans.named("eth_call")[0], live_spans.named("a/B")[0]
    assert len(live_spans.named("eth_call")) == 1
    assert child.parent_span_id == parent.span_id


def test_logs_name_the_task_and_the_trace(tmp_path: Path, live_spans: Collector) -> None:
    from coordinator.service.logs import configure_logs

    root = logging.getLogger()
    level = root.level
    path = configure_logs(tmp_path, quiet=True, level="WARNING", mib=1)
    call = SimpleNamespace(invocation_metadata=lambda: (("traceparent", CALLER),))
    log = structlog.get_logger("test")
    with server_span("/a/B", call), structlog.contextvars.bound_contextvars(task="0xab", attempt=3):
        log.warning("told")
        log.info("not_told")
    text = path.read_text()
    for handler in list(root.handlers):
        if getattr(handler, "w3bstream", False):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    assert '"task": "0xab"' in text
    assert '"attempt": 3' in text
    assert f'"trace_id": "{CALLER.split("-")[1]}"' in text
    assert "not_told" not in text
