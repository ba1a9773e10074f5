"""What the event of a final settlement carries to show that it is final, and the check of it.

Whoever follows the chain's delegates with a light client needs no node and nobody's word for it: more than two thirds of
the stake signed the block, the block commits to the receipt, and the receipt has the Router's event about the task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from l1.light.client import LightClient, NotFinal
from verifier.bindings import Event, decode_event, event_topic
from verifier.errors import Refused, W3bstreamError
from verifier.evidence.blocks import MAX_HEADER, Header, Receipt
from verifier.evidence.trie import MAX_NODES, position_key, verify_inclusion
from verifier.statement import Domain, task_id

FINALITY = "W3B-9012"
RECORD = "W3B-9004"
MAX_POSITION = 1 << 32
"""Positions in a block end below it."""
MAX_BYTES = 1 << 17
"""Bytes of a footer or of a node; an event has less in all."""
_PROOF = "settlement.finality_proof"
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_OTHER_EPOCH = (
    "Ask with a light client that is at the block's epoch: its head before the block, no epoch's end between them."
)
_NEXT_STEP = "Do not act on the event; `w3bstream evidence get` gives a file that shows the settlement by itself."


@dataclass(frozen=True)
class FinalityProof:
    """A receipt in a block that the chain's delegates signed."""

    header: bytes
    """RLP."""
    footer: bytes
    """The certificate: round, aggregate signature, bitmap (docs/reference/light-client.md)."""
    position: int
    """Of the transaction in the block."""
    receipt: tuple[bytes, ...]
    """Nodes of the receipt trie from the root to the receipt, RLP each."""

    def to_json(self) -> dict[str, Any]:
        """The form in an event: 0x hex."""
        nodes = [_shown(each) for each in self.receipt]
        return {
            "header": _shown(self.header),
            "footer": _shown(self.footer),
            "position": self.position,
            "receipt": nodes,
        }

    @classmethod
    def from_json(cls, value: object) -> FinalityProof:
        """Read the form in an event; further fields are passed over. Raises Refused (W3B-9012)."""
        fields = _mapping(value, _PROOF)
        if fields.get("omitted") is True:
            raise _refused("the event was too large for its proof", _PROOF)
        position, nodes = fields.get("position"), fields.get("receipt")
        if type(position) is not int or not 0 <= position < MAX_POSITION:
            raise _refused("the position is no integer from 0 to 2^32 - 1", f"{_PROOF}.position")
        if not isinstance(nodes, list) or not 1 <= len(nodes) <= MAX_NODES:
            raise _refused(f"the receipt is no list of 1 to {MAX_NODES} nodes", f"{_PROOF}.receipt")
        return cls(
            header=_data(fields, "header", _PROOF, most=MAX_HEADER),
            footer=_data(fields, "footer", _PROOF),
            position=position,
            receipt=tuple(_read(each, f"{_PROOF}.receipt[{at}]", MAX_BYTES) for at, each in enumerate(nodes)),
        )


@dataclass(frozen=True)
class FinalSettlement:
    """What is shown: the Router settled this task with this output, in a final block."""

    block_number: int
    block_hash: bytes
    """32 bytes."""
    settled_at: int
    """Timestamp of the block, Unix seconds."""
    task_id: bytes
    """32 bytes."""
    project_id: int
    version: int
    output: bytes
    """keccak256 of the public output, 32 bytes."""
    public_output: bytes
    """ABI-encoded."""
    prover: bytes
    """Address that is paid for the last proof, 20 bytes."""


def check_finality_proof(data: Mapping[str, Any], client: LightClient, domain: Domain) -> FinalSettlement:
    """Whether the settlement that an event tells of is final; offline.

    Of the event it is checked that chain, Router, block, task, project, version, window and output are those of the
    receipt. Not shown by it: `transaction_hash`, `count`, `inputs`, `provenance`, `proofs`, `dapp_ok`, and that nobody
    froze the task later; the evidence file has the first six.

    Parameters
    ----------
    data
        `data` of a `w3bstream.task.final` event, or of a `w3bstream.task.frozen` one that has a settlement.
    client
        Follows the sets of the chain and is at the block's epoch: its head is before the block, and no epoch ends
        between the two.
    domain
        The chain and the Router that you trust; anybody may deploy another Router.

    Raises
    ------
    Refused
        W3B-9012 when the event has no proof, or one that has not the form, or that does not show its block to be final;
        W3B-9003 when the receipt is not the block's; W3B-9004 when the receipt or the block says something else than the
        event. `field` names the part of `data`.
    """
    settlement = _mapping(_mapping(data, "data").get("settlement"), "settlement")
    if "finality_proof" not in settlement:
        source = settlement.get("finality_source")
        raise _refused(f"the event carries no proof of finality (source {source!r})", _PROOF)
    proof = FinalityProof.from_json(settlement["finality_proof"])
    _require_domain(settlement, domain)
    try:
        client.require_final(proof.header, proof.footer)
    except NotFinal as error:
        step = _OTHER_EPOCH if error.reason in ("old", "epoch") else _NEXT_STEP
        raise _refused(str(error.args[1]), f"{_PROOF}.footer", next_step=step) from error
    try:
        header = Header.decode(proof.header)
        receipt = Receipt.decode(verify_inclusion(header.receipts_root, position_key(proof.position), proof.receipt))
    except W3bstreamError as error:
        raise _refused(error.message, f"{_PROOF}.receipt", error.code) from error
    _require_same(settlement.get("block_number"), header.number, "settlement.block_number")
    _require_bytes(settlement, "block_hash", header.hash, "settlement")
    return _settled(data, header, _event(data, receipt, domain.router))


