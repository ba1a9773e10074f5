"""Text from devices, projects, provers and receivers stays text; lists stay bounded and stable with many tasks."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import aiohttp
import pytest
from explorer_visits import addresses, as_page, bearer
from sqlalchemy import text, update
from sqlmodel import col

from coordinator.explorer.queries.tasks import TaskFilter, task_page
from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookDeliveryRow, WebhookEndpointRow
from coordinator.ledger.tables import (
    AttemptRow,
    DeadLetterRow,
    DeviceRow,
    ProjectRow,
    ProjectVersionRow,
    ProverEventRow,
    ProverRow,
    StreamCursorRow,
    TaskEventRow,
    TaskRow,
)
from tests.explorer_basics import digest
from tests.explorer_world import World

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}javascript:"
MANY = 20_000


class Tags(HTMLParser):
    """Collects what a browser would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        values = dict(attrs)
        if tag == "script" and values.get("src") != "/static/explorer.js":
            self.bad.append(f"script {values}")
        if tag in ("iframe", "object", "embed", "base"):
            self.bad.append(tag)
        if tag == "img" and values.get("src") != "/static/icon.svg":
            self.bad.append(f"img {values}")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.bad.append(f"{tag} {name}")
            if name in ("href", "src", "action") and not re.match(r"(/(?!/)|#)", value or ""):
                self.bad.append(f"{tag} {name}={value}")


async def test_hostile_text_stays_inert_on_every_page(world: World, http: aiohttp.ClientSession) -> None:
    evil_prover = f"p-{EVIL}"
    async with world.ledger.transaction() as session:
        for statement in (
            update(ProjectRow).values(name=col(ProjectRow.name) + EVIL),
            update(ProjectVersionRow).values(file=EVIL, config={"assurance": EVIL}),
            update(DeviceRow).values(label=EVIL),
            update(TaskRow).values(reason=EVIL, provenance=EVIL, finality_source=EVIL),
            update(AttemptRow).values(reason=EVIL, stage=EVIL, prover_id=evil_prover, seconds={EVIL: 1.0}),
            update(TaskEventRow).values(reason=EVIL),
            update(ProverEventRow).values(reason=EVIL),
            update(DeadLetterRow).values(reason=EVIL, device=EVIL),
            update(StreamCursorRow).values(stopped_reason=EVIL),
            update(OutboxTxRow).values(reason=EVIL, code="W3B-5002"),
            update(TxEventRow).values(reason=EVIL),
            update(WebhookEndpointRow).values(url=f"https://x.example/{EVIL}", disabled_reason=EVIL),
            update(WebhookDeliveryRow).values(error=EVIL),
        ):
            await session.exec(statement)
        session.add(
            ProverRow(id=evil_prover, kind=EVIL, address=EVIL, node=EVIL, trust=EVIL, created_at=1, updated_at=1)
        )
    pages = [*addresses(world), f"/search?q={EVIL[:60]}", "/search?q=p-", "/projects/2"]
    for address in pages:
        async with http.get(world.url + address, headers=as_page()) as answer:
            found = await answer.text()
            assert answer.status == 200, address
        tags = Tags()
        tags.feed(found)
        assert tags.bad == [], address
        assert EVIL not in found, address


async def test_cells_of_the_csv_are_no_formulas(world: World, http: aiohttp.ClientSession) -> None:
    async with world.ledger.transaction() as session:
        await session.exec(update(TaskRow).values(reason='=HYPERLINK("https://evil.example")'))
    async with http.get(f"{world.url}/tasks.csv", headers=bearer()) as answer:
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert rows
    assert all(row["reason"].startswith("'=") for row in rows)


async def _many(world: World) -> None:
    now = world.ledger.clock()
    async with world.ledger.transaction() as session:
        await session.exec(
            text(
                "INSERT INTO task (id, project_id, version, window_start, window_end, count, readings_root, "
                "device_set_root, inputs, missing, duplicates, late, reordered, trace, state, kinds, threshold, "
                "deadline_at, attempts_used, counted_from, requeues, next_attempt_at, next_fence, output, code, reason, "
                "provenance, finality_source, block_hash, transaction_hash, first_reading_at, created_at, updated_at) "
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many) "
                "SELECT '0x' || printf('%064x', i), 1, 1, 1000000 + i * 16, 1000016 + i * 16, 16, '', '', '', "
                "0, 0, 0, 0, '', CASE WHEN i % 50 = 0 THEN 'FAILED' ELSE 'FINAL' END, '[]', 1, 0, 0, 0, 0, 0, 1, '', '', "
                "'', '', '', '', '', :now, :now - 86400000 - i / 3, :now FROM n"
            ).bindparams(many=MANY, now=now)  # type: ignore[call-overload]
        )


