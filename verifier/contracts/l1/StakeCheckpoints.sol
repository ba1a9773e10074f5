// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IStakeWeight} from "./IStakeWeight.sol";

/// @title History of vote weights by block number
/// @notice Holds every account's weight and their sum, so that both can be read at the end of any block that is over.
/// `push` keeps the two in step; a contract that implements IStakeWeight calls it whenever a weight changes.
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
        Checkpoint[] storage trace = self.ofVoter[voter];
        before = _last(trace);
        if (before == weight) return before;
        uint256 others = _last(self.ofAll) - before;
        if (weight > type(uint208).max - others) revert IStakeWeight.WeightTooLarge(weight);
        // Both are at most the maximum that was just compared with.
        _append(trace, uint208(weight));
        _append(self.ofAll, uint208(others + weight));
    }

    /// @notice An account's weight now; it may change within this block.
    function latest(History storage self, address voter) internal view returns (uint256) {
        return _last(self.ofVoter[voter]);
    }

    /// @notice The sum now; it may change within this block.
    function latestTotal(History storage self) internal view returns (uint256) {
        return _last(self.ofAll);
    }

    /// @notice An account's weight at the end of block `snapshot`, which must be over.
    function upperLookup(History storage self, address voter, uint64 snapshot) internal view returns (uint256) {
        return _at(self.ofVoter[voter], snapshot);
    }

    /// @notice The sum at the end of block `snapshot`, which must be over.
    function upperLookupTotal(History storage self, uint64 snapshot) internal view returns (uint256) {
        return _at(self.ofAll, snapshot);
    }

    function _append(Checkpoint[] storage trace, uint208 weight) private {
        uint256 count = trace.length;
        if (count != 0 && trace[count - 1].since == block.number) trace[count - 1].weight = weight;
        // 2^48 blocks are 22 million years of 2.5 seconds.
        else trace.push(Checkpoint(uint48(block.number), weight));
    }

    function _last(Checkpoint[] storage trace) private view returns (uint256) {
        uint256 count = trace.length;
        return count == 0 ? 0 : trace[count - 1].weight;
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
