"""Test only: chains as processes, and a ledger with a project, provers and proofs that settle on real contracts."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_hash.auto import keccak
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.evidence.final_receipts import FinalReceipts
from coordinator.evidence.many_servers import rpc_of
from coordinator.ledger.confirmation import awaited
from coordinator.ledger.openings import opening_of
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger, move_attempt, move_task
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProjectVersionRow, ProverRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.settlement.chain import Chain, Fees, JsonRpcChain, Receipt
from coordinator.settlement.collector import CollectorLimits
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.finality import Finality
from coordinator.settlement.sending import SenderLimits
from coordinator.settlement.service import Settlement
from coordinator.settlement.signer import KeyFileSigner
from coordinator.webhooks.event import Site
from coordinator.webhooks.task_events import TaskEvents, statement_of
from l1.process import ChainProcess
from tests.contracts.groth16_simulator import TrapdoorKey, signals_of
from tests.patience import PATIENCE
from verifier import bindings as b
from verifier.completeness import COMPLETENESS_OUTPUTS, Completeness
from verifier.contracts.compile import NODE_MODULES
from verifier.evidence.document import BLS
from verifier.statement import Domain, Opening, program_id, task_id

ANVIL = NODE_MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
RICH = keccak(b"settlement tests: funded")
ZKP = "zkp.groth16"
SIGNED = "test.signature"
VERIFIER_KEY = keccak(b"settlement tests: signature verifier")
OUTPUTS = ("uint32 count", "int64 sum", "int32 minimum", "int32 maximum", *COMPLETENESS_OUTPUTS)
OUTPUT_TYPES = [field.split()[0] for field in OUTPUTS]
COMPLETENESS = Completeness(missing=2, duplicates=1, late=0, reordered=1)
WORDS = (3, -250, -2000, 2150, *COMPLETENESS.words())
OTHER_WORDS = (3, -251, -2000, 2150, *COMPLETENESS.words())
DEVICE_SET = (12345).to_bytes(32, "big")
KEY = TrapdoorKey.generate(seed=1)
FAST = SenderLimits(resend_seconds=0.2)
_keys = itertools.count()


class Anvil:
    """An anvil on loopback; it keeps its state when it is stopped and started again."""

    name = "anvil"

    def __init__(self, folder: Path, *options: str) -> None:
        self._log = folder / "anvil.log"
        self._command = [str(ANVIL), "--hardfork", "osaka", "--accounts", "0", "--state", str(folder / "state.json")]
        self._command += options
        self._port = 0
        self.start()
        rich = Account.from_key(RICH).address
        asyncio.run(self.rpc("anvil_setBalance", rich, hex(10**24)))

    def start(self) -> None:
        with self._log.open("w") as sink:
            self._process = subprocess.Popen([*self._command, "--port", str(self._port)], stdout=sink)
        deadline = time.monotonic() + 30
        while not (found := re.search(r"Listening on 127\.0\.0\.1:(\d+)", self._log.read_text())):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "anvil does not listen"
            time.sleep(0.05)
        self._port = int(found[1])
        self.url = f"http://127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    async def rpc(self, method: str, *parameters: Any) -> Any:
        chain = JsonRpcChain(self.url)
        try:
            return await chain.request(method, *parameters)
        finally:
            await chain.close()


class L1:
    """Our own chain on loopback."""

    name = "l1"

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._genesis = folder / "genesis.json"
        rich = Account.from_key(RICH).address
        self._genesis.write_text(json.dumps({"chainId": 4690, "alloc": {rich: {"balance": str(10**24)}}}))
        self._options = options
        self._port = 0
        self.start()

    def start(self) -> None:
        options = ["--min-interval", "0.02", *self._options]
        self._process = ChainProcess(self._folder / "chain", self._genesis, port=self._port, options=options)
        self.url = self._process.rpc_url
        self._port = int(self.url.rsplit(":", 1)[1])

    def stop(self) -> None:
        self._process.kill()


async def transfer(
    chain: Chain, key: bytes, to: str, data: bytes, *, wei: int = 0, nonce: int | None = None
) -> Receipt:
    """Sign and send with any key, and wait for the receipt."""
    account = Account.from_key(key)
    fees = (await chain.fees()).bumped(100)
    transaction = {
        "type": 2,
        "chainId": await chain.chain_id(),
        "nonce": await chain.nonce(account.address) if nonce is None else nonce,
        "to": bytes.fromhex(to.removeprefix("0x")),
        "value": wei,
        "data": data,
        "gas": 4_000_000,
        "maxFeePerGas": fees.max_fee,
        "maxPriorityFeePerGas": fees.tip,
    }
    signed = account.sign_transaction(transaction)
    await chain.send_raw(bytes(signed.raw_transaction))
    return await mined(chain, "0x" + bytes(signed.hash).hex())


async def mined(chain: Chain, tx_hash: str) -> Receipt:
    async with asyncio.timeout(30):
        while (receipt := await chain.receipt(tx_hash)) is None:
            await asyncio.sleep(0.02)
    return receipt


@dataclass
class World:
    """One ledger, one deployment of its own, one project with two kinds of proof."""

    ledger: Ledger
    chain: JsonRpcChain
    signer: KeyFileSigner
    signer_key: bytes
    deployment: b.Deployment
    test_abi: dict[str, dict[str, Any]]
    project_id: int = 0
    signature_verifier: str = ""
    confirm_within: int = 0
    windows: Any = field(default_factory=lambda: itertools.count(1, 20))

    @classmethod
    async def build(
        cls, folder: Path, ledger_url: str, url: str, test_abi: dict[str, dict[str, Any]], **limits: Any
    ) -> World:
        ledger = Ledger(ledger_url)
        chain = JsonRpcChain(url)
        key = keccak(f"coordinator {folder} {next(_keys)}".encode())
        signer = KeyFileSigner(key)
        await transfer(chain, RICH, signer.address, b"", wei=10**20)
        deployment = await ensure_deployment(ledger, chain, signer, finality=Finality("single-producer"), **limits)
        return cls(ledger, chain, signer, key, deployment, test_abi)

    async def close(self) -> None:
        await self.chain.close()
        await self.ledger.close()

    # --- what other rooms do ---

    def settlement(self, chain: Chain | None = None, **changes: Any) -> Settlement:
        """A settlement as a fresh process would make it."""
        domain = Site(self.deployment.chain_id, self.deployment.router, "https://explorer.example")
        options: dict[str, Any] = {
            "finality": Finality("single-producer"),
            "tell": TaskEvents(domain, lambda _: OUTPUTS),
            "poll_seconds": 0.02,
            "sender_limits": FAST,
            "collector_limits": CollectorLimits(status_seconds=0.0),
        }
        options |= changes
        asked = chain or self.chain
        options.setdefault("receipts", FinalReceipts(rpc_of(asked)) if options["finality"].source == BLS else None)
        return Settlement(self.ledger, asked, self.signer, self.deployment, **options)

    async def add_project(self, *, threshold: int = 1, dapp: str | None = None, confirm_within: int = 0) -> int:
        """A project with one version, as the API leaves them; its dApp is the sample unless another is given, and with
        `confirm_within` seconds the kind ZKP confirms what the other one settles."""
        code = bytes.fromhex(self.test_abi["SignatureVerifier"]["evm"]["bytecode"]["object"])
        judge = Account.from_key(VERIFIER_KEY).address
        receipt = await transfer(
            self.chain, RICH, "", code + encode(["address", "address"], [self.deployment.router, judge])
        )
        self.signature_verifier = receipt.contract_address
        await transfer(self.chain, RICH, self.deployment.groth16, b.register_verifying_key(KEY.encoded()))
        now = self.ledger.clock()
        async with self.ledger.transaction() as session:
            project = ProjectRow(name=f"p{time.time_ns()}", owner_key_id="key_0", created_at=now)
            session.add(project)
            await session.flush()
            assert project.id is not None
            project.create_tx = await self._outbox(
                session, "create_project", {"project_id": project.id}, self._create_call(project.id)
            )
            version = ProjectVersionRow(
                project_id=project.id,
                version=1,
                file="",
                config={},
                config_hash="0x" + keccak(b"project file").hex(),
                device_set_root="0x" + DEVICE_SET.hex(),
                scheme="poseidon-bn254-v1",
                window_capacity=16,
                window_max_age_ms=1000,
                programs=[{"kind": ZKP, "name": "temperature_window"}, {"kind": SIGNED, "name": "signed"}],
                threshold=threshold,
                created_at=now,
            )
            version.publish_tx = await self._outbox(
                session,
                "publish_version",
                {"project_id": project.id, "version": 1},
                self._publish_call(project.id, self._version(threshold, dapp), confirm_within),
                after=project.create_tx,
            )
            session.add(version)
            session.add(project)
            session.add(
                WebhookEndpointRow(
                    id=f"ep_{project.id}", project_id=project.id, url="https://x", secret="", events=[], created_at=now
                )
            )
        self.project_id = project.id
        return project.id

    def _publish_call(self, project_id: int, version: b.Version, confirm_within: int) -> bytes:
        self.confirm_within = confirm_within
        if not confirm_within:
            return b.publish_version(project_id, version)
        policy = b.Policy(confirm_within=confirm_within, confirm_kind=b.kind_hash(ZKP))
        return b.publish_version_with_policy(project_id, version, policy)

    def _create_call(self, project_id: int) -> bytes:
        return b.create_project(project_id, bytes.fromhex(self.signer.address[2:]))

    def _version(self, threshold: int, dapp: str | None = None) -> b.Version:
        return b.Version(
            version=1,
            config_hash=keccak(b"project file"),
            config_uri="",
            device_set_root=DEVICE_SET,
            scheme=b.scheme_id("poseidon-bn254-v1"),
            dapp=bytes.fromhex((dapp or self.deployment.temperature_dapp)[2:]),
            window_capacity=16,
            threshold=threshold,
            programs=(
                b.Program(ZKP, self.program(ZKP), bytes.fromhex(self.deployment.groth16[2:])),
                b.Program(SIGNED, self.program(SIGNED), bytes.fromhex(self.signature_verifier[2:])),
            ),
        )

    def program(self, kind: str) -> bytes:
        return KEY.program_id() if kind == ZKP else program_id(SIGNED, bytes(32))

    async def _outbox(
        self, session: AsyncSession, purpose: str, ref: dict[str, Any], data: bytes, after: int | None = None
    ) -> int:
        return await enqueue_tx(
            session,
            self.ledger.clock(),
            dedupe_key=f"{purpose}:{ref}",
            purpose=purpose,
            to=self.deployment.registry,
            data=data,
            ref=ref,
            after_tx=after,
        )

    async def switch(self, purpose: str) -> None:
        """Pause or resume the project, as the API does it."""
        call = b.pause_project if purpose == "pause" else b.resume_project
        async with self.ledger.transaction() as session:
            await self._outbox(session, purpose, {"project_id": self.project_id}, call(self.project_id))
            project = await session.get_one(ProjectRow, self.project_id)
            project.state = "PAUSED" if purpose == "pause" else "ACTIVE"
            session.add(project)

    async def add_prover(self, name: str, kind: str, address: str = "") -> str:
        """An idle prover, as the dispatcher leaves it."""
        now = self.ledger.clock()
        address = address or "0x" + keccak(name.encode())[-20:].hex()
        async with self.ledger.transaction() as session:
            session.add(ProverRow(id=name, kind=kind, address=address, status="IDLE", created_at=now, updated_at=now))
        return address

    async def add_task(self, *, start: int | None = None, end: int | None = None, count: int = 3) -> str:
        """A closed window, as the intake leaves it."""
        now = self.ledger.clock()
        start = next(self.windows) if start is None else start
        root = keccak(b"%d" % start)[1:].rjust(32, b"\0")
        opening = Opening(root, DEVICE_SET, start, end or start + 20, count, COMPLETENESS)
        name = "0x" + task_id(self.project_id, 1, opening.window_start, opening.window_end).hex()
        async with self.ledger.transaction() as session:
            session.add(
                TaskRow(
                    id=name,
                    project_id=self.project_id,
                    version=1,
                    window_start=opening.window_start,
                    window_end=opening.window_end,
                    count=count,
                    readings_root="0x" + opening.readings_root.hex(),
                    device_set_root="0x" + DEVICE_SET.hex(),
                    inputs="0x" + opening.commitment().hex(),
                    **asdict(COMPLETENESS),
                    kinds=[ZKP, SIGNED],
                    confirm_kind=ZKP if self.confirm_within else "",
                    confirm_within=self.confirm_within,
                    deadline_at=now + 3_600_000,
                    first_reading_at=now,
                    created_at=now,
                    updated_at=now,
                    provenance="in-proof",
                )
            )
        return name

    async def add_attempt(self, task: str, prover: str, kind: str) -> int:
        """A lease, as the dispatcher leaves it."""
        now = self.ledger.clock()
        async with self.ledger.transaction() as session:
            row = await session.get_one(TaskRow, task)
            worker = await session.get_one(ProverRow, prover)
            worker.status = "BUSY"
            attempt = AttemptRow(
                task_id=task,
                kind=kind,
                program_id="0x" + self.program(kind).hex(),
                prover_id=prover,
                prover_address=worker.address,
                fence=row.next_fence,
                lease_expires_at=now + 60_000,
                heartbeat_at=now,
                deadline_at=now + 600_000,
                created_at=now,
                updated_at=now,
            )
            row.next_fence += 1
            session.add_all([row, worker, attempt])
            await session.flush()
            assert attempt.id is not None
            return attempt.id

    async def prove(
        self, attempt_id: int, words: tuple[int, ...] = WORDS, *, good: bool = True, satisfy: bool = True
    ) -> None:
        """Move an attempt to PROVED with a proof that holds on chain (or not), as the dispatcher does."""
        now = self.ledger.clock()
        output = encode(OUTPUT_TYPES, words)
        async with self.ledger.transaction() as session:
            attempt = await session.get_one(AttemptRow, attempt_id)
            task = await session.get_one(TaskRow, attempt.task_id)
            attempt.output = "0x" + keccak(output).hex()
            proof = self._proof(task, attempt, words if good else OTHER_WORDS)
            await move_attempt(session, now, attempt_id, attempt.fence, AttemptState.PROVING)
            await move_attempt(
                session,
                now,
                attempt_id,
                attempt.fence,
                AttemptState.PROVED,
                output=attempt.output,
                public_output=output,
                proof=proof,
            )
            if satisfy and task.state == TaskState.OPEN:
                await move_task(session, now, task.id, TaskState.SATISFIED, **awaited(task, now))

    def _proof(self, task: TaskRow, attempt: AttemptRow, words: tuple[int, ...]) -> bytes:
        domain = Domain(self.deployment.chain_id, self.deployment.router_bytes())
        statement = statement_of(task, attempt)
        if attempt.kind == ZKP:
            opening = opening_of(task)
            return KEY.simulate(signals_of(statement, domain, opening, list(words)), opening)
        signature = Account.unsafe_sign_hash(statement.digest(domain), VERIFIER_KEY)
        parts = [signature.r.to_bytes(32, "big"), signature.s.to_bytes(32, "big"), signature.v]
        return encode(["bytes32", "bytes32", "uint8"], parts)

    # --- looking ---

    async def task(self, name: str) -> TaskRow:
        async with self.ledger.reading() as session:
            return await session.get_one(TaskRow, name)

    async def attempt(self, attempt_id: int) -> AttemptRow:
        async with self.ledger.reading() as session:
            return await session.get_one(AttemptRow, attempt_id)

    async def outbox(self, purpose: str = "") -> list[OutboxTxRow]:
        async with self.ledger.reading() as session:
            query = select(OutboxTxRow).order_by(col(OutboxTxRow.id))
            if purpose:
                query = query.where(OutboxTxRow.purpose == purpose)
            return list((await session.exec(query)).all())

    async def until(self, settlement: Settlement, reached: Callable[[], Any], seconds: float = 30.0) -> None:
        """Step until `await reached()` holds."""
        deadline = time.monotonic() + seconds * PATIENCE
        while not await reached():
            assert time.monotonic() < deadline, f"not reached; {settlement.last_error}; {await self._shown()}"
            await settlement.step()
            await asyncio.sleep(0.02)

    async def _shown(self) -> str:
        return "; ".join(f"{row.id} {row.purpose} {row.state} {row.nonce} {row.reason}" for row in await self.outbox())

    async def until_task(self, settlement: Settlement, name: str, *states: str) -> TaskRow:
        async def reached() -> bool:
            return (await self.task(name)).state in states

        await self.until(settlement, reached)
        return await self.task(name)

    async def until_tx(self, settlement: Settlement, purpose: str, *states: str) -> OutboxTxRow:
        """Step until the newest transaction of `purpose` is in one of the states."""

        async def reached() -> bool:
            rows = await self.outbox(purpose)
            return bool(rows) and rows[-1].state in states

        await self.until(settlement, reached)
        return (await self.outbox(purpose))[-1]

    async def ready_attempt(self, settlement: Settlement, prover: str, kind: str = ZKP) -> tuple[str, int]:
        """A recorded task with a mined assignment."""
        task = await self.add_task()
        await self.until_task(settlement, task, "OPEN")
        return task, await self.assigned(settlement, task, prover, kind)

    async def assigned(self, settlement: Settlement, task: str, prover: str, kind: str) -> int:
        attempt = await self.add_attempt(task, prover, kind)

        async def recorded() -> bool:
            tx = (await self.attempt(attempt)).assign_tx
            return tx is not None and any(
                row.id == tx and row.state in ("MINED", "SAFE", "FINAL") for row in await self.outbox()
            )

        await self.until(settlement, recorded)
        return attempt


class Crash(BaseException):
    """Ends a step as SIGKILL would: nothing after it runs, nothing catches it."""


class CrashingChain:
    """Passes everything on, and crashes once at a named point of a purpose's transaction."""

    def __init__(self, inner: Chain, point: str) -> None:
        self._inner = inner
        self._point = point
        self.armed = False
        self.crashed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _crash(self, point: str) -> None:
        if self.armed and not self.crashed and point == self._point:
            self.crashed = True
            raise Crash(point)

    async def send_raw(self, raw: bytes) -> None:
        self._crash("before send")
        await self._inner.send_raw(raw)
        self._crash("after send")

    async def receipt(self, tx_hash: str) -> Receipt | None:
        receipt = await self._inner.receipt(tx_hash)
        if receipt is not None:
            self._crash("mined, not recorded")
        return receipt

    async def fees(self) -> Fees:
        self._crash("before sign")
        return await self._inner.fees()
