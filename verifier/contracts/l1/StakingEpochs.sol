// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Candidate, IStaking, Seat, Share} from "./IStaking.sol";
import {StakingLedger} from "./StakingLedger.sol";

/// @title The system calls: what the consensus tells the contract once an epoch
/// @notice Their sender must be the block's beneficiary. The arguments are not checked here: every validator computes
/// them from the state (l1/staking/system_calls.py) and refuses a block that does not begin with them. After them no
/// other call of the same block can pass, whoever makes it. No amount can make `endEpoch` or `shareReward` revert.
abstract contract StakingEpochs is StakingLedger {
    /// @inheritdoc IStaking
    function putPollResult(uint64 epoch, Seat[] calldata seats, Share[] calldata ranking) external {
        // The first block of the epoch before, plus half an epoch.
        _requireDue(epoch >= 2 && block.number == uint256(epoch - 2) * BLOCKS_PER_EPOCH + 1 + BLOCKS_PER_EPOCH / 2);
        StoredPoll storage stored = _polls[epoch & 1];
        if (stored.epoch == epoch) revert PollExists(epoch);
        // The first poll: the genesis block's hash is still in reach.
        if (epoch == 2) EVIDENCE.keepDomain();
        stored.epoch = epoch;
        stored.shared = false;
        delete stored.seats;
        delete stored.ranking;
        for (uint256 i = 0; i < seats.length; ++i) {
            Seat calldata seat = seats[i];
            bytes32 keyHash = keccak256(seat.blsKey);
            if (_keyOwners[keyHash] != seat.candidate || seat.candidate == address(0)) revert SeatInvalid(i);
            stored.seats.push(StoredSeat(seat.candidate, seat.power, seat.operator, _keyIds[keyHash]));
        }
        for (uint256 i = 0; i < ranking.length; ++i) {
            _candidate(ranking[i].candidate);
            stored.ranking.push(ranking[i]);
        }
        emit PollPut(epoch, seats);
    }

    /// @inheritdoc IStaking
    function endEpoch(uint64 epoch, uint32[] calldata produced) external {
        StoredPoll storage poll = _pollOfLast(epoch);
        if (epoch <= _endedEpoch) revert EpochAlreadyEnded(epoch);
        if (poll.epoch != epoch || poll.seats.length == 0) revert PollUnknown(epoch);
        if (produced.length != poll.seats.length) revert CountsInvalid();
        _judge(epoch, poll.seats, produced);
        uint256 total = 0;
        uint256 available = pool();
        for (uint256 i = 0; i < produced.length; ++i) {
            total += produced[i];
            available = _reward(poll.seats[i].candidate, produced[i] * BLOCK_REWARD, available);
        }
        if (total > BLOCKS_PER_EPOCH) revert CountsInvalid();
        _owed = address(this).balance - available;
        _admitExit(epoch + 1);
        _endedEpoch = epoch;
        emit EpochEnded(epoch);
    }

    /// @inheritdoc IStaking
    function shareReward(uint64 epoch) external {
        StoredPoll storage poll = _pollOfLast(epoch);
        if (_endedEpoch != epoch || poll.shared) revert RewardNotDue(epoch);
        poll.shared = true;
        Share[] memory ranking = poll.ranking;
        uint256 votes = 0;
        for (uint256 i = 0; i < ranking.length; ++i) {
            votes += ranking[i].votes;
        }
        uint256 available = pool();
        uint256 reward = EPOCH_REWARD < available ? EPOCH_REWARD : available;
        for (uint256 i = 0; i < ranking.length; ++i) {
            // What rounding leaves stays in the pool.
            available = _reward(ranking[i].candidate, (reward * ranking[i].votes) / votes, available);
        }
        _owed = address(this).balance - available;
    }

    /// @dev Where the poll of the epoch is, if this is the epoch's last block.
    function _pollOfLast(uint64 epoch) private view returns (StoredPoll storage) {
        _requireDue(block.number == uint256(epoch) * BLOCKS_PER_EPOCH);
        return _polls[epoch & 1];
    }

    function _requireDue(bool here) private view {
        if (msg.sender != block.coinbase) revert NotProducer(msg.sender);
        if (!here) revert WrongBlock(block.number);
    }

    /// @dev Marks and slashes (IIP-50) whoever produced less than the threshold of its slots.
    function _judge(uint64 epoch, StoredSeat[] storage seats, uint32[] calldata produced) private {
        uint256 whole = BLOCKS_PER_EPOCH / produced.length;
        uint256 rest = BLOCKS_PER_EPOCH % produced.length;
        for (uint256 i = 0; i < produced.length; ++i) {
            uint256 expected = i < rest ? whole + 1 : whole;
            uint256 count = produced[i];
            if (expected == 0 || (count * 100) / expected >= PRODUCTIVITY_THRESHOLD) continue;
            address identity = seats[i].candidate;
            _candidates[identity].lastUnproductive = epoch;
            emit Unproductive(epoch, identity, count, expected);
            if (SLASH_PER_BLOCK != 0) _slash(identity, (expected - count) * SLASH_PER_BLOCK);
        }
    }

    /// @dev Admits who waits longest, unless an exit is under way.
    function _admitExit(uint64 epoch) private {
        if (_exitAdmitted != 0 && epoch < _exitAdmitted + EXIT_EPOCHS) return;
        address identity = _exitNext[address(0)];
        if (identity == address(0)) return;
        _leaveQueue(identity);
        Candidate storage candidate = _candidates[identity];
        candidate.leavesAt = epoch + EXIT_EPOCHS;
        _exitAdmitted = epoch;
        emit ExitAdmitted(identity, candidate.leavesAt);
    }
}