def _require_domain(settlement: Mapping[str, Any], domain: Domain) -> None:
    _require_same(settlement.get("chain_id"), domain.chain_id, "settlement.chain_id")
    _require_bytes(settlement, "router", domain.router, "settlement")


def _event(data: Mapping[str, Any], receipt: Receipt, router: bytes) -> Event:
    """The Router's settlement of the task that the event is about."""
    name = _read(data.get("task_id"), "task_id", 32)
    if not receipt.succeeded:
        raise _refused("the transaction of the receipt failed", f"{_PROOF}.receipt", RECORD)
    topics = (event_topic("Router", "TaskSettled"), name)
    logs = [log for log in receipt.logs if log.address == router and log.topics[:2] == topics]
    if len(logs) != 1:
        raise _refused(f"the receipt has {len(logs)} settlements of task {_shown(name)}, not one", "task_id", RECORD)
    try:
        found = decode_event(logs[0].topics, logs[0].data)
    except (ValueError, OverflowError) as error:  # an offset out of range
        raise _refused(f"the Router's event cannot be read: {error}", f"{_PROOF}.receipt", RECORD) from error
    if found is None:
        raise _refused("the Router's event cannot be read", f"{_PROOF}.receipt", RECORD)
    return found


def _settled(data: Mapping[str, Any], header: Header, event: Event) -> FinalSettlement:
    """Raises Refused (W3B-9004) where the Router's event and the webhook's differ."""
    args, output = event.args, _mapping(data.get("output"), "output")
    _require_same(data.get("project_id"), args["projectId"], "project_id")
    _require_same(data.get("version"), args["projectVersion"], "version")
    _require_window(data, event)
    _require_bytes(output, "hash", args["output"], "output")
    if keccak(args["publicOutput"]) != args["output"]:
        raise _refused("the Router's output is not the hash of its public output", "output", RECORD)
    if output.get("omitted") is not True:
        _require_bytes(output, "abi", args["publicOutput"], "output")
    return FinalSettlement(
        header.number,
        header.hash,
        header.timestamp,
        task_id=args["taskId"],
        project_id=args["projectId"],
        version=args["projectVersion"],
        output=args["output"],
        public_output=args["publicOutput"],
        prover=bytes.fromhex(args["prover"].removeprefix("0x")),
    )


def _require_window(data: Mapping[str, Any], event: Event) -> None:
    """The task's id is made of the window."""
    window = _mapping(data.get("window"), "window")
    bounds = [window.get(name) for name in ("start", "end")]
    if not all(type(each) is int and 0 <= each < 1 << 64 for each in bounds):
        raise _refused(f"{bounds!r:.100} are no stream positions", "window")
    found = task_id(event.args["projectId"], event.args["projectVersion"], *bounds)  # type: ignore[arg-type]
    if found != event.args["taskId"]:
        raise _refused(f"the task of the window is {_shown(found)}", "window", RECORD)


# --- reading JSON of strangers ---


def _mapping(value: object, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _refused("it is no JSON object", field)
    return value


def _data(fields: Mapping[str, Any], name: str, where: str, most: int = MAX_BYTES) -> bytes:
    return _read(fields.get(name), f"{where}.{name}", most)


def _read(value: object, field: str, most: int) -> bytes:
    if not isinstance(value, str) or len(value) > 2 + 2 * most or _HEX.fullmatch(value) is None:
        raise _refused(f"{value!r:.80} is no 0x hex of at most {most} bytes", field)
    return bytes.fromhex(value[2:])


def _require_same(told: object, shown: int, field: str) -> None:
    if type(told) is not int or told != shown:
        raise _refused(f"the event says {told!r:.100}, the chain {shown}", field, RECORD)


def _require_bytes(fields: Mapping[str, Any], name: str, shown: bytes, where: str) -> None:
    told = _data(fields, name, where)
    if told != shown:
        raise _refused(
            f"the event says {_shown(told)[:140]}, the chain {_shown(shown)[:140]}", f"{where}.{name}", RECORD
        )


def _shown(value: bytes) -> str:
    return "0x" + value.hex()


def _refused(why: str, field: str, code: str = FINALITY, next_step: str = _NEXT_STEP) -> Refused:
    return Refused(code, f"{field}: {why}", field=field, next_step=next_step)
