// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ShortString, ShortStrings} from "@openzeppelin/contracts/utils/ShortStrings.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {ITrustAnchor} from "../ITrustAnchor.sol";
import {Appraisal, IAttestation} from "./IAttestation.sol";
import {ReportData} from "./ReportData.sol";

/// @title Evidence that a committee says it appraised
/// @notice Nothing of the evidence is verified here: `threshold` of the members signed what it says, each after an
/// appraisal of its own. That is weaker than every other route, so `route()` is "committee"; it is the only one for Arm
/// CCA, whose keys have no common root, and for legacy SEV. Members and threshold are fixed.
/// @dev Evidence is abi.encode(bytes32 artifact, bytes callerData, bytes devices, uint64 validUntil, bytes[] signatures)
/// with signatures in ascending order of their members' addresses. Caller data has one layout for all platforms, that of
/// ReportData: the members checked the platform's own.
contract CommitteeAttestation is ReportData, EIP712 {
    using ShortStrings for *;

    /// @notice EIP-712 type hash of what a member signs.
    bytes32 public constant ATTESTATION_TYPEHASH = keccak256(
        "Attestation(string kind,bytes32 artifact,bytes callerData,bytes devices,uint64 validUntil,bool simulated)"
    );
    /// @notice Most members of a committee.
    uint256 public constant MAX_MEMBERS = 64;

    /// @notice No members, too many, not in strictly ascending order from 1, or a threshold that is not 1 to all of them.
    error InvalidCommittee();

    /// @notice Members that must have signed.
    uint256 public immutable THRESHOLD;

    /// @inheritdoc ITrustAnchor
    bool public immutable isSimulated;

    /// @notice Whether the address is a member. Written at deployment only.
    mapping(address member => bool) public isMember;

    ShortString private immutable _KIND;

    /// @param kind_ Proof kind, at most 31 bytes.
    /// @param simulated Whether the members are to say that they appraised under simulated anchors; they sign it.
    /// @param members Addresses in ascending order.
    /// @param threshold Members that must have signed.
    constructor(string memory kind_, bool simulated, address[] memory members, uint256 threshold)
        EIP712("W3bstream attestation committee", "1")
    {
        if (members.length > MAX_MEMBERS || threshold == 0 || threshold > members.length) revert InvalidCommittee();
        address last = address(0);
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] <= last) revert InvalidCommittee();
            last = members[i];
            isMember[last] = true;
        }
        THRESHOLD = threshold;
        isSimulated = simulated;
        _KIND = kind_.toShortString();
    }

    /// @inheritdoc IAttestation
    function kind() public view returns (string memory) {
        return _KIND.toString();
    }

    /// @inheritdoc IAttestation
    function route() external pure returns (string memory) {
        return "committee";
    }

    /// @notice EIP-712 digest that a member signs.
    function digestOf(Appraisal memory found) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ATTESTATION_TYPEHASH,
                    keccak256(bytes(kind())),
                    found.artifact,
                    keccak256(found.callerData),
                    keccak256(found.devices),
                    found.validUntil,
                    isSimulated
                )
            )
        );
    }

    /// @inheritdoc IAttestation
    /// @dev What is no such encoding reverts without a reason.
    function appraise(bytes calldata evidence) external view returns (Appraisal memory found) {
        bytes[] memory signatures;
        (found.artifact, found.callerData, found.devices, found.validUntil, signatures) =
            abi.decode(evidence, (bytes32, bytes, bytes, uint64, bytes[]));
        if (found.validUntil < block.timestamp) revert EvidenceRefused("validUntil");
        if (signatures.length < THRESHOLD) revert EvidenceRefused("threshold");
        bytes32 digest = digestOf(found);
        address last = address(0);
        for (uint256 i = 0; i < signatures.length; ++i) {
            (address signer, ECDSA.RecoverError error_,) = ECDSA.tryRecover(digest, signatures[i]);
            if (error_ != ECDSA.RecoverError.NoError) revert MalformedEvidence("signature");
            if (!isMember[signer]) revert EvidenceRefused("member");
            if (signer <= last) revert EvidenceRefused("order");
            last = signer;
        }
    }
}
