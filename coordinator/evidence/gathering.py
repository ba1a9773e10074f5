"""One evidence file: the ledger's facts and the chain's events brought into a document, and checked before it goes out.

Everything about the chain is read from the chain's own blocks, not from what the ledger remembers of them; the ledger
only says where to look first. So a FINAL task gives the same bytes whenever it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eth_hash.auto import keccak

from coordinator.evidence.blocks import BlockReader, Rpc
from coordinator.evidence.events import EventFinder, Place
from coordinator.evidence.finality import FinalityReader
from coordinator.evidence.ledger_facts import Facts, find_reading, load_facts, require_settled
from coordinator.ledger.openings import opening_of
from coordinator.ledger.store import Ledger, get_task
from coordinator.ledger.transitions import TaskState
from verifier import bindings
from verifier.bindings import Deployment
from verifier.commitment import device_indices, device_paths, scheme
from verifier.errors import NotFound, Unavailable
from verifier.evidence.blocks import Header
from verifier.evidence.document import (
    BLS,
    COMMITMENTS,
    READING,
    TASK,
    ChainPart,
    DevicePart,
    Document,
    FinalityPart,
    IncludedReading,
    ProofPart,
    TaskPart,
    TransactionPart,
)
from verifier.evidence.verification import verify_evidence
from verifier.groth16 import KIND as GROTH16
from verifier.reading import Device, Reading
from verifier.statement import Domain, Statement

LINKED = 64
"""Blocks between two of a file's blocks up to which the headers between them are put in, so that one hash pins both."""
AT_ONCE = 2
"""Files made at once; each takes about a second of one core."""


@dataclass(frozen=True)
class Evidence:
    """A file, ready to be handed out."""

    document: Document
    encoded: bytes
    """The canonical bytes."""
    final: bool
    """Whether the task is FINAL: then the same bytes come whenever they are asked for."""


@dataclass(frozen=True)
class _Settled:
    """A task's events on the chain."""

    publication: Place
    record: Place
    proofs: tuple[Place, ...]
    """`ProofVerified`, in order, up to the one that settled the task."""
    assignments: tuple[Place, ...]
    """`TaskAssigned`, one a proof."""
    settlement: Place

    def places(self) -> list[tuple[int, int]]:
        """(block, position) of every transaction, each once, in the chain's order."""
        every = (self.publication, self.record, *self.proofs, *self.assignments, self.settlement)
        return sorted({(place.block, place.position) for place in every})


