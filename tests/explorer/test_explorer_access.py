"""A stranger gets nothing, a key sees its own project, and no other site can act through a browser."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest
from explorer_visits import addresses, as_page, bearer, sign_in
from sqlmodel import col, select

from coordinator.explorer.access import FAILURES
from coordinator.explorer.guard import Site
from coordinator.explorer.server import ExplorerServer
from coordinator.ledger.control_tables import AuditRow, ExplorerTokenRow
from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.ledger.tables import ApiKeyRow
from coordinator.settings import Settings
from tests.explorer_basics import ADMIN_KEY, EXPIRED_KEY, HARBOUR_KEY, OSLO_KEY, READER_KEY, REVOKED_KEY
from tests.explorer_world import World
from verifier.errors import InvalidInput


async def test_a_stranger_gets_nothing(world: World, http: aiohttp.ClientSession) -> None:
    for address in [*addresses(world), "/tasks.csv", "/events", "/no-such-page", "/links"]:
        for headers in (
            {"Accept": "application/json"},
            bearer("w3b_000000000001_" + "x" * 43),
            bearer(REVOKED_KEY),
            bearer(EXPIRED_KEY),
            {"Authorization": "Basic YTpi"},
            {"Cookie": f"w3b_explorer_{world.url.rsplit(':', 1)[1]}={'A' * 43}", "Accept": "application/json"},
        ):
            async with http.get(world.url + address, headers=headers, allow_redirects=False) as answer:
                text = await answer.text()
                assert answer.status == 401, (address, headers, text[:200])
                assert not re.search("harbour|zkp", text)
        async with http.get(world.url + address, allow_redirects=False) as answer:
            if address == "/events":
                assert answer.status == 401
            else:
                assert answer.status == 303
                assert answer.headers["Location"].startswith("/sign-in?next=")


async def test_a_projects_key_sees_its_project_only(world: World, http: aiohttp.ClientSession) -> None:
    seed = world.seed
    hidden = [f"/tasks/{task}" for task in seed.tasks.values() if task != seed.tasks["FINAL"]]
    hidden += ["/projects/1", "/projects/1/readings", "/projects/1/windows/17", f"/webhooks/messages/{seed.message}"]
    for address in hidden:
        async with http.get(world.url + address, headers=bearer(OSLO_KEY)) as answer:
            assert answer.status == 404, address
        async with http.get(world.url + address, headers=bearer(HARBOUR_KEY)) as answer:
            assert answer.status == 200, address
    for address in (
        "/",
        "/tasks",
        "/projects",
        "/windows",
        "/blocks",
        "/webhooks",
        "/provers",
        "/health",
        "/search?q=h",
    ):
        async with http.get(world.url + address, headers=as_page(OSLO_KEY), allow_redirects=False) as answer:
            text = await answer.text()
            assert answer.status == 200, address
            for secret in ("harbour-air", "hooks.harbour.example", seed.tasks["waiting"], seed.tasks["FAILED"]):
                assert secret not in text, (address, secret)
    async with http.get(f"{world.url}/tasks.csv", headers=bearer(OSLO_KEY)) as answer:
        lines = (await answer.text()).splitlines()
    assert len(lines) > 5
    assert all("weather-oslo" in line for line in lines[1:])


async def test_scopes_decide_what_is_seen(world: World, http: aiohttp.ClientSession) -> None:
    for address, status in (("/tasks", 200), ("/", 200), ("/projects", 403), ("/provers", 403), ("/webhooks", 403)):
        async with http.get(world.url + address, headers=bearer(READER_KEY)) as answer:
            assert answer.status == status, address
            if status == 403:
                assert (await answer.json())["error"]["code"] == "W3B-7004"
    async with http.get(f"{world.url}/index.json", headers=bearer(READER_KEY)) as answer:
        assert "provers" not in await answer.json()
    async with http.get(f"{world.url}/health.json", headers=bearer(HARBOUR_KEY)) as answer:
        found = await answer.json()
        assert "acts" not in found
        assert "coordinators" not in found


async def test_revoking_the_key_ends_its_sessions(world: World, http: aiohttp.ClientSession) -> None:
    await sign_in(http, world)
    async with http.get(f"{world.url}/tasks", allow_redirects=False) as answer:
        assert answer.status == 200
    async with world.ledger.transaction() as session:
        key = await session.get_one(ApiKeyRow, "key_000000000001")
        key.revoked_at = 1
    async with http.get(f"{world.url}/tasks", allow_redirects=False) as answer:
        assert answer.status == 303
        assert "why=W3B-7003" in answer.headers["Location"]


async def test_the_session_cookie_is_strict_and_only_its_hash_is_kept(
    world: World, http: aiohttp.ClientSession
) -> None:
    async with http.post(
        f"{world.url}/sign-in", data={"key": ADMIN_KEY}, headers={"Origin": world.url}, allow_redirects=False
    ) as answer:
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    token = cookie.split("=", 1)[1].split(";")[0]
    async with world.ledger.reading() as session:
        rows = (await session.exec(select(ExplorerTokenRow))).all()
    assert rows
    assert all(token not in row.model_dump_json() for row in rows)
    async with http.post(f"{world.url}/sign-out", headers={"Origin": world.url}) as answer:
        assert answer.status == 403  # without the form's token
    csrf = await sign_in(http, world)
    async with http.post(f"{world.url}/sign-out", data={"csrf": csrf}, headers={"Origin": world.url}) as answer:
        assert answer.url.path == "/sign-in"
    async with http.get(f"{world.url}/tasks", allow_redirects=False) as answer:
        assert answer.status == 303


async def test_a_link_signs_in_once(world: World, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{world.url}/links?next=/provers", headers=bearer()) as answer:
        link = (await answer.json())["url"]
    token = link.split("token=")[1].split("&")[0]
    async with http.get(link) as answer:  # a preview of the link does not use it up
        assert answer.status == 200
    for status in (303, 401):
        async with http.post(
            f"{world.url}/enter",
            data={"token": token, "next": "/provers"},
            headers={"Origin": world.url},
            allow_redirects=False,
        ) as answer:
            assert answer.status == status
    async with http.post(f"{world.url}/links", headers={"Origin": world.url}) as answer:
        assert answer.status in (401, 403)  # a session makes no links
    async with http.get(f"{world.url}/provers", headers={"Cookie": f"w3b_explorer_1={token}"}) as answer:
        assert answer.url.path in ("/provers", "/sign-in")


async def test_a_link_runs_out(world: World, http: aiohttp.ClientSession) -> None:
    link = await world.server.sign_in_link()
    assert link == world.url  # this home has no key file: nobody is let in by default
    async with http.post(f"{world.url}/links", headers=bearer()) as answer:
        token = (await answer.json())["url"].split("token=")[1]
    now = world.ledger.clock()
    world.ledger.clock = lambda: now + 600_001  # type: ignore[method-assign]
    async with http.post(f"{world.url}/enter", data={"token": token}, headers={"Origin": world.url}) as answer:
        assert answer.status == 401
        assert "W3B-7503" in await answer.text()


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
async def test_forms_of_other_sites_are_refused(world: World, http: aiohttp.ClientSession, origin: str | None) -> None:
    csrf = await sign_in(http, world)
    headers = {} if origin is None else {"Origin": origin}
    path = f"/webhooks/messages/{world.seed.message}/replay"
    for address, data in ((path, {"csrf": csrf}), ("/sign-in", {"key": ADMIN_KEY}), ("/sign-out", {"csrf": csrf})):
        async with http.post(world.url + address, data=data, headers=headers) as answer:
            assert answer.status == 403, address
            assert (await answer.json())["error"]["code"] == "W3B-7504"
    assert await _state(world) == "DELIVERED"


async def _state(world: World) -> str:
    async with world.ledger.reading() as session:
        return (await session.get_one(WebhookMessageRow, world.seed.message)).state


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("https://explorer.example", "explorer.example", True),
        ("https://explorer.example", "10.0.0.5:8443", True),
        ("https://10.0.0.5:8443", "10.0.0.5:8443", True),
        ("https://6.6.6.6", "10.0.0.5:8443", False),
        ("https://6.6.6.6", "explorer.example", False),
        ("http://explorer.example", "explorer.example", False),
        ("null", "explorer.example", False),
        ("", "", False),
    ],
)
def test_an_address_of_somebody_else_is_no_origin_of_ours(origin: str, host: str, own: bool) -> None:
    """Beyond loopback any address may be the Host of a request, and only that one the origin of its forms."""
    site = Site(frozenset({"explorer.example"}), any_address=True, secure=True, cookie="c")
    assert site.is_own(origin, host) is own


async def test_replay_needs_the_forms_token_and_the_scope(world: World, http: aiohttp.ClientSession) -> None:
    csrf = await sign_in(http, world)
    address, own = f"{world.url}/webhooks/messages/{world.seed.message}/replay", {"Origin": world.url}
    for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": csrf[:-1]}):
        async with http.post(address, data=data, headers=own) as answer:
            assert answer.status == 403
    assert await _state(world) == "DELIVERED"
    for key, status in ((READER_KEY, 403), (OSLO_KEY, 404), (REVOKED_KEY, 401)):
        async with http.post(address, headers=bearer(key)) as answer:
            assert answer.status == status
    assert await _state(world) == "DELIVERED"
    async with http.post(address, data={"csrf": csrf}, headers=own, allow_redirects=False) as answer:
        assert answer.status == 303
    assert await _state(world) == "PENDING"
    async with world.ledger.reading() as session:
        act = (await session.exec(select(AuditRow).order_by(col(AuditRow.id).desc()).limit(1))).one()
    assert (act.actor, act.subject, act.outcome) == ("key_000000000001", world.seed.message, "ok")


async def test_a_name_that_is_not_ours_is_refused(world: World, http: aiohttp.ClientSession) -> None:
    port = world.url.rsplit(":", 1)[1]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}", ""):
        async with http.get(f"{world.url}/", headers={**bearer(), "Host": host}) as answer:
            assert answer.status in (400, 403), host
            assert "harbour" not in await answer.text()
    async with http.get(f"{world.url}/", headers={**bearer(), "Host": f"localhost:{port}"}) as answer:
        assert answer.status == 200


async def test_guessing_keys_is_slowed(world: World, http: aiohttp.ClientSession) -> None:
    statuses = []
    for number in range(FAILURES + 1):
        wrong = f"w3b_{number:012x}_{'z' * 43}"
        async with http.post(f"{world.url}/sign-in", data={"key": wrong}, headers={"Origin": world.url}) as answer:
            statuses.append(answer.status)
    assert statuses == [401] * FAILURES + [429]
    async with http.post(f"{world.url}/sign-in", data={"key": ADMIN_KEY}, headers={"Origin": world.url}) as answer:
        assert answer.status == 429


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_sign_in_leads_to_this_site_only(world: World, http: aiohttp.ClientSession, target: str) -> None:
    async with http.post(
        f"{world.url}/sign-in",
        data={"key": ADMIN_KEY, "next": target},
        headers={"Origin": world.url},
        allow_redirects=False,
    ) as answer:
        assert answer.headers["Location"] == "/"


async def test_clear_text_beyond_loopback_is_refused(tmp_path: Path, world: World) -> None:
    server = ExplorerServer(
        world.ledger,
        Settings(home=tmp_path, explorer_host="0.0.0.0"),
        chain=world.server._chain,
        components=world.server._components,
        deployment=world.server._deployment,
    )
    with pytest.raises(InvalidInput, match="W3B-7019"):
        await server.start()
