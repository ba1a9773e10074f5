// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEvidence} from "./IEvidence.sol";
import {IStakeWeight} from "./IStakeWeight.sol";
import {Bucket, Candidate, IStaking, Share, StakingParameters} from "./IStaking.sol";
import {StakeCheckpoints} from "./StakeCheckpoints.sol";
import {VoteWeight} from "./VoteWeight.sol";

/// @title The state of staking and the sums that every change keeps
/// @notice The reward pool is the balance that is neither staked nor earned, so nothing can be minted or lost. The
/// constructor writes no storage: the runtime code alone makes a genesis account.
abstract contract StakingLedger is IStaking, IStakeWeight {
    using StakeCheckpoints for StakeCheckpoints.History;

    /// @dev `endorsedUntil` of an endorsement without notice.
    uint64 internal constant UNTIL_NOTICE = type(uint64).max;

    /// @notice Blocks of an epoch.
    uint64 public immutable BLOCKS_PER_EPOCH;
    /// @notice Paid into the pool by a new candidate, rau.
    uint256 public immutable REGISTRATION_FEE;
    /// @notice Least self-stake to begin, and to recover, rau.
    uint256 public immutable REGISTER_SELF_STAKE;
    /// @notice Least self-stake to stay, rau.
    uint256 public immutable ACTIVE_SELF_STAKE;
    /// @notice Least amount of a new bucket, rau.
    uint256 public immutable MIN_BUCKET;
    /// @notice Longest duration.
    uint32 public immutable MAX_DAYS;
    /// @notice Seconds from unstaking to withdrawal.
    uint64 public immutable WITHDRAW_WAIT;
    /// @notice Blocks of notice of an endorsement in use.
    uint64 public immutable ENDORSEMENT_WAIT;
    /// @notice Per cent below which a delegate is unproductive.
    uint64 public immutable PRODUCTIVITY_THRESHOLD;
    /// @notice Penalty of a missed block, rau; 0 for none.
    uint256 public immutable SLASH_PER_BLOCK;
    /// @notice For each block, rau.
    uint256 public immutable BLOCK_REWARD;
    /// @notice Shared in each epoch, rau.
    uint256 public immutable EPOCH_REWARD;
    /// @notice Epochs of one exit.
    uint64 public immutable EXIT_EPOCHS;
    /// @notice Ten-thousandths of the self-stake that proven equivocation costs.
    uint64 public immutable EQUIVOCATION_SLASH_SHARE;
    /// @notice The contract of the same genesis that convicts equivocators.
    IEvidence public constant EVIDENCE = IEvidence(address(uint160(uint64(bytes8("evidence")))));

    struct StoredSeat {
        address candidate;
        uint96 power;
        address operator;
        uint64 keyId;
    }

    struct StoredPoll {
        uint64 epoch;
        bool shared;
        StoredSeat[] seats;
        Share[] ranking;
    }

    struct Key {
        bytes32 head;
        bytes16 tail;
    }

    /// @inheritdoc IStaking
    mapping(address account => uint256) public unclaimed;

    mapping(uint256 index => Bucket) internal _buckets;
    mapping(address identity => Candidate) internal _candidates;
    address[] internal _identities;
    mapping(address operator => address identity) internal _operators;
    Key[] internal _keys;
    mapping(bytes32 keyHash => address identity) internal _keyOwners;
    mapping(bytes32 keyHash => uint64) internal _keyIds;
    /// @dev Of the epochs with this parity: the last two are there.
    mapping(uint256 parity => StoredPoll) internal _polls;
    /// @dev The exit queue, a ring through the zero address: the next of zero waits longest.
    mapping(address identity => address) internal _exitNext;
    mapping(address identity => address) internal _exitPrevious;
    /// @dev Votes of each owner's buckets, and of all, by block.
    StakeCheckpoints.History internal _weights;
    /// @dev Rau in buckets and of unclaimed rewards.
    uint256 internal _owed;
    uint64 internal _nextBucket;
    uint64 internal _nextTicket;
    uint64 internal _exitAdmitted;
    uint64 internal _endedEpoch;

    constructor(StakingParameters memory parameters) {
        BLOCKS_PER_EPOCH = parameters.blocksPerEpoch;
        REGISTRATION_FEE = parameters.registrationFee;
        REGISTER_SELF_STAKE = parameters.registerSelfStake;
        ACTIVE_SELF_STAKE = parameters.activeSelfStake;
        MIN_BUCKET = parameters.minBucket;
        MAX_DAYS = parameters.maxDays;
        WITHDRAW_WAIT = parameters.withdrawWait;
        ENDORSEMENT_WAIT = parameters.endorsementWait;
        PRODUCTIVITY_THRESHOLD = parameters.productivityThreshold;
        SLASH_PER_BLOCK = parameters.slashPerBlock;
        BLOCK_REWARD = parameters.blockReward;
        EPOCH_REWARD = parameters.epochReward;
        EXIT_EPOCHS = parameters.exitEpochs;
        EQUIVOCATION_SLASH_SHARE = parameters.equivocationSlashShare;
    }

    /// @inheritdoc IStaking
    function pool() public view returns (uint256) {
        return address(this).balance - _owed;
    }

    /// @inheritdoc IStakeWeight
    function weightAt(address voter, uint64 snapshot) external view returns (uint256) {
        return _weights.upperLookup(voter, snapshot);
    }

    /// @inheritdoc IStakeWeight
    function totalAt(uint64 snapshot) external view returns (uint256) {
        return _weights.upperLookupTotal(snapshot);
    }

    // --- looking up ---

    function _bucket(uint256 index) internal view returns (Bucket memory found) {
        found = _buckets[index];
        if (found.owner == address(0)) revert BucketUnknown(index);
    }

    function _ownBucket(uint256 index) internal view returns (Bucket memory found) {
        found = _bucket(index);
        if (found.owner != msg.sender) revert NotBucketOwner(index, msg.sender);
    }

    function _candidate(address identity) internal view returns (Candidate storage found) {
        found = _candidates[identity];
        if (found.operator == address(0)) revert CandidateUnknown(identity);
    }

    function _isSelfStake(uint256 index, Bucket memory bucket) internal view returns (bool) {
        return _candidates[bucket.candidate].selfStakeBucket == index + 1;
    }

    function _endorses(Bucket memory bucket) internal view returns (bool) {
        return block.number < bucket.endorsedUntil;
    }

    function _epoch() internal view returns (uint64) {
        return uint64((block.number - 1) / BLOCKS_PER_EPOCH + 1);
    }

    // --- votes ---

    function _votes(Bucket memory bucket, bool selfStake) internal pure returns (uint256) {
        if (bucket.unstakedAt != 0) return 0;
        return VoteWeight.votes(bucket.amount, bucket.durationDays, bucket.autoStake, selfStake);
    }

    /// @dev No more than an election can tell: a poll that cannot be encoded would stop the chain.
    function _setVotes(Candidate storage candidate, uint256 votes) internal {
        if (votes > type(uint96).max) revert VotesTooLarge(votes);
        candidate.votes = uint128(votes);
    }

    /// @dev A bucket's votes change: its candidate's and its owner's sums follow.
    function _moveVotes(Candidate storage candidate, address owner, uint256 before, uint256 changed) private {
        _setVotes(candidate, candidate.votes - before + changed);
        _weights.move(owner, before, changed);
    }

    /// @dev A bucket becomes the candidate's self-stake, or stops to be it.
    function _turnVotes(Candidate storage candidate, Bucket memory bucket, bool selfStake) private {
        _moveVotes(candidate, bucket.owner, _votes(bucket, !selfStake), _votes(bucket, selfStake));
    }

    /// @dev Puts a bucket; its candidate's votes and self-stake follow.
    function _save(uint256 index, Bucket memory changed) internal {
        bool selfStake = _isSelfStake(index, changed);
        Candidate storage candidate = _candidates[changed.candidate];
        Bucket memory old = _buckets[index];
        _moveVotes(candidate, changed.owner, _votes(old, selfStake), _votes(changed, selfStake));
        if (selfStake) candidate.selfStake = changed.amount;
        _buckets[index] = changed;
    }

    function _create(address owner, address candidate, uint256 amount, uint32 durationDays, bool autoStake)
        internal
        returns (uint256 index)
    {
        _candidate(candidate);
        if (amount < MIN_BUCKET) revert AmountTooSmall(amount);
        _checkDays(durationDays);
        index = _nextBucket++;
        _owed += amount;
        Bucket memory created;
        created.owner = owner;
        created.startedAt = uint64(block.timestamp);
        created.durationDays = durationDays;
        created.candidate = candidate;
        created.autoStake = autoStake;
        created.amount = uint128(amount);
        _save(index, created);
        emit BucketCreated(index, owner, candidate, amount, durationDays, autoStake);
    }

    /// @dev Makes a bucket the self-stake of a candidate that has none.
    function _setSelfStake(address identity, uint256 index) internal {
        Candidate storage candidate = _candidates[identity];
        Bucket memory chosen = _buckets[index];
        _turnVotes(candidate, chosen, true);
        candidate.selfStakeBucket = uint64(index + 1);
        candidate.selfStake = chosen.amount;
        emit SelfStakeSet(identity, index);
    }

    /// @dev Makes the self-stake of a candidate, if any, an ordinary bucket.
    function _clearSelfStake(Candidate storage candidate) internal {
        uint256 place = candidate.selfStakeBucket;
        if (place == 0) return;
        Bucket memory old = _buckets[place - 1];
        _turnVotes(candidate, old, false);
        candidate.selfStakeBucket = 0;
        candidate.selfStake = 0;
    }

    function _recover(address identity) internal {
        Candidate storage candidate = _candidates[identity];
        if (!candidate.disqualified) return;
        candidate.disqualified = false;
        emit Recovered(identity);
    }

    // --- tokens ---

    /// @dev Moves at most what is there from the self-stake bucket to the pool; leaves a candidate without one alone.
    function _slash(address identity, uint256 amount) internal {
        Candidate storage candidate = _candidates[identity];
        if (candidate.selfStakeBucket == 0) return;
        uint256 index = candidate.selfStakeBucket - 1;
        Bucket storage bucket = _buckets[index];
        uint256 held = bucket.amount;
        uint256 taken = amount < held ? amount : held;
        uint256 left = held - taken;
        bucket.amount = uint128(left);
        candidate.selfStake = uint128(left);
        _owed -= taken;
        // As in `_save`, with the weight computed once: this runs for each seat of an epoch. No self-stake is unstaked.
        uint256 each = VoteWeight.weight(bucket.durationDays, bucket.autoStake, true);
        _moveVotes(candidate, bucket.owner, VoteWeight.weighed(held, each), VoteWeight.weighed(left, each));
        emit Slashed(identity, index, taken);
        if (left < ACTIVE_SELF_STAKE && !candidate.disqualified) {
            candidate.disqualified = true;
            emit Disqualified(identity);
        }
    }

    /// @dev Owes a candidate's reward account at most what is available; the caller keeps `_owed`.
    /// @return left What is available then.
    function _reward(address identity, uint256 amount, uint256 available) internal returns (uint256 left) {
        uint256 paid = amount < available ? amount : available;
        if (paid == 0) return available;
        address account = _candidates[identity].reward;
        unclaimed[account] += paid;
        emit Rewarded(account, identity, paid);
        return available - paid;
    }

    function _pay(address to, uint256 amount) internal {
        _owed -= amount;
        (bool success,) = to.call{value: amount}("");
        if (!success) revert PaymentFailed(to);
    }

    // --- the exit queue ---

    function _requestExit(address identity) internal {
        Candidate storage candidate = _candidate(identity);
        if (candidate.selfStakeBucket == 0) revert NoSelfStake(identity);
        if (candidate.exitTicket != 0) revert ExitPending(identity);
        uint64 ticket = _nextTicket++;
        candidate.exitTicket = ticket + 1;
        address last = _exitPrevious[address(0)];
        _exitNext[last] = identity;
        _exitPrevious[identity] = last;
        _exitPrevious[address(0)] = identity;
        emit ExitRequested(identity, ticket);
    }

    function _leaveQueue(address identity) internal {
        address next = _exitNext[identity];
        address previous = _exitPrevious[identity];
        _exitNext[previous] = next;
        _exitPrevious[next] = previous;
        delete _exitNext[identity];
        delete _exitPrevious[identity];
    }

    function _confirmExit(address identity) internal {
        Candidate storage candidate = _candidate(identity);
        if (candidate.exitTicket == 0) revert ExitNotRequested(identity);
        if (candidate.leavesAt == 0 || _epoch() < candidate.leavesAt) revert ExitNotDue(identity, candidate.leavesAt);
        _clearSelfStake(candidate);
        candidate.exitTicket = 0;
        candidate.leavesAt = 0;
        candidate.disqualified = false;
        emit ExitConfirmed(identity);
    }

    // --- checks ---

    function _checkDays(uint32 durationDays) internal view {
        if (durationDays > MAX_DAYS) revert DurationTooLong(durationDays);
    }

    function _checkStaked(uint256 index, Bucket memory bucket) internal pure {
        if (bucket.unstakedAt != 0) revert BucketUnstaked(index);
    }

    function _checkFree(uint256 index, Bucket memory bucket) internal view {
        if (_isSelfStake(index, bucket)) revert SelfStakeLocked(index);
        if (bucket.endorsedUntil != 0) revert EndorsementActive(index);
    }

    function _checkSelfStake(uint256 amount) internal view {
        if (amount < REGISTER_SELF_STAKE) revert SelfStakeTooSmall(amount);
    }
}
