"""Views: the call data for eth_call, and the value out of what it returned.

`call_x` builds the data, `decode_x` reads the result. `decode_x` raises eth_abi's DecodingError for bytes that are no
such result, such as the empty answer of an address without code.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifier.bindings.abi import decode_result, encode_call
from verifier.bindings.calls import kind_hash
from verifier.bindings.records import (
    AssignmentState,
    Confirmation,
    ConfirmationStatus,
    DappStatus,
    Policy,
    ProverStatus,
    TaskConflict,
    TaskState,
    TaskStatus,
    Verification,
)


@dataclass(frozen=True)
class ProjectState:
    """A project as ProjectRegistry holds it."""

    owner: bytes
    """Address, 20 bytes."""
    pending_owner: bytes
    """Address it is offered to, or zero."""
    paused: bool
    latest_version: int
    """0 before the first version."""


def _address(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def call_project(project_id: int) -> bytes:
    """To `registry`; reverts with UnknownProject."""
    return encode_call("ProjectRegistry", "project", project_id)


def decode_project(data: bytes) -> ProjectState:
    """Result of `call_project`."""
    owner, pending, paused, latest = decode_result("ProjectRegistry", "project", data)
    return ProjectState(_address(owner), _address(pending), paused, latest)


def call_task_state(task_id: bytes) -> bytes:
    """To `router`."""
    return encode_call("Router", "taskState", task_id)


def decode_task_state(data: bytes) -> TaskState:
    """Result of `call_task_state`."""
    ((status, dapp, output, settled_block, verifications),) = decode_result("Router", "taskState", data)
    return TaskState(
        TaskStatus(status),
        DappStatus(dapp),
        output,
        settled_block,
        tuple(Verification(kind, _address(prover), block) for kind, prover, block in verifications),
    )


def call_conflict_of(task_id: bytes) -> bytes:
    """To `router` of generation 2."""
    return encode_call("Router", "conflictOf", task_id)


def decode_conflict_of(data: bytes) -> TaskConflict:
    """Result of `call_conflict_of`."""
    ((first, second, kind, prover, block),) = decode_result("Router", "conflictOf", data)
    return TaskConflict(first, second, kind, _address(prover), block)


def call_confirmation_of(task_id: bytes) -> bytes:
    """To `router` of generation 2."""
    return encode_call("Router", "confirmationOf", task_id)


def decode_confirmation_of(data: bytes) -> Confirmation:
    """Result of `call_confirmation_of`."""
    ((status, kind, prover, confirm_by, confirmed_at, reported),) = decode_result("Router", "confirmationOf", data)
    return Confirmation(ConfirmationStatus(status), kind, _address(prover), confirm_by, confirmed_at, reported)


def call_is_production() -> bytes:
    """To `router` of generation 2; the older one has no such function and reverts without data."""
    return encode_call("Router", "isProduction")


def decode_is_production(data: bytes) -> bool:
    """Result of `call_is_production`."""
    return bool(decode_result("Router", "isProduction", data)[0])


def call_is_simulated() -> bytes:
    """To any verifier that is an ITrustAnchor: a bool."""
    return encode_call("Groth16Verifier", "isSimulated")


def call_policy_of(project_id: int, version: int) -> bytes:
    """To `registry` of generation 2; reverts with UnknownVersion."""
    return encode_call("ProjectRegistry", "policyOf", project_id, version)


def decode_policy_of(data: bytes) -> Policy:
    """Result of `call_policy_of`."""
    return Policy(*decode_result("ProjectRegistry", "policyOf", data)[0])


def call_verified_by(task_id: bytes, kind: str) -> bytes:
    """To `router`."""
    return encode_call("Router", "verifiedBy", task_id, kind_hash(kind))


def decode_verified_by(data: bytes) -> bytes:
    """Result of `call_verified_by`: the prover, or 20 zero bytes."""
    return _address(decode_result("Router", "verifiedBy", data)[0])


def call_assignment_of(task_id: bytes, prover: bytes, kind: str) -> bytes:
    """To `fleet`."""
    return encode_call("FleetManagement", "assignmentOf", task_id, prover, kind_hash(kind))


def decode_assignment_of(data: bytes) -> AssignmentState:
    """Result of `call_assignment_of`."""
    return AssignmentState(*decode_result("FleetManagement", "assignmentOf", data)[0])


def call_last_window_end(project_id: int, version: int) -> bytes:
    """To `fleet`."""
    return encode_call("FleetManagement", "lastWindowEnd", project_id, version)


def decode_last_window_end(data: bytes) -> int:
    """Result of `call_last_window_end`: the end of the last recorded window, or 0."""
    return int(decode_result("FleetManagement", "lastWindowEnd", data)[0])


def call_status_of(prover: bytes) -> bytes:
    """To `fleet`."""
    return encode_call("FleetManagement", "statusOf", prover)


def decode_status_of(data: bytes) -> ProverStatus:
    """Result of `call_status_of`; OFFLINE also for a prover that is not registered."""
    return ProverStatus(decode_result("FleetManagement", "statusOf", data)[0])


def call_verifying_key(program_id: bytes) -> bytes:
    """To `groth16`."""
    return encode_call("Groth16Verifier", "verifyingKey", program_id)


def decode_verifying_key(data: bytes) -> bytes:
    """Result of `call_verifying_key`: the ABI-encoded key, empty when none is registered."""
    return bytes(decode_result("Groth16Verifier", "verifyingKey", data)[0])
