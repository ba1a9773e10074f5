// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Appraisal, IAttestation} from "./IAttestation.sol";
import {NativeEvidence} from "./NativeEvidence.sol";
import {VendorRoots} from "./VendorRoots.sol";

/// @title AWS Nitro Enclaves by our L1's precompile
/// @dev Evidence is the precompile's input after the time: 0x00, 0x00, then the document after its length (uint32). A
/// document's leaf certificate lives about three hours, and a session key no longer than it.
contract NitroAttestation is NativeEvidence {
    /// @notice The precompile `nitro-verify`.
    address public constant PRECOMPILE = 0x0000000000000000000000000000000000573303;
    /// @notice Seconds that the enclave's clock may be ahead of the block's.
    uint256 public constant CLOCK_SKEW = 60;
    uint256 private constant WORDS = 18;

    /// The precompile's answer. 48-byte digests are two words, the second with 16 bytes.
    struct Document {
        Head head;
        bytes32 pcr0;
        bytes16 pcr0End;
        bytes32 pcr1;
        bytes16 pcr1End;
        bytes32 pcr2;
        bytes16 pcr2End;
        uint256 debug;
        Field userData;
        Field nonce;
        Field publicKey;
        bytes32 module;
    }

    /// Length and SHA-256 of a field; zeros where it is absent.
    struct Field {
        uint256 length;
        bytes32 hash;
    }

    /// @notice The oldest document that is accepted, seconds.
    uint64 public immutable MAX_AGE;

    /// @param roots SHA-256 of each accepted root's DER.
    /// @param maxAge The oldest document that is accepted, seconds.
    constructor(bytes32[] memory roots, uint64 maxAge) NativeEvidence(roots) {
        MAX_AGE = maxAge;
    }

    /// @inheritdoc IAttestation
    function kind() external pure returns (string memory) {
        return "tee.nitro";
    }

    /// @inheritdoc IAttestation
    function appraise(bytes calldata evidence) external view returns (Appraisal memory) {
        Document memory document = abi.decode(_ask(PRECOMPILE, evidence, WORDS), (Document));
        if (document.debug != 0) revert EvidenceRefused("debug");
        if (document.head.issuedAt > block.timestamp + CLOCK_SKEW) revert EvidenceRefused("issuedAt");
        if (document.head.issuedAt + uint256(MAX_AGE) < block.timestamp) revert EvidenceRefused("age");
        return Appraisal({
            artifact: keccak256(
                abi.encodePacked(
                    document.pcr0,
                    document.pcr0End,
                    document.pcr1,
                    document.pcr1End,
                    document.pcr2,
                    document.pcr2End
                )
            ),
            callerData: abi.encode(document.userData, document.nonce, document.publicKey),
            devices: "",
            validUntil: document.head.validUntil
        });
    }

    /// @inheritdoc IAttestation
    /// @dev Length and SHA-256 of user_data, nonce and public_key; an absent field has two zeros.
    function expected(bytes32 digest, bytes calldata publicKey, bytes32 nonce, bytes calldata devices)
        external
        pure
        returns (bytes memory)
    {
        bytes memory userData =
            devices.length == 0 ? bytes.concat(digest) : bytes.concat(digest, sha256(devices));
        Field memory absent;
        bool session = publicKey.length != 0;
        return abi.encode(
            _field(userData), session ? _field(bytes.concat(nonce)) : absent, session ? _field(publicKey) : absent
        );
    }

    function _field(bytes memory data) private pure returns (Field memory) {
        return Field(data.length, sha256(data));
    }

    function _isVendor(bytes32 root) internal pure override returns (bool) {
        return root == VendorRoots.AWS_NITRO;
    }
}
