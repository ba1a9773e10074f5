"""What a worker tells a collector of spans, through Ray and alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispatch_world import FAST, Service, World

from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.pool import ProverPool
from coordinator.dispatch.ray_pool import RayPool
from coordinator.ledger.store import move_task
from coordinator.ledger.transitions import TaskState
from coordinator.observability.spans import resource
from coordinator.observability.task_spans import Timeline, proof_traceparent, spans, task_pieces, trace_id_of
from coordinator.observability.task_traces import read_timelines
from provers.tracing import MOST_STAGES, WorkerTracing
from tests.observability.otlp_collector import Collector, collector, text_of
from verifier.errors import Refused

HERE = Path(__file__).parent
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def sink() -> Iterator[Collector]:
    with collector() as made:
        yield made


async def traced(world: World, service: Service, pool: ProverPool, sink: Collector) -> tuple[str, Timeline]:
    """A task that was proven while its worker told the collector, and its rows."""
    world.settings = world.settings.model_copy(update={"otlp_endpoint": sink.endpoint})
    await service.start(pool, FAST)
    name = await world.task()
    await world.reach(name, "SATISFIED", 60)

    async def told() -> bool:
        return bool(sink.named("worker.prove"))

    await world.until(told, 30)
    return name, (await world.ledger.read(lambda connection: read_timelines(connection, [name])))[name]


async def test_a_ray_workers_spans_hang_under_the_attempt_that_the_ledger_tells_of(
    world: World, service: Service, local_ray: Path, sink: Collector
) -> None:
    pool = RayPool(local_ray, {"test.hash": 8}, ping_seconds=0.2, import_paths=(HERE,))
    name, timeline = await traced(world, service, pool, sink)
    (attempt,) = timeline.attempts.values()
    (proof,) = sink.named("worker.prove")
    trace, parent = proof_traceparent(name, "", attempt.id).split("-")[1:3]
    assert (proof.trace_id.hex(), proof.parent_span_id.hex()) == (trace, parent)
    assert int(trace, 16) == trace_id_of(name, "")
    assert sink.services == {"w3bstream.prover"}
    assert text_of(proof, "w3bstream.prover") == attempt.prover_id
    assert proof.status.code == 0
    stages = [span for span in sink.spans if span.parent_span_id == proof.span_id]
    assert [span.name for span in stages] == ["prove.witness", "prove.prove"]
    assert proof.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert stages[0].end_time_unix_nano <= stages[1].start_time_unix_nano
    assert stages[1].end_time_unix_nano <= proof.end_time_unix_nano


async def test_the_ledger_tells_the_span_that_the_worker_named_as_its_parent(
    world: World, service: Service, sink: Collector
) -> None:
    name, timeline = await traced(world, service, InlinePool(), sink)
    async with world.ledger.transaction() as session:
        await move_task(session, world.ledger.clock(), name, TaskState.FROZEN, code="W3B-3007", reason="two outputs")
    timeline = (await world.ledger.read(lambda connection: read_timelines(connection, [name])))[name]
    ledger_told = spans(name, "", task_pieces(timeline, timeline.events[-1].id), resource("me"))
    (prove,) = [span for span in ledger_told if span.name == "prove"]
    (proof,) = sink.named("worker.prove")
    assert prove.context is not None
    assert f"{prove.context.span_id:016x}" == proof.parent_span_id.hex()
    assert prove.attributes is not None
    assert prove.attributes["w3bstream.seconds.prove"] == 0.01
    assert not [span for span in ledger_told if span.name.startswith("prove.")], "a stage is told once, by its worker"


def test_a_failed_proof_ends_its_spans_with_the_code(sink: Collector) -> None:
    tracing = WorkerTracing(sink.endpoint, "w")
    begun = tracing.begin(CALLER, {"w3bstream.attempt": 7})
    assert begun is not None
    for number in range(MOST_STAGES + 10):
        begun.stage(f"stage {number}")
    begun.end(Refused("W3B-4080", "the prover raised ZeroDivisionError: 1/0"))
    until = time.monotonic() + 30
    while not sink.named("worker.prove") and time.monotonic() < until:
        time.sleep(0.05)  # the spans go out in a thread of their own
    (proof,) = sink.named("worker.prove")
    assert (proof.trace_id.hex(), proof.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert proof.status.code == 2
    assert text_of(proof, "w3bstream.code") == "W3B-4080"
    assert len(sink.spans) == 1 + MOST_STAGES, "a prover cannot make spans without end"


def test_without_a_collector_or_a_trace_no_span_is_begun(sink: Collector) -> None:
    assert WorkerTracing("", "w").begin(CALLER, {}) is None
    assert WorkerTracing(sink.endpoint, "w").begin("", {}) is None


def test_a_worker_without_a_collector_does_not_even_import_the_library() -> None:
    script = (
        "import sys; from provers.worker import ProverWorker, Work; "
        "worker = ProverWorker('w', 'none'); "
        f"worker._tracing.begin({CALLER!r}, {{}}); "
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_collector_that_is_down_keeps_no_proof_back(world: World, service: Service) -> None:
    world.settings = world.settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9"})
    await service.start(InlinePool(), FAST)
    name = await world.task()
    await world.reach(name, "SATISFIED", 60)
