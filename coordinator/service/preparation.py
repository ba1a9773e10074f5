"""Programs made ready: for the workers to prove, for the coordinator to check, and for the chain to verify."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.projects.file import ProjectFile
from provers.programs_index import installed_programs
from provers.protocol import Prepared, Program, Prover
from verifier import bindings
from verifier.bindings import Deployment
from verifier.errors import NotFound

log = structlog.get_logger(__name__)

VERIFIERS = {"zkp.groth16": "groth16"}
"""Proof kind to the deployment's contract that verifies it."""

Report = Callable[[str, str, float], None]
"""Called with a program's name, a stage and the fraction done, from another thread."""


@dataclass(frozen=True)
class ReadyProgram:
    """A prepared program and the contract that verifies its proofs."""

    program_id: bytes
    """32 bytes."""
    verifier: bytes
    """Address of its IVerifier, 20 bytes."""
    prepared: Prepared
    """As the prover gave it."""


class Preparation:
    """Prepares programs once each, in a thread, and puts their keys' registration into the outbox."""

    def __init__(
        self, ledger: Ledger, deployment: Deployment, provers: Mapping[str, Prover], report: Report | None = None
    ) -> None:
        self._ledger = ledger
        self._deployment = deployment
        self._provers = dict(provers)
        self._report = report
        self._ready: dict[str, ReadyProgram] = {}
        self._one_at_a_time = asyncio.Lock()
        self.programs: dict[str, Program] = installed_programs()
        """The installed programs by name."""

    async def program(self, name: str, kind: str) -> ReadyProgram:
        """The program, ready. Raises NotFound (W3B-2005, W3B-4001) and what preparing raises (W3B-4xxx)."""
        program = self.programs.get(name)
        if program is None or program.kind != kind:
            raise NotFound("W3B-2005", f"there is no {kind} program {name!r} here", field="programs")
        if kind not in self._provers or kind not in VERIFIERS:
            raise NotFound("W3B-4001", f"no prover with an on-chain verifier for {kind!r} is here", field="programs")
        async with self._one_at_a_time:
            if name not in self._ready:
                self._ready[name] = await self._prepare(program)
            return self._ready[name]

    async def all(self) -> None:
        """Every installed program that has a prover."""
        for program in self.programs.values():
            if program.kind in self._provers and program.kind in VERIFIERS:
                await self.program(program.name, program.kind)

    async def of(self, file: ProjectFile) -> Mapping[str, ReadyProgram]:
        """A project file's programs by kind, ready."""
        return {part.kind: await self.program(part.program, part.kind) for part in file.model.programs}

    async def _prepare(self, program: Program) -> ReadyProgram:
        report = self._report

        def on_progress(stage: str, done: float) -> None:
            if report is not None:
                report(program.name, stage, done)

        prepared = await asyncio.to_thread(self._provers[program.kind].prepare, program, on_progress)
        address: str = getattr(self._deployment, VERIFIERS[program.kind])
        async with self._ledger.transaction() as session:
            await enqueue_tx(
                session,
                self._ledger.clock(),
                dedupe_key=f"register_key:{address.lower()}:{prepared.program_id.hex()}",
                purpose="register_key",
                to=address,
                data=bindings.register_verifying_key(prepared.verifying_key),
                ref={"program_id": "0x" + prepared.program_id.hex(), "program": program.name},
            )
        log.info("program_ready", program=program.name, program_id=prepared.program_id.hex(), trust=prepared.trust)
        return ReadyProgram(prepared.program_id, bytes.fromhex(address.removeprefix("0x")), prepared)
