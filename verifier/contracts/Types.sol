// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What a proof proves, for whom, and where it counts: the one EIP-712 struct that every kind of proof is
/// checked against (docs/reference/encodings.md §3).
/// @param projectId Project in ProjectRegistry, 1 or more, below 2^64.
/// @param projectVersion Published version of the project, 1 or more.
/// @param taskId keccak256(abi.encode(projectId, projectVersion, windowStart, windowEnd)).
/// @param inputs keccak256(abi.encode(Opening)).
/// @param output keccak256 of the canonical ABI encoding of the program's public output.
/// @param programId keccak256(abi.encode(kind, artifact)).
/// @param prover Address that is paid; never msg.sender.
struct Statement {
    uint256 projectId;
    uint32 projectVersion;
    bytes32 taskId;
    bytes32 inputs;
    bytes32 output;
    bytes32 programId;
    address prover;
}

/// @notice What a window lacks (docs/reference/encodings.md §2.1).
/// @param missing Sequence numbers between two of a device's readings in the window that are not in it; at most
/// 2^63 - 1, which means that many or more. A proof with provenance `in-proof` proves it.
/// @param duplicates Messages in the window's positions that repeat an accepted reading. Stated by the coordinator.
/// @param late Readings that came when a higher sequence of their device was in an earlier window. Stated.
/// @param reordered Readings that came when a higher sequence of their device was there already, late ones included.
/// Stated.
struct Completeness {
    uint64 missing;
    uint32 duplicates;
    uint32 late;
    uint32 reordered;
}

/// @notice What `inputs` commits to.
/// @param readingsRoot Root of the window's readings under the version's commitment scheme.
/// @param deviceSetRoot Root of the version's device set.
/// @param windowStart First position of the window in the project's DA stream, 1 or more.
/// @param windowEnd First position after the window.
/// @param count Accepted readings in the window, 1 to windowEnd - windowStart.
/// @param completeness What the window lacks.
struct Opening {
    bytes32 readingsRoot;
    bytes32 deviceSetRoot;
    uint64 windowStart;
    uint64 windowEnd;
    uint32 count;
    Completeness completeness;
}

/// Whether a window of `count` readings over `span` positions, count <= span, can have these numbers.
function isPossible(Completeness memory c, uint32 count, uint64 span) pure returns (bool) {
    return c.missing <= uint64(type(int64).max) && c.duplicates <= span - count && c.late <= c.reordered
        && c.reordered <= count;
}

/// @notice One way to prove a project version's tasks.
/// @param kind Proof kind in words, such as "zkp.groth16"; 1 to 64 bytes.
/// @param programId keccak256(abi.encode(kind, artifact)).
/// @param verifier IVerifier that checks proofs of this kind.
struct Program {
    string kind;
    bytes32 programId;
    address verifier;
}

/// @notice A project version as its owner publishes it; never changed afterwards.
/// @param version Number, larger than every earlier one of the project.
/// @param configHash keccak256 of the project file.
/// @param configUri Where the project file can be fetched; at most 512 bytes.
/// @param deviceSetRoot Root of the device set under the commitment scheme.
/// @param scheme keccak256 of the commitment scheme's name, such as "poseidon-bn254-v1".
/// @param dapp IDapp that receives results, or the zero address for none.
/// @param windowCapacity Most readings a window holds; a power of two.
/// @param threshold Distinct kinds that must verify before a task settles, without the one that confirms.
/// @param programs One entry a kind, 1 to 16.
struct Version {
    uint32 version;
    bytes32 configHash;
    string configUri;
    bytes32 deviceSetRoot;
    bytes32 scheme;
    address dapp;
    uint32 windowCapacity;
    uint8 threshold;
    Program[] programs;
}

/// @notice What a version's assurance asks for beyond its threshold; never changed afterwards.
/// @param independent Nobody may stand behind two accepted proofs of a task, as prover, as its owner or as its operator.
/// @param confirmWithin Seconds after its settlement in which a task is to be confirmed, 1 to 30 days; zero without a
/// second stage.
/// @param confirmKind keccak256 of the kind that confirms, one of the version's programs; it counts for nothing else.
/// Zero without a second stage.
struct Policy {
    bool independent;
    uint32 confirmWithin;
    bytes32 confirmKind;
}

