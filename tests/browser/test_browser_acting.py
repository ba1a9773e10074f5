"""What a person does: watch a task move without a reload, copy commands, replay a webhook, sign out."""

from __future__ import annotations

import json
import re
import urllib.request

from conftest import Open, Site
from sqlmodel import select

from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.ledger.store import move_task
from coordinator.ledger.tables import AttemptRow
from coordinator.ledger.transitions import TaskState
from tests.explorer_basics import ADMIN_KEY


def test_a_change_arrives_without_reload(site: Site, visit: Open) -> None:
    task = site.world.seed.tasks["RECEIVED"]
    page = visit(f"/tasks/{task}")
    overview = visit("/")
    for each in (page, overview):
        each.wait_for_selector("#live.on")
        each.evaluate("window.untouched = true")
    before = int(overview.inner_text("#under-way").replace(",", ""))

    async def cancel() -> None:
        async with site.world.ledger.transaction() as session:
            await move_task(session, site.world.ledger.clock(), task, TaskState.CANCELLED, reason="no longer wanted")

    site.run(cancel())
    page.wait_for_selector(".head .badge:has-text('CANCELLED')")
    page.wait_for_selector(".why .headline:has-text('no longer wanted')")
    page.wait_for_selector(".timeline li:has-text('no longer wanted')")
    overview.wait_for_selector(f"#under-way:text-is('{before - 1}')")  # the page's CSP allows no evaluated strings
    assert page.evaluate("window.untouched")
    assert overview.evaluate("window.untouched")


def test_progress_moves_without_an_event_in_the_timeline(site: Site, visit: Open) -> None:
    task = site.world.seed.tasks["proving"]
    page = visit(f"/tasks/{task}")
    page.wait_for_selector("#live.on")

    async def advance() -> None:
        async with site.world.ledger.transaction() as session:
            row = (await session.exec(select(AttemptRow).where(AttemptRow.task_id == task))).one()
            row.stage, row.progress = "proof", 0.91

    site.run(advance())
    page.wait_for_selector(".why .headline:has-text('91%')")
    page.wait_for_selector("progress[value='0.91']")


def test_copy_buttons_copy(site: Site, visit: Open) -> None:
    task = site.world.seed.tasks["FINAL"]
    page = visit(f"/tasks/{task}", permissions=["clipboard-read", "clipboard-write"])
    page.click("button[aria-label='Copy as CLI']")
    page.wait_for_selector("button.done")
    assert page.evaluate("navigator.clipboard.readText()") == f"w3bstream task get {task}"
    page.click("button[aria-label='Copy as curl']")
    page.wait_for_selector("button[aria-label='Copy as curl'].done")
    curl = page.evaluate("navigator.clipboard.readText()")
    address = re.search(r"(http://\S+\.json)", curl)
    assert address is not None
    assert '"authorization: Bearer $W3BSTREAM_API_KEY"' in curl
    request = urllib.request.Request(address.group(1), headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["task"]["id"] == task


def test_a_message_is_replayed_by_its_button(site: Site, visit: Open) -> None:
    message = site.world.seed.dead_message
    page = visit("/webhooks?state=DEAD")
    page.click(f"button[aria-label='Replay message {message}']")
    page.wait_for_url(f"**/webhooks/messages/{message}")
    assert page.locator(".head .badge").inner_text() == "PENDING"

    async def state() -> str:
        async with site.world.ledger.reading() as session:
            return (await session.get_one(WebhookMessageRow, message)).state

    assert site.run(state()) == "PENDING"


def test_signing_out_ends_it(site: Site, visit: Open) -> None:
    page = visit("/")
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    page.goto(f"{site.world.url}/tasks")
    assert "/sign-in?next=" in page.url
