"""Call data of every state-changing function that the service, the command line or a prover sends.

Each function returns bytes for the `data` field; its docstring names the contract (a field of `Deployment`) to send it
to and who may. Addresses are 20 bytes, hashes 32.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from verifier.bindings.abi import encode_call
from verifier.bindings.records import Assignment, Policy, StatusUpdate, TaskRecord, Version
from verifier.statement import Statement


def kind_hash(kind: str) -> bytes:
    """How the contracts name a proof kind: keccak256 of its UTF-8 name."""
    return keccak(kind.encode())


def scheme_id(name: str) -> bytes:
    """How the contracts name a commitment scheme: keccak256 of its UTF-8 name."""
    return keccak(name.encode())


def create_project(project_id: int, owner: bytes) -> bytes:
    """To `registry`, by anyone; the new id is in the event `ProjectCreated`."""
    return encode_call("ProjectRegistry", "createProject", project_id, owner)


def publish_version(project_id: int, version: Version) -> bytes:
    """To `registry`, by the project's owner."""
    return encode_call("ProjectRegistry", "publishVersion", project_id, version.words())


def publish_version_with_policy(project_id: int, version: Version, policy: Policy) -> bytes:
    """To `registry` of generation 2, by the project's owner."""
    return encode_call("ProjectRegistry", "publishVersionWithPolicy", project_id, version.words(), policy.words())


def pause_project(project_id: int) -> bytes:
    """To `registry`, by the project's owner."""
    return encode_call("ProjectRegistry", "pause", project_id)


def resume_project(project_id: int) -> bytes:
    """To `registry`, by the project's owner."""
    return encode_call("ProjectRegistry", "resume", project_id)


def transfer_project(project_id: int, to: bytes) -> bytes:
    """To `registry`, by the project's owner; `to` must accept."""
    return encode_call("ProjectRegistry", "transferProject", project_id, to)


def accept_project(project_id: int) -> bytes:
    """To `registry`, by the one the project is offered to."""
    return encode_call("ProjectRegistry", "acceptProject", project_id)


def register_prover(
    prover: bytes, kinds: Sequence[str], *, owner: bytes | None = None, operator: bytes = bytes(20), io_id: int = 0
) -> bytes:
    """To `fleet`, by the prover itself, or by a coordinator when `owner` is the prover (the default)."""
    hashes = [kind_hash(kind) for kind in kinds]
    return encode_call("FleetManagement", "registerProver", prover, owner or prover, operator, io_id, hashes)


def set_capabilities(prover: bytes, kinds: Sequence[str]) -> bytes:
    """To `fleet`, by the prover's owner; no kinds retires the prover."""
    return encode_call("FleetManagement", "setCapabilities", prover, [kind_hash(kind) for kind in kinds])


def heartbeat(provers: Sequence[bytes]) -> bytes:
    """To `fleet`, by the prover, its operator or a coordinator."""
    return encode_call("FleetManagement", "heartbeat", list(provers))


def call_out(prover: bytes) -> bytes:
    """To `fleet`, by anyone, after the prover's heartbeat timed out."""
    return encode_call("FleetManagement", "callOut", prover)


def mirror(statuses: Sequence[StatusUpdate]) -> bytes:
    """To `fleet`, by a coordinator."""
    return encode_call("FleetManagement", "mirror", [each.words() for each in statuses])


def apply_batch(
    tasks: Sequence[TaskRecord] = (),
    assignments: Sequence[Assignment] = (),
    statuses: Sequence[StatusUpdate] = (),
) -> bytes:
    """To `fleet`, by a coordinator: statuses, then tasks, then assignments, all or none."""
    return encode_call(
        "FleetManagement",
        "applyBatch",
        [each.words() for each in tasks],
        [each.words() for each in assignments],
        [each.words() for each in statuses],
    )


def recall(task_id: bytes, prover: bytes, kind: str) -> bytes:
    """To `fleet`, by anyone, after the assignment's deadline."""
    return encode_call("FleetManagement", "recall", task_id, prover, kind_hash(kind))


def set_coordinator(account: bytes, allowed: bool) -> bytes:
    """To `fleet`, by the contract's owner."""
    return encode_call("FleetManagement", "setCoordinator", account, allowed)


def settle(statement: Statement, kind: str, public_output: bytes, proof: bytes) -> bytes:
    """To `router`, by anyone."""
    return encode_call("Router", "settle", statement.words(), kind_hash(kind), public_output, proof)


def retry_dapp(task_id: bytes, public_output: bytes) -> bytes:
    """To `router`, by anyone, while the task's dApp call stands as failed."""
    return encode_call("Router", "retryDapp", task_id, public_output)


def report_unconfirmed(task_id: bytes) -> bytes:
    """To `router`, by anyone, once the time to confirm the settled task is over."""
    return encode_call("Router", "reportUnconfirmed", task_id)


def register_verifying_key(key: bytes) -> bytes:
    """To `groth16`, by anyone; `key` is the ABI encoding of docs/reference/encodings.md §4."""
    return encode_call("Groth16Verifier", "register", key)


def verify(statement: Statement, public_output: bytes, proof: bytes) -> bytes:
    """To any IVerifier, for eth_call with `from` set to its Router: returns a bool, or reverts for malformed input.

    A verifier answers its Router only; for any other `from` it reverts with NotRouter.
    """
    return encode_call("Groth16Verifier", "verify", statement.words(), public_output, proof)
