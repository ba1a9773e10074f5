"""Signing in with the token of a DID, and what the audit log keeps of each sign-in, sign-out and refusal."""

from __future__ import annotations

import aiohttp
import pytest
from explorer_visits import bearer, sign_in
from sqlmodel import col, select

from coordinator.access.audit import entry
from coordinator.access.audit_chain import row_hash
from coordinator.access.token_keys import TokenKeys
from coordinator.access.tokens import Tokens
from coordinator.explorer.access import FAILURE_SECONDS, FAILURES, SESSION_MS, SignInLimit
from coordinator.ledger.control_tables import AuditRow, ExplorerTokenRow, IdentityRow
from tests.explorer_basics import ADMIN_KEY
from tests.explorer_world import World
from verifier.errors import Denied

DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
TOKEN_MS = 900_000


async def register(world: World, scopes: list[str], project_id: int | None = None) -> None:
    """An identity as an administrator makes or changes it."""
    async with world.ledger.transaction() as session:
        await session.merge(
            IdentityRow(did=DID, name="gateway", scopes=scopes, project_id=project_id, created_at=world.ledger.clock())
        )


def token(world: World, scopes: list[str], project_id: int | None = None) -> str:
    """What the API's login gives."""
    assert world.server._tokens is not None
    return world.server._tokens.issue(DID, scopes, project_id, world.ledger.clock())[0]


async def acts(world: World) -> list[tuple[str, str, str, str]]:
    """(action, actor, outcome, with what) of each act of the explorer, oldest first."""
    async with world.ledger.reading() as session:
        found = select(AuditRow).where(col(AuditRow.action).startswith("explorer.")).order_by(col(AuditRow.id))
        rows = (await session.exec(found)).all()
        assert all(row.hash == row_hash(entry(row).fields) for row in rows)
    return [(row.action, row.actor, row.outcome, row.detail.get("with", "")) for row in rows]


