// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What a proposal asks for.
enum ProposalKind {
    /// A rule in words. It has no calls; people carry it out.
    Policy,
    /// Calls that this contract makes, and the hash of the artifact (source, binary) that goes with them.
    Technical
}

/// @notice Where a proposal is. l1/governance/states.py holds the table of transitions.
enum ProposalState {
    /// No such proposal.
    None,
    /// Submitted; gathers support.
    Idea,
    /// Supported; waits out the delay before its vote.
    Proposal,
    /// Everybody with stake at the snapshot may vote.
    Voting,
    /// Confirmed; to be queued.
    Passed,
    /// Too little turnout, or no majority. Final.
    Rejected,
    /// Queued; time-locked, then executable until the grace period ends.
    Implementation,
    /// Executed; a policy is in force. Final.
    Live,
    /// Cancelled, or nobody took the next step in time. Final.
    Archived
}

/// @notice A step of a proposal that the clock allows.
enum ProposalStep {
    /// Nothing now: a window has yet to begin or to end, or the state is final.
    None,
    Open,
    Close,
    Queue,
    Execute,
    Archive
}

/// @notice One call that the contract makes when a technical proposal is executed.
struct Call {
    address target;
    /// Wei out of the contract's own balance.
    uint256 value;
    bytes data;
}

/// @notice What a proposer submits. Its hash, with chain, contract and proposer, is the proposal's id.
struct Draft {
    ProposalKind kind;
    /// Summary, 1 to 4,096 bytes.
    string text;
    /// keccak256 of the whole document.
    bytes32 documentHash;
    /// Where the document is, 1 to 512 bytes.
    string uri;
    /// Technical: keccak256 of the artifact. Policy: zero.
    bytes32 artifactHash;
    /// Technical: 1 to 32. Policy: none.
    Call[] calls;
    /// Makes the same text of the same proposer a second proposal.
    bytes32 salt;
}

/// @notice What the contract keeps of a proposal; the rest is in the log of its submission.
struct ProposalRecord {
    address proposer;
    ProposalKind kind;
    ProposalState state;
    /// Unix seconds: the window [windowStart, windowEnd) of the present state.
    uint64 windowStart;
    uint64 windowEnd;
    /// Block whose weights count for support; the one before the submission.
    uint64 supportSnapshot;
    /// Block whose weights count for the vote; the one before it was opened.
    uint64 voteSnapshot;
    /// Share of the cast weight that `yes` must exceed, 1/10,000.
    uint16 majorityBps;
    uint128 supportNeeded;
    uint128 support;
    uint128 turnoutNeeded;
    uint128 yes;
    uint128 no;
    bytes32 documentHash;
    bytes32 artifactHash;
    bytes32 callsHash;
}

/// @notice The numbers of the process. A change never moves a window that has begun.
struct Parameters {
    /// Share of all weight that a proposer needs, 0 to 100 (1 %); 0 stands for any weight at all.
    uint16 proposalThresholdBps;
    /// Share of all weight whose support makes an idea a proposal, 1 to 1,000 (10 %).
    uint16 supportQuorumBps;
    /// Share of all weight that must be cast, 100 (1 %) to 5,000 (50 %).
    uint16 turnoutQuorumBps;
    /// Share of the cast weight that `yes` must exceed, 5,000 (half) to 8,000 (80 %).
    uint16 majorityBps;
    /// Seconds in which an idea may gather support, the floor to 180 days.
    uint32 supportPeriod;
    /// Seconds from proposal to vote, the floor to 30 days.
    uint32 votingDelay;
    /// Seconds of the vote, the floor to 30 days.
    uint32 votingPeriod;
    /// Seconds from queueing to the first moment of execution, the floor to 30 days.
    uint32 timeLock;
    /// Seconds in which the next step (open, queue, execute) must be taken, the floor to 90 days.
    uint32 gracePeriod;
}

/// @title Proposals decided by stake
/// @notice Anybody with stake submits an idea; enough support makes it a proposal; after a delay a vote is opened,
/// weighted by the stake of the block before; what passes is queued, time-locked and executed. Every step that needs no
/// vote may be taken by anybody.
interface IGovernance {
    /// @notice A draft was taken as an idea.
    event ProposalSubmitted(
        bytes32 indexed id, address indexed proposer, uint64 supportSnapshot, uint128 supportNeeded, Draft draft
    );
    /// @notice Every change of state, with the new state's window.
    event StateChanged(
        bytes32 indexed id,
        ProposalState indexed from,
        ProposalState indexed to,
        uint64 windowStart,
        uint64 windowEnd
    );
    /// @notice An account supported an idea; `support` is the sum so far.
    event Supported(bytes32 indexed id, address indexed voter, uint128 weight, uint128 support);
    /// @notice The terms of a vote, fixed at its opening.
    event VotingOpened(bytes32 indexed id, uint64 voteSnapshot, uint128 turnoutNeeded, uint16 majorityBps);
    /// @notice An account voted.
    event Voted(bytes32 indexed id, address indexed voter, bool yes, uint128 weight);
    /// @notice The proposer took the proposal back.
    event ProposalCancelled(bytes32 indexed id);
    /// @notice A call of an executed proposal succeeded.
    event CallExecuted(bytes32 indexed id, uint256 index, address indexed target, uint256 value);
    /// @notice The numbers of the process changed.
    event ParametersSet(Parameters parameters);
    /// @notice The contract was sent money for later proposals.
    event Received(address indexed from, uint256 value);

