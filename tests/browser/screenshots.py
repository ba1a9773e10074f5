"""Take the pictures of docs/screenshots: `python -m tests.browser.screenshots` at the repository's root."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, async_playwright

from coordinator.ledger.store import Ledger
from tests.explorer_basics import ADMIN_KEY
from tests.explorer_world import World, seeded, start

FOLDER = Path("docs/screenshots")
DESK = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


def shots(world: World) -> list[tuple[str, str, dict[str, int], str]]:
    """(file, address, size, colour scheme) of each picture."""
    tasks = world.seed.tasks
    return [
        ("overview.png", "/", {"width": 1280, "height": 940}, "light"),
        ("overview-dark.png", "/", DESK, "dark"),
        ("task.png", f"/tasks/{tasks['FINAL']}", {"width": 1280, "height": 960}, "light"),
        ("task-waits.png", f"/tasks/{tasks['retry']}", DESK, "dark"),
        ("provers.png", "/provers", {"width": 1280, "height": 660}, "light"),
        ("webhooks.png", "/webhooks", {"width": 1280, "height": 760}, "light"),
        ("phone.png", f"/tasks/{tasks['proving']}", PHONE, "light"),
    ]


async def sign_in(page: Page, url: str, key: str = ADMIN_KEY) -> None:
    """Sign in with an API key."""
    await page.goto(f"{url}/sign-in")
    await page.fill("#key", key)
    await page.click("button.main")
    await page.wait_for_url(f"{url}/")


async def main() -> None:
    """Take them all, into the folder of the command line or docs/screenshots."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        url = f"sqlite+aiosqlite:///{home}/ledger.db"
        ledger = Ledger(url)
        await ledger.migrate()
        await ledger.close()
        world = await start(Path(home), url, await seeded(url, tasks=170))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--font-render-hinting=none"]
            )
            for name, address, size, scheme in shots(world):
                context = await browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
                page = await context.new_page()
                await sign_in(page, world.url)
                await page.goto(world.url + address)
                await page.wait_for_selector("#live.on")
                path = folder / name
                await page.screenshot(path=path)
                print(name, path.stat().st_size // 1024, "KiB")
                await context.close()
            await browser.close()
        await world.stop()


if __name__ == "__main__":
    asyncio.run(main())
