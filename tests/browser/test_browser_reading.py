"""What a person sees: with and without JavaScript, in both themes, on a phone, with a keyboard."""

from __future__ import annotations

import itertools

import pytest
from conftest import Open, Site

from tests.explorer_basics import SENDER, Seed

PHONE = {"width": 390, "height": 844}


def addresses(seed: Seed) -> list[str]:
    """One page of every kind."""
    return [
        "/",
        "/tasks",
        f"/tasks/{seed.tasks['FINAL']}",
        f"/tasks/{seed.tasks['FAILED']}",
        f"/tasks/{seed.tasks['proving']}",
        "/projects",
        "/projects/1",
        "/projects/1/readings",
        "/windows",
        "/projects/1/windows/17",
        "/provers",
        f"/provers/{seed.prover}",
        "/blocks",
        f"/blocks/{seed.block}",
        f"/tx/{seed.tx}",
        f"/accounts/{SENDER}",
        "/webhooks",
        f"/webhooks/messages/{seed.message}",
        "/search?q=zkp",
        "/health",
        "/nothing-here",
    ]


WIDER = """() => [...document.querySelectorAll("body *")].filter((each) => {
  for (let up = each.parentElement; up; up = up.parentElement) {
    const style = getComputedStyle(up);
    if (style.overflowX !== "visible" && up !== document.body) return false;
  }
  return each.getBoundingClientRect().right > innerWidth + 1;
}).map((each) => each.outerHTML.slice(0, 120)).slice(0, 5)"""


def test_no_page_is_wider_than_a_phone(site: Site, visit: Open) -> None:
    page = visit("/", viewport=PHONE)
    for address in addresses(site.world.seed):
        if address == "/nothing-here":
            continue  # its 404 is an error on the console; the sign-in page below stands for it
        page.goto(site.world.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, (address, page.evaluate(WIDER))
        assert page.evaluate(WIDER) == [], address
    page = visit("/sign-in", signed_in=False, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_everything_reads_without_javascript(site: Site, visit: Open) -> None:
    page = visit("/", java_script_enabled=False)
    assert page.locator(".kpi").count() >= 6
    assert page.locator("svg rect").count() > 50
    assert not page.locator("#theme").is_visible()
    page.click("text=Tasks >> nth=0")
    page.locator("table.rows tbody a").first.click()
    assert page.locator(".why .headline").is_visible()
    page.fill("#q", site.world.seed.prover)
    page.press("#q", "Enter")
    page.wait_for_url(f"**/provers/{site.world.seed.prover}")
    assert "ago" in page.locator(".facts time").first.inner_text()


def test_sign_in_link_enters_once(site: Site, visit: Open) -> None:
    from coordinator.access.audit import Act
    from coordinator.explorer.access import Viewer, make_token

    viewer = Viewer("key_000000000001", "admin", frozenset(), None)
    token, _ = site.run(make_token(site.world.ledger, viewer, "link", Act("explorer.link", "operator")))
    page = visit(f"/enter?token={token}&next=/provers", signed_in=False)
    page.wait_for_url("**/provers")
    assert page.locator("h1").inner_text() == "Provers"
    cookie = page.context.cookies()[0]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"


def test_themes_follow_the_system_until_one_is_chosen(visit: Open) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    dark = visit("/", color_scheme="dark")
    light = visit("/", color_scheme="light")
    assert dark.evaluate(background) != light.evaluate(background)
    wanted = dark.evaluate(background)
    for _ in range(2):
        light.click("#theme")  # auto, light, dark
    assert light.inner_text("#theme") == "Dark"
    assert light.evaluate(background) == wanted
    light.reload()
    assert light.evaluate(background) == wanted


def test_keyboard_searches_and_walks_rows(site: Site, visit: Open) -> None:
    page = visit("/tasks")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("harbour-air")
    page.keyboard.press("Enter")
    page.wait_for_url("**/projects/1")
    page.goto(f"{site.world.url}/tasks")
    page.keyboard.press("j")
    page.keyboard.press("j")
    wanted = page.locator("[data-row]").nth(1).get_attribute("data-row")
    assert page.locator(".picked").get_attribute("data-row") == wanted
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{wanted}")


CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const f = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => {
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ground = (each) => { for (let at = each; at; at = at.parentElement) {
    const c = rgb(getComputedStyle(at).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const box = each.getBoundingClientRect(), style = getComputedStyle(each);
    if (!own || !box.width || style.visibility === "hidden" || each.closest("svg, .sr, script, [disabled]")) continue;
    const a = light(rgb(style.color)), b = light(ground(each));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${each.outerHTML.slice(0, 120)}`);
  }
  return [...new Set(bad)].slice(0, 8);
}"""

RULES = """() => {
  const name = (each) => (each.getAttribute("aria-label") || each.innerText || each.title || "").trim()
    || [...(each.labels || [])].map((label) => label.innerText).join("").trim();
  const bad = [];
  for (const each of document.querySelectorAll("a[href], button, input:not([type=hidden]), summary, progress"))
    if (each.getBoundingClientRect().width && !name(each)) bad.push(`no name: ${each.outerHTML.slice(0, 120)}`);
  for (const each of document.querySelectorAll("svg[role=img]"))
    if (!each.querySelector("title") || !each.getAttribute("aria-label")) bad.push("svg without title");
  for (const each of document.querySelectorAll("img")) if (!each.hasAttribute("alt")) bad.push("img without alt");
  for (const each of document.querySelectorAll("th")) if (!each.hasAttribute("scope")) bad.push("th without scope");
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  for (const id of ids) if (ids.filter((other) => other === id).length > 1) bad.push(`id twice: ${id}`);
  if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) bad.push("not one main");
  if (!document.documentElement.lang) bad.push("no language");
  if (document.querySelector("[tabindex]:not([tabindex='-1'])")) bad.push("a tabindex that changes the order");
  return [...new Set(bad)].slice(0, 8);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_keeps_contrast_and_names(site: Site, visit: Open, scheme: str) -> None:
    page = visit("/", color_scheme=scheme)
    for address in addresses(site.world.seed)[:-1]:
        page.goto(site.world.url + address)
        assert page.evaluate(CONTRAST) == [], address
        assert page.evaluate(RULES) == [], address


def test_focus_goes_in_reading_order_and_shows(visit: Open) -> None:
    page = visit("/tasks")
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "() => { const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();"
                " return [e.className, s.outlineStyle !== 'none', b.top]; }"
            )
        )
    assert seen[0][0] == "skip"
    assert all(outlined for _, outlined, _ in seen)
    tops = [top for _, _, top in seen[1:]]
    assert tops == sorted(tops) or max(a - b for a, b in itertools.pairwise(tops)) < 40
