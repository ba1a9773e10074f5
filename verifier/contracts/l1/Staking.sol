// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BLS12381} from "../BLS12381.sol";
import {
    Bucket,
    BucketView,
    Candidate,
    CandidateView,
    IStaking,
    Overview,
    Seat,
    Share,
    StakingParameters
} from "./IStaking.sol";
import {StakingEpochs} from "./StakingEpochs.sol";
import {StakingLedger} from "./StakingLedger.sol";

/// @title Staking
/// @notice The chain's staking contract: what users call, and what is read. Calls only standard precompiles, so that
/// any Ethereum client executes it.
contract Staking is StakingEpochs {
    /// @param parameters Constants of the chain.
    constructor(StakingParameters memory parameters) StakingLedger(parameters) {}

    /// @notice Puts the value into the reward pool.
    receive() external payable {
        emit PoolFunded(msg.sender, msg.value);
    }

    // --- buckets ---

    /// @inheritdoc IStaking
    function createBucket(address candidate, uint32 durationDays, bool autoStake) external payable returns (uint256) {
        return _create(msg.sender, candidate, msg.value, durationDays, autoStake);
    }

    /// @inheritdoc IStaking
    function deposit(uint256 index) external payable {
        Bucket memory bucket = _bucket(index);
        _checkStaked(index, bucket);
        if (!bucket.autoStake) revert AutoStakeOff(index);
        if (msg.value == 0) revert AmountTooSmall(0);
        bucket.amount += uint128(msg.value);
        _owed += msg.value;
        _save(index, bucket);
        emit Deposited(index, msg.sender, msg.value);
        if (_isSelfStake(index, bucket) && bucket.amount >= REGISTER_SELF_STAKE) _recover(bucket.candidate);
    }

    /// @inheritdoc IStaking
    function restake(uint256 index, uint32 durationDays, bool autoStake) external {
        Bucket memory bucket = _ownBucket(index);
        _checkStaked(index, bucket);
        _checkDays(durationDays);
        if (durationDays < bucket.durationDays) {
            if (bucket.autoStake) revert AutoStakeOn(index);
            _checkMatured(index, bucket);
        }
        bucket.durationDays = durationDays;
        bucket.autoStake = autoStake;
        bucket.startedAt = uint64(block.timestamp);
        _save(index, bucket);
        emit Restaked(index, durationDays, autoStake);
    }

    /// @inheritdoc IStaking
    function changeCandidate(uint256 index, address candidate) external {
        Candidate storage joined = _candidate(candidate);
        Bucket memory bucket = _ownBucket(index);
        _checkStaked(index, bucket);
        _checkFree(index, bucket);
        address left = bucket.candidate;
        if (left == candidate) revert SameCandidate(index);
        uint256 votes = _votes(bucket, false);
        _setVotes(_candidates[left], _candidates[left].votes - votes);
        _setVotes(joined, joined.votes + votes);
        _buckets[index].candidate = candidate;
        emit CandidateChanged(index, left, candidate);
    }

    /// @inheritdoc IStaking
    function unstake(uint256 index) external {
        Bucket memory bucket = _ownBucket(index);
        _checkStaked(index, bucket);
        if (bucket.autoStake) revert AutoStakeOn(index);
        _checkMatured(index, bucket);
        _checkFree(index, bucket);
        bucket.unstakedAt = uint64(block.timestamp);
        _save(index, bucket);
        emit Unstaked(index, bucket.unstakedAt + WITHDRAW_WAIT);
    }

    /// @inheritdoc IStaking
    function withdraw(uint256 index) external {
        Bucket memory bucket = _ownBucket(index);
        if (bucket.unstakedAt == 0) revert BucketStaked(index);
        uint64 ready = bucket.unstakedAt + WITHDRAW_WAIT;
        if (block.timestamp < ready) revert WithdrawTooEarly(index, ready);
        delete _buckets[index];
        emit Withdrawn(index, msg.sender, bucket.amount);
        _pay(msg.sender, bucket.amount);
    }

    // --- candidates ---

    /// @inheritdoc IStaking
    function register(
        address operator,
        address reward,
        bytes calldata blsKey,
        bytes calldata possession,
        uint32 durationDays,
        bool autoStake
    ) external payable {
        if (_candidates[msg.sender].operator != address(0)) revert CandidateExists(msg.sender);
        if (msg.value < REGISTRATION_FEE) revert AmountTooSmall(msg.value);
        uint256 stake = msg.value - REGISTRATION_FEE;
        if (stake != 0) _checkSelfStake(stake);
        if (reward == address(0)) revert ZeroAddress();
        Candidate storage created = _candidates[msg.sender];
        _setOperator(created, operator);
        created.reward = reward;
        bytes memory compressed = _addKey(blsKey, possession);
        _identities.push(msg.sender);
        emit CandidateRegistered(msg.sender, operator, reward, compressed);
        if (stake == 0) return;
        _setSelfStake(msg.sender, _create(msg.sender, msg.sender, stake, durationDays, autoStake));
    }

    /// @inheritdoc IStaking
    function update(address operator, address reward, bytes calldata blsKey, bytes calldata possession) external {
        Candidate storage candidate = _candidate(msg.sender);
        if (reward == address(0)) revert ZeroAddress();
        if (operator != candidate.operator) {
            delete _operators[candidate.operator];
            _setOperator(candidate, operator);
        }
        candidate.reward = reward;
        if (blsKey.length != 0) _addKey(blsKey, possession);
        emit CandidateUpdated(msg.sender, operator, reward, _key(candidate.keyId));
    }

    /// @inheritdoc IStaking
    function activate(uint256 index) external {
        Candidate storage candidate = _candidate(msg.sender);
        if (candidate.exitTicket != 0) revert ExitPending(msg.sender);
        Bucket memory bucket = _bucket(index);
        if (bucket.candidate != msg.sender) revert WrongCandidate(index);
        _checkStaked(index, bucket);
        _checkSelfStake(bucket.amount);
        if (_isSelfStake(index, bucket)) revert SelfStakeLocked(index);
        _checkStands(index);
        _clearSelfStake(candidate);
        _setSelfStake(msg.sender, index);
        _recover(msg.sender);
    }

    /// @inheritdoc IStaking
    function endorse(uint256 index) external {
        Bucket memory bucket = _ownBucket(index);
        _checkStaked(index, bucket);
        _checkSelfStake(bucket.amount);
        _checkFree(index, bucket);
        _buckets[index].endorsedUntil = UNTIL_NOTICE;
        emit Endorsed(index, bucket.candidate);
    }

    /// @inheritdoc IStaking
    function giveNotice(uint256 index) external {
        Bucket memory bucket = _ownBucket(index);
        if (!_endorses(bucket)) revert NotEndorsed(index);
        uint64 until = uint64(block.number) + (_isSelfStake(index, bucket) ? ENDORSEMENT_WAIT : 0);
        _buckets[index].endorsedUntil = until;
        emit EndorsementNoticed(index, until);
    }

    /// @inheritdoc IStaking
    function revokeEndorsement(uint256 index) external {
        Bucket memory bucket = _ownBucket(index);
        if (bucket.endorsedUntil == 0) revert NotEndorsed(index);
        if (_endorses(bucket)) revert EndorsementActive(index);
        if (_isSelfStake(index, bucket)) {
            if (_candidates[bucket.candidate].exitTicket == 0) {
                _requestExit(bucket.candidate);
                return;
            }
            _confirmExit(bucket.candidate);
        }
        _buckets[index].endorsedUntil = 0;
        emit EndorsementRevoked(index);
    }

    // --- leaving ---

    /// @inheritdoc IStaking
    function requestExit() external {
        _requestExit(msg.sender);
    }

    /// @inheritdoc IStaking
    function cancelExit() external {
        Candidate storage candidate = _candidate(msg.sender);
        if (candidate.exitTicket == 0) revert ExitNotRequested(msg.sender);
        if (candidate.leavesAt != 0) revert ExitActive(msg.sender);
        _checkStands(candidate.selfStakeBucket - 1);
        _leaveQueue(msg.sender);
        candidate.exitTicket = 0;
        emit ExitCancelled(msg.sender);
    }

    /// @inheritdoc IStaking
    function confirmExit() external {
        _confirmExit(msg.sender);
    }

    // --- rewards ---

    /// @inheritdoc IStaking
    function claim() external {
        uint256 amount = unclaimed[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        unclaimed[msg.sender] = 0;
        emit Claimed(msg.sender, amount);
        _pay(msg.sender, amount);
    }

    // --- punishing ---

    /// @inheritdoc IStaking
    function punishEquivocation(address candidate) external {
        if (msg.sender != address(EVIDENCE)) revert NotEvidence(msg.sender);
        uint256 share = (_candidates[candidate].selfStake * EQUIVOCATION_SLASH_SHARE) / 10_000;
        if (share != 0) _slash(candidate, share);
    }

    // --- reading ---

    /// @inheritdoc IStaking
    function overview() external view returns (Overview memory) {
        return Overview(pool(), _nextBucket, _nextTicket, _exitAdmitted, _endedEpoch, uint64(_identities.length));
    }

    /// @inheritdoc IStaking
    function readCandidates(uint256 from, uint256 count) external view returns (CandidateView[] memory found) {
        uint256 left = from < _identities.length ? _identities.length - from : 0;
        found = new CandidateView[](count < left ? count : left);
        for (uint256 i = 0; i < found.length; ++i) {
            address identity = _identities[from + i];
            Candidate memory candidate = _candidates[identity];
            found[i] = CandidateView(identity, _key(candidate.keyId), candidate);
        }
    }

    /// @inheritdoc IStaking
    function readBuckets(uint256 from, uint256 count) external view returns (BucketView[] memory found) {
        found = new BucketView[](count);
        uint256 filled = 0;
        for (uint256 i = 0; i < count && from + i < _nextBucket; ++i) {
            Bucket memory bucket = _buckets[from + i];
            if (bucket.owner != address(0)) found[filled++] = BucketView(from + i, bucket);
        }
        assembly ("memory-safe") {
            mstore(found, filled)
        }
    }

    /// @inheritdoc IStaking
    function readPoll(uint64 epoch) external view returns (Seat[] memory seats, Share[] memory ranking) {
        StoredPoll storage poll = _polls[epoch & 1];
        if (poll.epoch != epoch) return (seats, ranking);
        ranking = poll.ranking;
        seats = new Seat[](poll.seats.length);
        for (uint256 i = 0; i < seats.length; ++i) {
            StoredSeat memory seat = poll.seats[i];
            seats[i] = Seat(seat.candidate, seat.operator, seat.power, _key(seat.keyId));
        }
    }

    /// @inheritdoc IStaking
    function keyOwner(bytes calldata blsKey) external view returns (address) {
        return _keyOwners[keccak256(blsKey)];
    }

    // --- inside ---

    /// @dev The bucket is the caller's, or its owner vouches for the caller.
    function _checkStands(uint256 index) private view {
        Bucket storage bucket = _buckets[index];
        if (bucket.owner != msg.sender && block.number >= bucket.endorsedUntil) revert NotEndorsed(index);
    }

    function _setOperator(Candidate storage candidate, address operator) private {
        if (operator == address(0)) revert ZeroAddress();
        if (_operators[operator] != address(0)) revert OperatorTaken(operator);
        _operators[operator] = msg.sender;
        candidate.operator = operator;
    }

    /// @dev Proves and keeps a key of the caller's. No key is ever registered twice: one that was given up still
    /// convicts.
    function _addKey(bytes calldata blsKey, bytes calldata possession) private returns (bytes memory compressed) {
        if (blsKey.length != BLS12381.G1_BYTES) revert KeyInvalid();
        (bytes32 head, bytes16 tail) = BLS12381.compressG1(blsKey);
        compressed = bytes.concat(head, tail);
        bytes32 keyHash = keccak256(compressed);
        if (_keyOwners[keyHash] != address(0)) revert KeyTaken();
        (bool valid, bool proven) = BLS12381.verifyPossession(blsKey, compressed, possession);
        if (!valid) revert KeyInvalid();
        if (!proven) revert PossessionUnproven();
        _keys.push(Key(head, tail));
        _keyOwners[keyHash] = msg.sender;
        _keyIds[keyHash] = uint64(_keys.length);
        _candidates[msg.sender].keyId = uint64(_keys.length);
    }

    /// @dev The key with a number, 48 bytes.
    function _key(uint64 id) private view returns (bytes memory) {
        Key storage key = _keys[id - 1];
        return bytes.concat(key.head, key.tail);
    }

    function _checkMatured(uint256 index, Bucket memory bucket) private view {
        uint256 maturesAt = uint256(bucket.startedAt) + uint256(bucket.durationDays) * 1 days;
        if (block.timestamp < maturesAt) revert NotMatured(index, maturesAt);
    }
}
