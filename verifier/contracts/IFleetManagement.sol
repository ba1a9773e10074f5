// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    Assignment,
    AssignmentState,
    Completeness,
    ProverStatus,
    StatusUpdate,
    Task,
    TaskRecord
} from "./Types.sol";

/// @title Provers, tasks and assignments
interface IFleetManagement {
    /// @notice A prover exists.
    event ProverRegistered(address indexed prover, address indexed owner, address indexed operator, uint256 ioId);
    /// @notice The prover's kinds are now these, and no others.
    event CapabilitiesSet(address indexed prover, bytes32[] kinds);
    /// @notice The prover's operator, who may send its heartbeat, changed.
    event OperatorSet(address indexed prover, address indexed operator);
    /// @notice The owner offered the prover to `to`; a zero address withdraws the offer.
    event ProverTransferStarted(address indexed prover, address indexed from, address indexed to);
    /// @notice `to` accepted the prover.
    event ProverTransferred(address indexed prover, address indexed from, address indexed to);
    /// @notice The prover was alive at `timestamp`.
    event Heartbeat(address indexed prover, uint64 timestamp);
    /// @notice The prover's stored status changed.
    event StatusChanged(address indexed prover, ProverStatus status);
    /// @notice Anyone called out that the prover's heartbeat had timed out.
    event HeartbeatMissed(address indexed prover, uint64 lastHeartbeat, address indexed by);
    /// @notice A task was recorded.
    event TaskRecorded(
        bytes32 indexed taskId,
        uint256 indexed projectId,
        uint32 indexed projectVersion,
        bytes32 inputs,
        bytes32 readingsRoot,
        uint64 windowStart,
        uint64 windowEnd,
        uint32 count,
        Completeness completeness
    );
    /// @notice An attempt was recorded.
    event TaskAssigned(
        bytes32 indexed taskId, address indexed prover, bytes32 indexed kind, uint64 deadline, uint64 fence
    );
    /// @notice An attempt missed its deadline and was called out.
    event AssignmentRecalled(
        bytes32 indexed taskId, address indexed prover, bytes32 indexed kind, uint64 fence, address by
    );
    /// @notice `account` may, or may no longer, record, assign and mirror.
    event CoordinatorSet(address indexed account, bool allowed);
    /// @notice A prover unheard of for this long reads as Offline.
    event HeartbeatTimeoutSet(uint64 secondsAllowed);
    /// @notice The Router was named; it never changes.
    event RouterSet(address indexed router);

    /// @notice The caller is no coordinator.
    error NotCoordinator(address caller);
    /// @notice The caller may not do this for the prover.
    error NotProverOwner(address prover, address caller);
    /// @notice The caller is neither the prover, nor its operator, nor a coordinator.
    error NotOperator(address prover, address caller);
    /// @notice The prover is already registered.
    error ProverExists(address prover);
    /// @notice No such prover.
    error UnknownProver(address prover);
    /// @notice An address must be given.
    error ZeroAddress();
    /// @notice More kinds than a prover may have, or one that is zero or given twice.
    error InvalidKinds();
    /// @notice The timeout must lie between 10 seconds and 7 days.
    error InvalidTimeout(uint64 secondsAllowed);
    /// @notice The Router was named already.
    error RouterAlreadySet(address router);
    /// @notice The prover's heartbeat has not timed out, or it is Offline already.
    error HeartbeatNotMissed(address prover);
    /// @notice The project is paused.
    error ProjectInactive(uint256 projectId);
    /// @notice The opening's device-set root is not the version's.
    error DeviceSetMismatch(bytes32 published, bytes32 given);
    /// @notice Not 0 < windowStart < windowEnd.
    error InvalidWindow(uint64 windowStart, uint64 windowEnd);
    /// @notice Not 1 <= count <= min(windowEnd - windowStart, the version's capacity).
    error InvalidCount(uint32 count, uint64 most);
    /// @notice Not missing < 2^63, duplicates <= windowEnd - windowStart - count, late <= reordered <= count.
    error InvalidCompleteness(Completeness given);
    /// @notice The window starts before the end of the version's last one.
    error WindowOverlap(uint256 projectId, uint32 version, uint64 lastEnd, uint64 windowStart);
    /// @notice The same window was recorded with other inputs.
    error TaskConflict(bytes32 taskId, bytes32 recorded, bytes32 given);
    /// @notice No such task.
    error UnknownTask(bytes32 taskId);
    /// @notice The prover has not registered the kind.
    error NotCapable(address prover, bytes32 kind);
    /// @notice The prover is Offline.
    error ProverOffline(address prover);
    /// @notice The deadline is in the past.
    error DeadlinePassed(bytes32 taskId, address prover, uint64 deadline);
    /// @notice The attempt's fence is not higher than the recorded one.
    error StaleFence(bytes32 taskId, address prover, bytes32 kind, uint64 recorded, uint64 given);
    /// @notice No such assignment.
    error UnknownAssignment(bytes32 taskId, address prover, bytes32 kind);
    /// @notice The deadline has not passed.
    error DeadlineNotPassed(uint64 deadline);
    /// @notice The assignment is recalled already.
    error AlreadyRecalled(bytes32 taskId, address prover, bytes32 kind);
    /// @notice The kind is verified for the task: nobody owes it any more.
    error KindVerified(bytes32 taskId, bytes32 kind);

