"""Every page answers, in HTML and in JSON, on every kind of database, and says where a task is and why."""

from __future__ import annotations

import json
import re

import aiohttp
import pytest
from explorer_visits import addresses, as_page, bearer, json_of

from coordinator.ledger.store import move_task
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import TaskState
from tests.explorer_basics import FINAL_BLOCK, HEAD
from tests.explorer_world import World


async def test_every_page_answers_in_both_forms(both: World, http: aiohttp.ClientSession) -> None:
    for address in addresses(both):
        async with http.get(both.url + address, headers=as_page(), allow_redirects=False) as answer:
            text = await answer.text()
            assert answer.status == 200, (address, text[:500])
            assert text.startswith("<!doctype html>"), address
            assert "<script>" not in text
            assert " style=" not in text
            if "/search" not in address:
                assert "as curl" in text, address
        async with http.get(both.url + json_of(address), headers=bearer()) as answer:
            assert answer.status == 200, address
            assert answer.content_type == "application/json"
            found = json.loads(await answer.text())
            assert isinstance(found, dict), address
            assert found, address


async def test_accept_header_asks_for_json_at_the_same_address(world: World, http: aiohttp.ClientSession) -> None:
    headers = {**bearer(), "Accept": "application/json"}
    async with http.get(f"{world.url}/tasks", headers=headers) as by_header:
        first = await by_header.json()
    async with http.get(f"{world.url}/tasks.json", headers=bearer()) as by_suffix:
        assert await by_suffix.json() == first


async def test_the_overview_is_never_older_than_the_last_commit(world: World, http: aiohttp.ClientSession) -> None:
    """A live page asks once for each commit: figures from before it would stay there until the next one."""

    async def received() -> int:
        async with http.get(f"{world.url}{json_of('/')}", headers=bearer()) as answer:
            return int((await answer.json())["counts"]["RECEIVED"])

    before = await received()
    task, ledger = world.seed.tasks["RECEIVED"], world.ledger
    async with ledger.transaction() as session:
        await move_task(session, ledger.clock(), task, TaskState.CANCELLED, reason="no longer wanted")
    assert await received() == before - 1


async def test_pages_send_strict_headers(world: World, http: aiohttp.ClientSession) -> None:
    for address in ("/", "/nothing-here", "/static/explorer.js", "/sign-in", "/tasks.csv"):
        async with http.get(world.url + address, headers=as_page()) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("FINAL", "proven, verified on chain, and final"),
        ("FAILED", "It failed: 5 of 5 attempts were lost or rejected"),
        ("EXPIRED", "Its deadline passed"),
        ("CANCELLED", "wrong calibration"),
        ("FROZEN", "two different outputs"),
        ("SETTLED", "waiting for finality"),
        ("SATISFIED", "settlement by the router was sent and is not mined yet"),
        ("proving", "works on it"),
        ("assigned", "assignment was sent and is not mined yet"),
        ("retry", "before the next attempt"),
        ("waiting", "A prover is idle"),
        ("RECEIVED", "record in fleetmanagement was sent and is not mined yet"),
    ],
)
async def test_task_page_says_why(world: World, http: aiohttp.ClientSession, state: str, said: str) -> None:
    async with http.get(f"{world.url}/tasks/{world.seed.tasks[state]}.json", headers=bearer()) as answer:
        found = await answer.json()
    assert said.lower() in f"{found['why']['headline']} {found['why']['detail']}".lower()


async def test_task_page_shows_the_result_the_ladder_and_the_statement(
    world: World, http: aiohttp.ClientSession
) -> None:
    task = world.seed.tasks["FINAL"]
    async with http.get(f"{world.url}/tasks/{task}.json", headers=bearer()) as answer:
        found = await answer.json()
    assert [each["name"] for each in found["result"]] == ["count", "sum", "minimum", "maximum"]
    assert [each["role"] for each in found["transactions"]] == ["record", "assign", "settle"]
    assert {step["is"] for step in found["transactions"][-1]["ladder"]} == {"done"}
    assert [stage["name"] for stage in found["stages"]] == [
        "window",
        "record",
        "queue",
        "assign",
        "prove",
        "settle",
        "finality",
    ]
    digest = found["attempts"][0]["statement"]
    assert re.fullmatch("0x[0-9a-f]{64}", digest)
    async with http.get(f"{world.url}/search.json", params={"q": digest}, headers=bearer()) as answer:
        hits = (await answer.json())["hits"]
    assert [hit["href"] for hit in hits] == [f"/tasks/{task}"]


