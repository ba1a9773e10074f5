// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Counts messages that every key signed, as docs/reference/precompiles.md says to ask.
contract SignedByAll {
    /// @notice Messages accepted.
    uint256 public accepted;

    /// @notice Accepts a message that all keys signed.
    /// @param message A digest.
    /// @param signature The sum of the keys' signatures, 96 bytes.
    /// @param keys Compressed keys, 48 bytes each.
    /// @return signed Whether they did; a malformed input reverts.
    function accept(bytes32 message, bytes calldata signature, bytes calldata keys) external returns (bool signed) {
        uint256 n = keys.length / 48;
        (bool read, bytes memory answer) =
            address(0x573301).staticcall{gas: 150_000 + 8_000 * n}(abi.encodePacked(message, signature, keys));
        require(read, "malformed");
        signed = abi.decode(answer, (bool));
        if (signed) accepted += 1;
    }
}
