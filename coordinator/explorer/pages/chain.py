"""`/blocks`, `/blocks/{n}`, `/tx/{hash}` and `/accounts/{address}`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from coordinator.explorer.access import Viewer
from coordinator.explorer.page import Page, number_in_path, require_found, surroundings, text_parameter
from coordinator.explorer.queries import system, transactions


async def _chain(request: web.Request) -> dict[str, Any]:
    heads = await surroundings(request).chain.heads()
    return {"head": heads.latest.number if heads.latest else None, "final": heads.final, "chain_error": heads.error}


async def list_blocks(request: web.Request, viewer: Viewer) -> Page:
    """The blocks that hold transactions of this installation."""
    viewer.require("tasks:read")
    data = await _chain(request)
    async with surroundings(request).ledger.reading() as session:
        data.update(await transactions.blocks(session, viewer, text_parameter(request, "page")))
        data["gas"] = await transactions.gas_of_settlements(session, viewer)
        data["recent"] = await transactions.recent(session, 20) if viewer.project_id is None else []
    topics = ("tasks", "tick") if not request.query.get("page") else ()
    return Page("blocks.html", "Blocks", data, cli="w3bstream status", topics=topics, section="blocks")


async def show_block(request: web.Request, viewer: Viewer) -> Page:
    """One block, as the chain tells it, with what of this installation is in it."""
    viewer.require("tasks:read")
    number = number_in_path(request, "number")
    block, error = await surroundings(request).chain.block(number)
    data = await _chain(request)
    async with surroundings(request).ledger.reading() as session:
        data["transactions"] = await transactions.in_block(session, viewer, number)
    data.update(number=number, block=asdict(block) if block else None, chain_error=error or data["chain_error"])
    return Page(
        "block.html",
        f"Block {number}",
        data,
        cli="w3bstream status",
        topics=("tick",) if data["final"] is None or number > data["final"] else (),
        section="blocks",
        crumbs=(("Blocks", "/blocks"),),
    )


async def show_transaction(request: web.Request, viewer: Viewer) -> Page:
    """One transaction: what it is for, how final it is, and every step on the way."""
    viewer.require("tasks:read")
    tx_hash = request.match_info["hash"]
    data = await _chain(request)
    async with surroundings(request).ledger.reading() as session:
        row = require_found(await transactions.find(session, tx_hash), f"transaction {tx_hash}")
        about = await transactions.about(session, viewer, row)
        require_found(about["visible"] or None, f"transaction {tx_hash}")
        data.update(
            tx={**transactions.line(row), "block_hash": row.block_hash, "data_bytes": len(row.data)},
            selector="0x" + row.data[:4].hex(),
            ladder=transactions.ladder(row),
            about=about,
            history=await transactions.history(session, row.id or 0),
            asked=tx_hash,
        )
    tasks = about["tasks"] or about["attempts"]
    task_id = tasks[0].get("task_id") or tasks[0]["id"] if tasks else ""
    return Page(
        "transaction.html",
        f"Transaction {tx_hash[:10]}…",
        data,
        cli=f"w3bstream task get {task_id}" if task_id else "w3bstream status",
        topics=("tick",) if row.state not in ("FINAL", "REFUSED") else (),
        section="blocks",
        crumbs=(("Blocks", "/blocks"),),
    )


async def show_account(request: web.Request, viewer: Viewer) -> Page:
    """What an address is to this installation."""
    around = surroundings(request)
    address = request.match_info["address"].lower()
    async with around.ledger.reading() as session:
        data = await system.account(session, viewer, address, around.contracts)
    return Page(
        "account.html", f"Account {address[:10]}…", data, cli="w3bstream status", crumbs=(("Blocks", "/blocks"),)
    )
