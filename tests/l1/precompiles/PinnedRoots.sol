// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Accepts Nitro or SEV-SNP evidence under one root, as docs/reference/precompiles.md says to ask.
contract PinnedRoots {
    /// @notice First words of every answer.
    struct Head {
        uint256 holds;
        bytes32 root;
        uint256 validUntil;
        uint256 issuedAt;
    }

    /// @notice SHA-256 of the one root whose word counts.
    bytes32 public immutable root;
    /// @notice Evidence accepted.
    uint256 public accepted;

    constructor(bytes32 root_) {
        root = root_;
    }

    /// @notice Whether the evidence holds now, under any root at all, and which one.
    /// @param verifier Number of the native verifier: 2 to 4.
    /// @param certificates How many are among the parts, leaf first.
    /// @param parts Evidence and certificates, each behind its length of 4 bytes.
    function read(uint8 verifier, uint8 certificates, bytes calldata parts) public view returns (Head memory head) {
        bytes memory input = abi.encodePacked(uint8(1), uint64(block.timestamp), certificates, uint8(0), parts);
        uint256 base = verifier == 2 ? 200_000 : verifier == 3 ? 640_000 : 560_000;
        (bool success, bytes memory answer) =
            address(uint160(0x573300) + verifier).staticcall{gas: base + 3 * input.length}(input);
        require(success, "malformed");
        // Not even a word: the chain has no such verifier.
        require(answer.length >= 32, "no verifier");
        if (answer.length > 32) head = abi.decode(answer, (Head));
    }

    /// @notice Accepts evidence that the one root vouches for.
    function accept(uint8 verifier, uint8 certificates, bytes calldata parts) external {
        Head memory head = read(verifier, certificates, parts);
        require(head.holds == 1, "does not hold");
        require(head.root == root, "another root");
        accepted += 1;
    }
}
