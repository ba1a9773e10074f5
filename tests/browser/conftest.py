"""Debian's Chromium, found on PATH, and an explorer over a seeded ledger. Run with `make test-browser`."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from tests.databases import Databases
from tests.explorer_basics import ADMIN_KEY
from tests.explorer_world import World, seeded, start

Result = TypeVar("Result")
Open = Callable[..., Page]
PATIENCE_MS = 60_000
"""CI shares its machine."""


class Site:
    """The explorer on a loop of its own thread, so that a synchronous browser can look at it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.world: World

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def open(self, home: Path, url: str) -> None:
        """Seed the ledger and serve it."""
        self.world = await start(home, url, await seeded(url))

    def close(self) -> None:
        """End it."""
        self.run(self.world.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Site]:
    """One explorer for all browser tests."""
    home = tmp_path_factory.mktemp("site")
    made = Site()
    made.run(made.open(home, databases.sqlite(home / "ledger.db")))
    yield made
    made.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    path = shutil.which("chromium")
    assert path is not None, "there is no chromium on PATH; `make test-browser` installs it"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Open]:
    """Opens pages, signed in unless told otherwise; afterwards nothing may have left the origin, and no page may have
    written an error to its console."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def watch(request: Request) -> None:
        if not request.url.startswith(site.world.url + "/"):
            wrong.append(f"left the origin: {request.url}")

    def made(address: str = "/", *, signed_in: bool = True, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("request", watch)
        page.on("console", lambda each: wrong.append(each.text) if each.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        if signed_in:
            sign_in(page, site.world.url)
        page.goto(site.world.url + address)
        return page

    yield made
    for context in contexts:
        context.close()
    assert wrong == []


def sign_in(page: Page, url: str, key: str = ADMIN_KEY) -> None:
    """Sign in with an API key."""
    page.goto(f"{url}/sign-in")
    page.fill("#key", key)
    page.click("button.main")
    page.wait_for_url(f"{url}/")
