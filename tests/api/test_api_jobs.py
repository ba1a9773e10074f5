"""What must hold: a job is in the ledger when SubmitJob answers, is done once however often it is asked for, and a
signed one only for its own signer, project, chain and Router, before its deadline."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from api_live import Live, project_rows, reading
from sqlmodel import select

from coordinator.access import did_keys
from coordinator.access.intents import JobIntent, readings_hash
from coordinator.jobs.commits import JobCommits, Proposal
from coordinator.jobs.rows import NewJob, pack, unpack
from coordinator.ledger.control_tables import JobRow
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Refused, W3bstreamError
from verifier.statement import Domain
from w3bstream.v1 import job_pb2


def jobs(live: Live) -> list[JobRow]:
    async def rows() -> list[JobRow]:
        async with live.ledger.reading() as session:
            return list(await session.exec(select(JobRow)))

    return live.run(rows())


@pytest.fixture
def signer(live: Live, tmp_path: Any) -> did_keys.DidKey:
    """A registered account; project 1 and 2 are published."""
    live.add(*project_rows(1, "weather"), *project_rows(2, "other"))
    key = did_keys.generate(tmp_path / "account.pem", "secp256k1")
    with live.client() as admin:
        admin.create_identity(key.account(4690), "wallet", ["tasks:write"], project_id=1)
    return key


def intent(live: Live, key: did_keys.DidKey, **changes: Any) -> job_pb2.JobIntent:
    """A signed intent; `chain_id` and `router` change its domain."""
    values = {"project_id": 1, "up_to": 0, "nonce": 1, "deadline": int(time.time()) + 600, **changes}
    deployment = live.site.deployment
    domain = Domain(values.pop("chain_id", deployment.chain_id), values.pop("router", deployment.router_bytes()))
    readings = values.pop("readings", [])
    made = JobIntent(readings_hash=readings_hash(readings), **values)
    return job_pb2.JobIntent(
        project_id=made.project_id,
        up_to=made.up_to,
        nonce=str(made.nonce),
        deadline=made.deadline,
        signature=made.sign(domain, key.secret()),
    )


def test_a_job_is_committed_when_it_is_answered(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        job = client.submit_job(1, [reading(1)], idempotency_key="one")
        (row,) = jobs(live)
        assert (row.id, row.state, unpack(row.readings)) == (job.id, "ACCEPTED", [reading(1)])
        assert client.submit_job(1, [reading(1)], idempotency_key="one").id == job.id
        assert client.get_job(job.id).project_id == 1
        assert [each.id for each in client.list_jobs(1).jobs] == [job.id]
        assert not client.list_jobs(1, state="EXPIRED").jobs
        with pytest.raises(Conflict) as caught:
            client.submit_job(1, [reading(2)], idempotency_key="one")
        assert caught.value.code == "W3B-7007"
    assert len(jobs(live)) == 1


def test_jobs_become_tasks_once(streaming: Live) -> None:
    with streaming.client() as client:
        job = client.submit_job(1, [reading(number) for number in range(1, 21)], idempotency_key="one")
        done = list(client.watch_job(job.id))[-1]
        assert done.state == job_pb2.JOB_STATE_WINDOWED
        assert len(done.task_ids) == 2
        again = client.submit_job(1, [reading(number) for number in range(1, 21)], idempotency_key="one")
        assert again.id == job.id
        empty = list(client.watch_job(client.submit_job(1).id))[-1]
        assert (empty.state, list(empty.task_ids)) == (job_pb2.JOB_STATE_WINDOWED, [])
        assert client.get_intake(1).accepted == 20
        assert len(client.list_tasks().tasks) == 2
    assert all(row.readings is None for row in jobs(streaming))


def test_a_job_that_waits_says_why_and_goes_on(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client:
        job = client.submit_job(1, [reading(1)])
        for _ in range(200):
            if reason := client.get_job(job.id).reason:
                break
            time.sleep(0.05)  # the runner tries the DA layer, which is not there
        assert reason.startswith("W3B-1008")


def test_bad_jobs_are_refused_whole(live: Live) -> None:
    live.add(*project_rows(1, "weather"), *project_rows(2, "other"))
    good = reading(1)
    bound = live.key("tasks:write", project_id=2)
    with live.client() as client, live.client(bound) as other:
        for readings, code in (
            ([good, good[:-1]], "W3B-1001"),
            ([good, reading(2, project_id=2)], "W3B-1009"),
            ([good[:-1] + bytes((good[-1] ^ 1,))], "W3B-1003"),
            ([good] * 1025, "W3B-7010"),
        ):
            with pytest.raises(W3bstreamError) as caught:
                client.submit_job(1, readings)
            assert caught.value.code == code
        for number in (3, 0, 2**31, 2**64 - 1):
            with pytest.raises(NotFound) as missing:
                client.submit_job(number)
            assert missing.value.code == "W3B-1006"
        with pytest.raises(Denied):
            other.submit_job(1)
        with pytest.raises(InvalidInput):
            client.submit_job(1, idempotency_key="ä")
        client.pause_project(1)
        with pytest.raises(NotFound):
            client.submit_job(1)
        with pytest.raises(NotFound) as unknown:
            client.get_job("0x01")
        assert unknown.value.code == "W3B-7030"
    assert not jobs(live)


def test_a_signed_job_is_its_signers(live: Live, signer: did_keys.DidKey) -> None:
    with live.client() as client:
        made = client.submit_job(1, [reading(1)], intent=intent(live, signer, readings=[reading(1)]))
        assert "0x" + signer.account(4690)[-40:] == made.signer
        (row,) = jobs(live)
        assert row.deadline_at == made.deadline.seconds * 1000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"chain_id": 1}, "W3B-7025"),
        ({"router": bytes(20)}, "W3B-7025"),
        ({"project_id": 2}, "W3B-7025"),
        ({"readings": [b"another"]}, "W3B-7025"),
        ({"deadline": 0}, "W3B-7027"),
        ({"deadline": 1_000_000_000}, "W3B-7027"),
    ],
)
def test_an_intent_for_something_else_is_refused(
    live: Live, signer: did_keys.DidKey, changes: dict[str, Any], code: str
) -> None:
    with live.client() as client, pytest.raises(Refused) as caught:
        client.submit_job(1, intent=intent(live, signer, **changes))
    assert caught.value.code == code
    assert not jobs(live)


def test_an_intents_fields_cannot_be_changed(live: Live, signer: did_keys.DidKey) -> None:
    def nonce(each: job_pb2.JobIntent) -> None:
        each.nonce = "2"

    def deadline(each: job_pb2.JobIntent) -> None:
        each.deadline += 1

    def up_to(each: job_pb2.JobIntent) -> None:
        each.up_to = 5

    def signature(each: job_pb2.JobIntent) -> None:
        each.signature = each.signature[:-1] + bytes((each.signature[-1] ^ 7,))

    def short(each: job_pb2.JobIntent) -> None:
        each.signature = each.signature[:64]

    with live.client() as client:
        for change in (nonce, deadline, up_to, signature, short):
            signed = intent(live, signer)
            change(signed)
            with pytest.raises(Refused) as caught:
                client.submit_job(1, intent=signed)
            assert caught.value.code == "W3B-7025"
        for text in ("", "-1", "0x1", "01", "1e3", "9" * 79, "٣"):
            signed = intent(live, signer)
            signed.nonce = text
            with pytest.raises(InvalidInput):
                client.submit_job(1, intent=signed)
    assert not jobs(live)


def test_a_nonce_works_once_and_a_repeat_is_the_same_job(live: Live, signer: did_keys.DidKey) -> None:
    other = live.key("tasks:write")
    signed = intent(live, signer)
    with live.client() as client, live.client(other) as thief:
        job = client.submit_job(1, intent=signed)
        assert client.submit_job(1, intent=signed).id == job.id
        with pytest.raises(Conflict) as caught:
            thief.submit_job(1, intent=signed)
        assert caught.value.code == "W3B-7026"
        with pytest.raises(Conflict) as used:
            client.submit_job(1, intent=intent(live, signer, deadline=int(time.time()) + 700))
        assert used.value.code == "W3B-7026"
        assert client.submit_job(1, intent=intent(live, signer, nonce=2)).id != job.id
    assert len(jobs(live)) == 2


def test_only_a_registered_signer_may(live: Live, signer: did_keys.DidKey, tmp_path: Any) -> None:
    stranger = did_keys.generate(tmp_path / "stranger.pem", "secp256k1")
    reader = did_keys.generate(tmp_path / "reader.pem", "secp256k1")
    with live.client() as client:
        client.create_identity(reader.account(4690), "reader", ["tasks:read"])
        client.create_identity(stranger.account(1), "on another chain", ["tasks:write"])
        for key, changes in ((stranger, {}), (reader, {}), (signer, {"project_id": 2})):
            with pytest.raises(Refused) as caught:
                client.submit_job(changes.get("project_id", 1), intent=intent(live, key, **changes))
            assert caught.value.code == "W3B-7025"
        client.revoke_identity(signer.account(4690))
        with pytest.raises(Refused):
            client.submit_job(1, intent=intent(live, signer))


def test_a_deadline_that_passes_before_the_runner_acts_ends_the_job(streaming: Live, tmp_path: Any) -> None:
    key = did_keys.generate(tmp_path / "account.pem", "secp256k1")
    with streaming.client() as client:
        client.create_identity(key.account(4690), "wallet", ["tasks:write"])
        streaming.runner.stop()
        streaming.run(streaming.jobs_end())
        late = client.submit_job(1, [reading(1)], intent=intent(streaming, key, readings=[reading(1)]))
        kept = client.submit_job(1, intent=intent(streaming, key, nonce=2, deadline=2**64 - 1))
        clock = streaming.ledger.clock
        streaming.ledger.clock = lambda: clock() + 10_000_000

        async def again() -> None:
            streaming.run_jobs()

        streaming.run(again())
        assert list(client.watch_job(late.id))[-1].state == job_pb2.JOB_STATE_EXPIRED
        assert list(client.watch_job(kept.id))[-1].state == job_pb2.JOB_STATE_WINDOWED
        assert client.get_intake(1).accepted == 0


def test_one_bad_job_in_a_batch_fails_no_other(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    commits = JobCommits(live.ledger, {"jobs": 5})

    def proposal(number: int, project_id: int = 1, request: str = "x") -> Proposal:
        return Proposal(NewJob(f"0x{number}", project_id, request, "key_1", 60_000, 60_000), 0)

    async def all_at_once() -> list[Any]:
        import asyncio

        sent = [proposal(1), proposal(2, project_id=9), proposal(1), proposal(1, request="y"), proposal(3)]
        return await asyncio.gather(*(commits.commit(each) for each in sent), return_exceptions=True)

    outcomes = live.run(all_at_once())
    assert [getattr(each, "code", None) or each.id for each in outcomes] == [
        "0x1",
        "W3B-1006",
        "0x1",
        "W3B-7007",
        "0x3",
    ]
    assert {row.id for row in jobs(live)} == {"0x1", "0x3"}


def test_many_at_once_are_each_there_once(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client, ThreadPoolExecutor(16) as pool:
        keys = [f"k{number % 40}" for number in range(120)]
        made = list(pool.map(lambda key: client.submit_job(1, idempotency_key=key).id, keys))
    assert len(set(made)) == 40
    assert {row.id for row in jobs(live)} == set(made)


def test_readings_are_kept_as_they_came() -> None:
    for wires in ([], [b""], [b"a"], [b"", b"ab", b"\0" * 300]):
        assert unpack(pack(wires)) == wires