    /// @notice Registers a prover. The prover itself may name any owner; a coordinator may register a prover that then
    /// owns itself, so that nobody can take another's address.
    /// @param prover Address that is paid and stands in Statements.
    /// @param owner Who may change operator and kinds.
    /// @param operator Who may send heartbeats; zero for none.
    /// @param ioId The prover's ioID, reserved; 0 for none.
    /// @param kinds keccak256 of each proof kind it can do, at most 16.
    function registerProver(address prover, address owner, address operator, uint256 ioId, bytes32[] calldata kinds)
        external;

    /// @notice Replaces the prover's kinds; an empty list retires it. Only its owner may call.
    function setCapabilities(address prover, bytes32[] calldata kinds) external;

    /// @notice Names the prover's operator. Only its owner may call.
    function setOperator(address prover, address operator) external;

    /// @notice Offers the prover to `to`, who must accept. Only its owner may call.
    function transferProver(address prover, address to) external;

    /// @notice Accepts an offered prover. Only the one it was offered to may call.
    function acceptProver(address prover) external;

    /// @notice Says that the provers are alive; an Offline one becomes Idle. The prover, its operator or a coordinator.
    function heartbeat(address[] calldata provers) external;

    /// @notice Marks a prover whose heartbeat has timed out as Offline. Anyone may call.
    function callOut(address prover) external;

    /// @notice Mirrors the ledger's view of provers; Idle and Busy count as a heartbeat. Only a coordinator may call.
    function mirror(StatusUpdate[] calldata statuses) external;

    /// @notice Records tasks. An exact repeat is passed over without an event. Only a coordinator may call.
    function recordTasks(TaskRecord[] calldata tasks) external;

    /// @notice Records attempts. An exact repeat is passed over without an event. Only a coordinator may call.
    function assign(Assignment[] calldata assignments) external;

    /// @notice `mirror`, `recordTasks` and `assign` in one transaction, in this order. Only a coordinator may call.
    function applyBatch(
        TaskRecord[] calldata tasks,
        Assignment[] calldata assignments,
        StatusUpdate[] calldata statuses
    ) external;

    /// @notice Calls out an attempt that missed its deadline. Anyone may call.
    function recall(bytes32 taskId, address prover, bytes32 kind) external;

    /// @notice A registered prover. `status` is the one of now: Offline after the heartbeat timeout.
    function proverOf(address prover)
        external
        view
        returns (
            address owner,
            address pendingOwner,
            address operator,
            uint256 ioId,
            uint64 lastHeartbeat,
            ProverStatus status,
            bytes32[] memory kinds
        );

    /// @notice The prover's status now.
    function statusOf(address prover) external view returns (ProverStatus);

    /// @notice Whether the prover registered the kind.
    function hasCapability(address prover, bytes32 kind) external view returns (bool);

    /// @notice A recorded task; all zero when there is none.
    function taskOf(bytes32 taskId) external view returns (Task memory);

    /// @notice A recorded attempt; all zero when there is none.
    function assignmentOf(bytes32 taskId, address prover, bytes32 kind)
        external
        view
        returns (AssignmentState memory);

    /// @notice `taskOf` and `assignmentOf` in one call, for the Router.
    function recordOf(bytes32 taskId, address prover, bytes32 kind)
        external
        view
        returns (Task memory, AssignmentState memory);

    /// @notice End of the version's last recorded window, or zero.
    function lastWindowEnd(uint256 projectId, uint32 version) external view returns (uint64);
}
