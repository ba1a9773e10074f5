// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Appraisal, IAttestation} from "./IAttestation.sol";

/// @title What this chain appraised, for other chains to see
/// @notice On our L1: an event a piece of evidence, which L1Attestation on another chain takes from a final receipt.
/// Anyone may have anything appraised; which adapter counts is the reader's to say. Nobody administers it.
contract AttestationLog {
    /// @notice `attestation` accepted evidence that speaks for `digest`.
    /// @param attestation The adapter on this chain.
    /// @param kind keccak256 of its proof kind.
    /// @param digest EIP-712 digest of a session key or Statement, of whatever chain.
    /// @param secondHalf sha256(publicKey ‖ devices), or zero where there is neither.
    /// @param simulated What the adapter says of its anchor.
    event Appraised(
        address indexed attestation,
        bytes32 indexed kind,
        bytes32 indexed digest,
        bytes32 artifact,
        bytes32 secondHalf,
        bytes devices,
        uint64 validUntil,
        bool simulated
    );

    /// @notice The evidence carries other data than what speaks for the digest.
    error CallerDataMismatch();

    /// @notice Appraises evidence and records what it says. Reverts as the adapter does.
    /// @param attestation Adapter on this chain.
    /// @param digest What the evidence is to speak for.
    /// @param publicKey Session key, 64 bytes; empty for a Statement.
    /// @param nonce Of the session key; zero for a Statement.
    /// @param evidence In the adapter's encoding.
    function record(
        IAttestation attestation,
        bytes32 digest,
        bytes calldata publicKey,
        bytes32 nonce,
        bytes calldata evidence
    ) external {
        Appraisal memory found = attestation.appraise(evidence);
        bytes memory expected = attestation.expected(digest, publicKey, nonce, found.devices);
        if (keccak256(found.callerData) != keccak256(expected)) revert CallerDataMismatch();
        bool alone = publicKey.length == 0 && found.devices.length == 0;
        _emit(attestation, digest, alone ? bytes32(0) : sha256(bytes.concat(publicKey, found.devices)), found);
    }

    function _emit(IAttestation attestation, bytes32 digest, bytes32 secondHalf, Appraisal memory found) private {
        emit Appraised(
            address(attestation),
            keccak256(bytes(attestation.kind())),
            digest,
            found.artifact,
            secondHalf,
            found.devices,
            found.validUntil,
            attestation.isSimulated()
        );
    }
}
