// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice One stake. Times are Unix seconds, amounts rau.
struct Bucket {
    address owner;
    uint64 startedAt;
    uint32 durationDays;
    /// Identity of the candidate it votes for.
    address candidate;
    /// 0 while it votes.
    uint64 unstakedAt;
    bool autoStake;
    uint128 amount;
    /// Block from which its endorsement may be revoked; the largest number without notice, 0 without endorsement.
    uint64 endorsedUntil;
}

/// @notice Who may be elected.
struct Candidate {
    address operator;
    /// Number of its BLS key, from 1.
    uint64 keyId;
    address reward;
    /// Last epoch it was unproductive in; 0 for none.
    uint64 lastUnproductive;
    /// Slashed below the least self-stake of an active candidate and not recovered.
    bool disqualified;
    uint128 votes;
    uint128 selfStake;
    /// Number of the self-stake bucket plus one; 0 for none.
    uint64 selfStakeBucket;
    /// Number of its exit request plus one; 0 for none.
    uint64 exitTicket;
    /// First epoch without it; 0 while its exit is not admitted.
    uint64 leavesAt;
}

/// @notice A candidate as it is read.
struct CandidateView {
    address identity;
    /// 48 bytes, compressed.
    bytes blsKey;
    Candidate candidate;
}

/// @notice A bucket as it is read.
struct BucketView {
    uint256 index;
    Bucket bucket;
}

/// @notice One delegate of an epoch.
struct Seat {
    address candidate;
    address operator;
    /// Votes after probation: its weight in the finality rule.
    uint96 power;
    /// 48 bytes, compressed.
    bytes blsKey;
}

/// @notice A candidate's part in an epoch's reward.
struct Share {
    address candidate;
    uint96 votes;
}

/// @notice Totals and counters.
struct Overview {
    uint256 pool;
    uint64 nextBucket;
    uint64 nextTicket;
    /// First epoch of the last admitted exit; 0 for none.
    uint64 exitAdmitted;
    uint64 endedEpoch;
    uint64 candidates;
}

/// @notice The constants of l1/staking/parameters.py that the contract needs.
struct StakingParameters {
    uint64 blocksPerEpoch;
    uint128 registrationFee;
    uint128 registerSelfStake;
    uint128 activeSelfStake;
    uint128 minBucket;
    uint32 maxDays;
    uint64 withdrawWait;
    uint64 endorsementWait;
    uint64 productivityThreshold;
    uint128 slashPerBlock;
    uint128 blockReward;
    uint128 epochReward;
    uint64 exitEpochs;
    uint64 equivocationSlashShare;
}

/// @title Staking, election results, rewards and slashing of the chain
/// @notice The rules are l1/staking's; docs/explanation/staking.md has them in tables. A candidate is known by the
/// address of the owner who registered it.
interface IStaking {
    /// @notice A bucket was made.
    event BucketCreated(
        uint256 indexed index,
        address indexed owner,
        address indexed candidate,
        uint256 amount,
        uint32 durationDays,
        bool autoStake
    );
    /// @notice A bucket grew.
    event Deposited(uint256 indexed index, address indexed from, uint256 amount);
    /// @notice A bucket has other terms from this block on.
    event Restaked(uint256 indexed index, uint32 durationDays, bool autoStake);
    /// @notice A bucket votes for another candidate.
    event CandidateChanged(uint256 indexed index, address indexed from, address indexed to);
    /// @notice A bucket stopped voting.
    event Unstaked(uint256 indexed index, uint64 withdrawableAt);
    /// @notice A bucket was paid out.
    event Withdrawn(uint256 indexed index, address indexed owner, uint256 amount);
    /// @notice A candidate came, with a proven key.
    event CandidateRegistered(address indexed candidate, address indexed operator, address reward, bytes blsKey);
    /// @notice A candidate's operator, reward account or key may have changed.
    event CandidateUpdated(address indexed candidate, address indexed operator, address reward, bytes blsKey);
    /// @notice The bucket is the self-stake of the candidate.
    event SelfStakeSet(address indexed candidate, uint256 indexed index);
    /// @notice The bucket's owner vouches for the candidate.
    event Endorsed(uint256 indexed index, address indexed candidate);
    /// @notice The endorsement may be revoked from block `until` on.
    event EndorsementNoticed(uint256 indexed index, uint64 until);
    /// @notice The bucket endorses nobody.
    event EndorsementRevoked(uint256 indexed index);
    /// @notice The candidate waits to leave.
    event ExitRequested(address indexed candidate, uint64 ticket);
    /// @notice The candidate stays.
    event ExitCancelled(address indexed candidate);
    /// @notice The candidate serves until epoch `leavesAt`.
    event ExitAdmitted(address indexed candidate, uint64 leavesAt);
    /// @notice The candidate has left; its self-stake is an ordinary bucket.
    event ExitConfirmed(address indexed candidate);
    /// @notice The delegates of the epoch are frozen, in their order.
    event PollPut(uint64 indexed epoch, Seat[] seats);
    /// @notice The candidate produced too few of its blocks.
    event Unproductive(uint64 indexed epoch, address indexed candidate, uint256 produced, uint256 expected);
    /// @notice The self-stake bucket lost `amount` to the pool.
    event Slashed(address indexed candidate, uint256 indexed index, uint256 amount);
    /// @notice The self-stake fell below what an active candidate needs.
    event Disqualified(address indexed candidate);
    /// @notice The self-stake is enough again.
    event Recovered(address indexed candidate);
    /// @notice The account earned `amount` by the candidate.
    event Rewarded(address indexed account, address indexed candidate, uint256 amount);
    /// @notice The epoch is settled.
    event EpochEnded(uint64 indexed epoch);
    /// @notice Rewards were paid out.
    event Claimed(address indexed account, uint256 amount);
    /// @notice Somebody put coins into the reward pool.
    event PoolFunded(address indexed from, uint256 amount);

