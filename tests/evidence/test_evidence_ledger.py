"""The ledger's part of evidence, on every database that we support; and the verifier on the base installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.evidence.ledger_facts import find_reading, load_facts
from coordinator.ledger.outbox_tables import DeploymentRow, OutboxTxRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow, ProverRow, ReadingRow
from tests.api.api_live import DEVICES, project_rows, task_row
from tests.evidence.conftest import Scene
from verifier.errors import Conflict, NotFound

TASK = task_row(7).id


def _attempt(fence: int, state: str, proof: bytes | None) -> AttemptRow:
    return AttemptRow(
        task_id=TASK,
        kind="zkp.groth16",
        program_id="0x",
        prover_id="one",
        prover_address="0x",
        fence=fence,
        state=state,
        lease_expires_at=1,
        heartbeat_at=1,
        deadline_at=1,
        proof=proof,
        created_at=1,
        updated_at=1,
    )


def _readings() -> list[ReadingRow]:
    """The second device's comes first in the stream, the first device's first in the commitment."""
    made = [DEVICES[1].sign(1, 5, 1, bytes(4)), DEVICES[0].sign(1, 6, 1, bytes(4)), DEVICES[0].sign(1, 7, 1, bytes(4))]
    return [
        ReadingRow(
            project_id=1,
            position=70 + at,
            version=1,
            device="0x" + each.device.hex(),
            sequence=each.sequence,
            timestamp=1,
            wire=each.to_wire(),
            received_at=1,
            task_id=TASK if at < 2 else None,
        )
        for at, each in enumerate(made)
    ]


async def _filled(ledger: Ledger) -> None:
    async with ledger.transaction() as session:
        session.add_all(project_rows(1, "weather"))
        session.add(DeploymentRow(chain_id=1, genesis_hash="0x00", addresses={}, created_at=1))
        session.add(ProverRow(id="one", kind="zkp.groth16", address="0x", created_at=1, updated_at=1))
        record = OutboxTxRow(
            dedupe_key="x", purpose="apply_batch", ref={}, to="", data=b"", block_number=9, created_at=1, updated_at=1
        )
        session.add(record)
        await session.flush()
        session.add(task_row(7, state="SETTLED", block_number=12, record_tx=record.id))
        session.add(task_row(8))
        session.add_all(_readings())
        await session.flush()
        session.add_all([_attempt(1, "REJECTED", b"bad"), _attempt(2, "VERIFIED", b"good"), _attempt(3, "LOST", None)])


async def test_what_the_ledger_gives(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    await _filled(ledger)
    async with ledger.reading() as session:
        facts = await load_facts(session, TASK, readings=True)
        bare = await load_facts(session, TASK, readings=False)
        found = await find_reading(session, 1, device="0x" + DEVICES[0].device.hex(), sequence=6, position=0)
        placed = await find_reading(session, 1, device="", sequence=0, position=70)
        with pytest.raises(Conflict, match="W3B-9001"):
            await load_facts(session, task_row(8).id, readings=True)
        with pytest.raises(NotFound, match=r"W3B-9010: reading at position 72 .* is in no window yet"):
            await find_reading(session, 1, device="", sequence=0, position=72)
        with pytest.raises(NotFound, match="W3B-9010"):
            await find_reading(session, 2, device="", sequence=0, position=70)
    await ledger.close()
    assert [each.proof for each in facts.attempts] == [b"good", b"bad"]
    assert [each.sequence for each in facts.readings] == [6, 5]
    assert (facts.recorded_in, facts.published_in, facts.genesis) == (9, None, "0x00")
    assert (bare.readings, bare.devices) == ((), ())
    assert (found.position, placed.sequence) == (71, 5)


BASE_ONLY = """
import sys
for name in ("ray", "nats", "web3", "sqlalchemy", "sqlmodel", "aiohttp", "trie", "wasmtime", "alembic", "jinja2"):
    sys.modules[name] = None
from coordinator.cli import main
sys.argv = ["w3bstream", "evidence", "verify", sys.argv[1]]
main()
"""


def test_the_base_installation_verifies(scene: Scene, tmp_path: Path) -> None:
    """Without Ray, NATS, SQL, web3 or anything else of the extras."""
    file = tmp_path / "task.w3bevidence"
    file.write_bytes(scene.task.encoded)
    command = [sys.executable, "-c", BASE_ONLY, str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("CONSISTENT")
