// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IProjectRegistry} from "./IProjectRegistry.sol";
import {Policy, Program, Terms, Version} from "./Types.sol";

/// @title Projects, their owners and their immutable versions
/// @notice The contract's owner names registrars, who create projects; a project then belongs to its own owner alone.
contract ProjectRegistry is IProjectRegistry, Ownable2Step {
    /// @notice Most programs a version may name.
    uint256 public constant MAX_PROGRAMS = 16;
    /// @notice Longest kind name, bytes.
    uint256 public constant MAX_KIND_LENGTH = 64;
    /// @notice Longest project file URI, bytes.
    uint256 public constant MAX_URI_LENGTH = 512;
    /// @notice Longest time in which a task is confirmed, seconds.
    uint256 public constant MAX_CONFIRM_WITHIN = 30 days;

    struct Project {
        address owner;
        bool paused;
        uint32 latestVersion;
        address pendingOwner;
    }

    /// @inheritdoc IProjectRegistry
    mapping(address account => bool) public isRegistrar;

    mapping(uint256 projectId => Project) private _projects;
    mapping(uint256 projectId => mapping(uint32 version => Version)) private _versions;
    mapping(uint256 projectId => mapping(uint32 version => Policy)) private _policies;
    /// Position of a kind in its version's programs, plus one.
    mapping(uint256 projectId => mapping(uint32 version => mapping(bytes32 kind => uint8))) private _kindPosition;

    modifier onlyProjectOwner(uint256 projectId) {
        if (_existing(projectId).owner != msg.sender) revert NotProjectOwner(projectId, msg.sender);
        _;
    }

    /// @param owner Names registrars.
    /// @param registrar The first registrar: the coordinator's account.
    constructor(address owner, address registrar) Ownable(owner) {
        _setRegistrar(registrar, true);
    }

    /// @notice Adds or removes a registrar. Only the contract's owner may call.
    function setRegistrar(address account, bool allowed) external onlyOwner {
        _setRegistrar(account, allowed);
    }

    /// @inheritdoc IProjectRegistry
    function createProject(uint256 projectId, address owner) external {
        if (!isRegistrar[msg.sender]) revert NotRegistrar(msg.sender);
        if (owner == address(0)) revert ZeroOwner();
        if (projectId == 0 || projectId > type(uint64).max || _projects[projectId].owner != address(0)) {
            revert ProjectIdUnavailable(projectId);
        }
        _projects[projectId].owner = owner;
        emit ProjectCreated(projectId, owner);
    }

    /// @inheritdoc IProjectRegistry
    function publishVersion(uint256 projectId, Version calldata version) external onlyProjectOwner(projectId) {
        _publish(projectId, version);
    }

    /// @inheritdoc IProjectRegistry
    function publishVersionWithPolicy(uint256 projectId, Version calldata version, Policy calldata policy)
        external
        onlyProjectOwner(projectId)
    {
        bool staged = policy.confirmKind != 0;
        // With one kind there is no second operator to differ from: whoever asks for that means something else.
        if (policy.independent && version.threshold < 2 && !staged) revert InvalidVersion("independent");
        if (policy.confirmWithin > MAX_CONFIRM_WITHIN || staged != (policy.confirmWithin != 0)) {
            revert InvalidVersion("confirmWithin");
        }
        if (staged && version.threshold >= version.programs.length) revert InvalidVersion("threshold");
        _publish(projectId, version);
        if (staged && _kindPosition[projectId][version.version][policy.confirmKind] == 0) {
            revert InvalidVersion("confirmKind");
        }
        _policies[projectId][version.version] = policy;
        emit PolicyPublished(
            projectId, version.version, policy.independent, policy.confirmKind, policy.confirmWithin
        );
    }

    /// @inheritdoc IProjectRegistry
    function pause(uint256 projectId) external onlyProjectOwner(projectId) {
        if (_projects[projectId].paused) revert AlreadySo(projectId);
        _projects[projectId].paused = true;
        emit ProjectPaused(projectId);
    }

    /// @inheritdoc IProjectRegistry
    function resume(uint256 projectId) external onlyProjectOwner(projectId) {
        if (!_projects[projectId].paused) revert AlreadySo(projectId);
        _projects[projectId].paused = false;
        emit ProjectResumed(projectId);
    }

    /// @inheritdoc IProjectRegistry
    function transferProject(uint256 projectId, address to) external onlyProjectOwner(projectId) {
        _projects[projectId].pendingOwner = to;
        emit ProjectTransferStarted(projectId, msg.sender, to);
    }

    /// @inheritdoc IProjectRegistry
    function acceptProject(uint256 projectId) external {
        Project storage offered = _existing(projectId);
        if (offered.pendingOwner != msg.sender) revert NotProjectOwner(projectId, msg.sender);
        emit ProjectTransferred(projectId, offered.owner, msg.sender);
        offered.owner = msg.sender;
        offered.pendingOwner = address(0);
    }

    /// @inheritdoc IProjectRegistry
    function project(uint256 projectId)
        external
        view
        returns (address owner, address pendingOwner, bool paused, uint32 latestVersion)
    {
        Project storage found = _existing(projectId);
        return (found.owner, found.pendingOwner, found.paused, found.latestVersion);
    }

    /// @inheritdoc IProjectRegistry
    function versionOf(uint256 projectId, uint32 version) external view returns (Version memory) {
        return _published(projectId, version);
    }

    /// @inheritdoc IProjectRegistry
    function policyOf(uint256 projectId, uint32 version) external view returns (Policy memory) {
        _published(projectId, version);
        return _policies[projectId][version];
    }

    /// @inheritdoc IProjectRegistry
    function taskTerms(uint256 projectId, uint32 version)
        external
        view
        returns (bool active, bytes32 deviceSetRoot, uint32 windowCapacity)
    {
        Version storage found = _published(projectId, version);
        return (!_projects[projectId].paused, found.deviceSetRoot, found.windowCapacity);
    }

    /// @inheritdoc IProjectRegistry
    function settlementTerms(uint256 projectId, uint32 version, bytes32 kind)
        external
        view
        returns (Terms memory terms)
    {
        Version storage found = _published(projectId, version);
        terms.active = !_projects[projectId].paused;
        terms.deviceSetRoot = found.deviceSetRoot;
        terms.dapp = found.dapp;
        terms.threshold = found.threshold;
        Policy storage policy = _policies[projectId][version];
        terms.independent = policy.independent;
        terms.confirmWithin = policy.confirmWithin;
        // One word more is read only where there is a second stage.
        terms.confirms = terms.confirmWithin != 0 && policy.confirmKind == kind;
        uint8 position = _kindPosition[projectId][version][kind];
        if (position != 0) {
            Program storage program = found.programs[position - 1];
            terms.programId = program.programId;
            terms.verifier = program.verifier;
            terms.kindIndex = position - 1;
        }
    }

    function _publish(uint256 projectId, Version calldata version) private {
        Project storage owned = _projects[projectId];
        if (version.version <= owned.latestVersion) {
            revert VersionNotIncreasing(projectId, owned.latestVersion, version.version);
        }
        _checkVersion(version);
        owned.latestVersion = version.version;
        _versions[projectId][version.version] = version;
        emit VersionPublished(
            projectId,
            version.version,
            version.configHash,
            version.configUri,
            version.deviceSetRoot,
            version.scheme,
            version.dapp,
            version.windowCapacity,
            version.threshold
        );
        _indexPrograms(projectId, version);
    }

    function _indexPrograms(uint256 projectId, Version calldata version) private {
        mapping(bytes32 => uint8) storage positions = _kindPosition[projectId][version.version];
        for (uint256 i = 0; i < version.programs.length; ++i) {
            Program calldata program = version.programs[i];
            uint256 length = bytes(program.kind).length;
            if (length == 0 || length > MAX_KIND_LENGTH) revert InvalidVersion("kind");
            if (program.programId == 0) revert InvalidVersion("programId");
            if (program.verifier.code.length == 0) revert NotAContract(program.verifier);
            bytes32 kind = keccak256(bytes(program.kind));
            if (positions[kind] != 0) revert DuplicateKind(program.kind);
            _checkDistinct(version.programs, i);
            positions[kind] = uint8(i + 1);
            emit ProgramPublished(
                projectId, version.version, kind, program.kind, program.programId, program.verifier
            );
        }
    }

    /// The Statement names a program, not a kind: with one program under two kinds, one proof would count twice.
    function _checkDistinct(Program[] calldata programs, uint256 index) private pure {
        for (uint256 i = 0; i < index; ++i) {
            if (programs[i].programId == programs[index].programId) revert DuplicateProgram(programs[i].programId);
        }
    }

    function _checkVersion(Version calldata version) private view {
        uint256 programs = version.programs.length;
        uint32 capacity = version.windowCapacity;
        if (programs == 0 || programs > MAX_PROGRAMS) revert InvalidVersion("programs");
        if (version.threshold == 0 || version.threshold > programs) revert InvalidVersion("threshold");
        if (capacity == 0 || capacity & (capacity - 1) != 0) revert InvalidVersion("windowCapacity");
        if (version.configHash == 0) revert InvalidVersion("configHash");
        if (bytes(version.configUri).length > MAX_URI_LENGTH) revert InvalidVersion("configUri");
        if (version.deviceSetRoot == 0) revert InvalidVersion("deviceSetRoot");
        if (version.scheme == 0) revert InvalidVersion("scheme");
        if (version.dapp != address(0) && version.dapp.code.length == 0) revert NotAContract(version.dapp);
    }

    function _setRegistrar(address account, bool allowed) private {
        isRegistrar[account] = allowed;
        emit RegistrarSet(account, allowed);
    }

    function _existing(uint256 projectId) private view returns (Project storage found) {
        found = _projects[projectId];
        if (found.owner == address(0)) revert UnknownProject(projectId);
    }

    function _published(uint256 projectId, uint32 version) private view returns (Version storage found) {
        found = _versions[projectId][version];
        if (found.threshold == 0) revert UnknownVersion(projectId, version);
    }
}
