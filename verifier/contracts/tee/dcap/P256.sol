// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ECDSA on P-256 by the precompile at 0x100 (EIP-7951)
library P256 {
    address private constant PRECOMPILE = address(0x100);

    /// @notice Whether r, s is a signature of the digest under the point x, y. False as well for a point that is off
    /// the curve or infinity, for r or s that are not in 1 to n - 1, and on a chain that has no such precompile.
    /// @dev The second spelling of a signature, n - s, is one as well: Intel's own are not in the lower half.
    function verify(bytes32 digest, uint256 r, uint256 s, uint256 x, uint256 y) internal view returns (bool) {
        (bool success, bytes memory answer) = PRECOMPILE.staticcall(abi.encode(digest, r, s, x, y));
        return success && answer.length == 32 && abi.decode(answer, (uint256)) == 1;
    }
}