async def status_of(world: World, http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    """(status, where it leads) of a page."""
    async with http.get(world.url + path, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", "")


async def test_a_token_signs_in_with_its_scopes_and_project(world: World, http: aiohttp.ClientSession) -> None:
    await register(world, ["tasks:read", "projects:read"], project_id=1)
    csrf = await sign_in(http, world, token(world, ["tasks:read"], 1))
    assert await status_of(world, http, "/tasks") == (200, "")
    assert (await status_of(world, http, "/provers"))[0] == 403
    assert (await status_of(world, http, "/projects/1"))[0] == 403, "the identity has the scope, the token has not"
    assert (await status_of(world, http, "/projects/3/windows/1"))[0] == 404
    async with http.post(f"{world.url}/sign-out", data={"csrf": csrf}, headers={"Origin": world.url}) as answer:
        assert answer.url.path == "/sign-in"
    assert (await status_of(world, http, "/tasks"))[0] == 303
    assert await acts(world) == [("explorer.sign_in", DID, "ok", "token"), ("explorer.sign_out", DID, "ok", "")]


async def test_a_tokens_session_ends_with_the_token(world: World, http: aiohttp.ClientSession) -> None:
    await register(world, ["tasks:read"])
    await sign_in(http, world, token(world, ["tasks:read"]))
    async with world.ledger.reading() as session:
        row = (await session.exec(select(ExplorerTokenRow).where(ExplorerTokenRow.key_id == DID))).one()
    assert row.expires_at - row.created_at <= TOKEN_MS < SESSION_MS
    now = world.ledger.clock()
    world.ledger.clock = lambda: now + TOKEN_MS  # type: ignore[method-assign]
    status, where = await status_of(world, http, "/tasks")
    assert (status, "why=W3B-7502" in where) == (303, True)


async def test_what_an_identity_loses_its_session_loses_at_once(world: World, http: aiohttp.ClientSession) -> None:
    await register(world, ["tasks:read", "provers:read"])
    await sign_in(http, world, token(world, ["tasks:read", "provers:read"]))
    assert (await status_of(world, http, "/provers"))[0] == 200
    await register(world, ["tasks:read", "webhooks:read"])
    assert (await status_of(world, http, "/provers"))[0] == 403
    assert (await status_of(world, http, "/webhooks"))[0] == 403, "what it gained comes with the next login"
    await register(world, ["tasks:read"], project_id=1)
    assert "why=W3B-7021" in (await status_of(world, http, "/tasks"))[1]
    await register(world, ["tasks:read"])
    assert (await status_of(world, http, "/tasks"))[0] == 200
    async with world.ledger.transaction() as session:
        (await session.get_one(IdentityRow, DID)).revoked_at = 1
    assert "why=W3B-7003" in (await status_of(world, http, "/tasks"))[1]


async def test_a_link_of_a_token_is_worth_no_more_than_the_token(world: World, http: aiohttp.ClientSession) -> None:
    await register(world, ["tasks:read"])
    async with http.post(f"{world.url}/links", headers=bearer(token(world, ["tasks:read"]))) as answer:
        link = (await answer.json())["url"].split("token=")[1]
    async with http.post(
        f"{world.url}/enter", data={"token": link}, headers={"Origin": world.url}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        assert int(answer.headers["Set-Cookie"].split("Max-Age=")[1].split(";")[0]) <= TOKEN_MS // 1000
    assert (await status_of(world, http, "/provers"))[0] == 403
    assert await acts(world) == [("explorer.link", DID, "ok", ""), ("explorer.sign_in", DID, "ok", "link")]


@pytest.mark.parametrize("how", ["foreign", "flipped", "expired", "unknown", "challenge", "unsigned", "junk"])
async def test_a_token_that_is_not_right_is_refused_and_written_down(
    world: World, http: aiohttp.ClientSession, how: str
) -> None:
    tokens = world.server._tokens
    assert tokens is not None
    await register(world, ["tasks:read"])
    good, now = token(world, ["tasks:read"]), world.ledger.clock()
    head, body, signature = good.split(".")
    other = Tokens(TokenKeys(world.home / "others.json"), tokens.installation)
    wrong = {
        "foreign": lambda: other.issue(DID, ["tasks:read"], None, now)[0],
        "flipped": lambda: f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "expired": lambda: tokens.issue(DID, ["tasks:read"], None, now - TOKEN_MS - 1000)[0],
        "unknown": lambda: tokens.issue(DID.replace("doK", "doL"), ["tasks:read"], None, now)[0],
        "challenge": lambda: tokens.challenge(DID, now)[0],
        "unsigned": lambda: f"{head}.{body}.",
        "junk": lambda: "a.b.c",
    }[how]()
    code = {"expired": "W3B-7020", "unknown": "W3B-7003"}.get(how, "W3B-7021")
    async with http.post(f"{world.url}/sign-in", data={"key": wrong}, headers={"Origin": world.url}) as answer:
        assert answer.status in (401, 403)
        assert code in await answer.text()
    assert (await status_of(world, http, "/tasks"))[0] == 303
    assert await acts(world) == [("explorer.sign_in", "", code, "token")]
    async with http.get(f"{world.url}/tasks.json", headers=bearer(wrong)) as answer:
        assert answer.status in (401, 403)


async def test_every_sign_in_with_a_key_or_link_is_in_the_log(world: World, http: aiohttp.ClientSession) -> None:
    csrf = await sign_in(http, world)
    await http.post(f"{world.url}/sign-out", data={"csrf": csrf}, headers={"Origin": world.url})
    wrong = f"w3b_{0xABC:012x}_{'z' * 43}"
    await http.post(f"{world.url}/sign-in", data={"key": wrong}, headers={"Origin": world.url})
    await http.post(f"{world.url}/enter", data={"token": "no such"}, headers={"Origin": world.url})
    key = "key_000000000001"
    assert await acts(world) == [
        ("explorer.sign_in", key, "ok", "key"),
        ("explorer.sign_out", key, "ok", ""),
        ("explorer.sign_in", "", "W3B-7002", "key"),
        ("explorer.sign_in", "", "W3B-7503", "link"),
    ]
    async with world.ledger.reading() as session:
        rows = (await session.exec(select(AuditRow).order_by(col(AuditRow.id)))).all()
    refused = next(row for row in rows if row.outcome == "W3B-7002")
    assert (refused.subject, refused.peer) == ("key_000000000abc", "127.0.0.1")
    assert not any(secret in row.model_dump_json() for row in rows for secret in (wrong, ADMIN_KEY, "no such"))


async def test_strangers_cannot_fill_the_log(world: World, http: aiohttp.ClientSession) -> None:
    for number in range(FAILURES + 5):
        wrong = f"w3b_{number:012x}_{'z' * 43}"
        await http.post(f"{world.url}/sign-in", data={"key": wrong}, headers={"Origin": world.url})
    outcomes = [outcome for _, _, outcome, _ in await acts(world)]
    assert outcomes == ["W3B-7002"] * FAILURES + ["W3B-7506"]


def test_those_that_were_turned_away_are_counted_and_told_once_a_minute() -> None:
    limit = SignInLimit()
    for _ in range(FAILURES):
        limit.failed(0.0, "a")
    with pytest.raises(Denied, match="W3B-7506"):
        limit.check(1.0, "a")
    told = [limit.turned_away(at) for at in (1.0, 2.0, 3.0, FAILURE_SECONDS + 1.0, FAILURE_SECONDS + 2.0)]
    assert told == [1, 0, 0, 3, 0]
