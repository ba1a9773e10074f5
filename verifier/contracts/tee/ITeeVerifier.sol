// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ITrustAnchor} from "../ITrustAnchor.sol";
import {IVerifier} from "../IVerifier.sol";

/// @notice A session key as its enclave's evidence names it: EIP-712 type of the Router's domain
/// (docs/reference/attestation.md, "Caller data").
/// @param publicKey secp256k1, x and y, 64 bytes; the private half never leaves the enclave.
/// @param programId keccak256(abi.encode(kind, artifact)) of the program that holds the key.
/// @param prover Address that is paid for what the key signs.
/// @param nonce Of whoever registers it; accepted once for a program and prover.
/// @param expiry Unix seconds from which on the key's signatures do not count.
struct SessionKey {
    bytes publicKey;
    bytes32 programId;
    address prover;
    bytes32 nonce;
    uint64 expiry;
}

/// @title Verifies results of programs in trusted execution environments
/// @notice The evidence is looked at once, when a session key is registered; then a result costs one ecrecover. Evidence
/// that carries the Statement's own digest is taken as well. What evidence counts is the attestation adapter's to say,
/// which is fixed. Nobody administers this contract.
interface ITeeVerifier is IVerifier, ITrustAnchor {
    /// @notice A session key was registered and counts until `expiry`, at most the key's own.
    event SessionKeyRegistered(
        bytes32 indexed programId, address indexed prover, address indexed sessionKey, bytes32 nonce, uint64 expiry
    );
    /// @notice A session key was revoked, for good.
    event SessionKeyRevoked(bytes32 indexed programId, address indexed prover, address indexed sessionKey);

    /// @notice The longest lifetime is zero or beyond 366 days.
    error LifetimeInvalid(uint64 lifetime);
    /// @notice The kind has no session keys: its evidence carries what the host chooses (legacy SEV).
    error SessionKeysUnsupported();
    /// @notice The public key is not 64 bytes.
    error PublicKeyLength(uint256 length);
    /// @notice The nonce was accepted before for this program and prover.
    error NonceUsed(bytes32 nonce);
    /// @notice The session key, or what vouches for it, expires at `expiry`: it has passed.
    error SessionKeyExpired(address sessionKey, uint64 expiry);
    /// @notice The session key is to live longer than `latest`.
    error ExpiryTooLate(uint64 expiry, uint64 latest);
    /// @notice The evidence is another program's.
    error ProgramMismatch(bytes32 measured, bytes32 given);
    /// @notice The evidence carries other data than it must for this session key or Statement.
    error CallerDataMismatch();
    /// @notice What vouches for the evidence expired.
    error EvidenceExpired(uint64 validUntil);
    /// @notice No such session key is registered for the program and prover; a signature of something else recovers to
    /// such a key as well.
    error SessionKeyUnknown(bytes32 programId, address prover, address sessionKey);
    /// @notice The session key was revoked.
    error SessionKeyIsRevoked(address sessionKey);
    /// @notice Not 65 bytes r ‖ s ‖ v with s in the lower half of the order, v 27 or 28, and a key to recover.
    error MalformedSignature();
    /// @notice The proof is not exactly abi.encode(Opening, uint8, bytes).
    error MalformedProof();
    /// @notice The proof's mode is neither a session key's signature (1) nor evidence (2).
    error UnknownMode(uint256 mode);

    /// @notice Registers a session key. Anyone may call: what counts is what the evidence names.
    /// @param key What the evidence carries the digest of.
    /// @param evidence In the encoding of the attestation adapter.
    /// @return sessionKey Address of the key.
    function register(SessionKey calldata key, bytes calldata evidence) external returns (address sessionKey);

    /// @notice Revokes a key of the caller's, the prover. It cannot be registered again; a key that is not registered
    /// never can be.
    function revoke(bytes32 programId, address sessionKey) external;

    /// @notice Revokes the key that signed `revocationDigest`. Anyone who has the signature may call.
    /// @param signature r ‖ s ‖ v.
    function revokeBySignature(bytes32 programId, address prover, address sessionKey, bytes calldata signature)
        external;

    /// @notice EIP-712 digest of a session key in the Router's domain.
    function sessionKeyDigest(SessionKey calldata key) external view returns (bytes32);

    /// @notice EIP-712 digest that a key signs to revoke itself.
    function revocationDigest(bytes32 programId, address prover, address sessionKey) external view returns (bytes32);

    /// @notice When the key expires, Unix seconds; 0 when it was never registered. A revoked key has its expiry still.
    function sessionKeyOf(bytes32 programId, address prover, address sessionKey)
        external
        view
        returns (uint64 expiry, bool revoked);

    /// @notice Whether the nonce was accepted for the program and prover.
    function isNonceUsed(bytes32 programId, address prover, bytes32 nonce) external view returns (bool);
}
