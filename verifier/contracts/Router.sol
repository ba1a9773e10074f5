// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IDapp} from "./IDapp.sol";
import {IFleetManagement} from "./IFleetManagement.sol";
import {IProjectRegistry} from "./IProjectRegistry.sol";
import {IRouter} from "./IRouter.sol";
import {ITrustAnchor} from "./ITrustAnchor.sol";
import {IVerifier} from "./IVerifier.sol";
import {
    AssignmentState,
    Confirmation,
    ConfirmationStatus,
    Conflict,
    DappStatus,
    Statement,
    Task,
    TaskState,
    TaskStatus,
    Terms,
    Verification,
    Version
} from "./Types.sol";

/// @title Where proofs are settled
/// @notice Accepts a proof only for a recorded task, from a recorded live assignment, with a published program and
/// verifier. Nobody administers this contract, and it holds no funds.
contract Router is IRouter, EIP712, ReentrancyGuardTransient {
    /// @notice EIP-712 type hash of Statement.
    bytes32 public constant STATEMENT_TYPEHASH = keccak256(
        "Statement(uint256 projectId,uint32 projectVersion,bytes32 taskId,bytes32 inputs,bytes32 output,"
        "bytes32 programId,address prover)"
    );
    /// @notice Gas that a dApp call gets, no more and no less.
    uint256 public constant DAPP_GAS = 500_000;
    /// @notice Gas that the Router keeps for itself around the dApp call: encoding, the account access, the result's
    /// event and storage.
    uint256 public constant DAPP_MARGIN = 60_000;
    /// @notice Most bytes of a dApp's revert data that are recorded; more is never copied.
    uint256 public constant MAX_REASON = 256;

    /// @notice Where versions are read from.
    IProjectRegistry public immutable REGISTRY;
    /// @notice Where tasks and assignments are read from.
    IFleetManagement public immutable FLEET;
    /// @inheritdoc IRouter
    bool public immutable isProduction;

    /// `kinds` has bit i set when program i of the version is verified; `settler` is the program that reached the
    /// threshold, from which the dApp's Statement is rebuilt on a retry. The second stage's moments are Unix seconds; all
    /// but `output` is one storage word.
    struct Progress {
        bytes32 output;
        uint64 settledBlock;
        uint16 kinds;
        uint8 verified;
        uint8 settler;
        TaskStatus status;
        DappStatus dapp;
        uint64 confirmBy;
        uint64 confirmedAt;
        bool reported;
    }

    struct Accepted {
        address prover;
        uint64 blockNumber;
    }

    mapping(bytes32 taskId => Progress) private _progress;
    mapping(bytes32 taskId => mapping(bytes32 kind => Accepted)) private _accepted;
    /// Who stands behind an accepted proof, for tasks whose version wants independent operators.
    mapping(bytes32 taskId => mapping(address party => bool)) private _counted;
    mapping(bytes32 taskId => Conflict) private _conflicts;

    /// @param registry ProjectRegistry.
    /// @param fleet FleetManagement.
    /// @param production Whether verifiers that rest on a simulated trust anchor are refused.
    constructor(IProjectRegistry registry, IFleetManagement fleet, bool production) EIP712("W3bstream", "1") {
        REGISTRY = registry;
        FLEET = fleet;
        isProduction = production;
    }

    /// @inheritdoc IRouter
    function settle(Statement calldata s, bytes32 kind, bytes calldata publicOutput, bytes calldata proof)
        external
        nonReentrant
    {
        Progress storage progress = _progress[s.taskId];
        TaskStatus status = progress.status;
        if (status == TaskStatus.Frozen) revert TaskIsFrozen(s.taskId);
        if (_accepted[s.taskId][kind].prover != address(0) && progress.output == s.output) {
            revert AlreadyVerified(s.taskId, kind);
        }
        Terms memory terms = _checkRecords(s, kind);
        if (keccak256(publicOutput) != s.output) revert OutputMismatch(keccak256(publicOutput), s.output);
        _refuseSimulated(terms.verifier);
        if (!IVerifier(terms.verifier).verify(s, publicOutput, proof)) {
            revert ProofRefused(s.programId, terms.verifier);
        }

        if (status != TaskStatus.None && progress.output != s.output) {
            progress.status = TaskStatus.Frozen;
            _conflicts[s.taskId] = Conflict(progress.output, s.output, kind, s.prover, uint64(block.number));
            emit TaskFrozen(s.taskId, kind, s.prover, progress.output, s.output);
            return;
        }
        if (terms.independent) _countParties(s.taskId, s.prover);
        if (status == TaskStatus.None) {
            progress.output = s.output;
            progress.status = TaskStatus.Proven;
        }
        if (terms.confirms) {
            _confirm(progress, terms, s, kind);
        } else if (_accept(progress, terms, s, kind)) {
            emit TaskSettled(s.taskId, s.projectId, s.projectVersion, s.output, s.prover, publicOutput);
            if (terms.dapp != address(0)) {
                _deliver(progress, terms.dapp, s.taskId, abi.encodeCall(IDapp.process, (s, publicOutput)));
            }
        }
    }

    /// @inheritdoc IRouter
    function retryDapp(bytes32 taskId, bytes calldata publicOutput) external nonReentrant {
        Progress storage progress = _progress[taskId];
        if (progress.status == TaskStatus.Frozen) revert TaskIsFrozen(taskId);
        if (progress.dapp != DappStatus.Failed) revert NothingToRetry(taskId);
        bytes32 computed = keccak256(publicOutput);
        if (computed != progress.output) revert OutputMismatch(computed, progress.output);
        (Statement memory s, address dapp) = _settledStatement(taskId, progress);
        _deliver(progress, dapp, taskId, abi.encodeCall(IDapp.process, (s, publicOutput)));
    }

    /// @inheritdoc IRouter
    function reportUnconfirmed(bytes32 taskId) external {
        Progress storage progress = _progress[taskId];
        if (progress.status == TaskStatus.Frozen) revert TaskIsFrozen(taskId);
        uint64 confirmBy = progress.confirmBy;
        if (confirmBy == 0 || progress.confirmedAt != 0) revert NothingAwaited(taskId);
        if (block.timestamp <= confirmBy) revert ConfirmationNotOverdue(confirmBy, block.timestamp);
        if (progress.reported) revert AlreadyReported(taskId);
        progress.reported = true;
        emit TaskUnconfirmed(taskId, _confirmKind(taskId), confirmBy);
    }

    /// @inheritdoc IRouter
    function digest(Statement calldata s) external view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    STATEMENT_TYPEHASH,
                    s.projectId,
                    s.projectVersion,
                    s.taskId,
                    s.inputs,
                    s.output,
                    s.programId,
                    s.prover
                )
            )
        );
    }

    /// @inheritdoc IRouter
    function taskState(bytes32 taskId) external view returns (TaskState memory state) {
        Progress storage progress = _progress[taskId];
        state.status = progress.status;
        state.dapp = progress.dapp;
        state.output = progress.output;
        state.settledBlock = progress.settledBlock;
        uint256 proofs = progress.verified;
        if (progress.confirmedAt != 0) ++proofs;
        state.verifications = new Verification[](proofs);
        if (proofs == 0) return state;
        Task memory task = FLEET.taskOf(taskId);
        Version memory version = REGISTRY.versionOf(task.projectId, task.projectVersion);
        uint256 next = 0;
        for (uint256 i = 0; i < version.programs.length; ++i) {
            if (progress.kinds & (1 << i) == 0) continue;
            bytes32 kind = keccak256(bytes(version.programs[i].kind));
            Accepted storage accepted = _accepted[taskId][kind];
            state.verifications[next++] = Verification(kind, accepted.prover, accepted.blockNumber);
        }
    }

    /// @inheritdoc IRouter
    function conflictOf(bytes32 taskId) external view returns (Conflict memory) {
        return _conflicts[taskId];
    }

    /// @inheritdoc IRouter
    function confirmationOf(bytes32 taskId) external view returns (Confirmation memory found) {
        Progress storage progress = _progress[taskId];
        if (progress.status == TaskStatus.None) return found;
        found.kind = _confirmKind(taskId);
        if (found.kind == 0) return found;
        found.prover = _accepted[taskId][found.kind].prover;
        found.confirmBy = progress.confirmBy;
        found.confirmedAt = progress.confirmedAt;
        found.reported = progress.reported;
        if (progress.status == TaskStatus.Frozen) return found;
        if (found.confirmedAt != 0) {
            bool late = _isLate(found.confirmedAt, found.confirmBy);
            found.status = late ? ConfirmationStatus.Late : ConfirmationStatus.Confirmed;
        } else if (found.confirmBy != 0) {
            bool missed = _isLate(block.timestamp, found.confirmBy);
            found.status = missed ? ConfirmationStatus.Missed : ConfirmationStatus.Awaited;
        }
    }

    /// @inheritdoc IRouter
    function verifiedBy(bytes32 taskId, bytes32 kind) external view returns (address) {
        return _accepted[taskId][kind].prover;
    }

    /// Requires that everything in `s` is what FleetManagement recorded and ProjectRegistry published.
    function _checkRecords(Statement calldata s, bytes32 kind) private view returns (Terms memory terms) {
        (Task memory task, AssignmentState memory assignment) = FLEET.recordOf(s.taskId, s.prover, kind);
        if (task.inputs == 0) revert TaskNotRecorded(s.taskId);
        if (task.projectId != s.projectId || task.projectVersion != s.projectVersion) {
            revert ProjectMismatch(s.taskId, task.projectId, task.projectVersion);
        }
        if (task.inputs != s.inputs) revert InputsMismatch(s.taskId, task.inputs, s.inputs);

        terms = REGISTRY.settlementTerms(s.projectId, s.projectVersion, kind);
        if (!terms.active) revert ProjectInactive(s.projectId);
        if (terms.deviceSetRoot != task.deviceSetRoot) {
            revert DeviceSetMismatch(terms.deviceSetRoot, task.deviceSetRoot);
        }
        if (terms.programId == 0) revert KindNotPublished(kind);
        if (terms.programId != s.programId) revert ProgramNotPublished(terms.programId, s.programId);

        if (assignment.fence == 0) revert NotAssigned(s.taskId, s.prover, kind);
        if (assignment.recalled) revert AssignmentRecalled(s.taskId, s.prover, kind);
        if (block.timestamp > assignment.deadline) revert DeadlinePassed(assignment.deadline, block.timestamp);
    }

    /// A verifier that does not answer is refused too: it never said that it trusts no simulated anchor.
    function _refuseSimulated(address verifier) private view {
        if (!isProduction) return;
        (bool answered, bytes memory answer) = verifier.staticcall(abi.encodeCall(ITrustAnchor.isSimulated, ()));
        if (!answered || answer.length != 32 || uint256(bytes32(answer)) != 0) revert SimulatedVerifier(verifier);
    }

    /// Nobody stands behind two accepted proofs of a task, be it as prover, as its owner or as its operator: as
    /// FleetManagement names them now, whatever it names later. A prover that owns itself and names no operator may be
    /// anybody's.
    function _countParties(bytes32 taskId, address prover) private {
        (address owner,, address operator,,,,) = FLEET.proverOf(prover);
        if (operator == address(0)) {
            if (owner == prover) revert OperatorUnnamed(taskId, prover);
            operator = owner;
        }
        mapping(address party => bool) storage counted = _counted[taskId];
        if (counted[operator]) revert OperatorCounted(taskId, operator);
        if (counted[owner]) revert OperatorCounted(taskId, owner);
        if (counted[prover]) revert OperatorCounted(taskId, prover);
        counted[operator] = true;
        counted[owner] = true;
        counted[prover] = true;
    }

    /// Records the proof; true when it is the one that reaches the threshold.
    function _accept(Progress storage progress, Terms memory terms, Statement calldata s, bytes32 kind)
        private
        returns (bool settled)
    {
        _accepted[s.taskId][kind] = Accepted(s.prover, uint64(block.number));
        uint8 verified = progress.verified + 1;
        progress.verified = verified;
        progress.kinds |= uint16(1 << terms.kindIndex);
        emit ProofVerified(s.taskId, kind, s.prover, s.programId, s.output, verified, terms.threshold);
        settled = verified == terms.threshold;
        if (settled) {
            progress.status = TaskStatus.Settled;
            progress.settler = terms.kindIndex;
            progress.settledBlock = uint64(block.number);
            if (terms.confirmWithin != 0) progress.confirmBy = uint64(block.timestamp) + terms.confirmWithin;
            if (terms.dapp == address(0)) progress.dapp = DappStatus.Absent;
        }
    }

    /// Records a proof of the kind that confirms; it counts for nothing.
    function _confirm(Progress storage progress, Terms memory terms, Statement calldata s, bytes32 kind) private {
        _accepted[s.taskId][kind] = Accepted(s.prover, uint64(block.number));
        progress.kinds |= uint16(1 << terms.kindIndex);
        progress.confirmedAt = uint64(block.timestamp);
        emit ProofVerified(s.taskId, kind, s.prover, s.programId, s.output, progress.verified, terms.threshold);
        emit TaskConfirmed(s.taskId, kind, s.prover, s.output, _isLate(block.timestamp, progress.confirmBy));
    }

    /// Whether a confirmation at `moment` comes after its time; without a settlement the time has not begun.
    function _isLate(uint256 moment, uint64 confirmBy) private pure returns (bool) {
        return confirmBy != 0 && moment > confirmBy;
    }

    /// The kind that confirms a recorded task, or zero.
    function _confirmKind(bytes32 taskId) private view returns (bytes32) {
        Task memory task = FLEET.taskOf(taskId);
        return REGISTRY.policyOf(task.projectId, task.projectVersion).confirmKind;
    }

    /// Calls the dApp with exactly DAPP_GAS and records how it went. All other state of the task is final before this
    /// call, and every entry that could deliver twice is guarded against re-entry.
    function _deliver(Progress storage progress, address dapp, bytes32 taskId, bytes memory callData) private {
        // EIP-150 passes on at most 63/64 of what is left: without this line a caller could starve the dApp and have
        // its failure recorded.
        uint256 required = (DAPP_GAS * 64) / 63 + DAPP_MARGIN;
        if (gasleft() < required) revert InsufficientGas(gasleft(), required);
        bool success = false;
        bytes memory reason = new bytes(MAX_REASON);
        if (dapp.code.length != 0) {
            uint256 cap = DAPP_GAS;
            uint256 most = MAX_REASON;
            // Solidity's own call copies all return data, which the dApp could make large at our expense.
            assembly ("memory-safe") {
                success := call(cap, dapp, 0, add(callData, 0x20), mload(callData), 0, 0)
                let size := returndatasize()
                if gt(size, most) { size := most }
                returndatacopy(add(reason, 0x20), 0, size)
                mstore(reason, size)
            }
        } else {
            reason = "";
        }
        if (success) {
            progress.dapp = DappStatus.Processed;
            emit DappProcessed(taskId, dapp);
        } else {
            progress.dapp = DappStatus.Failed;
            emit DappFailed(taskId, dapp, reason);
        }
    }

    /// The Statement of the proof that reached the threshold, rebuilt from the records.
    function _settledStatement(bytes32 taskId, Progress storage progress)
        private
        view
        returns (Statement memory s, address dapp)
    {
        Task memory task = FLEET.taskOf(taskId);
        Version memory version = REGISTRY.versionOf(task.projectId, task.projectVersion);
        (bool active,,) = REGISTRY.taskTerms(task.projectId, task.projectVersion);
        if (!active) revert ProjectInactive(task.projectId);
        bytes32 kind = keccak256(bytes(version.programs[progress.settler].kind));
        s = Statement({
            projectId: task.projectId,
            projectVersion: task.projectVersion,
            taskId: taskId,
            inputs: task.inputs,
            output: progress.output,
            programId: version.programs[progress.settler].programId,
            prover: _accepted[taskId][kind].prover
        });
        dapp = version.dapp;
    }
}