    /// @notice There is no such bucket.
    error BucketUnknown(uint256 index);
    /// @notice The bucket is not the caller's.
    error NotBucketOwner(uint256 index, address caller);
    /// @notice The bucket is unstaked.
    error BucketUnstaked(uint256 index);
    /// @notice The bucket is not unstaked.
    error BucketStaked(uint256 index);
    /// @notice Auto-stake must be turned off first.
    error AutoStakeOn(uint256 index);
    /// @notice Deposits are for auto-stake buckets.
    error AutoStakeOff(uint256 index);
    /// @notice The duration is over at `maturesAt`, Unix seconds.
    error NotMatured(uint256 index, uint256 maturesAt);
    /// @notice The bucket may be withdrawn at `withdrawableAt`, Unix seconds.
    error WithdrawTooEarly(uint256 index, uint256 withdrawableAt);
    /// @notice A bucket lasts at most MAX_DAYS.
    error DurationTooLong(uint256 durationDays);
    /// @notice Less than the least bucket, or than the fee.
    error AmountTooSmall(uint256 amount);
    /// @notice Less than REGISTER_SELF_STAKE.
    error SelfStakeTooSmall(uint256 amount);
    /// @notice The bucket is the self-stake of its candidate.
    error SelfStakeLocked(uint256 index);
    /// @notice The bucket is endorsed.
    error EndorsementActive(uint256 index);
    /// @notice The bucket is not endorsed.
    error NotEndorsed(uint256 index);
    /// @notice The bucket votes for that candidate already.
    error SameCandidate(uint256 index);
    /// @notice The bucket votes for somebody else.
    error WrongCandidate(uint256 index);
    /// @notice Nobody registered so.
    error CandidateUnknown(address candidate);
    /// @notice The caller is a candidate already.
    error CandidateExists(address candidate);
    /// @notice An address must not be zero.
    error ZeroAddress();
    /// @notice The operator works for another candidate.
    error OperatorTaken(address operator);
    /// @notice The key was registered before.
    error KeyTaken();
    /// @notice The key or the proof is no point of its subgroup, or the key is infinity.
    error KeyInvalid();
    /// @notice The proof is not of the key's secret.
    error PossessionUnproven();
    /// @notice The candidate has nothing to take out.
    error NoSelfStake(address candidate);
    /// @notice The candidate would have more votes than a seat's power can say.
    error VotesTooLarge(uint256 votes);
    /// @notice The candidate is leaving.
    error ExitPending(address candidate);
    /// @notice The candidate is not leaving.
    error ExitNotRequested(address candidate);
    /// @notice The exit can no longer be cancelled.
    error ExitActive(address candidate);
    /// @notice The exit ends with epoch `leavesAt`; 0 while it waits.
    error ExitNotDue(address candidate, uint64 leavesAt);
    /// @notice The account has no rewards.
    error NothingToClaim(address account);
    /// @notice The receiver did not take the coins.
    error PaymentFailed(address to);
    /// @notice The caller is not the block's beneficiary.
    error NotProducer(address caller);
    /// @notice The system call is for another block.
    error WrongBlock(uint256 number);
    /// @notice The epoch was polled.
    error PollExists(uint64 epoch);
    /// @notice The epoch has no seats.
    error PollUnknown(uint64 epoch);
    /// @notice The epoch is settled.
    error EpochAlreadyEnded(uint64 epoch);
    /// @notice The epoch is not settled, or its reward is shared.
    error RewardNotDue(uint64 epoch);
    /// @notice Not one count for each seat, or more blocks than an epoch has.
    error CountsInvalid();
    /// @notice The seat's candidate did not register its key.
    error SeatInvalid(uint256 place);
    /// @notice The caller is not the contract that convicts.
    error NotEvidence(address caller);

