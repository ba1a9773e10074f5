"""The methods of the Engine API that drive an Osaka chain (execution-apis `paris.md` to `osaka.md`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from l1.engine.payload import NewPayload, Withdrawal, from_json, parse_data, to_json, withdrawal_json
from l1.engine.rpc import EngineError, JsonRpc, call_socket

FORKCHOICE_UPDATED: Final = "engine_forkchoiceUpdatedV3"
GET_PAYLOAD: Final = "engine_getPayloadV5"
NEW_PAYLOAD: Final = "engine_newPayloadV4"
BUILD_BLOCK: Final = "testing_buildBlockV1"


class Status(Enum):
    """What the execution client says of a block."""

    VALID = "VALID"
    """Executed, and every root holds."""
    INVALID = "INVALID"
    """It, or an ancestor, breaks a rule."""
    SYNCING = "SYNCING"
    """Not executed: an ancestor is missing."""
    ACCEPTED = "ACCEPTED"
    """Not executed: not on the head's chain."""


@dataclass(frozen=True)
class PayloadStatus:
    """PayloadStatusV1."""

    status: Status
    """What the client says."""
    error: str = ""
    """Why a block is invalid, in the client's words."""


@dataclass(frozen=True)
class PayloadAttributes:
    """PayloadAttributesV3: what the consensus chooses of a block that the client builds."""

    timestamp: int
    """Unix seconds, above the parent's."""
    prev_randao: bytes
    """PREVRANDAO, 32 bytes."""
    fee_recipient: bytes
    """Receiver of the tips, 20 bytes."""
    withdrawals: tuple[Withdrawal, ...] = ()
    """Payments of the consensus."""
    parent_beacon_block_root: bytes = bytes(32)
    """What EIP-4788 stores, 32 bytes."""


class EngineClient:
    """The Engine API of one execution client. Thread-safe as `JsonRpc` is."""

    def __init__(self, rpc: JsonRpc, own: Path) -> None:
        """`own` is the socket at which geth answers its owner."""
        self.rpc = rpc
        """The authenticated connection; `eth_` methods answer on it too."""
        self._own = own

    def require_methods(self) -> None:
        """Check that the client speaks this fork's methods. Raises EngineError."""
        wanted = [FORKCHOICE_UPDATED, GET_PAYLOAD, NEW_PAYLOAD]
        spoken = self.rpc.call("engine_exchangeCapabilities", wanted)
        if missing := [each for each in wanted if not isinstance(spoken, list) or each not in spoken]:
            raise EngineError(f"the client at {self.rpc.url} lacks {', '.join(missing)}: use one that has Osaka")

    def new_payload(self, new: NewPayload) -> PayloadStatus:
        """Have a block executed and kept; the head stays. Raises EngineError."""
        hashes = ["0x" + each.hex() for each in new.versioned_hashes]
        requests = ["0x" + each.hex() for each in new.requests]
        root = "0x" + new.parent_beacon_block_root.hex()
        return _status(self.rpc.call(NEW_PAYLOAD, to_json(new.payload), hashes, root, requests))

    def forkchoice_updated(
        self, head: bytes, final: bytes, attributes: PayloadAttributes | None = None
    ) -> tuple[PayloadStatus, str | None]:
        """Make a block the head and another the safe and final one; with attributes, begin to build on the head.

        Returns
        -------
        The status of the head, and the id of the payload that is being built. Raises EngineError.
        """
        state = {
            "headBlockHash": "0x" + head.hex(),
            "safeBlockHash": "0x" + final.hex(),
            "finalizedBlockHash": "0x" + final.hex(),
        }
        answer = self.rpc.call(FORKCHOICE_UPDATED, state, None if attributes is None else _attributes_json(attributes))
        if not isinstance(answer, dict):
            raise EngineError(f"{FORKCHOICE_UPDATED}: expected an object")
        identity = answer.get("payloadId")
        return _status(answer.get("payloadStatus")), None if identity is None else str(identity)

    def get_payload(self, identity: str, parent_beacon_block_root: bytes = bytes(32)) -> NewPayload:
        """What was built so far under an id; building ends with it.

        Parameters
        ----------
        parent_beacon_block_root
            As in the attributes: the answer does not repeat it.

        Raises
        ------
        EngineError
            When the client does not know the id, or answers a block whose hash is not its header's.
        """
        return _built(self.rpc.call(GET_PAYLOAD, identity), GET_PAYLOAD, parent_beacon_block_root)

    def build_exactly(
        self, head: bytes, attributes: PayloadAttributes, transactions: Sequence[bytes], extra_data: bytes
    ) -> NewPayload:
        """A block on the head of exactly these transactions in this order, which need not be in the client's pool.

        The Engine API has no such method; execution-apis has `testing_buildBlockV1`, which is served to geth's owner
        only.

        Raises
        ------
        AnswerError
            When one of them cannot be executed.
        EngineError
            When there is no answer, or it is a block whose hash is not its header's.
        """
        raws = ["0x" + each.hex() for each in transactions]
        parent, extra = "0x" + head.hex(), "0x" + extra_data.hex()
        answer = call_socket(self._own, BUILD_BLOCK, parent, _attributes_json(attributes), raws, extra)
        return _built(answer, BUILD_BLOCK, attributes.parent_beacon_block_root)


def _built(answer: Any, method: str, parent_beacon_block_root: bytes) -> NewPayload:
    try:
        requests = tuple(parse_data(each, "executionRequests") for each in answer["executionRequests"])
        new = NewPayload(from_json(answer["executionPayload"]), parent_beacon_block_root, requests)
        new.check()
    except (KeyError, TypeError) as error:
        raise EngineError(f"{method}: the answer is no payload: {error!r}") from error
    return new


def _status(document: Any) -> PayloadStatus:
    try:
        return PayloadStatus(Status(document["status"]), str(document.get("validationError") or ""))
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the execution client answered no payload status but {document!r}") from error


def _attributes_json(attributes: PayloadAttributes) -> dict[str, Any]:
    return {
        "timestamp": hex(attributes.timestamp),
        "prevRandao": "0x" + attributes.prev_randao.hex(),
        "suggestedFeeRecipient": "0x" + attributes.fee_recipient.hex(),
        "withdrawals": [withdrawal_json(each) for each in attributes.withdrawals],
        "parentBeaconBlockRoot": "0x" + attributes.parent_beacon_block_root.hex(),
    }