class EvidenceMaker:
    """Makes the evidence files of one installation."""

    def __init__(self, ledger: Ledger, rpc: Rpc, deployment: Deployment) -> None:
        self._ledger = ledger
        self._rpc = rpc
        self._deployment = deployment
        self._finality = FinalityReader(rpc)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def of_task(self, task_id: str, *, readings: bool = True) -> Evidence:
        """The evidence of a settled task, with its readings or with commitments only.

        Raises NotFound (W3B-3003), Conflict (W3B-9001, not settled), Unavailable (W3B-5001, W3B-9007) and Refused
        (W3B-9xxx) where ledger and chain do not agree.
        """
        async with self._places:
            async with self._ledger.reading() as session:
                facts = await load_facts(session, task_id, readings=readings)
            return await self._make(facts, TASK if readings else COMMITMENTS, None)

    async def of_reading(
        self, project_id: int, *, device: str = "", sequence: int = 0, position: int = 0, wire_hash: bytes = b""
    ) -> Evidence:
        """The inclusion receipt of one reading, by device (0x hex) and sequence or by stream position.

        Parameters: `wire_hash` is keccak256 of the reading's wire form where the caller has it: another reading under
        the same number is refused then. Raises NotFound (W3B-9010), Conflict (W3B-9001) and what `of_task` raises.
        """
        async with self._places:
            async with self._ledger.reading() as session:
                row = await find_reading(session, project_id, device=device, sequence=sequence, position=position)
                if wire_hash and keccak(row.wire) != wire_hash:
                    found = keccak(row.wire).hex()
                    raise NotFound("W3B-9010", f"the accepted reading has the hash 0x{found}", field="wire_hash")
                require_settled(await get_task(session, row.task_id or ""))
                facts = await load_facts(session, row.task_id or "", readings=True)
            return await self._make(facts, READING, row.wire)

    async def _make(self, facts: Facts, subject: str, wire: bytes | None) -> Evidence:
        reader = BlockReader(self._rpc)
        found = await self._events(facts)
        places = found.places()
        headers = await self._headers(reader, [block for block, _ in places])
        _require_settled_in(facts, dict(headers))
        numbers = [number for number, _ in headers]
        transactions = []
        for block, position in places:
            nodes = (await reader.full(block)).proofs(position)
            transactions.append(TransactionPart(numbers.index(block), position, *nodes))
        parts = await asyncio.to_thread(_data_parts, facts, subject, wire)
        document = Document(
            subject=subject,
            chain=self._chain(facts),
            task=_task(facts, found),
            proofs=await self._proofs(facts, found, reader),
            publication=places.index((found.publication.block, found.publication.position)),
            record=places.index((found.record.block, found.record.position)),
            transactions=tuple(transactions),
            headers=tuple(header for _, header in headers),
            finality_source=facts.task.finality_source,
            finality=await self._finality_of(facts, [await reader.header(number) for number in numbers]),
            devices=parts.devices,
            readings=parts.readings,
            reading=parts.reading,
        )
        encoded = document.encode()
        await asyncio.to_thread(verify_evidence, encoded)
        return Evidence(document, encoded, facts.task.state == TaskState.FINAL.value)

    async def _finality_of(self, facts: Facts, headers: Sequence[Header]) -> FinalityPart | None:
        return await self._finality.of(headers) if facts.task.finality_source == BLS else None

    def _chain(self, facts: Facts) -> ChainPart:
        at = self._deployment
        registry, fleet, router = (bytes.fromhex(each[2:]) for each in (at.registry, at.fleet, at.router))
        return ChainPart(at.chain_id, bytes.fromhex(facts.genesis[2:]), registry, fleet, router)

    async def _events(self, facts: Facts) -> _Settled:
        finder, task = EventFinder(self._rpc, self._deployment), facts.task
        name, last = bytes.fromhex(task.id[2:]), task.block_number or 0
        settled = await finder.find("router", "TaskSettled", [name], last, last)
        if not settled:
            raise Unavailable("W3B-9007", f"block {last} of the chain holds no settlement of task {task.id}")
        record = await finder.the_one("fleet", "TaskRecorded", [name], facts.recorded_in, last)
        published = [task.project_id, task.version]
        publication = await finder.the_one("registry", "VersionPublished", published, facts.published_in, record.block)
        proofs = await finder.find("router", "ProofVerified", [name], record.block, last)
        proofs = [place for place in proofs if place.order < settled[0].order]
        proofs = _counted(proofs)
        assignments = [await self._assignment(finder, name, proof, record.block) for proof in proofs]
        return _Settled(publication, record, tuple(proofs), tuple(assignments), settled[0])

    async def _assignment(self, finder: EventFinder, task: bytes, proof: Place, first: int) -> Place:
        """The last assignment of the proof's prover and kind before the proof."""
        prover, kind = bytes.fromhex(proof.event.args["prover"][2:]), proof.event.args["kind"]
        found = await finder.find("fleet", "TaskAssigned", [task, prover, kind], first, proof.block)
        before = [place for place in found if place.order < proof.order]
        if not before:
            raise Unavailable("W3B-9007", f"the chain shows no assignment of prover 0x{prover.hex()}")
        return before[-1]

    async def _headers(self, reader: BlockReader, blocks: Sequence[int]) -> list[tuple[int, bytes]]:
        """(number, RLP) of the blocks, and of those between them where they are few."""
        own = sorted(set(blocks))
        between = [
            number
            for before, after in pairwise(own)
            if after - before <= LINKED + 1
            for number in range(before + 1, after)
        ]
        headers = await asyncio.gather(*(reader.header(number) for number in sorted(own + between)))
        return [(header.number, header.encoded) for header in headers]

    async def _proofs(self, facts: Facts, found: _Settled, reader: BlockReader) -> tuple[ProofPart, ...]:
        places, task, parts = found.places(), _task(facts, found), []
        for place, assignment in zip(found.proofs, found.assignments, strict=True):
            kind, name = _program(facts, place.event.args["kind"])
            statement = _statement(task, place)
            call = (await reader.full(place.block)).inputs[place.position]
            parts.append(
                ProofPart(
                    kind=kind,
                    program=name,
                    program_id=statement.program_id,
                    verifying_key=await self._verifying_key(kind, statement.program_id),
                    prover=statement.prover,
                    statement_digest=statement.digest(
                        Domain(self._deployment.chain_id, self._deployment.router_bytes())
                    ),
                    proof=_proof_bytes(facts, statement, kind, task.public_output, call),
                    assignment=places.index((assignment.block, assignment.position)),
                    settlement=places.index((place.block, place.position)),
                )
            )
        return tuple(parts)

    async def _verifying_key(self, kind: str, program_id: bytes) -> bytes:
        """The key that the kind's contract holds for a program; empty for a kind without one."""
        if kind != GROTH16:
            return b""
        call = {"to": self._deployment.groth16, "data": "0x" + bindings.call_verifying_key(program_id).hex()}
        answer = await self._rpc.request("eth_call", call, "latest")
        key = bindings.decode_verifying_key(bytes.fromhex(str(answer).removeprefix("0x")))
        if not key:
            raise Unavailable("W3B-9007", f"the chain holds no verifying key of program 0x{program_id.hex()}")
        return key


