"""Test only: a chain in memory with the contracts' rules for tasks, assignments and settlements, whose last blocks can
be taken back, mined anew in another order, or lost. It is a `Chain`; its state is what its blocks execute to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from coordinator.settlement.chain import Block, Fees, Log, Receipt, Reverted, RpcRefused
from coordinator.settlement.signer import Signed
from l1.contracts.abi import signature_of, type_of, types_of
from verifier import bindings as b
from verifier.errors import Unavailable

CHAIN_ID = 4690
SECONDS_A_BLOCK = 2


class MemorySigner:
    """Signs nothing: the bytes say who sends what."""

    address = "0x" + "5e" * 20

    def sign(self, *, chain_id: int, nonce: int, to: str, data: bytes, gas: int, fees: Fees) -> Signed:
        fields = {"from": self.address, "nonce": nonce, "to": to.lower(), "data": data.hex(), "fee": fees.max_fee}
        raw = json.dumps(fields, sort_keys=True).encode()
        return Signed(raw, "0x" + keccak(raw).hex())


@dataclass(frozen=True)
class Sent:
    """A transaction in the mempool or in a block."""

    hash: str
    nonce: int
    to: str
    data: bytes
    fee: int


def parsed(raw: bytes) -> Sent:
    found = json.loads(raw)
    return Sent("0x" + keccak(raw).hex(), found["nonce"], found["to"], bytes.fromhex(found["data"]), found["fee"])


@dataclass(frozen=True)
class Mined:
    """A block."""

    block: Block
    transactions: tuple[Sent, ...]


class Refusal(Exception):
    """A contract reverts."""

    def __init__(self, contract: str, name: str, *values: Any) -> None:
        super().__init__(name)
        entry = next(e for e in b.abi_of(contract) if e["type"] == "error" and e["name"] == name)
        self.data = keccak(signature_of(entry))[:4] + encode(types_of(entry["inputs"]), values)


@dataclass
class State:
    """What the blocks executed to."""

    nonce: int = 0
    provers: set[str] = field(default_factory=set)
    tasks: dict[bytes, bytes] = field(default_factory=dict)
    last_end: dict[tuple[int, int], int] = field(default_factory=dict)
    assignments: dict[tuple[bytes, str, bytes], tuple[int, int]] = field(default_factory=dict)
    """(task, prover, kind) → (deadline, fence)."""
    accepted: dict[bytes, tuple[bytes, bytes, str, int]] = field(default_factory=dict)
    """task → (output, kind, prover, block)."""
    receipts: dict[str, Receipt] = field(default_factory=dict)


def _arguments(contract: str, data: bytes) -> tuple[str, tuple[Any, ...]]:
    for entry in b.abi_of(contract):
        if entry["type"] == "function" and keccak(signature_of(entry))[:4] == data[:4]:
            return entry["name"], decode(types_of(entry["inputs"]), data[4:])
    raise AssertionError(data[:4].hex())


def _opening_type() -> str:
    batch = next(e for e in b.abi_of("FleetManagement") if e.get("name") == "applyBatch")
    record = batch["inputs"][0]["components"]
    return type_of(next(each for each in record if each["name"] == "opening"))


def _event(contract: str, name: str, address: str, **values: Any) -> Log:
    entry = next(e for e in b.abi_of(contract) if e["type"] == "event" and e["name"] == name)
    topics, plain = [keccak(signature_of(entry))], []
    for each in entry["inputs"]:
        value = values[each["name"]]
        if each["indexed"]:
            topics.append(encode([each["type"]], [value]))
        else:
            plain.append((each["type"], value))
    return Log(address, tuple(topics), encode([t for t, _ in plain], [v for _, v in plain]))


class MemoryChain:
    """The chain. Parameters: `now` gives the time in milliseconds; blocks are final `finality` blocks deep."""

    def __init__(self, deployment: b.Deployment, now: Callable[[], int], finality: int = 6) -> None:
        self.deployment = deployment
        self.mempool: dict[str, Sent] = {}
        self.silences: list[str] = []
        """What the next calls do: `before` and `after` raise, the latter when all is done; anything else answers."""
        self._fleet, self._router = deployment.fleet.lower(), deployment.router.lower()
        self._now, self._finality, self._salt = now, finality, 0
        genesis = Block(0, "0x" + keccak(b"genesis").hex(), now() // 1000, 7)
        self.blocks = [Mined(genesis, ())]
        self.states = [State()]

    # --- what tests do to it ---

    @property
    def state(self) -> State:
        return self.states[-1]

    @property
    def finalized(self) -> int:
        return max(0, len(self.blocks) - 1 - self._finality)

    def mine(self, most: int = 100, skip: Callable[[Sent], bool] = lambda _: False) -> None:
        """A block of what the mempool has, in the order of nonces, the dearer of two with the same nonce."""
        chosen: list[Sent] = []
        nonce = self.state.nonce
        while len(chosen) < most:
            rivals = [each for each in self.mempool.values() if each.nonce == nonce and not skip(each)]
            if not rivals:
                break
            chosen.append(max(rivals, key=lambda each: (each.fee, each.hash)))
            nonce += 1
        self._append(chosen)

    def reorg(self, depth: int, *, lost: Callable[[Sent], bool] = lambda _: False, blocks: int = 0) -> None:
        """Take the last `depth` blocks back, above the final one; what is not `lost` is in the mempool again."""
        depth = min(depth, len(self.blocks) - 1 - self.finalized)
        for _ in range(depth):
            gone = self.blocks.pop()
            self.states.pop()
            for each in gone.transactions:
                if not lost(each):
                    self.mempool[each.hash] = each
        self._salt += 1
        for _ in range(depth + blocks):
            self._append([])

    def _append(self, transactions: Sequence[Sent]) -> None:
        head = self.blocks[-1].block
        at = max(head.timestamp + SECONDS_A_BLOCK, self._now() // 1000)
        body = f"{head.hash}{self._salt}{at}{[each.hash for each in transactions]}".encode()
        block = Block(head.number + 1, "0x" + keccak(body).hex(), at, 7)
        state = _copied(self.state)
        for each in transactions:
            logs, succeeded = self._execute(state, each, block)
            state.nonce += 1
            state.receipts[each.hash] = Receipt(each.hash, block.number, block.hash, succeeded, 50_000, "", logs)
            self.mempool.pop(each.hash, None)
        self.blocks.append(Mined(block, tuple(transactions)))
        self.states.append(state)
        for stale in [each for each in self.mempool.values() if each.nonce < state.nonce]:
            del self.mempool[stale.hash]

    # --- the contracts ---

    def _execute(self, state: State, sent: Sent, block: Block) -> tuple[tuple[Log, ...], bool]:
        trial = _copied(state)
        try:
            logs = self._run(trial, sent.to, sent.data, block)
        except Refusal:
            return (), False
        for name in ("provers", "tasks", "last_end", "assignments", "accepted"):
            setattr(state, name, getattr(trial, name))
        return tuple(logs), True

    def _run(self, state: State, to: str, data: bytes, block: Block) -> list[Log]:
        if not data:
            return []
        if to == self._fleet:
            name, arguments = _arguments("FleetManagement", data)
            if name == "registerProver":
                self._register(state, arguments[0].lower())
            elif name == "applyBatch":
                self._apply(state, block, *arguments)
            return []
        if to == self._router and _arguments("Router", data)[0] == "settle":
            return self._settle(state, block, *_arguments("Router", data)[1])
        return []

    @staticmethod
    def _register(state: State, prover: str) -> None:
        if prover in state.provers:
            raise Refusal("FleetManagement", "ProverExists", prover)
        state.provers.add(prover)

    def _apply(self, state: State, block: Block, tasks: Any, assignments: Any, statuses: Any) -> None:
        for prover, _ in statuses:
            if prover.lower() not in state.provers:
                raise Refusal("FleetManagement", "UnknownProver", prover)
        for project, version, opening in tasks:
            start, end, inputs = opening[2], opening[3], keccak(encode([_opening_type()], [opening]))
            task_id = keccak(encode(["uint256", "uint32", "uint64", "uint64"], [project, version, start, end]))
            if state.tasks.get(task_id) == inputs:
                continue
            last = state.last_end.get((project, version), 0)
            if start < last:
                raise Refusal("FleetManagement", "WindowOverlap", project, version, last, start)
            state.last_end[project, version] = end
            state.tasks[task_id] = inputs
        for task_id, prover, kind, deadline, fence in assignments:
            self._assign(state, block, (task_id, prover.lower(), kind), deadline, fence)

    @staticmethod
    def _assign(state: State, block: Block, key: tuple[bytes, str, bytes], deadline: int, fence: int) -> None:
        held = state.assignments.get(key, (0, 0))
        if held == (deadline, fence):
            return
        if fence <= held[1]:
            raise Refusal("FleetManagement", "StaleFence", *key, held[1], fence)
        if key[0] not in state.tasks:
            raise Refusal("FleetManagement", "UnknownTask", key[0])
        if deadline <= block.timestamp:
            raise Refusal("FleetManagement", "DeadlinePassed", key[0], key[1], deadline)
        state.assignments[key] = (deadline, fence)

    def _settle(self, state: State, block: Block, statement: Any, kind: bytes, output: bytes, _: bytes) -> list[Log]:
        project, version, task_id, _, committed, program, prover = statement
        if task_id in state.accepted:
            raise Refusal("Router", "AlreadyVerified", task_id, kind)
        if task_id not in state.tasks:
            raise Refusal("Router", "TaskNotRecorded", task_id)
        deadline, fence = state.assignments.get((task_id, prover.lower(), kind), (0, 0))
        if not fence:
            raise Refusal("Router", "NotAssigned", task_id, prover, kind)
        if block.timestamp > deadline:
            raise Refusal("Router", "DeadlinePassed", deadline, block.timestamp)
        state.accepted[task_id] = (committed, kind, prover, block.number)
        about = {"taskId": task_id, "prover": prover, "output": committed}
        proof = _event(
            "Router", "ProofVerified", self._router, kind=kind, programId=program, verified=1, threshold=1, **about
        )
        settled = _event(
            "Router",
            "TaskSettled",
            self._router,
            projectId=project,
            projectVersion=version,
            publicOutput=output,
            **about,
        )
        return [proof, settled]

    # --- the Chain protocol ---

    def _silence(self, when: str) -> None:
        if self.silences and self.silences[0] == when:
            self.silences.pop(0)
            raise Unavailable("W3B-5001", f"no answer ({when})")
        if self.silences and when == "after":
            self.silences.pop(0)

    async def chain_id(self) -> int:
        return CHAIN_ID

    async def block(self, which: int | str) -> Block | None:
        self._silence("before")
        numbers = {"latest": len(self.blocks) - 1, "finalized": self.finalized, "safe": self.finalized + 2}
        number = numbers[which] if isinstance(which, str) else which
        self._silence("after")
        return self.blocks[number].block if number < len(self.blocks) else None

    def _at(self, which: int | str) -> State:
        return self.state if isinstance(which, str) else self.states[which]

    async def nonce(self, address: str, which: int | str = "latest") -> int:
        self._silence("before")
        return self._at(which).nonce

    async def code(self, address: str) -> bytes:
        return b"\x01"

    async def call(self, sender: str, to: str, data: bytes, which: int | str = "latest") -> bytes:
        self._silence("before")
        head = self.blocks[-1].block
        following = Block(head.number + 1, "0x", max(head.timestamp + 1, self._now() // 1000), 7)
        if data[:4] == b.call_task_state(bytes(32))[:4]:
            return self._task_state(data[4:36])
        if to.lower() == self._fleet and (view := self._view(data)) is not None:
            return view
        try:
            self._run(_copied(self.state), to.lower(), data, following)
        except Refusal as error:
            raise Reverted(f"eth_call: reverted {error}", error.data) from error
        return b""

    def _view(self, data: bytes) -> bytes | None:
        name, arguments = _arguments("FleetManagement", data)
        types = types_of(next(e for e in b.abi_of("FleetManagement") if e.get("name") == name)["outputs"])
        if name == "taskOf":
            return encode(types, [(1, 1, 1, 2, 1, self.state.tasks.get(arguments[0], bytes(32)), bytes(32))])
        if name == "assignmentOf":
            task_id, prover, kind = arguments
            return encode(types, [(*self.state.assignments.get((task_id, prover.lower(), kind), (0, 0)), False)])
        return None

    def _task_state(self, task_id: bytes) -> bytes:
        types = types_of(next(e for e in b.abi_of("Router") if e.get("name") == "taskState")["outputs"])
        found = self.state.accepted.get(task_id)
        if found is None:
            return encode(types, [(0, 0, bytes(32), 0, [])])
        output, kind, prover, number = found
        status = b.TaskStatus.SETTLED.value
        return encode(types, [(status, 0, output, number, [(kind, prover, number)])])

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        await self.call(sender, to, data)
        return 50_000

    async def fees(self) -> Fees:
        return Fees(20, 2)

    async def send_raw(self, raw: bytes) -> None:
        self._silence("before")
        sent = parsed(raw)
        if sent.nonce < self.state.nonce:
            raise RpcRefused("eth_sendRawTransaction: nonce too low (-32000)", -32000)
        self.mempool[sent.hash] = sent
        self._silence("after")

    async def receipt(self, tx_hash: str) -> Receipt | None:
        self._silence("before")
        return self.state.receipts.get(tx_hash)

    async def logs(
        self, address: str, topics: Sequence[bytes | None], first: int, last: int | None = None
    ) -> list[tuple[str, Log]]:
        wanted = [
            (receipt.tx_hash, log)
            for receipt in self.state.receipts.values()
            if first <= receipt.block_number <= (first if last is None else last)
            for log in receipt.logs
        ]
        return [
            (tx_hash, log)
            for tx_hash, log in wanted
            if log.address == address.lower()
            and all(want is None or want == has for want, has in zip(topics, log.topics, strict=False))
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _copied(state: State) -> State:
    return State(
        state.nonce,
        set(state.provers),
        dict(state.tasks),
        dict(state.last_end),
        dict(state.assignments),
        dict(state.accepted),
        dict(state.receipts),
    )