/// @notice What the Router needs from ProjectRegistry to judge one proof.
/// @param active False while the project is paused.
/// @param programId Published program of the kind, or zero when the version has no such kind.
/// @param verifier Published verifier of the kind.
/// @param kindIndex Position of the kind in the version's programs.
/// @param deviceSetRoot Root of the version's device set.
/// @param dapp IDapp of the version, or zero.
/// @param threshold Distinct kinds that must verify.
/// @param independent Whether accepted proofs need different provers, owners and operators.
/// @param confirms Whether the kind is the one that confirms, and does not count towards the threshold.
/// @param confirmWithin Seconds after the settlement in which it is awaited; zero without a second stage.
struct Terms {
    bool active;
    bytes32 programId;
    address verifier;
    uint8 kindIndex;
    bytes32 deviceSetRoot;
    address dapp;
    uint8 threshold;
    bool independent;
    bool confirms;
    uint32 confirmWithin;
}

/// @notice A prover's availability as of the last block.
enum ProverStatus {
    Offline,
    Idle,
    Busy
}

/// @notice A task to record.
/// @param projectId Project.
/// @param projectVersion Published version.
/// @param opening What the task's `inputs` commits to.
struct TaskRecord {
    uint256 projectId;
    uint32 projectVersion;
    Opening opening;
}

/// @notice A recorded task; three storage words.
struct Task {
    uint64 projectId;
    uint32 projectVersion;
    uint64 windowStart;
    uint64 windowEnd;
    uint32 count;
    bytes32 inputs;
    bytes32 deviceSetRoot;
}

/// @notice An attempt to record: this prover may prove this task by this kind until the deadline.
/// @param taskId Recorded task.
/// @param prover Registered prover.
/// @param kind keccak256 of the proof kind.
/// @param deadline Last moment at which a proof is accepted, Unix seconds.
/// @param fence Fencing token of the attempt, 1 or more; a later attempt of the same prover and kind has a higher one.
struct Assignment {
    bytes32 taskId;
    address prover;
    bytes32 kind;
    uint64 deadline;
    uint64 fence;
}

/// @notice A recorded attempt; one storage word. `fence` is zero when there is none.
struct AssignmentState {
    uint64 deadline;
    uint64 fence;
    bool recalled;
}

/// @notice A prover's status to mirror.
struct StatusUpdate {
    address prover;
    ProverStatus status;
}

/// @notice Where a task stands at the Router.
enum TaskStatus {
    /// No proof accepted.
    None,
    /// At least one kind verified, fewer than the threshold without the one that confirms.
    Proven,
    /// The threshold is reached.
    Settled,
    /// Two different outputs were proven. Final.
    Frozen
}

/// @notice Where the dApp call of a settled task stands.
enum DappStatus {
    /// The task has not settled.
    None,
    /// Delivered once; never again.
    Processed,
    /// The call failed; anyone may retry it.
    Failed,
    /// The version names no dApp.
    Absent
}

/// @notice An accepted proof of one kind.
struct Verification {
    bytes32 kind;
    address prover;
    uint64 blockNumber;
}

/// @notice The proof that froze a task, beside the one that was accepted first.
/// @param first Output that was proven first; zero for a task that is not frozen.
/// @param second Output that contradicts it.
/// @param kind keccak256 of the second proof's kind.
/// @param prover Prover of the second proof.
/// @param blockNumber Block in which it came.
struct Conflict {
    bytes32 first;
    bytes32 second;
    bytes32 kind;
    address prover;
    uint64 blockNumber;
}

/// @notice Where the second stage of a task stands.
enum ConfirmationStatus {
    /// The version has one stage, the task has neither settled nor been confirmed, or it is frozen.
    None,
    /// The task has settled, and there is still time.
    Awaited,
    /// The proof came before the settlement or in time after it.
    Confirmed,
    /// The proof came after the time.
    Late,
    /// The time is over, and no proof has come.
    Missed
}

/// @notice The second stage of a task.
/// @param status Where it stands as of the block's timestamp.
/// @param kind keccak256 of the kind that confirms; zero without a second stage, and before any proof of the task.
/// @param prover Prover of the confirming proof, or zero.
/// @param confirmBy Last moment that is in time, Unix seconds; zero before the settlement.
/// @param confirmedAt When the confirming proof was accepted, Unix seconds, or zero.
/// @param reported Whether somebody called out that it is missing.
struct Confirmation {
    ConfirmationStatus status;
    bytes32 kind;
    address prover;
    uint64 confirmBy;
    uint64 confirmedAt;
    bool reported;
}

/// @notice A task as the Router sees it.
/// @param status Where it stands.
/// @param dapp Where the dApp call stands.
/// @param output keccak256 of the public output that was proven first.
/// @param settledBlock Block in which the threshold was reached, or zero.
/// @param verifications Accepted proofs, one a kind, the confirming one among them.
struct TaskState {
    TaskStatus status;
    DappStatus dapp;
    bytes32 output;
    uint64 settledBlock;
    Verification[] verifications;
}
