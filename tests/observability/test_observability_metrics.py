"""The metrics are valid, complete, bounded and true: they say what the ledger says, go up only, and survive a restart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.store import Ledger, move_task
from coordinator.ledger.tables import IntakeCountRow, StreamCursorRow
from coordinator.ledger.transitions import TaskState
from coordinator.observability import tally
from coordinator.observability.catalogue import CATALOGUE, PROCESS, markdown, samples_of
from coordinator.observability.families import Distribution
from tests.explorer_world import StillChain, seeded
from tests.observability.observability_world import exposition_of, scrape, set_status, until_final, value
from tests.settlement.memory_run import KIND, Run
from verifier.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
ID = re.compile(r"0x[0-9a-f]{8,}|msg_|ep_|key_[0-9a-f]|did:")


def test_docs_page_is_current() -> None:
    assert (ROOT / "docs/reference/metrics.md").read_text() == markdown()


def test_names_follow_the_conventions() -> None:
    for metric in CATALOGUE.values():
        assert re.fullmatch(r"w3bstream_[a-z]+(_[a-z]+)*", metric.name)
        assert (metric.type == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.type != "histogram" or (
            metric.name.endswith("_seconds") and list(metric.buckets) == sorted(metric.buckets)
        )
        assert metric.help.endswith("."), metric.name
        assert not {"task", "address", "prover", "instance", "job"} & set(metric.labels)


def test_distribution_counts_below_each_bound() -> None:
    spread = Distribution((1.0, 2.0))
    for sample in (0.5, 1.0, 1.5, 9.0):
        spread.add(sample)
    assert spread.cumulative() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert spread.total == 12.0


class _Nonces(StillChain):
    async def nonce(self, address: str, which: int | str = "latest") -> int:
        return 0


@pytest.mark.parametrize("by_project", [False, True])
async def test_every_documented_metric_is_there(ledger_url: str, tmp_path: Path, by_project: bool) -> None:
    await seeded(ledger_url)
    ledger = Ledger(ledger_url)
    async with ledger.transaction() as session:
        for name in ("accepted", "missing", "W3B-1005"):
            session.add(IntakeCountRow(project_id=1, name=name, total=1))
        cursor = await session.get(StreamCursorRow, 1) or StreamCursorRow(project_id=1)
        cursor.open_count, cursor.window_opened_at = 1, ledger.clock()
        session.add(cursor)
    exposition = exposition_of(ledger, tmp_path, _Nonces(), streams=500, by_project=by_project)
    # From the beginning of the seeded history, so that each of its families has a sample.
    exposition._history._at = dict.fromkeys(("task_event", "tx_event", "prover_event", "webhook_delivery"), 0)
    tally.Call("/w3bstream.v1.TaskService/GetTask").end("W3B-7028", over_quota=True)
    tally.ledger_failed("W3B-3021")
    tally.compared({"W3B-5020": 2})
    tally.spans_sent(3, well=True)
    with pytest.raises(Unavailable), tally.rpc_call("127.0.0.1:1", "eth_call"):
        raise Unavailable("W3B-5001", "nobody")
    found = await scrape(exposition)
    await ledger.close()
    names = {name for name, _ in found}
    expected = {sample for metric in CATALOGUE.values() for sample in samples_of(metric)}
    expected |= {name for name, _, _ in PROCESS}
    assert names == expected
    assert not [labels for _, labels in found for _, text in labels if ID.search(text)], "an id or address in a label"
    projects = {text for _, labels in found for label, text in labels if label == "project"}
    assert bool(projects) == by_project
    assert value(found, "w3bstream_reconcile_breaks", code="W3B-5020") == 2


async def test_they_say_what_the_ledger_says(ledger_url: str, tmp_path: Path) -> None:
    run = await Run.begin(ledger_url)
    exposition = exposition_of(run.ledger, tmp_path)
    await exposition.begin()
    await until_final(run)
    found = await scrape(exposition)
    tasks = len(await run.tasks())
    assert value(found, "w3bstream_tasks", state="FINAL") == tasks
    assert value(found, "w3bstream_task_transitions_total", state="FINAL") == tasks
    assert value(found, "w3bstream_task_seconds_count") == tasks
    assert value(found, "w3bstream_attempts_started_total", kind=KIND, cause="first") == tasks
    assert value(found, "w3bstream_attempts_ended_total", kind=KIND, outcome="VERIFIED", code="") == tasks
    assert value(found, "w3bstream_transactions_total", purpose="settle", step="FINAL") == tasks
    assert value(found, "w3bstream_task_stage_seconds_count", stage="finality") == tasks
    await run.ledger.close()


def value_of(found: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str) -> float:
    """All samples of a name added up."""
    return sum(number for (of, _), number in found.items() if of == name)


async def test_counters_only_go_up_and_a_restart_begins_anew(ledger_url: str, tmp_path: Path) -> None:
    run = await Run.begin(ledger_url)
    exposition = exposition_of(run.ledger, tmp_path)
    before = await scrape(exposition)
    assert value(before, "w3bstream_late_reports_total") == 0
    for _ in range(12):
        await run.step()
        run.chain.mine()
        after = await scrape(exposition)
        for (name, labels), number in before.items():
            if name.startswith("w3bstream_") and name.endswith(("_total", "_count", "_sum", "_bucket")):
                assert after.get((name, labels), -1) >= number, (name, labels)
        before = after
    again = exposition_of(run.ledger, tmp_path)
    await again.begin()
    anew = await scrape(again)
    assert value_of(anew, "w3bstream_task_transitions_total") == 0
    assert value_of(before, "w3bstream_task_transitions_total") > 0
    assert value(anew, "w3bstream_readings_accepted_total") == value(before, "w3bstream_readings_accepted_total")
    await run.ledger.close()


async def test_busy_seconds_run_while_a_lease_is_held_and_never_back(ledger_url: str, tmp_path: Path) -> None:
    run = await Run.begin(ledger_url)
    exposition = exposition_of(run.ledger, tmp_path)
    await exposition.begin()
    await set_status(run.ledger, "one", "BUSY")
    run.time[0] += 5_000
    assert value(await scrape(exposition), "w3bstream_prover_busy_seconds_total", kind=KIND) == 5
    run.time[0] -= 2_000  # the lease's end is written with a time a little before that of the last look
    await set_status(run.ledger, "one", "IDLE")
    assert value(await scrape(exposition), "w3bstream_prover_busy_seconds_total", kind=KIND) == 5
    run.time[0] += 60_000
    assert value(await scrape(exposition), "w3bstream_prover_busy_seconds_total", kind=KIND) == 5
    await run.ledger.close()


async def test_queue_intake_and_webhooks(ledger_url: str, tmp_path: Path) -> None:
    run = await Run.begin(ledger_url)
    ledger, now = run.ledger, run.time[0]
    exposition = exposition_of(ledger, tmp_path, streams=50)
    await exposition.begin()
    tasks = await run.tasks()
    async with ledger.transaction() as session:
        await move_task(session, now, tasks[0].id, TaskState.OPEN)
        session.add(
            StreamCursorRow(project_id=1, next_position=41, window_opened_at=now, open_count=3, stopped_code="W3B-1008")
        )
        session.add(IntakeCountRow(project_id=1, name="accepted", total=40))
        session.add(IntakeCountRow(project_id=1, name="W3B-1003", total=2))
        session.add(
            WebhookEndpointRow(
                id="ep_1", project_id=1, url="http://127.0.0.1:1", secret="whsec_", events=[], created_at=now
            )
        )
        await session.flush()
        made = await enqueue_webhooks(
            session, now, project_id=1, event_type="t", subject=tasks[0].id, body=lambda _: b"{}"
        )
        await session.flush()
        session.add(WebhookDeliveryRow(message_id=made[0], at=now + 2_000, status_code=503, duration_ms=7))
        session.add(WebhookDeliveryRow(message_id=made[0], at=now + 9_000, status_code=204, duration_ms=7))
        session.add(WebhookDeliveryRow(message_id=made[0], at=now + 9_000, error="refused"))
        dead = await session.get_one(WebhookMessageRow, made[0])
        dead.state = "DEAD"
    run.time[0] += 30_000
    found = await scrape(exposition)
    assert value(found, "w3bstream_queue_tasks", kind=KIND) == 1
    assert value(found, "w3bstream_queue_oldest_seconds", kind=KIND) >= 30
    assert value(found, "w3bstream_stream_lag_messages") == 10
    assert value(found, "w3bstream_window_open_seconds") == 30
    assert value(found, "w3bstream_intake_stopped", code="W3B-1008") == 1
    assert value(found, "w3bstream_readings_accepted_total") == 40
    assert value(found, "w3bstream_readings_refused_total", code="W3B-1003") == 2
    assert value(found, "w3bstream_webhook_messages", state="DEAD") == 1
    assert value(found, "w3bstream_webhook_lag_seconds_sum") == 9
    answers = {a: value(found, "w3bstream_webhook_deliveries_total", answer=a) for a in ("2xx", "5xx", "none")}
    assert answers == {"2xx": 1, "5xx": 1, "none": 1}
    await ledger.close()


async def test_without_a_ledger_the_rest_is_told(tmp_path: Path) -> None:
    ledger = Ledger.at(tmp_path / "nothing" / "ledger.db")
    exposition = exposition_of(ledger, tmp_path)
    found = await scrape(exposition)
    assert value(found, "w3bstream_check_ok", check="ledger") == 0
    assert value(found, "w3bstream_ready") == 0
    assert ("w3bstream_tasks", (("state", "FINAL"),)) not in found
    await ledger.close()