    // --- buckets ---

    /// @notice Stakes the value for a candidate.
    /// @return index The bucket's number.
    function createBucket(address candidate, uint32 durationDays, bool autoStake)
        external
        payable
        returns (uint256 index);

    /// @notice Adds the value to an auto-stake bucket; anyone may.
    function deposit(uint256 index) external payable;

    /// @notice Starts the duration again with other terms; a shorter one only when the old one is over.
    function restake(uint256 index, uint32 durationDays, bool autoStake) external;

    /// @notice Lets a bucket vote for another candidate; not a self-stake, nor an endorsed one.
    function changeCandidate(uint256 index, address candidate) external;

    /// @notice Stops voting and starts the wait for withdrawal.
    function unstake(uint256 index) external;

    /// @notice Pays an unstaked bucket out to its owner.
    function withdraw(uint256 index) external;

    // --- candidates ---

    /// @notice Becomes a candidate. The value is the fee, alone or with a self-stake of at least the minimum.
    /// @param operator Produces the blocks and sends their system calls.
    /// @param reward Earns the rewards.
    /// @param blsKey Point of G1, 128 bytes (EIP-2537).
    /// @param possession Proof of possession, point of G2, 256 bytes.
    /// @param durationDays The self-stake bucket's duration.
    /// @param autoStake Whether it does not run down.
    function register(
        address operator,
        address reward,
        bytes calldata blsKey,
        bytes calldata possession,
        uint32 durationDays,
        bool autoStake
    ) external payable;

    /// @notice Names another operator and reward account, and another key unless `blsKey` is empty.
    function update(address operator, address reward, bytes calldata blsKey, bytes calldata possession) external;

    /// @notice Makes a bucket that votes for the caller its self-stake: its own, or an endorsed one.
    function activate(uint256 index) external;

    /// @notice Vouches with a bucket for the candidate it votes for.
    function endorse(uint256 index) external;

    /// @notice Announces the end of an endorsement: at once, or after the wait where it is in use.
    function giveNotice(uint256 index) external;

    /// @notice Ends an endorsement after notice; where it is in use, by the exit queue.
    function revokeEndorsement(uint256 index) external;

    // --- leaving ---

    /// @notice Enters the exit queue.
    function requestExit() external;

    /// @notice Leaves the queue again, before the exit is admitted; not where the self-stake is another's, whose
    /// endorsement is over: then the exit is what gives it back.
    function cancelExit() external;

    /// @notice Finishes an exit that is over: the self-stake becomes an ordinary bucket.
    function confirmExit() external;

    // --- rewards ---

    /// @notice Pays the caller's rewards out.
    function claim() external;

    // --- system calls: by the block's producer, in the blocks that they are for; validators check the arguments ---

    /// @notice Freezes the delegates of an epoch, in the middle of the one before it. Without seats where nobody
    /// qualifies and there is no earlier set.
    function putPollResult(uint64 epoch, Seat[] calldata seats, Share[] calldata ranking) external;

    /// @notice Settles an epoch, in its last block: probation, penalties, block rewards, the next exit.
    /// @param produced Blocks of each seat.
    function endEpoch(uint64 epoch, uint32[] calldata produced) external;

    /// @notice Shares the epoch's reward, after `endEpoch` in the same block. Both at once may need more gas than a
    /// transaction can have (EIP-7825).
    function shareReward(uint64 epoch) external;

    // --- punishing ---

    /// @notice Takes EQUIVOCATION_SLASH_SHARE of the self-stake; only for the evidence contract (IEvidence).
    function punishEquivocation(address candidate) external;

    // --- reading ---

    /// @notice The reward pool, rau.
    function pool() external view returns (uint256);

    /// @notice Rewards that an account may claim.
    function unclaimed(address account) external view returns (uint256);

    /// @notice Totals and counters.
    function overview() external view returns (Overview memory);

    /// @notice At most `count` candidates in the order of registration, from the place `from`.
    function readCandidates(uint256 from, uint256 count) external view returns (CandidateView[] memory);

    /// @notice The buckets with numbers from `from` to below `from + count`, without the withdrawn ones.
    function readBuckets(uint256 from, uint256 count) external view returns (BucketView[] memory);

    /// @notice A poll that was put for this epoch or the one before it; empty when there is none.
    function readPoll(uint64 epoch) external view returns (Seat[] memory seats, Share[] memory ranking);

    /// @notice Who registered a BLS key, given its 48 compressed bytes; the zero address for nobody.
    function keyOwner(bytes calldata blsKey) external view returns (address);
}
