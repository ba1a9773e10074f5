"""`w3bstream project quote`: what it says before and after a program was proven."""

from __future__ import annotations

from typing import Any

from api_live import Live, task_row
from cli_run import Cli

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow


def test_a_quote_before_and_after_the_first_proof(cli: Cli, live: Live) -> None:
    before = cli("project", "quote", "weather").out
    assert "no proof of this program yet" in before
    assert "no estimate" in before

    task = task_row(1)
    times: dict[str, Any] = {"created_at": 1_500, "started_at": 2_000, "proved_at": 3_234, "updated_at": 11_000}
    proof = AttemptRow(
        task_id=task.id,
        kind="zkp.groth16",
        program_id=f"0x{5:064x}",
        prover_id="p1",
        prover_address="0x09",
        fence=1,
        state="VERIFIED",
        lease_expires_at=1,
        heartbeat_at=1,
        deadline_at=1,
        settle_tx=1,
        **times,
    )
    settlement = OutboxTxRow(
        dedupe_key="settle", purpose="settle", ref={}, to="", data=b"", gas_used=432_100, created_at=1, updated_at=1
    )
    live.add(settlement, task)
    live.add(proof)
    after = cli("project", "quote", "1").out
    for shown in ("zkp.groth16", "1.23 / 1.23 s", "10.00 / 10.00 s", "432,100 / 432,100 gas", "no price"):
        assert shown in after
    assert cli("project", "quote", "1", "--json").json["gas"] == {"p50": "432100", "p95": "432100"}
