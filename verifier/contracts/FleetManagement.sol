// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IFleetManagement} from "./IFleetManagement.sol";
import {IProjectRegistry} from "./IProjectRegistry.sol";
import {IRouter} from "./IRouter.sol";
import {
    Assignment,
    AssignmentState,
    Opening,
    ProverStatus,
    StatusUpdate,
    Task,
    TaskRecord,
    isPossible
} from "./Types.sol";

/// @title Provers, tasks and assignments
/// @notice Ledger leases decide in the moment; this contract is what the world reads, and what enforces: only a
/// recorded task and a recorded, live assignment settle. The owner names coordinators and the heartbeat timeout.
contract FleetManagement is IFleetManagement, Ownable2Step {
    /// @notice Most kinds a prover may register.
    uint256 public constant MAX_KINDS = 16;

    struct Prover {
        address owner;
        uint64 lastHeartbeat;
        ProverStatus status;
        address pendingOwner;
        address operator;
        uint256 ioId;
        bytes32[] kinds;
    }

    /// @notice Where versions are read from.
    IProjectRegistry public immutable REGISTRY;
    /// @notice The Router, whose accepted proofs cannot be recalled; zero until named.
    IRouter public router;
    /// @notice Seconds after its last heartbeat at which a prover reads as Offline.
    uint64 public heartbeatTimeout;
    /// @notice Whether the account may record, assign and mirror.
    mapping(address account => bool) public isCoordinator;
    /// @inheritdoc IFleetManagement
    mapping(address prover => mapping(bytes32 kind => bool)) public hasCapability;
    /// @inheritdoc IFleetManagement
    mapping(uint256 projectId => mapping(uint32 version => uint64)) public lastWindowEnd;

    mapping(address prover => Prover) private _provers;
    mapping(bytes32 taskId => Task) private _tasks;
    mapping(bytes32 key => AssignmentState) private _assignments;

    modifier onlyCoordinator() {
        if (!isCoordinator[msg.sender]) revert NotCoordinator(msg.sender);
        _;
    }

    modifier onlyProverOwner(address prover) {
        if (_registered(prover).owner != msg.sender) revert NotProverOwner(prover, msg.sender);
        _;
    }

    /// @param owner Names coordinators, the timeout and, once, the Router.
    /// @param registry ProjectRegistry.
    /// @param coordinator First coordinator.
    /// @param timeout Heartbeat timeout, seconds.
    constructor(address owner, IProjectRegistry registry, address coordinator, uint64 timeout) Ownable(owner) {
        if (address(registry) == address(0)) revert ZeroAddress();
        REGISTRY = registry;
        _setCoordinator(coordinator, true);
        _setHeartbeatTimeout(timeout);
    }

    // --- administration ---

    /// @notice Adds or removes a coordinator. Only the contract's owner may call.
    function setCoordinator(address account, bool allowed) external onlyOwner {
        _setCoordinator(account, allowed);
    }

    /// @notice Sets the heartbeat timeout, 10 seconds to 7 days. Only the contract's owner may call.
    function setHeartbeatTimeout(uint64 secondsAllowed) external onlyOwner {
        _setHeartbeatTimeout(secondsAllowed);
    }

    /// @notice Names the Router, once. Only the contract's owner may call.
    function setRouter(IRouter named) external onlyOwner {
        if (address(named) == address(0)) revert ZeroAddress();
        if (address(router) != address(0)) revert RouterAlreadySet(address(router));
        router = named;
        emit RouterSet(address(named));
    }

    // --- provers ---

    /// @inheritdoc IFleetManagement
    function registerProver(address prover, address owner, address operator, uint256 ioId, bytes32[] calldata kinds)
        external
    {
        if (prover == address(0) || owner == address(0)) revert ZeroAddress();
        // A sponsor may pay for the registration, but never end up owning somebody else's address.
        bool sponsored = isCoordinator[msg.sender] && owner == prover;
        if (msg.sender != prover && !sponsored) revert NotProverOwner(prover, msg.sender);
        Prover storage created = _provers[prover];
        if (created.owner != address(0)) revert ProverExists(prover);
        created.owner = owner;
        created.operator = operator;
        created.ioId = ioId;
        emit ProverRegistered(prover, owner, operator, ioId);
        _setKinds(prover, created, kinds);
    }

    /// @inheritdoc IFleetManagement
    function setCapabilities(address prover, bytes32[] calldata kinds) external onlyProverOwner(prover) {
        Prover storage changed = _provers[prover];
        for (uint256 i = 0; i < changed.kinds.length; ++i) {
            delete hasCapability[prover][changed.kinds[i]];
        }
        _setKinds(prover, changed, kinds);
    }

    /// @inheritdoc IFleetManagement
    function setOperator(address prover, address operator) external onlyProverOwner(prover) {
        _provers[prover].operator = operator;
        emit OperatorSet(prover, operator);
    }

    /// @inheritdoc IFleetManagement
    function transferProver(address prover, address to) external onlyProverOwner(prover) {
        _provers[prover].pendingOwner = to;
        emit ProverTransferStarted(prover, msg.sender, to);
    }

    /// @inheritdoc IFleetManagement
    function acceptProver(address prover) external {
        Prover storage offered = _registered(prover);
        if (offered.pendingOwner != msg.sender) revert NotProverOwner(prover, msg.sender);
        emit ProverTransferred(prover, offered.owner, msg.sender);
        offered.owner = msg.sender;
        offered.pendingOwner = address(0);
    }

    /// @inheritdoc IFleetManagement
    function heartbeat(address[] calldata provers) external {
        bool coordinator = isCoordinator[msg.sender];
        for (uint256 i = 0; i < provers.length; ++i) {
            Prover storage alive = _registered(provers[i]);
            if (!coordinator && msg.sender != provers[i] && msg.sender != alive.operator) {
                revert NotOperator(provers[i], msg.sender);
            }
            _beat(provers[i], alive);
            if (alive.status == ProverStatus.Offline) _setStatus(provers[i], alive, ProverStatus.Idle);
        }
    }

    /// @inheritdoc IFleetManagement
    function callOut(address prover) external {
        Prover storage silent = _registered(prover);
        if (silent.status == ProverStatus.Offline || !_timedOut(silent)) revert HeartbeatNotMissed(prover);
        emit HeartbeatMissed(prover, silent.lastHeartbeat, msg.sender);
        _setStatus(prover, silent, ProverStatus.Offline);
    }

    // --- the coordinator's batches ---

    /// @inheritdoc IFleetManagement
    function mirror(StatusUpdate[] calldata statuses) external onlyCoordinator {
        _mirror(statuses);
    }

    /// @inheritdoc IFleetManagement
    function recordTasks(TaskRecord[] calldata tasks) external onlyCoordinator {
        _recordTasks(tasks);
    }

    /// @inheritdoc IFleetManagement
    function assign(Assignment[] calldata assignments) external onlyCoordinator {
        _assign(assignments);
    }

    /// @inheritdoc IFleetManagement
    function applyBatch(
        TaskRecord[] calldata tasks,
        Assignment[] calldata assignments,
        StatusUpdate[] calldata statuses
    ) external onlyCoordinator {
        // Statuses first: a prover that comes online may be assigned in the same block.
        _mirror(statuses);
        _recordTasks(tasks);
        _assign(assignments);
    }

    /// @inheritdoc IFleetManagement
    function recall(bytes32 taskId, address prover, bytes32 kind) external {
        AssignmentState storage missed = _assignments[_assignmentKey(taskId, prover, kind)];
        if (missed.fence == 0) revert UnknownAssignment(taskId, prover, kind);
        if (missed.recalled) revert AlreadyRecalled(taskId, prover, kind);
        if (block.timestamp <= missed.deadline) revert DeadlineNotPassed(missed.deadline);
        if (address(router) != address(0) && router.verifiedBy(taskId, kind) != address(0)) {
            revert KindVerified(taskId, kind);
        }
        missed.recalled = true;
        emit AssignmentRecalled(taskId, prover, kind, missed.fence, msg.sender);
    }

    // --- views ---

    /// @inheritdoc IFleetManagement
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
        )
    {
        Prover storage found = _registered(prover);
        return (
            found.owner,
            found.pendingOwner,
            found.operator,
            found.ioId,
            found.lastHeartbeat,
            _statusNow(found),
            found.kinds
        );
    }

    /// @inheritdoc IFleetManagement
    function statusOf(address prover) external view returns (ProverStatus) {
        return _statusNow(_provers[prover]);
    }

    /// @inheritdoc IFleetManagement
    function taskOf(bytes32 taskId) external view returns (Task memory) {
        return _tasks[taskId];
    }

    /// @inheritdoc IFleetManagement
    function assignmentOf(bytes32 taskId, address prover, bytes32 kind)
        external
        view
        returns (AssignmentState memory)
    {
        return _assignments[_assignmentKey(taskId, prover, kind)];
    }

    /// @inheritdoc IFleetManagement
    function recordOf(bytes32 taskId, address prover, bytes32 kind)
        external
        view
        returns (Task memory, AssignmentState memory)
    {
        return (_tasks[taskId], _assignments[_assignmentKey(taskId, prover, kind)]);
    }

    // --- internals ---

    function _setCoordinator(address account, bool allowed) private {
        if (account == address(0)) revert ZeroAddress();
        isCoordinator[account] = allowed;
        emit CoordinatorSet(account, allowed);
    }

    function _setHeartbeatTimeout(uint64 secondsAllowed) private {
        if (secondsAllowed < 10 seconds || secondsAllowed > 7 days) revert InvalidTimeout(secondsAllowed);
        heartbeatTimeout = secondsAllowed;
        emit HeartbeatTimeoutSet(secondsAllowed);
    }

    function _setKinds(address prover, Prover storage changed, bytes32[] calldata kinds) private {
        if (kinds.length > MAX_KINDS) revert InvalidKinds();
        for (uint256 i = 0; i < kinds.length; ++i) {
            if (kinds[i] == 0 || hasCapability[prover][kinds[i]]) revert InvalidKinds();
            hasCapability[prover][kinds[i]] = true;
        }
        changed.kinds = kinds;
        emit CapabilitiesSet(prover, kinds);
    }

    function _mirror(StatusUpdate[] calldata statuses) private {
        for (uint256 i = 0; i < statuses.length; ++i) {
            Prover storage changed = _registered(statuses[i].prover);
            if (statuses[i].status != ProverStatus.Offline) _beat(statuses[i].prover, changed);
            if (changed.status != statuses[i].status) _setStatus(statuses[i].prover, changed, statuses[i].status);
        }
    }

    function _beat(address prover, Prover storage alive) private {
        if (alive.lastHeartbeat == block.timestamp) return;
        alive.lastHeartbeat = uint64(block.timestamp);
        emit Heartbeat(prover, uint64(block.timestamp));
    }

    function _setStatus(address prover, Prover storage changed, ProverStatus status) private {
        changed.status = status;
        emit StatusChanged(prover, status);
    }

    function _recordTasks(TaskRecord[] calldata tasks) private {
        for (uint256 i = 0; i < tasks.length; ++i) {
            _recordTask(tasks[i]);
        }
    }

    function _recordTask(TaskRecord calldata given) private {
        Opening calldata opening = given.opening;
        bytes32 taskId = keccak256(
            abi.encode(given.projectId, given.projectVersion, opening.windowStart, opening.windowEnd)
        );
        bytes32 inputs = keccak256(abi.encode(opening));
        bytes32 recorded = _tasks[taskId].inputs;
        if (recorded == inputs) return;
        if (recorded != 0) revert TaskConflict(taskId, recorded, inputs);

        _checkOpening(given.projectId, given.projectVersion, opening);
        lastWindowEnd[given.projectId][given.projectVersion] = opening.windowEnd;
        _tasks[taskId] = Task({
            // ProjectRegistry counts ids from 1, so they never reach 2^64.
            projectId: uint64(given.projectId),
            projectVersion: given.projectVersion,
            windowStart: opening.windowStart,
            windowEnd: opening.windowEnd,
            count: opening.count,
            inputs: inputs,
            deviceSetRoot: opening.deviceSetRoot
        });
        emit TaskRecorded(
            taskId,
            given.projectId,
            given.projectVersion,
            inputs,
            opening.readingsRoot,
            opening.windowStart,
            opening.windowEnd,
            opening.count,
            opening.completeness
        );
    }

    function _checkOpening(uint256 projectId, uint32 version, Opening calldata opening) private view {
        (bool active, bytes32 deviceSetRoot, uint32 capacity) = REGISTRY.taskTerms(projectId, version);
        if (!active) revert ProjectInactive(projectId);
        if (opening.deviceSetRoot != deviceSetRoot) revert DeviceSetMismatch(deviceSetRoot, opening.deviceSetRoot);
        if (opening.windowStart == 0 || opening.windowStart >= opening.windowEnd) {
            revert InvalidWindow(opening.windowStart, opening.windowEnd);
        }
        uint64 span = opening.windowEnd - opening.windowStart;
        uint64 most = span > capacity ? capacity : span;
        if (opening.count == 0 || opening.count > most) revert InvalidCount(opening.count, most);
        if (!isPossible(opening.completeness, opening.count, span)) revert InvalidCompleteness(opening.completeness);
        uint64 lastEnd = lastWindowEnd[projectId][version];
        if (opening.windowStart < lastEnd) revert WindowOverlap(projectId, version, lastEnd, opening.windowStart);
    }

    function _assign(Assignment[] calldata assignments) private {
        for (uint256 i = 0; i < assignments.length; ++i) {
            _assignOne(assignments[i]);
        }
    }

    function _assignOne(Assignment calldata given) private {
        AssignmentState storage state = _assignments[_assignmentKey(given.taskId, given.prover, given.kind)];
        bool repeated = given.fence != 0 && given.fence == state.fence && given.deadline == state.deadline;
        if (repeated && !state.recalled) return;
        if (given.fence <= state.fence) {
            revert StaleFence(given.taskId, given.prover, given.kind, state.fence, given.fence);
        }
        if (_tasks[given.taskId].inputs == 0) revert UnknownTask(given.taskId);
        if (!hasCapability[given.prover][given.kind]) revert NotCapable(given.prover, given.kind);
        if (_statusNow(_provers[given.prover]) == ProverStatus.Offline) revert ProverOffline(given.prover);
        if (given.deadline <= block.timestamp) revert DeadlinePassed(given.taskId, given.prover, given.deadline);
        state.deadline = given.deadline;
        state.fence = given.fence;
        state.recalled = false;
        emit TaskAssigned(given.taskId, given.prover, given.kind, given.deadline, given.fence);
    }

    function _registered(address prover) private view returns (Prover storage found) {
        found = _provers[prover];
        if (found.owner == address(0)) revert UnknownProver(prover);
    }

    function _statusNow(Prover storage read) private view returns (ProverStatus) {
        return _timedOut(read) ? ProverStatus.Offline : read.status;
    }

    function _timedOut(Prover storage read) private view returns (bool) {
        return block.timestamp > uint256(read.lastHeartbeat) + heartbeatTimeout;
    }

    function _assignmentKey(bytes32 taskId, address prover, bytes32 kind) private pure returns (bytes32) {
        return keccak256(abi.encode(taskId, prover, kind));
    }
}
