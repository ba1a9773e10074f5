// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Confirmation, Conflict, Statement, TaskState} from "./Types.sol";

/// @title Where proofs are settled
interface IRouter {
    /// @notice A proof was accepted. `verified` of `threshold` distinct kinds are now verified, without the one that
    /// confirms.
    event ProofVerified(
        bytes32 indexed taskId,
        bytes32 indexed kind,
        address indexed prover,
        bytes32 programId,
        bytes32 output,
        uint8 verified,
        uint8 threshold
    );
    /// @notice The threshold was reached; happens once for a task.
    event TaskSettled(
        bytes32 indexed taskId,
        uint256 indexed projectId,
        uint32 indexed projectVersion,
        bytes32 output,
        address prover,
        bytes publicOutput
    );
    /// @notice A second, different output was proven for the task. Nothing more is accepted or delivered for it.
    event TaskFrozen(
        bytes32 indexed taskId, bytes32 indexed kind, address indexed prover, bytes32 first, bytes32 second
    );
    /// @notice The second stage: the kind that confirms proved the same output. Emitted after its ProofVerified, once
    /// for a task, and also where the task has not settled yet. `late` when it came after `confirmBy`.
    event TaskConfirmed(
        bytes32 indexed taskId, bytes32 indexed kind, address indexed prover, bytes32 output, bool late
    );
    /// @notice Somebody called out that the task is not confirmed although its time is over; once for a task. A proof
    /// may still come.
    event TaskUnconfirmed(bytes32 indexed taskId, bytes32 indexed kind, uint64 confirmBy);
    /// @notice The dApp took the result; happens once for a task.
    event DappProcessed(bytes32 indexed taskId, address indexed dapp);
    /// @notice The dApp refused the result or ran out of gas; `reason` is its revert data, at most 256 bytes.
    event DappFailed(bytes32 indexed taskId, address indexed dapp, bytes reason);

    /// @notice FleetManagement has no such task.
    error TaskNotRecorded(bytes32 taskId);
    /// @notice The task was recorded for another project or version.
    error ProjectMismatch(bytes32 taskId, uint256 recordedProject, uint32 recordedVersion);
    /// @notice The Statement's inputs are not the recorded ones.
    error InputsMismatch(bytes32 taskId, bytes32 recorded, bytes32 given);
    /// @notice The recorded device-set root is not the published one.
    error DeviceSetMismatch(bytes32 published, bytes32 recorded);
    /// @notice The project is paused.
    error ProjectInactive(uint256 projectId);
    /// @notice The prover has no assignment for this task and kind.
    error NotAssigned(bytes32 taskId, address prover, bytes32 kind);
    /// @notice The assignment was recalled.
    error AssignmentRecalled(bytes32 taskId, address prover, bytes32 kind);
    /// @notice The assignment's deadline has passed.
    error DeadlinePassed(uint64 deadline, uint256 timestamp);
    /// @notice The version publishes no program of this kind.
    error KindNotPublished(bytes32 kind);
    /// @notice The version's program of this kind is another one.
    error ProgramNotPublished(bytes32 published, bytes32 given);
    /// @notice keccak256(publicOutput) is not the Statement's output.
    error OutputMismatch(bytes32 computed, bytes32 given);
    /// @notice The verifier says that the proof does not hold.
    error ProofRefused(bytes32 programId, address verifier);
    /// @notice This kind is verified for the task with the same output; nothing is left to do.
    error AlreadyVerified(bytes32 taskId, bytes32 kind);
    /// @notice Two different outputs were proven for the task.
    error TaskIsFrozen(bytes32 taskId);
    /// @notice The version wants independent operators, and the prover owns itself and names none.
    error OperatorUnnamed(bytes32 taskId, address prover);
    /// @notice The version wants independent operators, and this prover, owner or operator stands behind a proof that is
    /// accepted for the task.
    error OperatorCounted(bytes32 taskId, address party);
    /// @notice This Router is for production, and the verifier does not say that it trusts no simulated anchor.
    error SimulatedVerifier(address verifier);
    /// @notice Too little gas to give the dApp its full allowance; send at least `required` at this point.
    error InsufficientGas(uint256 available, uint256 required);
    /// @notice There is no failed dApp call to retry.
    error NothingToRetry(bytes32 taskId);
    /// @notice No confirmation of the task is missing: its version has one stage, it has not settled, or it is confirmed.
    error NothingAwaited(bytes32 taskId);
    /// @notice There is still time to confirm the task.
    error ConfirmationNotOverdue(uint64 confirmBy, uint256 timestamp);
    /// @notice Somebody called it out before.
    error AlreadyReported(bytes32 taskId);

    /// @notice EIP-712 digest of a Statement under this Router's domain.
    function digest(Statement calldata s) external view returns (bytes32);

    /// @notice Whether this Router refuses verifiers that rest on a simulated trust anchor. Never changes.
    function isProduction() external view returns (bool);

    /// @notice Checks a proof and records it; at the version's threshold the task settles and its dApp is called. A proof
    /// of the kind that confirms counts for nothing, whenever it comes: it confirms the task, or freezes it. Anyone may call: what counts is `s.prover`, never the caller.
    /// @param s What is claimed.
    /// @param kind keccak256 of the proof kind.
    /// @param publicOutput Canonical ABI encoding of the program's output.
    /// @param proof As the published verifier takes it.
    function settle(Statement calldata s, bytes32 kind, bytes calldata publicOutput, bytes calldata proof) external;

    /// @notice Calls the dApp again for a settled task whose call failed. Anyone may call.
    /// @param taskId Settled task.
    /// @param publicOutput The settled output.
    function retryDapp(bytes32 taskId, bytes calldata publicOutput) external;

    /// @notice Calls out that a settled task was not confirmed in time: an event, once. Anyone may call.
    function reportUnconfirmed(bytes32 taskId) external;

    /// @notice Where the task's second stage stands as of the block's timestamp; all zero for a task without proofs.
    function confirmationOf(bytes32 taskId) external view returns (Confirmation memory);

    /// @notice Where the task stands.
    function taskState(bytes32 taskId) external view returns (TaskState memory);

    /// @notice The two outputs of a frozen task; all zero for any other.
    function conflictOf(bytes32 taskId) external view returns (Conflict memory);

    /// @notice Prover whose proof of `kind` was accepted for the task, or zero.
    function verifiedBy(bytes32 taskId, bytes32 kind) external view returns (address);
}
