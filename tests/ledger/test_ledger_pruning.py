"""What must hold: pruning forgets the old rows that its rules name and changes nothing else; reconcile finds as little
as before, the audit log holds, nothing can be done twice because of it, and no id is given out again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, select
from sqlmodel import SQLModel, col
from sqlmodel import select as select_rows

from coordinator.access.audit import Act, append, entry
from coordinator.access.audit_chain import verify
from coordinator.ledger import pruning
from coordinator.ledger.control_tables import AuditRow, SpentTokenRow
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.pruning import BATCH, count, prune_some, rules
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProverEventRow, ProverRow
from coordinator.reconcile.ledger_checks import check_ledger
from coordinator.reconcile.report import InvariantReport
from coordinator.webhooks.endpoints import replay
from tests.observability.observability_world import until_final
from tests.settlement.memory_run import Run
from verifier.errors import Conflict

DAY = 86_400_000
TRIES, BODIES, STATUSES, CHALLENGES = (rule.what for rule in rules(0))


async def message(ledger: Ledger, number: int, state: str, delivered_at: int | None, tries: list[int | None]) -> None:
    """A message and its tries, one a status, an hour before it was delivered and up to then."""
    name, at = f"msg_{number:04d}", delivered_at if delivered_at is not None else ledger.clock()
    async with ledger.transaction() as session:
        session.add(
            WebhookMessageRow(
                id=name,
                endpoint_id="ep_1",
                project_id=1,
                event_type="w3bstream.task.failed",
                subject=f"0x{number:064x}",
                body=b'{"told": true}',
                state=state,
                created_at=at,
                delivered_at=delivered_at if state == "DELIVERED" else None,
            )
        )
        await session.flush()
        session.add_all(
            WebhookDeliveryRow(message_id=name, at=at - 3_600_000 + n, status_code=status)
            for n, status in enumerate(tries)
        )


async def world(ledger_url: str) -> tuple[Run, int]:
    """Three FINAL tasks and what an installation has beside them, half of it 100 days old; and now."""
    run = await Run.begin(ledger_url)
    await until_final(run)
    run.time[0] += 200 * DAY
    ledger, now = run.ledger, run.ledger.clock()
    old = now - 100 * DAY
    prover = await _a_prover(ledger)
    async with ledger.transaction() as session:
        session.add(
            WebhookEndpointRow(id="ep_1", project_id=1, url="http://127.0.0.1:1", secret="", events=[], created_at=1)
        )
        session.add_all(
            ProverEventRow(prover_id=prover, status=status, reason="", at=at)
            for status, at in (
                ("OFFLINE", old - 3),
                ("IDLE", old - 2),
                ("BUSY", old),
                ("IDLE", now - DAY),
                ("BUSY", now),
            )
        )
        session.add_all(
            SpentTokenRow(id=f"challenge {number}", expires_at=at) for number, at in enumerate((old, now, now + DAY))
        )
        for number in range(3):
            await append(session, old, Act("api_key.create", "operator", subject=f"key_{number}"))
    await message(ledger, 1, "DELIVERED", old, [500, None, 302, 200])
    await message(ledger, 2, "DELIVERED", now, [500, 204])
    await message(ledger, 3, "DEAD", old, [500, 500])
    await message(ledger, 4, "PENDING", old, [503])
    return run, now


async def _a_prover(ledger: Ledger) -> str:
    async with ledger.reading() as session:
        return (await session.exec(select_rows(ProverRow.id).limit(1))).one()


async def everything(ledger: Ledger) -> dict[str, dict[Any, Any]]:
    """Each row of each table, by its key."""

    def read(connection: Any) -> dict[str, dict[Any, Any]]:
        found: dict[str, dict[Any, Any]] = {}
        for table in SQLModel.metadata.sorted_tables:
            keys = [column.name for column in table.primary_key]
            rows = connection.execute(select(table)).mappings().all()
            found[table.name] = {tuple(row[key] for key in keys): dict(row) for row in rows}
        return found

    return await ledger.read(read)


async def prune(ledger: Ledger, before: int) -> dict[str, int]:
    gone = {}
    for rule in rules(before):
        after, rows, gone[rule.what] = None, BATCH, 0
        while rows == BATCH:
            async with ledger.transaction() as session:
                rows, after = await prune_some(session, rule, after)
            gone[rule.what] += rows
    return gone


async def breaks(ledger: Ledger) -> list[str]:
    report = InvariantReport(0)
    await check_ledger(ledger, report, None)
    return sorted(str(each) for each in report.breaks)


async def test_only_what_the_rules_name_goes(ledger_url: str) -> None:
    run, now = await world(ledger_url)
    ledger, before = run.ledger, now - 50 * DAY
    was, broken = await everything(ledger), await breaks(ledger)
    async with ledger.reading() as session:
        found = await count(session, before)
    assert await everything(ledger) == was, "counting changes nothing"
    assert found == {TRIES: 3, BODIES: 1, STATUSES: 2, CHALLENGES: 1}
    assert await prune(ledger, before) == found
    now_is = await everything(ledger)
    gone = {(name, key) for name, rows in was.items() for key in rows.keys() - now_is[name].keys()}
    assert {name for name, _ in gone} == {"webhook_delivery", "prover_event", "spent_token"}
    assert len(gone) == 6
    changed = [
        (name, key, [column for column in row if row[column] != now_is[name][key][column]])
        for name, rows in was.items()
        for key, row in rows.items()
        if key in now_is[name] and now_is[name][key] != row
    ]
    assert changed == [("webhook_message", ("msg_0001",), ["body"])]
    assert all(not rows.keys() - was[name].keys() for name, rows in now_is.items())
    assert await breaks(ledger) == broken, "reconcile still finds the 2xx of each message that counts as delivered"
    assert await prune(ledger, before) == dict.fromkeys(found, 0)
    await ledger.close()


async def test_the_audit_log_the_last_status_and_the_successful_try_stay(ledger_url: str) -> None:
    run, now = await world(ledger_url)
    ledger = run.ledger
    await prune(ledger, now + DAY)
    async with ledger.reading() as session:
        acts = (await session.exec(select_rows(AuditRow).order_by(col(AuditRow.id)))).all()
        verify([entry(row) for row in acts])
        assert len(acts) == 3
        statuses = (await session.exec(select_rows(ProverEventRow.status))).all()
        assert list(statuses) == ["BUSY"], "what it is now"
        tries = await session.exec(select_rows(WebhookDeliveryRow.message_id, WebhookDeliveryRow.status_code))
        left = sorted(tries.all())
    assert left == [
        ("msg_0001", 200),
        ("msg_0002", 204),
        ("msg_0003", 500),
        ("msg_0003", 500),
        ("msg_0004", 503),
    ]
    await ledger.close()


async def test_a_message_whose_body_went_is_neither_sent_nor_made_again(ledger_url: str) -> None:
    run, now = await world(ledger_url)
    ledger = run.ledger
    await prune(ledger, now - 50 * DAY)
    with pytest.raises(Conflict, match="W3B-6007"):
        async with ledger.transaction() as session:
            await replay(session, now, "msg_0001")
    async with ledger.transaction() as session:
        await replay(session, now, "msg_0002")
        made = await enqueue_webhooks(
            session, now, project_id=1, event_type="w3bstream.task.failed", subject=f"0x{1:064x}", body=str.encode
        )
    assert made == []
    async with ledger.reading() as session:
        row = await session.get_one(WebhookMessageRow, "msg_0001")
    assert (row.state, row.body) == ("DELIVERED", b"")
    await ledger.close()


async def test_no_id_that_somebody_follows_is_given_twice(ledger_url: str) -> None:
    run, now = await world(ledger_url)
    ledger = run.ledger
    # A slow sender writes its failed try down after another one's success.
    async with ledger.transaction() as session:
        session.add(WebhookDeliveryRow(message_id="msg_0001", at=now - 100 * DAY, status_code=500))

    async def newest(table: Table) -> int:
        ids = (await everything(ledger))[table.name]
        return int(max(key[0] for key in ids))

    tables = [each.__table__ for each in (WebhookDeliveryRow, ProverEventRow)]  # type: ignore[attr-defined]
    was = [await newest(table) for table in tables]
    await prune(ledger, now + DAY)
    assert [await newest(table) for table in tables] == was
    await ledger.close()


async def test_many_rows_go_in_small_transactions(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 10)
    run, now = await world(ledger_url)
    async with run.ledger.transaction() as session:
        session.add_all(SpentTokenRow(id=f"many {number:03d}", expires_at=1) for number in range(35))
    (rule,) = [rule for rule in rules(now - DAY) if rule.what == CHALLENGES]
    sizes, after = [], None
    while not sizes or sizes[-1] == 10:
        async with run.ledger.transaction() as session:
            size, after = await prune_some(session, rule, after)
        sizes.append(size)
    assert sizes == [10, 10, 10, 6]
    await run.ledger.close()
