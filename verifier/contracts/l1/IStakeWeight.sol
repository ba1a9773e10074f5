// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Who weighs how much, as of a past block
/// @notice What a staking contract offers to contracts that count votes. The weights of all voters at a snapshot add up
/// to the total at that snapshot, and neither ever changes afterwards.
interface IStakeWeight {
    /// @notice The block is not over: its weights may still change.
    error SnapshotNotPassed(uint64 snapshot, uint256 blockNumber);
    /// @notice A weight that the history cannot hold (2^208 and above).
    error WeightTooLarge(uint256 weight);

    /// @notice Vote weight of an account at the end of a block that is over.
    /// @param voter Owner of the stake; a delegate has the weight of its own stake only.
    /// @param snapshot Block number, below the current one.
    function weightAt(address voter, uint64 snapshot) external view returns (uint256);

    /// @notice Sum of all weights at the end of a block that is over.
    /// @param snapshot Block number, below the current one.
    function totalAt(uint64 snapshot) external view returns (uint256);
}
