"""`w3bstream ledger prune` and `task rerun --wait`: they say what they would do, and end."""

from __future__ import annotations

import pytest
from api_live import Live, task_row
from cli_run import Cli
from sqlmodel import col, select

from coordinator.ledger.control_tables import AuditRow, SpentTokenRow
from coordinator.ledger.tables import ProverRow
from verifier.errors import Denied, InvalidInput

CHALLENGES = "used login challenges that ran out"


async def _acts(live: Live) -> list[AuditRow]:
    async with live.ledger.reading() as session:
        found = select(AuditRow).where(AuditRow.action == "ledger.prune").order_by(col(AuditRow.id))
        return list(await session.exec(found))


def test_pruning_counts_first_and_acts_when_told(live: Live, cli: Cli) -> None:
    live.add(SpentTokenRow(id="challenge old", expires_at=1))
    assert cli("ledger", "prune", "--older-than", "90d", "--json").json == {
        "acted": False,
        "rows": {
            "failed tries of delivered webhook messages": 0,
            "bodies of delivered webhook messages": 0,
            "earlier statuses of provers": 0,
            CHALLENGES: 1,
        },
    }
    assert "nothing was changed" in cli("ledger", "prune", "--older-than", "90d").out
    assert cli("ledger", "prune", "--older-than", "90d", "--yes", "--json").json["rows"][CHALLENGES] == 1
    assert cli("ledger", "prune", "--older-than", "1y", "--yes", "--json").json["rows"][CHALLENGES] == 0
    acts = live.run(_acts(live))
    assert [row.detail["act"] for row in acts] == [False, False, True, True]
    assert [row.detail["rows"][CHALLENGES] for row in acts] == [1, 1, 1, 0]
    assert acts[0].detail["older_than_seconds"] == 90 * 86_400


@pytest.mark.parametrize("age", ["", "90", "d", "0d", "-1d", "1.5d", "90 d", "23h", "9999999d", "999999y"])
def test_an_age_that_is_none_or_too_young_is_refused(live: Live, cli: Cli, age: str) -> None:
    assert cli("ledger", "prune", "--older-than", age, "--yes", "--json", code=1).error["code"] == "W3B-7008"


def test_pruning_needs_an_administrator(live: Live) -> None:
    with live.client(live.key("tasks:write")) as client, pytest.raises(Denied, match="W3B-7004"):
        client.prune_ledger(90 * 86_400, act=True)
    with live.client() as client, pytest.raises(InvalidInput, match="W3B-7008"):
        client.prune_ledger(0, act=True)


def test_a_rerun_that_nobody_takes_is_waited_for_only_so_long(live: Live, cli: Cli) -> None:
    task = task_row(7, state="FINAL")
    live.add(task, ProverRow(id="p-0", kind=task.kinds[0], address="0x1", created_at=1, updated_at=1))
    error = cli("task", "rerun", task.id, "--wait", "--timeout", "0.5", "--json", code=1).error
    assert error["code"] == "W3B-3085"
    assert "QUEUED after 0.5 s" in error["message"]
    assert f"w3bstream task diff {task.id}" in error["next_step"]
    other = task_row(8, state="FINAL")
    live.add(other)
    assert cli("task", "rerun", other.id, "--json").json["state"] == "QUEUED", "without --wait nothing is waited for"
