"""The one table of addresses. Each answers in HTML, and in JSON with `.json` after it or by the header `Accept`."""

from __future__ import annotations

from coordinator.explorer.page import ADDRESS, HASH, NAME, NUMBER, PROJECT, Handler
from coordinator.explorer.pages import chain, overview, projects, provers, tasks, webhooks

ROUTES: tuple[tuple[str, Handler], ...] = (
    ("/", overview.show_overview),
    ("/health", overview.show_health),
    ("/search", overview.show_search),
    ("/tasks", tasks.list_tasks),
    (f"/tasks/{{id:{HASH}}}", tasks.show_task),
    ("/projects", projects.list_projects),
    (f"/projects/{{id:{PROJECT}}}", projects.show_project),
    (f"/projects/{{id:{PROJECT}}}/readings", projects.show_readings),
    (f"/projects/{{id:{PROJECT}}}/windows/{{start:{NUMBER}}}", projects.show_window),
    ("/windows", projects.list_windows),
    ("/provers", provers.list_provers),
    (f"/provers/{{id:{NAME}}}", provers.show_prover),
    ("/blocks", chain.list_blocks),
    (f"/blocks/{{number:{NUMBER}}}", chain.show_block),
    (f"/tx/{{hash:{HASH}}}", chain.show_transaction),
    (f"/accounts/{{address:{ADDRESS}}}", chain.show_account),
    ("/webhooks", webhooks.list_webhooks),
    (f"/webhooks/messages/{{id:{webhooks.MESSAGE}}}", webhooks.show_message),
)
"""Address and handler."""


def json_address(path: str) -> str:
    """The address of the JSON form: `/index.json` for `/`."""
    return "/index.json" if path == "/" else path + ".json"