async def test_task_page_shows_what_is_to_confirm_a_final_result(world: World, http: aiohttp.ClientSession) -> None:
    task, ledger = world.seed.tasks["FINAL"], world.ledger
    async with ledger.transaction() as session:
        row = await session.get_one(TaskRow, task)
        kind, now = row.kinds[0], ledger.clock()
        row.confirm_kind, row.confirm_within, row.confirmation, row.confirm_by = kind, 3600, "AWAITED", now + 3_600_000
        session.add(row)
    async with http.get(f"{world.url}/tasks/{task}.json", headers=bearer()) as answer:
        found = await answer.json()
    assert found["task"]["confirmation"] == "AWAITED"
    assert [each["kind"] for each in found["assurance"] if each["confirms"]] == [kind]
    assert f"{kind} is to confirm it: within " in found["why"]["detail"]
    async with http.get(f"{world.url}/tasks/{task}", headers=as_page()) as answer:
        page = await answer.text()
    assert "confirms within" in page
    assert "AWAITED" in page


async def test_search_finds_every_kind_of_id(world: World, http: aiohttp.ClientSession) -> None:
    seed = world.seed
    task = seed.tasks["FINAL"]
    async with http.get(f"{world.url}/tasks/{task}.json", headers=bearer()) as answer:
        row = (await answer.json())["task"]
    for text, href in (
        (task, f"/tasks/{task}"),
        (task.upper().replace("0X", "0x"), f"/tasks/{task}"),
        (task[:12], f"/tasks/{task}"),
        (seed.tx, f"/tx/{seed.tx}"),
        (seed.replaced, f"/tx/{seed.replaced}"),
        (row["readings_root"], f"/tasks/{task}"),
        (row["inputs"], f"/tasks/{task}"),
        (row["block_hash"], f"/blocks/{seed.block}"),
        (seed.device, f"/projects/1/readings?device={seed.device}"),
        (seed.prover, f"/provers/{seed.prover}"),
        ("harbour-a", "/projects/1"),
        (str(HEAD), f"/blocks/{HEAD}"),
        (seed.message, f"/webhooks/messages/{seed.message}"),
        (seed.endpoint, f"/webhooks?endpoint={seed.endpoint}"),
    ):
        async with http.get(f"{world.url}/search.json", params={"q": text}, headers=bearer()) as answer:
            hrefs = [hit["href"] for hit in (await answer.json())["hits"]]
        assert href in hrefs, (text, hrefs)
    async with http.get(f"{world.url}/search.json", params={"q": "%"}, headers=bearer()) as answer:
        assert (await answer.json())["hits"] == []


async def test_chain_that_does_not_answer_is_said_on_the_page(world: World, http: aiohttp.ClientSession) -> None:
    world.chain.silent = True
    settled = world.seed.tasks["SETTLED"]
    # The head is kept for a second; a block is asked for anew each time.
    async with http.get(f"{world.url}/blocks/{FINAL_BLOCK}", headers=as_page()) as answer:
        assert answer.status == 200
        assert "The chain does not answer" in await answer.text()
    async with http.get(f"{world.url}/tasks/{settled}", headers=as_page()) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "address",
    [
        "/tasks/0x12",
        "/tasks/" + "0x" + "Z" * 64,
        "/projects/99",
        "/projects/1/windows/5",
        "/blocks/-1",
        "/tx/0x" + "0" * 64,
        "/provers/nobody",
        "/webhooks/messages/msg_1",
        "/..%2f..%2fetc/passwd",
        "/static/..%2fserver.py",
        "/projects/9999999999",
    ],
)
async def test_what_is_not_there_is_a_coded_404(world: World, http: aiohttp.ClientSession, address: str) -> None:
    async with http.get(world.url + address, headers=bearer()) as answer:
        assert answer.status == 404, await answer.text()
        assert (await answer.json())["error"]["code"] == "W3B-7501"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("/tasks?state=NOPE", "W3B-7008"),
        ("/tasks?project=abc", "W3B-7008"),
        ("/tasks?project=99999999999", "W3B-7008"),
        ("/tasks?kind=' OR 1=1", "W3B-7008"),
        ("/tasks?page=AAAA", "W3B-7009"),
        ("/provers?span=1y", "W3B-7008"),
        ("/webhooks?state=x", "W3B-7008"),
        ("/search?q=" + "a" * 201, "W3B-7008"),
        ("/search?q=%00", "W3B-7008"),
    ],
)
async def test_wrong_parameters_are_coded(world: World, http: aiohttp.ClientSession, address: str, code: str) -> None:
    async with http.get(world.url + address, headers=bearer()) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == code
