"""What the chain recorded about a task, shown by receipts: publication, record, assignments and settlement.

Every event is read from a receipt that its block's header commits to, and counts only when the expected contract wrote
it. That the blocks themselves are the chain's is an anchor (`trust.py`), not a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eth_hash.auto import keccak

from verifier import bindings
from verifier.bindings import Event, decode_event
from verifier.errors import Refused
from verifier.evidence.blocks import Header, Mined, mined_in
from verifier.evidence.document import Document, ProofPart
from verifier.evidence.report import Checks, require
from verifier.statement import Domain, Statement, task_id

CHAIN = "W3B-9003"
RECORD = "W3B-9004"


@dataclass(frozen=True)
class Recorded:
    """What the chain says of the task."""

    headers: tuple[Header, ...]
    """Every header of the file, by number."""
    settlement: Mined
    """The transaction that settled the task."""
    device_set_root: bytes
    window_capacity: int
    config_hash: bytes
    programs: dict[str, tuple[bytes, bytes]]
    """Kind to (program id, address of its verifier), as published."""
    statements: tuple[Statement, ...]
    """What each proof is about, in the file's order."""
    domain: Domain
    direct: frozenset[str]
    """Kinds whose settlement called the Router itself, so that the proof's bytes stand on the chain."""
    dapp: str
    """`processed`, `failed`, or empty when the settlement called none."""


def check_chain(document: Document, checks: Checks) -> Recorded:
    """Everything about blocks and events. Raises Refused (W3B-9003, W3B-9004) under the failed check's name."""
    headers = _headers(document, checks)
    mined = _transactions(document, headers, checks)
    chosen = _chosen(document, mined, checks)
    version, programs = _publication(document, chosen.publication, checks)
    _record(document, chosen, checks)
    statements = tuple(_statement(document, each, programs, checks) for each in document.proofs)
    for at, statement in enumerate(statements):
        _assignment(document, chosen, at, checks)
        _verified(document, chosen, at, statement, version.args["threshold"], checks=checks)
    dapp = _settled(document, chosen, version, checks)
    direct = frozenset(
        proof.kind
        for proof, settled in zip(document.proofs, chosen.settlements, strict=True)
        if settled.transaction.to == document.chain.router
    )
    return Recorded(
        headers,
        chosen.settlements[-1],
        version.args["deviceSetRoot"],
        version.args["windowCapacity"],
        version.args["configHash"],
        programs,
        statements,
        _domain(document),
        direct,
        dapp,
    )


def _headers(document: Document, checks: Checks) -> tuple[Header, ...]:
    with checks.checking("blocks.headers", f"{len(document.headers)} headers hash and link"):
        headers = tuple(Header.decode(each) for each in document.headers)
        for before, after in pairwise(headers):
            require(before.number < after.number, CHAIN, f"block {after.number} follows block {before.number}")
            linked = after.number > before.number + 1 or after.parent_hash == before.hash
            require(linked, CHAIN, f"the parent of block {after.number} is not the block {before.number} of the file")
            require(before.timestamp <= after.timestamp, CHAIN, f"block {after.number} is older than its ancestor")
        used = {part.header for part in document.transactions}
        for at, header in enumerate(headers):
            inner = 0 < at < len(headers) - 1
            links = inner and headers[at + 1].number - headers[at - 1].number == 2
            require(at in used or links, CHAIN, f"block {header.number} holds nothing and links nothing")
    return headers


def _transactions(document: Document, headers: Sequence[Header], checks: Checks) -> tuple[Mined, ...]:
    mined: list[Mined] = []
    for at, part in enumerate(document.transactions):
        with checks.checking(f"transactions[{at}]"):
            require(part.header < len(headers), CHAIN, f"there is no header {part.header}")
            found = mined_in(headers[part.header], part.position, part.transaction, part.receipt)
            require(not mined or mined[-1].order < found.order, CHAIN, "the transactions are not in the chain's order")
            require(found.receipt.succeeded, CHAIN, f"transaction 0x{found.transaction.hash.hex()} failed")
            chain_id = found.transaction.chain_id
            require(
                chain_id in (None, document.chain.chain_id),
                CHAIN,
                f"it was signed for chain {chain_id}, the file is about chain {document.chain.chain_id}",
            )
        mined.append(found)
    used = {document.publication, document.record}
    used |= {index for each in document.proofs for index in (each.assignment, each.settlement)}
    with checks.checking("transactions", f"{len(mined)} transactions and receipts are in their blocks"):
        require(used == set(range(len(mined))), CHAIN, f"indices {sorted(used)} are used of {len(mined)} transactions")
    return tuple(mined)