def _counted(proofs: Sequence[Place]) -> list[Place]:
    """The proofs that were counted: each raised `verified` by one. A confirming one that came early raised nothing."""
    found: list[Place] = []
    for place in proofs:
        if place.event.args["verified"] == len(found) + 1:
            found.append(place)
    return found


def _require_settled_in(facts: Facts, headers: Mapping[int, bytes]) -> None:
    """One RPC server gave the blocks. Which one settled a FINAL task the ledger knows from most of them.

    Raises Unavailable (W3B-9007).
    """
    number, known = facts.task.block_number or 0, facts.task.block_hash
    found = "0x" + keccak(headers[number]).hex()
    if found != known:
        raise Unavailable("W3B-9007", f"the server's block {number} is {found}, the ledger's settlement is in {known}")


def _task(facts: Facts, found: _Settled) -> TaskPart:
    return TaskPart(
        id=bytes.fromhex(facts.task.id[2:]),
        project_id=facts.task.project_id,
        version=facts.task.version,
        scheme=facts.version.scheme,
        opening=opening_of(facts.task),
        public_output=found.settlement.event.args["publicOutput"],
    )


def _statement(task: TaskPart, proof: Place) -> Statement:
    """The Statement that the Router accepted with this event."""
    args = proof.event.args
    return Statement(
        project_id=task.project_id,
        project_version=task.version,
        task_id=task.id,
        inputs=task.opening.commitment(),
        output=args["output"],
        program_id=args["programId"],
        prover=bytes.fromhex(args["prover"][2:]),
    )


def _program(facts: Facts, kind: bytes) -> tuple[str, str]:
    """(kind, name) of the version's program whose kind has this hash. Raises Unavailable (W3B-9007)."""
    for each in facts.version.programs:
        if bindings.kind_hash(each["kind"]) == kind:
            return each["kind"], each["name"]
    raise Unavailable("W3B-9007", f"the ledger's version {facts.version.version} has no kind 0x{kind.hex()}")


def _proof_bytes(facts: Facts, statement: Statement, kind: str, output: bytes, call: tuple[bytes, bytes]) -> bytes:
    """The proof that the settlement carried: the one that makes the call's very bytes, else the verified attempt's.

    A relay may have handed it to the Router; then the call's bytes are its own. Raises Unavailable (W3B-9007).
    """
    address = "0x" + statement.prover.hex()
    mine = [each for each in facts.attempts if each.kind == kind and each.prover_address.lower() == address]
    proofs = [each.proof for each in mine if each.proof is not None]
    for proof in proofs:
        if bindings.settle(statement, kind, output, proof) == call[1]:
            return proof
    if not proofs:
        raise Unavailable("W3B-9007", f"the ledger holds no {kind} proof of prover {address}: another service made it")
    return proofs[0]


@dataclass(frozen=True)
class _DataParts:
    devices: tuple[DevicePart, ...] = ()
    readings: tuple[bytes, ...] = ()
    reading: IncludedReading | None = None


def _data_parts(facts: Facts, subject: str, wire: bytes | None) -> _DataParts:
    """Readings and devices with their paths; seconds of work for a set of 1,024 devices."""
    if subject == COMMITMENTS:
        return _DataParts()
    if wire is None:
        readings = facts.readings
        return _DataParts(_devices(facts.devices, readings), tuple(each.to_wire() for each in readings))
    index = [each.to_wire() for each in facts.readings].index(wire)
    path = scheme(facts.version.scheme).reading_path(facts.readings, facts.version.window_capacity, index)
    included = IncludedReading(wire, index, path)
    return _DataParts(_devices(facts.devices, facts.readings[index : index + 1]), (), included)


def _devices(devices: Sequence[Device], readings: Iterable[Reading]) -> tuple[DevicePart, ...]:
    """The devices of the readings, each with its path in the set."""
    places = device_indices(devices)
    used = sorted({places[reading.device] for reading in readings})
    paths = device_paths(devices, used)
    return tuple(
        DevicePart(at, devices[at].device, int(devices[at].key_type), devices[at].public_key, path)
        for at, path in zip(used, paths, strict=True)
    )
