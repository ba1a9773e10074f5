"""Test only: every address of the explorer, and how a browser signs in."""

from __future__ import annotations

import re

import aiohttp

from tests.explorer_basics import ADMIN_KEY, SENDER
from tests.explorer_world import World


def addresses(world: World) -> list[str]:
    """Every page on seeded data: each kind, each task state, each filter."""
    seed = world.seed
    return [
        "/",
        "/tasks",
        "/tasks?state=FINAL&state=OPEN&project=1&kind=zkp.groth16",
        "/tasks?code=W3B-3005",
        *(f"/tasks/{task}" for task in seed.tasks.values()),
        "/projects",
        "/projects/1",
        "/projects/3",
        "/projects/1/readings",
        f"/projects/1/readings?device={seed.device}",
        "/windows",
        "/windows?project=1",
        "/projects/1/windows/17",
        "/provers",
        f"/provers/{seed.prover}?span=24h",
        "/blocks",
        f"/blocks/{seed.block}",
        "/blocks/999999",
        f"/tx/{seed.tx}",
        f"/tx/{seed.replaced}",
        f"/accounts/{SENDER}",
        f"/accounts/{seed.device}",
        "/webhooks",
        f"/webhooks?endpoint={seed.endpoint}&state=DELIVERED",
        f"/webhooks/messages/{seed.message}",
        "/search",
        "/search?q=zkp",
        "/health",
    ]


def bearer(key: str = ADMIN_KEY) -> dict[str, str]:
    """The header of a request with an API key."""
    return {"Authorization": f"Bearer {key}"}


def as_page(key: str = ADMIN_KEY) -> dict[str, str]:
    """The same, asking for HTML."""
    return {**bearer(key), "Accept": "text/html"}


def json_of(address: str) -> str:
    """The address of a page's JSON form."""
    path, _, query = address.partition("?")
    path = "/index.json" if path == "/" else path + ".json"
    return path + (f"?{query}" if query else "")


async def sign_in(http: aiohttp.ClientSession, world: World, key: str = ADMIN_KEY) -> str:
    """Sign in as a browser does; returns the session's form token."""
    async with http.post(
        f"{world.url}/sign-in", data={"key": key, "next": "/tasks"}, headers={"Origin": world.url}
    ) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        assert answer.url.path == "/tasks"
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
    assert found is not None
    return found.group(1)
