"""Transactions and the comparison with the chain through the API: what is listed, who sees it, and what a retry does."""

from __future__ import annotations

from typing import Any

import pytest
from api_live import Live, project_rows, task_row

from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Unavailable


def row(number: int, purpose: str, ref: dict[str, Any], **values: Any) -> OutboxTxRow:
    """The rows are numbered by the ledger, 1, 2, 3 …: PostgreSQL would give a number that a test took once more."""
    given = {"state": "MINED", "tx_hash": f"0x{number:064x}", "created_at": number, "updated_at": number, **values}
    return OutboxTxRow(dedupe_key=f"row {number}", purpose=purpose, ref=ref, to="0xAB", data=b"", **given)


@pytest.fixture
def busy(live: Live) -> Live:
    """Two projects; a batch with tasks of both, an assignment, a settlement with its ladder, and a pause."""
    live.add(*project_rows(1, "weather"), *project_rows(2, "rain"))
    first, second = task_row(1, record_tx=1), task_row(1, project_id=2, record_tx=1)
    live.add(
        row(1, "apply_batch", {"statuses": [], "tasks": [first.id, second.id], "assignments": []}, state="FINAL"),
        row(2, "apply_batch", {"statuses": [], "tasks": [], "assignments": [4]}, nonce=7, gas_used=9, block_number=3),
        row(3, "settle", {"attempt_id": 4, "task_id": first.id}, state="SAFE", reorgs=1, chain_id=4690),
        row(4, "pause", {"project_id": 2}, state="QUEUED", tx_hash=""),
        first,
        second,
    )
    live.add(
        AttemptRow(
            id=4,
            task_id=first.id,
            kind="zkp.groth16",
            program_id="0x",
            prover_id="p1",
            prover_address="0x09",
            fence=1,
            lease_expires_at=1,
            heartbeat_at=1,
            deadline_at=1,
            assign_tx=2,
            settle_tx=3,
            created_at=1,
            updated_at=1,
        ),
        *(
            TxEventRow(tx_id=3, source=source, target=target, tx_hash=tx_hash, at=5)
            for source, target, tx_hash in [("", "QUEUED", ""), ("QUEUED", "SENT", "0xee"), ("SENT", "MINED", "0xee")]
        ),
    )
    return live


def test_transactions_are_listed_by_project_task_state_and_purpose(busy: Live) -> None:
    with busy.client() as client:
        found = client.list_transactions().transactions
        assert [(tx.id, tx.purpose, tx.state) for tx in found] == [
            (4, "pause", "QUEUED"),
            (3, "settle", "SAFE"),
            (2, "apply_batch", "MINED"),
            (1, "apply_batch", "FINAL"),
        ]
        assert [tx.id for tx in client.list_transactions(project_id=1).transactions] == [3, 2, 1]
        assert [tx.id for tx in client.list_transactions(project_id=2).transactions] == [4, 1]
        assert [tx.id for tx in client.list_transactions(task_id=task_row(1).id).transactions] == [3, 2, 1]
        assert [tx.id for tx in client.list_transactions(states=["SAFE", "QUEUED"]).transactions] == [4, 3]
        assert [tx.id for tx in client.list_transactions(purpose="settle").transactions] == [3]
        batch = client.list_transactions(task_id=task_row(1).id).transactions[1]
        assert (batch.nonce, batch.gas_used, batch.block_number, list(batch.task_ids)) == (7, 9, 3, [task_row(1).id])
        assert batch.to == "0xab"
        assert not found[0].HasField("nonce")


def test_pages_go_on_where_the_last_ended(busy: Live) -> None:
    with busy.client() as client:
        first = client.list_transactions(page_size=3)
        rest = client.list_transactions(page_size=3, page_token=first.next_page_token)
        assert [tx.id for tx in (*first.transactions, *rest.transactions)] == [4, 3, 2, 1]
        assert rest.next_page_token == ""
        with pytest.raises(InvalidInput, match="W3B-7009"):
            client.list_transactions(page_size=3, purpose="settle", page_token=first.next_page_token)
        with pytest.raises(InvalidInput, match=r"W3B-7008.*NEWISH"):
            client.list_transactions(states=["NEWISH"])


def test_a_transaction_shows_its_ladder_by_id_and_by_any_hash(busy: Live) -> None:
    with busy.client() as client:
        found = client.get_transaction(3)
        assert [(step.source, step.target, step.hash) for step in found.ladder] == [
            ("", "QUEUED", ""),
            ("QUEUED", "SENT", "0xee"),
            ("SENT", "MINED", "0xee"),
        ]
        assert (found.reorgs, found.chain_id, found.attempt_id, found.project_id) == (1, 4690, 4, 1)
        assert client.get_transaction(tx_hash=f"0x{3:064X}").id == 3
        assert client.get_transaction(tx_hash="0xEE").id == 3, "a hash that it was signed under before"
        for wrong in ({"tx_id": 99}, {"tx_hash": "0x99"}, {"tx_id": (1 << 64) - 1}):
            with pytest.raises(NotFound, match="W3B-5015"):
                client.get_transaction(**wrong)
        with pytest.raises(InvalidInput, match="W3B-7008"):
            client.get_transaction(3, tx_hash="0xee")


def test_a_key_of_one_project_sees_that_project_only(busy: Live) -> None:
    with busy.client(busy.key("tasks:read", "tasks:write", project_id=2)) as client:
        found = client.list_transactions().transactions
        assert [(tx.id, list(tx.task_ids)) for tx in found] == [(4, []), (1, [task_row(1, project_id=2).id])]
        assert list(client.get_transaction(1).task_ids) == [task_row(1, project_id=2).id]
        with pytest.raises(NotFound, match="W3B-5015"):
            client.get_transaction(3)
        for refused in (
            lambda: client.list_transactions(project_id=1),
            lambda: client.list_transactions(task_id=task_row(1).id),
            lambda: client.retry_dapp(task_row(1).id),
        ):
            with pytest.raises(Denied, match="W3B-7005"):
                refused()
        with pytest.raises(Denied, match="W3B-7004"):
            list(client.reconcile(2))


def test_a_dapp_s_call_is_retried_once_at_a_time(busy: Live) -> None:
    busy.add(
        task_row(5, state="FINAL", dapp_ok=False, public_output=b"output"), task_row(6, state="FINAL", dapp_ok=True)
    )
    with busy.client() as client:
        made = client.retry_dapp(task_row(5).id)
        assert (made.purpose, made.state, list(made.task_ids)) == ("retry_dapp", "QUEUED", [task_row(5).id])
        assert [step.target for step in made.ladder] == ["QUEUED"]
        assert client.retry_dapp(task_row(5).id).id == made.id
        assert [tx.id for tx in client.list_transactions(task_id=task_row(5).id).transactions] == [made.id]
        assert made.id in [tx.id for tx in client.list_transactions(project_id=1).transactions]
        with pytest.raises(Conflict, match="W3B-3001"):
            client.retry_dapp(task_row(6).id)
        with pytest.raises(NotFound, match="W3B-3003"):
            client.retry_dapp("0x99")


def test_an_installation_without_a_chain_compares_nothing(busy: Live) -> None:
    with busy.client() as client, pytest.raises(Unavailable, match="W3B-8002"):
        list(client.reconcile())