@dataclass(frozen=True)
class _Chosen:
    publication: Mined
    record: Mined
    assignments: tuple[Mined, ...]
    settlements: tuple[Mined, ...]


def _chosen(document: Document, mined: Sequence[Mined], checks: Checks) -> _Chosen:
    with checks.checking("order", "published, then recorded, then assigned, then settled"):
        require(bool(document.proofs), RECORD, "the file holds no proof")
        chosen = _Chosen(
            mined[document.publication],
            mined[document.record],
            tuple(mined[each.assignment] for each in document.proofs),
            tuple(mined[each.settlement] for each in document.proofs),
        )
        require(chosen.publication.order <= chosen.record.order, RECORD, "the task is older than its project version")
        for assigned, settled in zip(chosen.assignments, chosen.settlements, strict=True):
            require(chosen.record.order <= assigned.order, RECORD, "an assignment is older than the task")
            require(assigned.order <= settled.order, RECORD, "a proof is older than its assignment")
        orders = [each.order for each in chosen.settlements]
        require(orders == sorted(orders), RECORD, "the proofs are not in the order of their acceptance")
    return chosen


def _events(mined: Mined, contract: bytes, name: str) -> list[Event]:
    """The events of a name that a contract wrote in a transaction."""
    found = []
    for log in mined.receipt.logs:
        if log.address == contract:
            try:
                event = decode_event(log.topics, log.data)
            except (ValueError, OverflowError) as error:  # text that is no UTF-8, an offset out of range
                raise Refused(RECORD, f"a log of 0x{contract.hex()} cannot be read: {error}") from error
            if event is not None and event.name == name:
                found.append(event)
    return found


def _one(events: Sequence[Event], what: str) -> Event:
    require(len(events) == 1, RECORD, f"the receipt holds {len(events)} {what}, not one")
    return events[0]


def _equal(event: Event, **expected: object) -> None:
    """Require arguments of an event. Addresses are compared as bytes."""
    for name, value in expected.items():
        found = event.args[name]
        if isinstance(found, str) and isinstance(value, bytes):
            found = bytes.fromhex(found.removeprefix("0x"))
        shown = ["0x" + each.hex() if isinstance(each, bytes) else each for each in (found, value)]
        require(found == value, RECORD, f"{event.name}.{name} is {shown[0]}, the file says {shown[1]}")


def _publication(document: Document, mined: Mined, checks: Checks) -> tuple[Event, dict[str, tuple[bytes, bytes]]]:
    task = document.task
    about = {"projectId": task.project_id, "version": task.version}
    with checks.checking("publication", f"project {task.project_id}, version {task.version} by ProjectRegistry"):
        events = _events(mined, document.chain.registry, "VersionPublished")
        version = _one([each for each in events if {n: each.args[n] for n in about} == about], "such publications")
        _equal(version, deviceSetRoot=task.opening.device_set_root, scheme=bindings.scheme_id(task.scheme))
        programs = {}
        for each in _events(mined, document.chain.registry, "ProgramPublished"):
            if {name: each.args[name] for name in about} == about:
                kind, verifier = each.args["name"], bytes.fromhex(each.args["verifier"][2:])
                require(each.args["kind"] == bindings.kind_hash(kind), RECORD, f"kind {kind!r} has another hash")
                programs[kind] = (each.args["programId"], verifier)
    return version, programs


def _record(document: Document, chosen: _Chosen, checks: Checks) -> None:
    task, opening = document.task, document.task.opening
    inputs = opening.commitment()
    with checks.checking("inputs", f"0x{inputs.hex()} opens to the roots, the window, the count and the completeness"):
        span = opening.window_end - opening.window_start
        possible = 0 < opening.window_start < opening.window_end and 1 <= opening.count <= span
        require(possible, "W3B-4011", f"window [{opening.window_start}, {opening.window_end}) of {opening.count}")
        lacks = opening.completeness
        require(lacks.possible(opening.count, span), "W3B-4011", f"the window cannot have {lacks}")
        ends = task.public_output.endswith(lacks.encode())
        require(ends, "W3B-4013", "the public output does not end with the completeness of the inputs")
    with checks.checking("task_id", f"0x{task.id.hex()}"):
        expected = task_id(task.project_id, task.version, opening.window_start, opening.window_end)
        require(task.id == expected, "W3B-4012", f"0x{task.id.hex()} is not the window's 0x{expected.hex()}")
    with checks.checking("record", "FleetManagement recorded the task with these inputs"):
        events = _events(chosen.record, document.chain.fleet, "TaskRecorded")
        event = _one([each for each in events if each.args["taskId"] == task.id], "records of the task")
        _equal(
            event,
            projectId=task.project_id,
            projectVersion=task.version,
            inputs=inputs,
            readingsRoot=opening.readings_root,
            windowStart=opening.window_start,
            windowEnd=opening.window_end,
            count=opening.count,
        )


