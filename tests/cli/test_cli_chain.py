"""`w3bstream tx`, `task retry-dapp` and `reconcile` against a real service, for people and for programs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from api_live import Live, task_row
from cli_run import Cli

from coordinator.api.chain import ChainService
from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.reconcile.reconciler import Progress, Reconciler
from coordinator.reconcile.report import Break, InvariantReport


@pytest.fixture
def sent(live: Live) -> Live:
    """A task whose dApp refused its result, and its settlement."""
    task = task_row(1, state="FINAL", dapp_ok=False, public_output=b"output", record_tx=1)
    live.add(
        OutboxTxRow(
            dedupe_key="a",
            purpose="apply_batch",
            ref={"statuses": [], "tasks": [task.id], "assignments": []},
            to="0xAB",
            data=b"",
            state="SAFE",
            tx_hash="0x" + "ab" * 32,
            nonce=0,
            block_number=9,
            created_at=1,
            updated_at=1,
        ),
        task,
        TxEventRow(tx_id=1, source="", target="QUEUED", at=1),
        TxEventRow(tx_id=1, source="MINED", target="REORGED", reason="block 8 is no longer in the chain", at=2),
    )
    return live


def test_transactions_and_their_ladder(sent: Live, cli: Cli) -> None:
    task = task_row(1).id
    for filters in ((), ("--task", task), ("--project", "weather"), ("--state", "safe", "--purpose", "apply_batch")):
        page = cli("tx", "list", *filters).out
        assert "SAFE" in page
        assert f"task {task[:14]}…" in page
    assert "SAFE" not in cli("tx", "list", "--state", "FINAL").out
    (tx,) = cli("tx", "list", "--json").json["transactions"]
    assert (tx["id"], tx["nonce"], tx["task_ids"]) == ("1", "0", [task])
    page = cli("tx", "show", "1").out
    assert "REORGED" in page
    assert "block 8 is no longer in the chain" in page
    assert cli("tx", "show", "0x" + "ab" * 32, "--json").json["ladder"][1]["target"] == "REORGED"
    assert cli("tx", "show", "77", "--json", code=1).error["code"] == "W3B-5015"
    assert cli("tx", "show", "seven", "--json", code=1).error["code"] == "W3B-7008"


def test_a_dapp_is_called_again(sent: Live, cli: Cli) -> None:
    assert "w3bstream tx show 2" in cli("task", "retry-dapp", task_row(1).id[:20]).out
    assert cli("task", "retry-dapp", task_row(1).id, "--json").json["purpose"] == "retry_dapp"


class Told(Reconciler):
    """Finds what it is told to."""

    def __init__(self, report: InvariantReport) -> None:
        self._report = report

    async def steps(self, project_id: int | None = None) -> AsyncIterator[Progress]:
        yield Progress("ledger", 0)
        yield Progress("done", 7, self._report)


def test_reconcile_prints_every_break_and_says_so_in_its_exit_code(
    live: Live, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = InvariantReport(1)
    report.checked["tasks"] = 7
    monkeypatch.setattr(ChainService, "_reconciler", Told(report), raising=False)
    monkeypatch.setattr(
        ChainService,
        "__init__",
        lambda self, ledger, installation, _: self.__dict__.update(_ledger=ledger, _installation=installation),
    )
    live.run(live.server.stop(0.2))
    live.server = live.new_server()
    live.run(live.server.start())
    whole = cli("reconcile")
    assert "breaks: 0" in whole.out
    assert "7 tasks" in whole.out
    assert cli("reconcile", "--json").json["whole"] is True
    report.add(Break("W3B-5025", "task 0x07", "the Router settled it 2 times", 1))
    report.left_out["chain"] = "no answer"
    broken = cli("reconcile", "--project", "weather", code=1)
    for words in (
        "W3B-5025",
        "task 0x07: the Router settled it 2 times",
        "breaks: 1",
        "not compared: chain: no answer",
    ):
        assert words in broken.out
    found = cli("reconcile", "--json", code=1).json
    assert (found["whole"], found["found"]) == (False, "1")
    assert found["breaks"][0]["next_step"].startswith("Look at the task's transactions")
