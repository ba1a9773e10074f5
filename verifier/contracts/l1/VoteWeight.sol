// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Vote weight of a bucket
/// @notice w = 1 + ln(days · (1 + m)) / ln(1.2) / 100 with m = 1 for auto-stake, times 1.06 for a self-stake bucket
/// with auto-stake and at least 91 days, rounded to the nearest multiple of 2^-52. The same integers as
/// l1/staking/weight.py, which also says how precise they are.
library VoteWeight {
    uint256 private constant LOG_BITS = 72;
    uint256 private constant WEIGHT_BITS = 52;
    /// @dev floor(2^128 · ln 2 / (100 · ln 1.2)), 1.2 as float64 holds it.
    uint256 private constant SCALE = 0x9bb8984310213bb2662b684a21a9524;
    /// @dev 1.06 · 2^52 as float64 holds it.
    uint256 private constant BONUS = 0x10f5c28f5c28f6;
    uint256 private constant BONUS_DAYS = 91;

    /// @notice Votes of `amount` rau, truncated.
    function votes(uint256 amount, uint256 durationDays, bool autoStake, bool selfStake)
        internal
        pure
        returns (uint256)
    {
        return weighed(amount, weight(durationDays, autoStake, selfStake));
    }

    /// @notice Votes of `amount` rau of this weight each, truncated.
    function weighed(uint256 amount, uint256 each) internal pure returns (uint256) {
        return (amount * each) >> WEIGHT_BITS;
    }

    /// @notice The weight of each rau, in units of 2^-52.
    function weight(uint256 durationDays, bool autoStake, bool selfStake) internal pure returns (uint256 result) {
        // No overflow: the logarithm of at most 2^33 has 78 bits, SCALE 124, BONUS 53.
        unchecked {
            result = 1 << LOG_BITS;
            if (durationDays > 0) result += (_log2(autoStake ? durationDays << 1 : durationDays) * SCALE) >> 128;
            if (selfStake && autoStake && durationDays >= BONUS_DAYS) result = (result * BONUS) >> WEIGHT_BITS;
            uint256 dropped = LOG_BITS - WEIGHT_BITS;
            result = (result + (1 << (dropped - 1))) >> dropped;
        }
    }

    /// @dev log2 of a positive integer below 2^33, in units of 2^-72, truncated: the mantissa is squared bit by bit.
    function _log2(uint256 number) private pure returns (uint256 bits) {
        unchecked {
            while (number >> (bits + 1) != 0) ++bits;
            uint256 mantissa = number << (127 - bits);
            for (uint256 i = 0; i < LOG_BITS; ++i) {
                mantissa = (mantissa * mantissa) >> 127;
                uint256 carry = mantissa >> 128;
                mantissa >>= carry;
                bits = (bits << 1) | carry;
            }
        }
    }
}
