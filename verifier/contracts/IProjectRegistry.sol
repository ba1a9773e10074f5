// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Policy, Terms, Version} from "./Types.sol";

/// @title Projects, their owners and their immutable versions
interface IProjectRegistry {
    /// @notice A registrar was added or removed.
    event RegistrarSet(address indexed account, bool allowed);
    /// @notice A project exists.
    event ProjectCreated(uint256 indexed projectId, address indexed owner);
    /// @notice A version was published; it never changes.
    event VersionPublished(
        uint256 indexed projectId,
        uint32 indexed version,
        bytes32 configHash,
        string configUri,
        bytes32 deviceSetRoot,
        bytes32 scheme,
        address dapp,
        uint32 windowCapacity,
        uint8 threshold
    );
    /// @notice One program of a version; emitted after its VersionPublished. `kind` is keccak256 of `name`.
    event ProgramPublished(
        uint256 indexed projectId,
        uint32 indexed version,
        bytes32 indexed kind,
        string name,
        bytes32 programId,
        address verifier
    );
    /// @notice What the version's assurance asks for beyond its threshold; emitted after its VersionPublished, by
    /// publishVersionWithPolicy alone. `confirmKind` and `confirmWithin` are zero without a second stage.
    event PolicyPublished(
        uint256 indexed projectId, uint32 indexed version, bool independent, bytes32 confirmKind, uint32 confirmWithin
    );
    /// @notice No task is recorded and no proof accepted until ProjectResumed.
    event ProjectPaused(uint256 indexed projectId);
    /// @notice The project is active again.
    event ProjectResumed(uint256 indexed projectId);
    /// @notice The owner offered the project to `to`; a zero address withdraws the offer.
    event ProjectTransferStarted(uint256 indexed projectId, address indexed from, address indexed to);
    /// @notice `to` accepted the project.
    event ProjectTransferred(uint256 indexed projectId, address indexed from, address indexed to);

    /// @notice The caller is no registrar.
    error NotRegistrar(address caller);
    /// @notice The id is zero, 2^64 or more, or taken.
    error ProjectIdUnavailable(uint256 projectId);
    /// @notice No such project.
    error UnknownProject(uint256 projectId);
    /// @notice The project has no such version.
    error UnknownVersion(uint256 projectId, uint32 version);
    /// @notice The caller is not the project's owner (or not the one it was offered to).
    error NotProjectOwner(uint256 projectId, address caller);
    /// @notice An owner must be given.
    error ZeroOwner();
    /// @notice Versions only go up: `version` must be larger than `latest`.
    error VersionNotIncreasing(uint256 projectId, uint32 latest, uint32 version);
    /// @notice A field of the version or of its policy is out of range; `field` is its name.
    error InvalidVersion(string field);
    /// @notice Two programs of one version have the same kind.
    error DuplicateKind(string kind);
    /// @notice Two programs of one version have the same programId, so one proof could count for two kinds.
    error DuplicateProgram(bytes32 programId);
    /// @notice The address holds no code.
    error NotAContract(address account);
    /// @notice The project is already in that state.
    error AlreadySo(uint256 projectId);

    /// @notice Creates a project under an id that the caller chose. Only a registrar may call, so that nobody squats
    /// ids: devices sign the id, and the ledger holds it, before this call is mined.
    /// @param projectId Its id, 1 to 2^64 - 1, not taken.
    /// @param owner Who may publish versions, pause and transfer.
    function createProject(uint256 projectId, address owner) external;

    /// @notice Publishes a version. Only the project's owner may call.
    /// @param projectId Project.
    /// @param version The version; see Types.sol for the range of each field.
    function publishVersion(uint256 projectId, Version calldata version) external;

    /// @notice `publishVersion` of a version whose assurance asks for more than a number of kinds.
    /// @param projectId Project.
    /// @param version The version.
    /// @param policy What it asks for beyond the threshold. With a second stage the threshold is at most one less than
    /// the number of programs, for the kind that confirms does not count.
    function publishVersionWithPolicy(uint256 projectId, Version calldata version, Policy calldata policy) external;

    /// @notice Stops recording and settlement of the project's tasks. Only the owner may call.
    function pause(uint256 projectId) external;

    /// @notice Undoes `pause`. Only the owner may call.
    function resume(uint256 projectId) external;

    /// @notice Offers the project to `to`, who must accept. Only the owner may call.
    function transferProject(uint256 projectId, address to) external;

    /// @notice Accepts an offered project. Only the one it was offered to may call.
    function acceptProject(uint256 projectId) external;

    /// @notice Whether the account may create projects.
    function isRegistrar(address account) external view returns (bool);

    /// @notice A project's owner, the one it is offered to (or zero), whether it is paused, and its latest version (or
    /// 0).
    function project(uint256 projectId)
        external
        view
        returns (address owner, address pendingOwner, bool paused, uint32 latestVersion);

    /// @notice A published version.
    function versionOf(uint256 projectId, uint32 version) external view returns (Version memory);

    /// @notice What a published version's assurance asks for beyond its threshold.
    function policyOf(uint256 projectId, uint32 version) external view returns (Policy memory);

    /// @notice What FleetManagement needs to record a task. Reverts for an unknown version.
    function taskTerms(uint256 projectId, uint32 version)
        external
        view
        returns (bool active, bytes32 deviceSetRoot, uint32 windowCapacity);

    /// @notice What the Router needs to judge a proof of `kind` (keccak256 of its name). Reverts for an unknown
    /// version.
    function settlementTerms(uint256 projectId, uint32 version, bytes32 kind) external view returns (Terms memory);
}
