"""Test only: an exposition over a ledger whose tasks settle on the chain in memory, and one over a seeded hour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from sqlmodel import select

from coordinator.explorer.chain_view import ChainView
from coordinator.intake.stream import DaStream, StreamState
from coordinator.ledger.store import Ledger, record_event
from coordinator.ledger.tables import AttemptRow, ProverEventRow, ProverRow, TaskRow
from coordinator.observability.exposition import Exposition
from coordinator.observability.lookout import Lookout
from coordinator.observability.loop_lag import LoopLag
from coordinator.settings import Settings
from coordinator.settlement.finality import Finality
from tests.settlement.memory_run import Run
from verifier.errors import Unavailable

ME = "co_000000000001"


class StillStream:
    """A stream with so many messages."""

    def __init__(self, last: int) -> None:
        self._last = last

    async def state(self, project_id: int) -> StreamState | None:
        """What it holds."""
        return StreamState(1, self._last)


class SilentChain:
    """Does not answer."""

    async def block(self, which: int | str) -> None:
        """Never."""
        raise Unavailable("W3B-5001", "it is silent")

    nonce = block


def lookout_of(
    ledger: Ledger, home: Path, chain: Any, *, nats_url: str = "nats://127.0.0.1:1", **settings: Any
) -> Lookout:
    """A lookout over the chain."""
    return Lookout(
        ledger,
        Settings(home=home, **settings),
        me=ME,
        chain=chain,
        view=ChainView(chain, Finality("single-producer")),
        account="0x" + "00" * 20,
        nats_url=nats_url,
    )


def exposition_of(
    ledger: Ledger, home: Path, chain: Any = None, *, streams: int = 0, by_project: bool = False, leads: bool = True
) -> Exposition:
    """An exposition whose text is never remembered, so that each look is a new one."""

    async def stream_of(project_id: int) -> DaStream:
        if not streams:
            raise Unavailable("W3B-1008", "there is no NATS")
        return StillStream(streams)  # type: ignore[return-value]

    lookout = lookout_of(ledger, home, chain or SilentChain())
    return Exposition(ledger, lookout, LoopLag(), leads=lambda: leads, stream_of=stream_of, by_project=by_project)


async def scrape(exposition: Exposition) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, read by the client library's own parser. Fails on a sample that comes twice."""
    exposition._at = float("-inf")  # what a second's wait would do
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families((await exposition.text()).decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def value(found: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    """One sample."""
    return found[name, tuple(sorted(labels.items()))]


async def until_final(run: Run) -> None:
    """Settle every task, with the events that intake and dispatcher write beside it and `Run` does not."""
    async with run.ledger.transaction() as session:
        for task in await run.tasks():
            await record_event(
                session, run.time[0], task, subject="task", source="", target="RECEIVED", reason="window closed by time"
            )
    noted: set[int | None] = set()
    while any(task.state != "FINAL" for task in await run.tasks()):
        await run.step()
        async with run.ledger.transaction() as session:
            for attempt in (await session.exec(select(AttemptRow).where(AttemptRow.state == "ASSIGNED"))).all():
                if attempt.id in noted:
                    continue
                noted.add(attempt.id)
                task = await session.get_one(TaskRow, attempt.task_id)
                await record_event(
                    session,
                    run.time[0],
                    task,
                    subject="attempt",
                    source="",
                    target="ASSIGNED",
                    reason="leased",
                    attempt_id=attempt.id,
                )
        run.chain.mine()


async def set_status(ledger: Ledger, prover_id: str, status: str) -> None:
    """Move a prover, as the dispatcher does."""
    async with ledger.transaction() as session:
        row = await session.get_one(ProverRow, prover_id)
        row.status = status
        session.add(row)
        session.add(ProverEventRow(prover_id=prover_id, status=status, reason="", at=ledger.clock()))