def _domain(document: Document) -> Domain:
    return Domain(document.chain.chain_id, document.chain.router)


def _statement(
    document: Document, proof: ProofPart, programs: dict[str, tuple[bytes, bytes]], checks: Checks
) -> Statement:
    task = document.task
    with checks.checking(f"program.{proof.kind}", f"0x{proof.program_id.hex()} is the published one"):
        published = programs.get(proof.kind)
        require(published is not None, RECORD, f"the version publishes no program of kind {proof.kind!r}")
        found = published[0] if published else b""
        require(found == proof.program_id, RECORD, f"0x{found.hex()} is published, not 0x{proof.program_id.hex()}")
    output = keccak(task.public_output)
    statement = Statement(
        task.project_id, task.version, task.id, task.opening.commitment(), output, proof.program_id, proof.prover
    )
    with checks.checking(f"statement.{proof.kind}", f"0x{proof.statement_digest.hex()}"):
        digest = statement.digest(_domain(document))
        require(digest == proof.statement_digest, "W3B-4012", f"the Statement's digest is 0x{digest.hex()}")
    return statement


def _assignment(document: Document, chosen: _Chosen, at: int, checks: Checks) -> None:
    proof = document.proofs[at]
    with checks.checking(f"assignment.{proof.kind}", f"0x{proof.prover.hex()} held the assignment in time"):
        wanted = (document.task.id, proof.prover, bindings.kind_hash(proof.kind))
        events = [
            each
            for each in _events(chosen.assignments[at], document.chain.fleet, "TaskAssigned")
            if (each.args["taskId"], bytes.fromhex(each.args["prover"][2:]), each.args["kind"]) == wanted
        ]
        event = _one(events, "such assignments")
        settled = chosen.settlements[at].header.timestamp
        deadline = event.args["deadline"]
        require(settled <= deadline, RECORD, f"the proof was accepted at {settled}, after the deadline {deadline}")


def _verified(
    document: Document, chosen: _Chosen, at: int, statement: Statement, threshold: int, *, checks: Checks
) -> None:
    """The Router's word on one proof; and, where the Router was called directly, the very bytes of the call."""
    proof, mined = document.proofs[at], chosen.settlements[at]
    with checks.checking(f"settlement.{proof.kind}", f"accepted by the Router in block {mined.header.number}"):
        kind = bindings.kind_hash(proof.kind)
        events = _events(mined, document.chain.router, "ProofVerified")
        mine = [each for each in events if (each.args["taskId"], each.args["kind"]) == (document.task.id, kind)]
        _equal(
            _one(mine, "such acceptances"),
            prover=proof.prover,
            programId=proof.program_id,
            output=statement.output,
            verified=at + 1,
            threshold=threshold,
        )
        if mined.transaction.to == document.chain.router:
            call = bindings.settle(statement, proof.kind, document.task.public_output, proof.proof)
            require(mined.transaction.data == call, RECORD, "the transaction settles with other bytes than the file's")


def _settled(document: Document, chosen: _Chosen, version: Event, checks: Checks) -> str:
    """The Router's event that the threshold was reached; what became of the dApp's call."""
    last, task, router = chosen.settlements[-1], document.task, document.chain.router
    with checks.checking("settlement", f"settled in transaction 0x{last.transaction.hash.hex()}"):
        threshold = version.args["threshold"]
        require(len(document.proofs) == threshold, RECORD, f"{len(document.proofs)} proofs of {threshold}")
        events = [each for each in _events(last, router, "TaskSettled") if each.args["taskId"] == task.id]
        _equal(
            _one(events, "settlements of the task"),
            projectId=task.project_id,
            projectVersion=task.version,
            output=keccak(task.public_output),
            prover=document.proofs[-1].prover,
            publicOutput=task.public_output,
        )
    outcomes = {"DappProcessed": "processed", "DappFailed": "failed"}
    for name, word in outcomes.items():
        if any(each.args["taskId"] == task.id for each in _events(last, router, name)):
            return word
    return ""
