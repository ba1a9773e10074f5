// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {
    Call,
    Draft,
    IGovernance,
    Parameters,
    ProposalKind,
    ProposalRecord,
    ProposalState,
    ProposalStep
} from "./IGovernance.sol";
import {IStakeWeight} from "./IStakeWeight.sol";

/// @title Proposals decided by stake
/// @notice Support and votes weigh what their accounts had staked at the end of a block before the idea or the vote
/// began, so stake counts once however often it moves. Nobody administers this contract: its numbers change only by a
/// proposal of its own, within bounds that no proposal can move.
contract Governance is IGovernance, ReentrancyGuardTransient {
    /// @notice One whole in basis points.
    uint256 public constant ONE = 10_000;
    /// @notice Most bytes of a draft's text.
    uint256 public constant MAX_TEXT = 4_096;
    /// @notice Most bytes of a draft's URI.
    uint256 public constant MAX_URI = 512;
    /// @notice Most calls of a technical proposal.
    uint256 public constant MAX_CALLS = 32;

    /// @notice Where weights are read from.
    IStakeWeight public immutable STAKE;
    /// @notice Least seconds of every period; a day on a network with value, seconds on a development network.
    uint32 public immutable PERIOD_FLOOR;

    /// @inheritdoc IGovernance
    mapping(bytes32 id => mapping(address voter => bool)) public hasSupported;
    /// @inheritdoc IGovernance
    mapping(bytes32 id => mapping(address voter => bool)) public hasVoted;

    Parameters private _parameters;
    mapping(bytes32 id => ProposalRecord) private _proposals;
    bytes32[] private _ids;

    /// @param stake Contract that knows the weights.
    /// @param periodFloor Seconds, 1 to 86,400.
    /// @param initial The numbers to begin with.
    constructor(IStakeWeight stake, uint32 periodFloor, Parameters memory initial) {
        if (address(stake).code.length == 0) revert NotAContract(address(stake));
        _bound("periodFloor", periodFloor, 1, 1 days);
        STAKE = stake;
        PERIOD_FLOOR = periodFloor;
        _setParameters(initial, periodFloor);
    }

    /// @notice Takes money for later proposals.
    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    // --- from idea to vote ---

    /// @inheritdoc IGovernance
    function submit(Draft calldata draft) external returns (bytes32 id) {
        _checkDraft(draft);
        uint64 snapshot = _lastBlock();
        uint256 total = _totalAt(snapshot);
        _checkProposer(snapshot, total);
        id = idOf(msg.sender, draft);
        ProposalRecord storage created = _proposals[id];
        if (created.state != ProposalState.None) revert ProposalExists(id);

        created.proposer = msg.sender;
        created.kind = draft.kind;
        created.supportSnapshot = snapshot;
        created.supportNeeded = uint128(_atLeastOne(_share(total, _parameters.supportQuorumBps)));
        created.documentHash = draft.documentHash;
        created.artifactHash = draft.artifactHash;
        created.callsHash = keccak256(abi.encode(draft.calls));
        _ids.push(id);
        emit ProposalSubmitted(id, msg.sender, snapshot, created.supportNeeded, draft);
        _enter(id, created, ProposalState.Idea, 0, _parameters.supportPeriod);
    }

    /// @inheritdoc IGovernance
    function support(bytes32 id) external {
        ProposalRecord storage idea = _during(id, ProposalState.Idea);
        if (hasSupported[id][msg.sender]) revert AlreadySupported(id, msg.sender);
        uint128 weight = _votersWeight(id, idea.supportSnapshot);
        hasSupported[id][msg.sender] = true;
        idea.support += weight;
        emit Supported(id, msg.sender, weight, idea.support);
        if (idea.support >= idea.supportNeeded) {
            _enter(id, idea, ProposalState.Proposal, _parameters.votingDelay, _parameters.gracePeriod);
        }
    }

    /// @inheritdoc IGovernance
    function cancel(bytes32 id) external {
        ProposalRecord storage found = _known(id);
        if (found.state != ProposalState.Idea && found.state != ProposalState.Proposal) {
            revert WrongState(id, found.state);
        }
        if (found.proposer != msg.sender) revert NotProposer(id, msg.sender);
        emit ProposalCancelled(id);
        _enter(id, found, ProposalState.Archived, 0, 0);
    }

    /// @inheritdoc IGovernance
    function open(bytes32 id) external {
        ProposalRecord storage ready = _during(id, ProposalState.Proposal);
        uint64 snapshot = _lastBlock();
        ready.voteSnapshot = snapshot;
        ready.turnoutNeeded = uint128(_share(_totalAt(snapshot), _parameters.turnoutQuorumBps));
        ready.majorityBps = _parameters.majorityBps;
        emit VotingOpened(id, snapshot, ready.turnoutNeeded, ready.majorityBps);
        _enter(id, ready, ProposalState.Voting, 0, _parameters.votingPeriod);
    }

    // --- the vote ---

    /// @inheritdoc IGovernance
    function vote(bytes32 id, bool yes) external {
        ProposalRecord storage voting = _during(id, ProposalState.Voting);
        if (hasVoted[id][msg.sender]) revert AlreadyVoted(id, msg.sender);
        uint128 weight = _votersWeight(id, voting.voteSnapshot);
        hasVoted[id][msg.sender] = true;
        if (yes) voting.yes += weight;
        else voting.no += weight;
        emit Voted(id, msg.sender, yes, weight);
    }

    /// @inheritdoc IGovernance
    function close(bytes32 id) external {
        ProposalRecord storage voted = _in(id, ProposalState.Voting);
        _afterWindow(id, voted);
        uint256 cast = uint256(voted.yes) + voted.no;
        bool passed = cast >= voted.turnoutNeeded && voted.yes * ONE > voted.majorityBps * cast;
        if (passed) _enter(id, voted, ProposalState.Passed, 0, _parameters.gracePeriod);
        else _enter(id, voted, ProposalState.Rejected, 0, 0);
    }

    // --- what passed ---

    /// @inheritdoc IGovernance
    function queue(bytes32 id) external {
        ProposalRecord storage passed = _during(id, ProposalState.Passed);
        _enter(id, passed, ProposalState.Implementation, _parameters.timeLock, _parameters.gracePeriod);
    }

    /// @inheritdoc IGovernance
    function execute(bytes32 id, Call[] calldata calls) external nonReentrant {
        ProposalRecord storage queued = _during(id, ProposalState.Implementation);
        bytes32 given = keccak256(abi.encode(calls));
        if (given != queued.callsHash) revert CallsMismatch(id, queued.callsHash, given);
        // Before the calls, so that none of them finds the proposal executable.
        _enter(id, queued, ProposalState.Live, 0, 0);
        for (uint256 i = 0; i < calls.length; ++i) {
            _make(id, i, calls[i]);
        }
    }

    /// @inheritdoc IGovernance
    function archive(bytes32 id) external {
        ProposalRecord storage stale = _known(id);
        if (!_archivable(stale.state)) revert WrongState(id, stale.state);
        _afterWindow(id, stale);
        _enter(id, stale, ProposalState.Archived, 0, 0);
    }

    /// @inheritdoc IGovernance
    function setParameters(Parameters calldata changed) external {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        _setParameters(changed, PERIOD_FLOOR);
    }

    // --- views ---

    /// @inheritdoc IGovernance
    function parameters() external view returns (Parameters memory) {
        return _parameters;
    }

    /// @inheritdoc IGovernance
    function idOf(address proposer, Draft calldata draft) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), proposer, draft));
    }

    /// @inheritdoc IGovernance
    function proposalOf(bytes32 id) external view returns (ProposalRecord memory) {
        return _proposals[id];
    }

    /// @inheritdoc IGovernance
    function dueStep(bytes32 id) external view returns (ProposalStep) {
        ProposalRecord storage found = _proposals[id];
        if (block.timestamp >= found.windowEnd) {
            if (found.state == ProposalState.Voting) return ProposalStep.Close;
            return _archivable(found.state) ? ProposalStep.Archive : ProposalStep.None;
        }
        if (block.timestamp < found.windowStart) return ProposalStep.None;
        if (found.state == ProposalState.Proposal) return ProposalStep.Open;
        if (found.state == ProposalState.Passed) return ProposalStep.Queue;
        if (found.state == ProposalState.Implementation) return ProposalStep.Execute;
        return ProposalStep.None;
    }

    /// @inheritdoc IGovernance
    function proposalCount() external view returns (uint256) {
        return _ids.length;
    }

    /// @inheritdoc IGovernance
    function proposalIds(uint256 first, uint256 count) external view returns (bytes32[] memory ids) {
        if (first >= _ids.length) return ids;
        uint256 left = _ids.length - first;
        ids = new bytes32[](count < left ? count : left);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = _ids[first + i];
        }
    }

    // --- internals ---

    function _checkDraft(Draft calldata draft) private pure {
        if (bytes(draft.text).length == 0 || bytes(draft.text).length > MAX_TEXT) revert InvalidDraft("text");
        if (draft.documentHash == 0) revert InvalidDraft("documentHash");
        if (bytes(draft.uri).length == 0 || bytes(draft.uri).length > MAX_URI) revert InvalidDraft("uri");
        bool technical = draft.kind == ProposalKind.Technical;
        if ((draft.artifactHash != 0) != technical) revert InvalidDraft("artifactHash");
        if ((draft.calls.length != 0) != technical || draft.calls.length > MAX_CALLS) revert InvalidDraft("calls");
    }

    function _checkProposer(uint64 snapshot, uint256 total) private view {
        uint256 needed = _atLeastOne(_share(total, _parameters.proposalThresholdBps));
        uint256 weight = STAKE.weightAt(msg.sender, snapshot);
        if (weight < needed) revert BelowThreshold(weight, needed);
    }

    function _known(bytes32 id) private view returns (ProposalRecord storage found) {
        found = _proposals[id];
        if (found.state == ProposalState.None) revert UnknownProposal(id);
    }

    function _in(bytes32 id, ProposalState expected) private view returns (ProposalRecord storage found) {
        found = _known(id);
        if (found.state != expected) revert WrongState(id, found.state);
    }

    function _during(bytes32 id, ProposalState expected) private view returns (ProposalRecord storage found) {
        found = _in(id, expected);
        if (block.timestamp < found.windowStart) revert TooEarly(id, found.windowStart);
        if (block.timestamp >= found.windowEnd) revert TooLate(id, found.windowEnd);
    }

    function _afterWindow(bytes32 id, ProposalRecord storage found) private view {
        if (block.timestamp < found.windowEnd) revert TooEarly(id, found.windowEnd);
    }

    function _archivable(ProposalState state) private pure returns (bool) {
        return state == ProposalState.Idea || state == ProposalState.Proposal || state == ProposalState.Passed
            || state == ProposalState.Implementation;
    }

    /// The one place where a state changes. The window begins `wait` seconds from now and lasts `length` seconds.
    function _enter(bytes32 id, ProposalRecord storage moved, ProposalState to, uint64 wait, uint64 length) private {
        ProposalState from = moved.state;
        uint64 start = uint64(block.timestamp) + wait;
        moved.state = to;
        moved.windowStart = start;
        moved.windowEnd = start + length;
        emit StateChanged(id, from, to, start, start + length);
    }

    function _make(bytes32 id, uint256 index, Call calldata call) private {
        // A call to no code succeeds and does nothing, which is never what was voted on. Plain payments are.
        if (call.data.length != 0 && call.target.code.length == 0) revert NotAContract(call.target);
        (bool done, bytes memory reason) = call.target.call{value: call.value}(call.data);
        if (!done) revert CallFailed(index, reason);
        emit CallExecuted(id, index, call.target, call.value);
    }

    function _lastBlock() private view returns (uint64) {
        // This block's weights may still change; those of the one before cannot.
        return uint64(block.number - 1);
    }

    function _votersWeight(bytes32 id, uint64 snapshot) private view returns (uint128) {
        uint256 weight = STAKE.weightAt(msg.sender, snapshot);
        if (weight == 0) revert NoWeight(id, msg.sender, snapshot);
        return uint128(_inRange(weight));
    }

    function _totalAt(uint64 snapshot) private view returns (uint256) {
        return _inRange(STAKE.totalAt(snapshot));
    }

    function _inRange(uint256 weight) private pure returns (uint256) {
        if (weight > type(uint128).max) revert WeightOutOfRange(weight);
        return weight;
    }

    /// `bps` of `total`, rounded up.
    function _share(uint256 total, uint256 bps) private pure returns (uint256) {
        return (total * bps + ONE - 1) / ONE;
    }

    function _atLeastOne(uint256 weight) private pure returns (uint256) {
        return weight == 0 ? 1 : weight;
    }

    function _setParameters(Parameters memory changed, uint256 floor) private {
        _bound("proposalThresholdBps", changed.proposalThresholdBps, 0, 100);
        _bound("supportQuorumBps", changed.supportQuorumBps, 1, 1_000);
        _bound("turnoutQuorumBps", changed.turnoutQuorumBps, 100, 5_000);
        _bound("majorityBps", changed.majorityBps, 5_000, 8_000);
        _bound("supportPeriod", changed.supportPeriod, floor, 180 days);
        _bound("votingDelay", changed.votingDelay, floor, 30 days);
        _bound("votingPeriod", changed.votingPeriod, floor, 30 days);
        _bound("timeLock", changed.timeLock, floor, 30 days);
        _bound("gracePeriod", changed.gracePeriod, floor, 90 days);
        _parameters = changed;
        emit ParametersSet(changed);
    }

    function _bound(string memory name, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert ParameterOutOfBounds(name, value);
    }
}
