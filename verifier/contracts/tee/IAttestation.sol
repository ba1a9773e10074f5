// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ITrustAnchor} from "../ITrustAnchor.sol";

/// @notice What accepted evidence says.
/// @param artifact keccak256 over the signed measurements that name the program (docs/reference/attestation.md,
/// "Program id").
/// @param callerData What the attester put into the evidence, in the platform's layout; see `expected`.
/// @param devices SHA-256 of each device's (GPU's) evidence that was verified with this one, one after the other;
/// empty without devices.
/// @param validUntil Unix seconds of the first certificate or collateral to expire; 0 where nothing has a date.
struct Appraisal {
    bytes32 artifact;
    bytes callerData;
    bytes devices;
    uint64 validUntil;
}

/// @title Appraises attestation evidence of one platform by one route
/// @notice Roots and policy are fixed when it is deployed; nobody administers it.
interface IAttestation is ITrustAnchor {
    /// @notice Malformed evidence; `field` names what of it.
    error MalformedEvidence(bytes32 field);
    /// @notice Well-formed evidence that is not accepted; `field` names what speaks against it.
    error EvidenceRefused(bytes32 field);

    /// @notice Proof kind of the programs whose evidence this is, such as "tee.sev-snp".
    function kind() external view returns (string memory);

    /// @notice Who verifies: "dcap" (this chain, in Solidity), "native" (this chain's own precompiles), "finality" (our
    /// L1, shown by its finality certificate), or "committee" (people who say so; nothing else is proven).
    function route() external view returns (string memory);

    /// @notice Appraises evidence at the block's time. Returns only when it is accepted: signatures up to a root, dates,
    /// no debug, and the policy hold. Else reverts with MalformedEvidence or EvidenceRefused. Whether it is the right
    /// program and caller data is the caller's to compare.
    /// @param evidence In the adapter's own encoding.
    function appraise(bytes calldata evidence) external view returns (Appraisal memory);

    /// @notice The exact caller data of evidence that speaks for a digest (docs/reference/attestation.md, "Caller data").
    /// @param digest EIP-712 digest of the session key or the Statement.
    /// @param publicKey Session key, x and y, 64 bytes; empty for a Statement.
    /// @param nonce Of the session key; zero for a Statement.
    /// @param devices As in Appraisal.
    function expected(bytes32 digest, bytes calldata publicKey, bytes32 nonce, bytes calldata devices)
        external
        view
        returns (bytes memory);
}