async def test_twenty_thousand_tasks_stay_bounded_and_paged(world: World, http: aiohttp.ClientSession) -> None:
    await _many(world)
    for address in ("/", "/tasks", "/windows", "/projects", "/projects/1", "/tasks?state=FAILED"):
        async with http.get(world.url + address, headers=as_page()) as answer:
            assert answer.status == 200
            assert len(await answer.text()) < 400_000, address
    seen: list[str] = []
    token = ""
    while len(seen) < 450:
        async with http.get(
            f"{world.url}/tasks.json", params={"state": "FAILED", "page": token}, headers=bearer()
        ) as answer:
            page = await answer.json()
        seen += [row["id"] for row in page["tasks"]]
        token = page["next_page"]
        if not token:
            break
        # Newer tasks that come meanwhile move no page.
        async with world.ledger.transaction() as session:
            row = await session.get_one(TaskRow, seen[-1])
            await session.exec(
                update(TaskRow)
                .where(col(TaskRow.id) == world.seed.tasks["FAILED"])
                .values(updated_at=row.updated_at + 1)
            )
    assert len(seen) == len(set(seen)) == MANY // 50 + 1
    async with http.get(f"{world.url}/tasks.csv", headers=bearer()) as answer:
        assert len((await answer.text()).splitlines()) == 10_001


@pytest.mark.parametrize(
    "wanted",
    [
        TaskFilter(),
        TaskFilter(states=("FAILED",)),
        TaskFilter(project_id=1),
        TaskFilter(project_id=1, states=("FAILED",)),
        TaskFilter(code="W3B-3005"),
    ],
)
async def test_lists_are_read_through_an_index(world: World, wanted: TaskFilter) -> None:
    from sqlalchemy.dialects import sqlite

    from coordinator.explorer.queries.tasks import _conditions, _newest_first

    await _many(world)
    viewer = await _admin(world)
    async with world.ledger.reading() as session:
        query = _newest_first(await _conditions(session, viewer, wanted), 51)
        compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
        plan = [row[-1] for row in (await session.exec(text(f"EXPLAIN QUERY PLAN {compiled}"))).all()]  # type: ignore[call-overload]
        page = await task_page(session, viewer, wanted, "")
    assert len(page["tasks"]) <= 50
    assert any("USING INDEX ix_task" in step for step in plan), plan
    assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), plan


async def _admin(world: World) -> object:
    from coordinator.explorer.access import by_secret
    from tests.explorer_basics import ADMIN_KEY

    assert world.server._tokens is not None
    async with world.ledger.reading() as session:
        return await by_secret(session, world.server._tokens, world.ledger.clock(), ADMIN_KEY)


async def test_events_resume_and_are_bounded(world: World, http: aiohttp.ClientSession) -> None:
    async with world.ledger.reading() as session:
        newest = (await session.exec(text("SELECT max(id) FROM task_event"))).one()[0]  # type: ignore[call-overload]
    headers = {**bearer(), "Last-Event-ID": str(newest - 2)}
    async with http.get(f"{world.url}/events", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert [number for number, _ in [await _event(answer), await _event(answer)]] == [newest - 1, newest]
        async with world.ledger.transaction() as session:
            session.add(
                TaskEventRow(
                    task_id=digest("t"), project_id=1, subject="task", source="", target="OPEN", reason=EVIL, at=1
                )
            )
        number, data = await _event(answer)
        assert number == newest + 1
        assert data["reason"] == EVIL
    async with http.get(f"{world.url}/events?after=0", headers=bearer()) as answer:
        assert b"event: reset" in await answer.content.readuntil(b"data: {}")


async def _event(answer: aiohttp.ClientResponse) -> tuple[int, dict[str, str]]:
    """The next task event; ticks and comments between are passed over."""
    while True:
        block = (await answer.content.readuntil(b"\n\n")).decode()
        if "event: task" in block:
            number = re.search(r"^id: (\d+)$", block, re.MULTILINE)
            data = re.search(r"^data: (.*)$", block, re.MULTILINE)
            assert number is not None
            assert data is not None
            return int(number.group(1)), json.loads(data.group(1))


async def test_events_of_other_projects_do_not_arrive(world: World, http: aiohttp.ClientSession) -> None:
    from tests.explorer_basics import OSLO_KEY

    async with http.get(f"{world.url}/events", headers=bearer(OSLO_KEY)) as answer:
        await answer.content.readuntil(b"retry: 2000\n\n")
        # The hub begins at the newest line that is there when it looks first; a tick says that it has looked.
        for project in (1, 2, 1, 2, 2):
            async with world.ledger.transaction() as session:
                session.add(
                    TaskEventRow(
                        task_id=digest(project),
                        project_id=project,
                        subject="task",
                        source="",
                        target="OPEN",
                        reason=f"of {project}",
                        at=1,
                    )
                )
            await answer.content.readuntil(b"event: tick\ndata: {}\n\n")
        async with world.ledger.transaction() as session:
            for project in (1, 2):
                session.add(
                    TaskEventRow(
                        task_id=digest(project),
                        project_id=project,
                        subject="task",
                        source="",
                        target="OPEN",
                        reason=f"last of {project}",
                        at=1,
                    )
                )
        while True:
            _, data = await _event(answer)
            assert data["project"] == 2
            if data["reason"] == "last of 2":
                break


async def test_live_places_are_bounded(
    world: World, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.explorer.live.MAX_CLIENTS", 2)
    address = f"{world.url}/events"
    async with http.get(address, headers=bearer()), http.get(address, headers=bearer()):
        third = await http.get(address, headers=bearer())
        assert third.status == 503
        assert (await third.json())["error"]["code"] == "W3B-7507"


async def test_large_bodies_are_refused(world: World, http: aiohttp.ClientSession) -> None:
    data = {"key": "x" * 200_000}
    async with http.post(f"{world.url}/sign-in", data=data, headers={"Origin": world.url}) as answer:
        assert answer.status in (400, 413)