    /// @notice A draft's field is missing, too long, or not allowed for its kind.
    error InvalidDraft(string field);
    /// @notice The proposer has less weight than a proposal needs.
    error BelowThreshold(uint256 weight, uint256 needed);
    /// @notice The same draft of the same proposer was submitted before.
    error ProposalExists(bytes32 id);
    /// @notice No proposal has this id.
    error UnknownProposal(bytes32 id);
    /// @notice The step does not exist in the proposal's state.
    error WrongState(bytes32 id, ProposalState state);
    /// @notice The step's window begins at `from`.
    error TooEarly(bytes32 id, uint64 from);
    /// @notice The step's window ended at `end`.
    error TooLate(bytes32 id, uint64 end);
    /// @notice Only the proposer may cancel.
    error NotProposer(bytes32 id, address caller);
    /// @notice The account supported this idea before.
    error AlreadySupported(bytes32 id, address voter);
    /// @notice The account voted before.
    error AlreadyVoted(bytes32 id, address voter);
    /// @notice The account had no weight at the snapshot.
    error NoWeight(bytes32 id, address voter, uint64 snapshot);
    /// @notice The stake contract reported a weight of 2^128 or above.
    error WeightOutOfRange(uint256 weight);
    /// @notice The calls are not those that were voted on.
    error CallsMismatch(bytes32 id, bytes32 submitted, bytes32 given);
    /// @notice A call with data goes to an address without code.
    error NotAContract(address target);
    /// @notice A call failed; nothing of the proposal was executed.
    error CallFailed(uint256 index, bytes reason);
    /// @notice Only an executed proposal may do this.
    error NotSelf(address caller);
    /// @notice A number is outside the bounds that no vote can move.
    error ParameterOutOfBounds(string name, uint256 value);

    /// @notice Submits an idea. The sender needs `proposalThresholdBps` of the weight at the block before.
    function submit(Draft calldata draft) external returns (bytes32 id);

    /// @notice Supports an idea with the sender's weight at its snapshot. At the quorum it becomes a proposal.
    function support(bytes32 id) external;

    /// @notice Takes an idea or proposal back before its vote. Only the proposer may call.
    function cancel(bytes32 id) external;

    /// @notice Opens the vote of a proposal whose delay is over.
    function open(bytes32 id) external;

    /// @notice Votes with the sender's weight at the vote's snapshot, once.
    function vote(bytes32 id, bool yes) external;

    /// @notice Counts a vote that is over.
    function close(bytes32 id) external;

    /// @notice Queues what passed: its time-lock begins.
    function queue(bytes32 id) external;

    /// @notice Makes the calls of a proposal whose time-lock is over; if one fails, none is made.
    /// @param calls The calls of the draft; none for a policy.
    function execute(bytes32 id, Call[] calldata calls) external;

    /// @notice Puts away a proposal whose next step was not taken in time.
    function archive(bytes32 id) external;

    /// @notice Changes the numbers. Only an executed proposal may call.
    function setParameters(Parameters calldata changed) external;

    /// @notice The numbers of the process.
    function parameters() external view returns (Parameters memory);

    /// @notice Id that a draft of this proposer has here.
    function idOf(address proposer, Draft calldata draft) external view returns (bytes32);

    /// @notice What is kept of a proposal; state None if there is none.
    function proposalOf(bytes32 id) external view returns (ProposalRecord memory);

    /// @notice The step that anybody may take now, if there is one.
    function dueStep(bytes32 id) external view returns (ProposalStep);

    /// @notice Whether the account supported the idea.
    function hasSupported(bytes32 id, address voter) external view returns (bool);

    /// @notice Whether the account voted.
    function hasVoted(bytes32 id, address voter) external view returns (bool);

    /// @notice Number of proposals submitted.
    function proposalCount() external view returns (uint256);

    /// @notice Ids in the order of submission: `count` of them from index `first`, fewer at the end.
    function proposalIds(uint256 first, uint256 count) external view returns (bytes32[] memory);
}
