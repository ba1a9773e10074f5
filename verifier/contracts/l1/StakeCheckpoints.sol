// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IStakeWeight} from "./IStakeWeight.sol";

/// @title History of vote weights by block number
/// @notice Holds every account's weight and their sum, so that both can be read at the end of any block that is over.
/// `push` and `move` keep the two in step; a contract that implements IStakeWeight calls one whenever a weight changes.
library StakeCheckpoints {
    /// @notice A weight and the block from which it holds; one storage slot.
    struct Checkpoint {
        uint48 since;
        uint208 weight;
    }

    struct History {
        mapping(address voter => Checkpoint[]) ofVoter;
        Checkpoint[] ofAll;
    }

    /// @notice Sets an account's weight from this block on; the sum follows.
    /// @param weight Such that the sum stays below 2^208.
    /// @return before The account's weight until now.
    function push(History storage self, address voter, uint256 weight) internal returns (uint256 before) {
        before = latest(self, voter);
        move(self, voter, before, weight);
    }

    /// @notice Replaces a part of an account's weight from this block on; the sum follows.
    /// @param removed At most the account's weight.
    /// @param added Such that the sum stays below 2^208.
    function move(History storage self, address voter, uint256 removed, uint256 added) internal {
        if (removed == added) return;
        Checkpoint[] storage all = self.ofAll;
        (uint256 count, Checkpoint memory newest) = _newest(all);
        uint256 others = newest.weight - removed;
        if (added > type(uint208).max - others) revert IStakeWeight.WeightTooLarge(added);
        // The sum is at most the maximum that was just compared with, and no account's weight is above the sum.
        _append(all, count, newest, others + added);
        Checkpoint[] storage trace = self.ofVoter[voter];
        (count, newest) = _newest(trace);
        _append(trace, count, newest, newest.weight - removed + added);
    }

    /// @notice An account's weight now; it may change within this block.
    function latest(History storage self, address voter) internal view returns (uint256) {
        (, Checkpoint memory newest) = _newest(self.ofVoter[voter]);
        return newest.weight;
    }

    /// @notice The sum now; it may change within this block.
    function latestTotal(History storage self) internal view returns (uint256) {
        (, Checkpoint memory newest) = _newest(self.ofAll);
        return newest.weight;
    }

    /// @notice An account's weight at the end of block `snapshot`, which must be over.
    function upperLookup(History storage self, address voter, uint64 snapshot) internal view returns (uint256) {
        return _at(self.ofVoter[voter], snapshot);
    }

    /// @notice The sum at the end of block `snapshot`, which must be over.
    function upperLookupTotal(History storage self, uint64 snapshot) internal view returns (uint256) {
        return _at(self.ofAll, snapshot);
    }

    function _append(Checkpoint[] storage trace, uint256 count, Checkpoint memory newest, uint256 weight) private {
        // 2^48 blocks are 22 million years of 2.5 seconds.
        Checkpoint memory next = Checkpoint(uint48(block.number), uint208(weight));
        if (count != 0 && newest.since == next.since) trace[count - 1] = next;
        else trace.push(next);
    }

    /// @dev Number of checkpoints, and the last one; one of weight zero where there is none.
    function _newest(Checkpoint[] storage trace) private view returns (uint256 count, Checkpoint memory newest) {
        count = trace.length;
        if (count != 0) newest = trace[count - 1];
    }

    /// The weight of the last checkpoint that is not younger than `snapshot`. `since` rises strictly.
    function _at(Checkpoint[] storage trace, uint64 snapshot) private view returns (uint256) {
        if (snapshot >= block.number) revert IStakeWeight.SnapshotNotPassed(snapshot, block.number);
        uint256 low = 0;
        uint256 high = trace.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (trace[middle].since > snapshot) high = middle;
            else low = middle + 1;
        }
        return high == 0 ? 0 : trace[high - 1].weight;
    }
}
