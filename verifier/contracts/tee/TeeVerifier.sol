// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IRouter} from "../IRouter.sol";
import {ITrustAnchor} from "../ITrustAnchor.sol";
import {IVerifier} from "../IVerifier.sol";
import {Openings} from "../Openings.sol";
import {Opening, Statement} from "../Types.sol";
import {Appraisal, IAttestation} from "./IAttestation.sol";
import {ITeeVerifier, SessionKey} from "./ITeeVerifier.sol";

/// @title Results of one kind of trusted execution environment
/// @notice The verifier off chain is verifier/tee.py. Everything that it calls is a view, so nothing can re-enter.
contract TeeVerifier is ITeeVerifier {
    /// @notice EIP-712 type hash of SessionKey.
    bytes32 public constant SESSION_KEY_TYPEHASH =
        keccak256("SessionKey(bytes publicKey,bytes32 programId,address prover,bytes32 nonce,uint64 expiry)");
    /// @notice EIP-712 type hash of what a key signs to revoke itself.
    bytes32 public constant REVOCATION_TYPEHASH =
        keccak256("SessionKeyRevocation(bytes32 programId,address prover,address sessionKey)");
    /// @notice Proof mode: the body is a session key's signature of the Statement digest.
    uint256 public constant SESSION = 1;
    /// @notice Proof mode: the body is evidence that carries the Statement digest.
    uint256 public constant DIRECT = 2;
    /// Whoever hosts a guest of legacy SEV chooses its caller data, so it could name a key of his own.
    bytes32 private constant HOST_CHOOSES = keccak256("tee.sev");
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    /// The longest that a deployer may let a key live.
    uint64 private constant LONGEST = 366 days;
    /// Words of the opening; bytes before the body: opening, mode, offset and length of the body.
    uint256 private constant OPENING_BYTES = 288;
    uint256 private constant HEAD = 384;
    uint256 private constant BODY_OFFSET = 352;

    struct Registration {
        uint64 expiry;
        bool revoked;
    }

    /// @notice The Router whose domain the digests have, and the only caller of `verify`.
    IRouter public immutable ROUTER;
    /// @notice What appraises the evidence.
    IAttestation public immutable ATTESTATION;
    /// @notice Seconds from its registration that a key may live at most.
    uint64 public immutable MAX_LIFETIME;

    mapping(bytes32 programId => mapping(address prover => mapping(address sessionKey => Registration))) private _keys;
    mapping(bytes32 programId => mapping(address prover => mapping(bytes32 nonce => bool))) private _nonces;

    /// @param router The Router that calls, whose domain the digests have.
    /// @param attestation Adapter of one platform and route.
    /// @param maxLifetime Seconds, 1 to 366 days.
    constructor(IRouter router, IAttestation attestation, uint64 maxLifetime) {
        if (maxLifetime == 0 || maxLifetime > LONGEST) revert LifetimeInvalid(maxLifetime);
        ROUTER = router;
        ATTESTATION = attestation;
        MAX_LIFETIME = maxLifetime;
    }

    /// @inheritdoc ITrustAnchor
    function isSimulated() external view returns (bool) {
        return ATTESTATION.isSimulated();
    }

    /// @notice Proof kind that this verifier serves, such as "tee.sev-snp".
    function kind() external view returns (string memory) {
        return ATTESTATION.kind();
    }

    /// @inheritdoc ITeeVerifier
    function register(SessionKey calldata key, bytes calldata evidence) external returns (address sessionKey) {
        if (key.publicKey.length != 64) revert PublicKeyLength(key.publicKey.length);
        if (keccak256(bytes(ATTESTATION.kind())) == HOST_CHOOSES) revert SessionKeysUnsupported();
        sessionKey = address(uint160(uint256(keccak256(key.publicKey))));
        uint64 latest = uint64(block.timestamp) + MAX_LIFETIME;
        if (key.expiry > latest) revert ExpiryTooLate(key.expiry, latest);
        if (_nonces[key.programId][key.prover][key.nonce]) revert NonceUsed(key.nonce);
        Registration storage registration = _keys[key.programId][key.prover][sessionKey];
        if (registration.revoked) revert SessionKeyIsRevoked(sessionKey);

        uint64 validUntil =
            _requireSpeaksFor(sessionKeyDigest(key), key.programId, key.publicKey, key.nonce, evidence);
        uint64 expiry = validUntil != 0 && validUntil < key.expiry ? validUntil : key.expiry;
        if (expiry <= block.timestamp) revert SessionKeyExpired(sessionKey, expiry);

        _nonces[key.programId][key.prover][key.nonce] = true;
        // Older evidence of the same key, shown later, takes nothing away.
        if (expiry > registration.expiry) registration.expiry = expiry;
        emit SessionKeyRegistered(key.programId, key.prover, sessionKey, key.nonce, expiry);
    }

    /// @inheritdoc ITeeVerifier
    function revoke(bytes32 programId, address sessionKey) external {
        _revoke(programId, msg.sender, sessionKey);
    }

    /// @inheritdoc ITeeVerifier
    function revokeBySignature(bytes32 programId, address prover, address sessionKey, bytes calldata signature)
        external
    {
        address signer = _recover(revocationDigest(programId, prover, sessionKey), signature);
        if (signer != sessionKey) revert SessionKeyUnknown(programId, prover, signer);
        _revoke(programId, prover, sessionKey);
    }

    /// @inheritdoc IVerifier
    function verify(Statement calldata s, bytes calldata publicOutput, bytes calldata proof)
        external
        view
        returns (bool)
    {
        if (msg.sender != address(ROUTER)) revert NotRouter(msg.sender);
        (uint256 mode, bytes calldata body) = _split(proof);
        if (keccak256(proof[:OPENING_BYTES]) != s.inputs) return false;
        Opening memory opening = abi.decode(proof[:OPENING_BYTES], (Opening));
        Openings.requirePossible(opening.windowStart, opening.windowEnd, opening.count, opening.completeness);
        Openings.requireStated(
            publicOutput, proof[OPENING_BYTES - Openings.COMPLETENESS_BYTES:OPENING_BYTES]
        );
        if (mode == SESSION) {
            _requireLive(s.programId, s.prover, _recover(ROUTER.digest(s), body));
        } else if (mode == DIRECT) {
            _requireSpeaksFor(ROUTER.digest(s), s.programId, proof[:0], 0, body);
        } else {
            revert UnknownMode(mode);
        }
        return true;
    }

    /// @inheritdoc ITeeVerifier
    function sessionKeyOf(bytes32 programId, address prover, address sessionKey)
        external
        view
        returns (uint64 expiry, bool revoked)
    {
        Registration storage registration = _keys[programId][prover][sessionKey];
        return (registration.expiry, registration.revoked);
    }

    /// @inheritdoc ITeeVerifier
    function isNonceUsed(bytes32 programId, address prover, bytes32 nonce) external view returns (bool) {
        return _nonces[programId][prover][nonce];
    }

    /// @inheritdoc ITeeVerifier
    function sessionKeyDigest(SessionKey calldata key) public view returns (bytes32) {
        return _typed(
            keccak256(
                abi.encode(
                    SESSION_KEY_TYPEHASH, keccak256(key.publicKey), key.programId, key.prover, key.nonce, key.expiry
                )
            )
        );
    }

    /// @inheritdoc ITeeVerifier
    function revocationDigest(bytes32 programId, address prover, address sessionKey) public view returns (bytes32) {
        return _typed(keccak256(abi.encode(REVOCATION_TYPEHASH, programId, prover, sessionKey)));
    }

    function _revoke(bytes32 programId, address prover, address sessionKey) private {
        Registration storage registration = _keys[programId][prover][sessionKey];
        if (registration.revoked) revert SessionKeyIsRevoked(sessionKey);
        registration.revoked = true;
        emit SessionKeyRevoked(programId, prover, sessionKey);
    }

    /// The evidence is the program's, carries exactly what speaks for the digest, and is valid now.
    function _requireSpeaksFor(
        bytes32 digest,
        bytes32 programId,
        bytes calldata publicKey,
        bytes32 nonce,
        bytes calldata evidence
    ) private view returns (uint64) {
        Appraisal memory found = ATTESTATION.appraise(evidence);
        bytes32 measured = keccak256(abi.encode(ATTESTATION.kind(), found.artifact));
        if (measured != programId) revert ProgramMismatch(measured, programId);
        bytes memory expected = ATTESTATION.expected(digest, publicKey, nonce, found.devices);
        if (keccak256(found.callerData) != keccak256(expected)) revert CallerDataMismatch();
        if (found.validUntil != 0 && found.validUntil < block.timestamp) revert EvidenceExpired(found.validUntil);
        return found.validUntil;
    }

    function _requireLive(bytes32 programId, address prover, address sessionKey) private view {
        Registration storage registration = _keys[programId][prover][sessionKey];
        if (registration.revoked) revert SessionKeyIsRevoked(sessionKey);
        if (registration.expiry == 0) revert SessionKeyUnknown(programId, prover, sessionKey);
        if (registration.expiry <= block.timestamp) revert SessionKeyExpired(sessionKey, registration.expiry);
    }

    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address signer) {
        if (signature.length != 65) revert MalformedSignature();
        // OpenZeppelin's refuses an s in the upper half; the precompile refuses any v but 27 and 28.
        ECDSA.RecoverError error_;
        (signer, error_,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (error_ != ECDSA.RecoverError.NoError) revert MalformedSignature();
    }

    /// The digest in the Router's domain, that of a Statement.
    function _typed(bytes32 structHash) private view returns (bytes32) {
        bytes32 separator = keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("W3bstream"), keccak256("1"), block.chainid, address(ROUTER))
        );
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    /// Mode and body of a proof; only the one canonical encoding is taken.
    function _split(bytes calldata proof) private pure returns (uint256 mode, bytes calldata body) {
        if (proof.length < HEAD) revert MalformedProof();
        mode = uint256(bytes32(proof[OPENING_BYTES:]));
        uint256 length = uint256(bytes32(proof[BODY_OFFSET:]));
        uint256 room = proof.length - HEAD;
        if (
            uint256(bytes32(proof[OPENING_BYTES + 32:])) != BODY_OFFSET || length > room || room != (length + 31) / 32 * 32
        ) revert MalformedProof();
        body = proof[HEAD:HEAD + length];
        for (uint256 i = HEAD + length; i < proof.length; ++i) {
            if (proof[i] != 0) revert MalformedProof();
        }
    }
}
