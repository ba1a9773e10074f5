"""Quotes through the API: figures of the program's verified proofs, the chain's price, and who may ask."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from api_live import Live, project_rows, task_row

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow, ProverRow
from verifier.errors import Denied, NotFound

PROGRAM = f"0x{5:064x}"
GWEI = 10**9


def tx(number: int, purpose: str, gas_used: int | None, **ref: Any) -> OutboxTxRow:
    """The rows are numbered by the ledger, in the order in which they are added."""
    return OutboxTxRow(
        dedupe_key=f"row {number}",
        purpose=purpose,
        ref=ref,
        to="",
        data=b"",
        gas_used=gas_used,
        created_at=1,
        updated_at=1,
    )


def attempt(number: int, task_id: str, **values: Any) -> AttemptRow:
    """Proven within 500 ms, verified 9 s after its task's window was closed."""
    given: dict[str, Any] = {
        "state": "VERIFIED",
        "program_id": PROGRAM,
        "settle_tx": number + 1,
        "assign_tx": 1,
        "started_at": 2_000,
        "proved_at": 2_500,
        "updated_at": 10_000,
        **values,
    }
    return AttemptRow(
        task_id=task_id,
        kind="zkp.groth16",
        prover_id="p1",
        prover_address="0x09",
        fence=number,
        lease_expires_at=1,
        heartbeat_at=1,
        deadline_at=1,
        created_at=1_500,
        **given,
    )


@pytest.fixture
def proven(live: Live) -> Live:
    """Two tasks of one batch, one proof each; a lost attempt, another program's proof and one without a receipt."""
    live.add(*project_rows(1, "weather"), *project_rows(2, "rain"))
    first, second = task_row(1, record_tx=1), task_row(1, project_id=2, record_tx=1)
    live.add(
        tx(1, "apply_batch", 300_000, tasks=[1, 2], assignments=[1, 2, 3]),
        tx(2, "settle", 400_000),
        tx(3, "settle", 420_000),
        tx(4, "settle", None),
    )
    live.add(first, second)
    live.add(attempt(1, first.id), attempt(2, second.id, proved_at=3_500, updated_at=20_000))
    live.add(
        attempt(3, first.id, state="LOST"),
        attempt(4, second.id, program_id=f"0x{6:064x}", settle_tx=2, assign_tx=None),
        attempt(5, second.id, settle_tx=4, assign_tx=None),
    )
    live.add(
        *(
            ProverRow(id=name, kind=kind, address="0x09", status=status, created_at=1, updated_at=1)
            for name, kind, status in (
                ("p1", "zkp.groth16", "BUSY"),
                ("p2", "zkp.groth16", "OFFLINE"),
                ("p3", "x", "IDLE"),
            )
        )
    )
    return live


def test_figures_are_of_the_programs_verified_proofs(proven: Live) -> None:
    with proven.client() as client:
        quote = client.get_quote(1)
    (kind,) = quote.kinds
    assert (quote.project_id, quote.version, quote.threshold) == (1, 1, 1)
    assert (kind.kind, kind.program_id, kind.samples, kind.provers) == ("zkp.groth16", PROGRAM, 2, 1)
    assert (kind.proving_ms.p50, kind.proving_ms.p95) == (500, 1_500)
    assert (kind.total_ms.p50, kind.total_ms.p95) == (9_000, 19_000)
    # Each pays for two of the batch's five items: its task and its assignment.
    assert (kind.gas.p50, kind.gas.p95) == (520_000, 540_000)
    assert (list(quote.estimated_kinds), quote.total_ms, quote.gas) == (["zkp.groth16"], kind.total_ms, kind.gas)
    assert (quote.gas_price, quote.price_p50, quote.price_p95) == ("", "", ""), "no chain answers here"


def test_the_price_is_gas_at_what_the_chain_asks_now(proven: Live) -> None:
    answers = {
        "eth_getBlockByNumber": {
            "number": "0x1",
            "hash": f"0x{1:064x}",
            "timestamp": "0x1",
            "baseFeePerGas": hex(3 * GWEI),
        },
        "eth_feeHistory": {"oldestBlock": "0x1", "baseFeePerGas": [hex(3 * GWEI)] * 2, "reward": [[hex(GWEI)]]},
    }

    async def answer(request: web.Request) -> web.Response:
        asked = await request.json()
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": answers[asked["method"]]})

    async def serve() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = proven.run(serve())
    proven.site.chain_rpc_url = f"http://127.0.0.1:{port}"
    server = proven.new_server()

    async def start() -> str:
        host, bound = await server.start()
        return f"{host}:{bound}"

    try:
        proven.target = proven.run(start())
        with proven.client() as client:
            quote = client.get_quote(1)
    finally:
        proven.run(asyncio.wait_for(server.stop(0.1), 10))
        proven.run(runner.cleanup())
    assert quote.gas_price == str(4 * GWEI)
    assert (quote.price_p50, quote.price_p95) == (str(520_000 * 4 * GWEI), str(540_000 * 4 * GWEI))


def test_what_was_never_proven_has_no_estimate(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        quote = client.get_quote(1)
    assert [(each.samples, each.HasField("gas")) for each in quote.kinds] == [(0, False)]
    assert (list(quote.estimated_kinds), quote.HasField("gas"), quote.price_p50) == ([], False, "")


def test_who_may_ask_and_about_what(proven: Live) -> None:
    rows = project_rows(3, "unpublished")
    rows[0].version = 0
    proven.add(rows[0])
    with proven.client() as client:
        with pytest.raises(NotFound, match="W3B-2002"):
            client.get_quote(9)
        with pytest.raises(NotFound, match="W3B-2003"):
            client.get_quote(3)
    with proven.client(proven.key("projects:read", project_id=2)) as client:
        assert client.get_quote(2).kinds[0].samples == 2, "another project's proofs of the program count"
        with pytest.raises(Denied):
            client.get_quote(1)
    with proven.client(proven.key("tasks:read")) as client, pytest.raises(Denied):
        client.get_quote(1)
