// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ITrustAnchor} from "../ITrustAnchor.sol";
import {IAttestation} from "./IAttestation.sol";

/// @title What our L1's precompiles say of evidence, held against fixed roots
/// @notice docs/reference/precompiles.md, "Attestation evidence". The precompiles name a root and trust none.
abstract contract NativeEvidence is IAttestation {
    /// The first words of every answer.
    struct Head {
        uint256 status;
        bytes32 root;
        uint64 validUntil;
        uint64 issuedAt;
    }

    /// @notice No roots, or more than MAX_ROOTS.
    error InvalidRoots();
    /// @notice The chain has no such precompile.
    error PrecompileMissing(address precompile);

    /// @notice Most roots of an adapter.
    uint256 public constant MAX_ROOTS = 8;
    /// @dev Version of the precompiles' input.
    bytes1 private constant VERSION = 0x01;
    /// @dev "The evidence can be read and does not hold."
    uint256 private constant REFUSED_BYTES = 32;

    /// @notice Whether evidence under the root (SHA-256 of its DER) counts. Written at deployment only.
    mapping(bytes32 root => bool) public isRoot;
    /// @inheritdoc ITrustAnchor
    /// @dev True where any of the roots is not the vendor's.
    bool public isSimulated;

    constructor(bytes32[] memory roots) {
        if (roots.length == 0 || roots.length > MAX_ROOTS) revert InvalidRoots();
        for (uint256 i = 0; i < roots.length; ++i) {
            isRoot[roots[i]] = true;
            if (!_isVendor(roots[i])) isSimulated = true;
        }
    }

    /// @inheritdoc IAttestation
    function route() external pure returns (string memory) {
        return "native";
    }

    /// Whether the root is one that the platform's vendor is known by.
    function _isVendor(bytes32 root) internal pure virtual returns (bool);

    /// Asks a precompile at the block's time; its answer, of `words` words, whose root is one of the adapter's.
    /// @param parts The precompile's input after the time: counts, evidence, certificates, lists.
    function _ask(address precompile, bytes calldata parts, uint256 words) internal view returns (bytes memory answer) {
        bool read;
        (read, answer) = precompile.staticcall(bytes.concat(VERSION, bytes8(uint64(block.timestamp)), parts));
        if (!read) revert MalformedEvidence("evidence");
        if (answer.length == REFUSED_BYTES) revert EvidenceRefused("signature");
        // An address without the precompile is an empty account, whose call succeeds with nothing.
        if (answer.length != words * 32) revert PrecompileMissing(precompile);
        Head memory head = abi.decode(answer, (Head));
        if (!isRoot[head.root]) revert EvidenceRefused("root");
    }

    /// Requires at least `least` revocation lists among the parts.
    function _requireLists(bytes calldata parts, uint256 least) internal pure {
        if (parts.length < 2) revert MalformedEvidence("evidence");
        if (uint8(parts[1]) < least) revert EvidenceRefused("lists");
    }
}
