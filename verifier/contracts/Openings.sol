// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Completeness, isPossible} from "./Types.sol";

/// @title What every verifier asks of an opening
/// @notice The opening itself is the one that `inputs` commits to; that is the verifier's to compare.
library Openings {
    /// Bytes of the completeness, the last of every public output.
    uint256 internal constant COMPLETENESS_BYTES = 128;

    /// @notice The window, the count or the completeness of the opening is impossible.
    error ImpossibleOpening();
    /// @notice The public output does not end with the completeness of the opening.
    error CompletenessMismatch();

    /// @notice Requires a window of `count` readings in the positions from `start` to before `end` that can lack what is
    /// stated.
    function requirePossible(uint256 start, uint256 end, uint256 count, Completeness memory stated) internal pure {
        requireWindow(start, end, count);
        if (!isPossible(stated, uint32(count), uint64(end - start))) revert ImpossibleOpening();
    }

    /// @notice Requires a window that can hold `count` readings.
    function requireWindow(uint256 start, uint256 end, uint256 count) internal pure {
        if (start == 0 || start >= end || count == 0 || count > end - start) revert ImpossibleOpening();
    }

    /// @notice Requires that the public output ends with `stated`, the ABI encoding of a completeness.
    function requireStated(bytes calldata publicOutput, bytes calldata stated) internal pure {
        if (
            publicOutput.length < COMPLETENESS_BYTES
                || keccak256(publicOutput[publicOutput.length - COMPLETENESS_BYTES:]) != keccak256(stated)
        ) revert CompletenessMismatch();
    }
}
