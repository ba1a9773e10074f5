// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ITrustAnchor} from "../../ITrustAnchor.sol";

/// @notice What Intel says now of the platform that a PCK certificate names.
/// @param x The certificate's key, which signs the report of the platform's quoting enclave.
/// @param svns Its 16 TCB components and its PCE SVN, 18 bytes.
/// @param evaluation The lower tcbEvaluationDataNumber of the TCB info and the enclave identity.
/// @param validUntil First end of what all this rests on, Unix seconds.
/// @param tcbInfo Body of the TCB info (TcbInfo.sol).
/// @param identity Body of the quoting enclave's identity (QeIdentity.sol).
struct PlatformCollateral {
    uint256 x;
    uint256 y;
    uint256 svns;
    uint256 evaluation;
    uint64 validUntil;
    bytes tcbInfo;
    bytes identity;
}

/// @title Intel's collateral for DCAP quotes, kept for all who verify them
/// @notice Nobody administers it: anyone may bring what verifies under its one root, which never changes. What is kept
/// is only ever replaced by what is newer.
interface IDcapCollateral is ITrustAnchor {
    /// @notice A revocation list of the authority was kept; `authority` is keccak256(abi.encode(keccak256(name), x,
    /// y)).
    event RevocationListStored(bytes32 indexed authority, uint64 thisUpdate, uint64 nextUpdate);
    /// @notice A TCB info was kept; `tee` is 0 for SGX, 0x81 for TDX.
    event TcbInfoStored(
        uint256 indexed tee, bytes6 indexed fmspc, bytes2 pceId, uint16 evaluation, uint64 issued, uint64 nextUpdate
    );
    /// @notice An identity of quoting enclaves was kept.
    event QeIdentityStored(uint256 indexed tee, uint16 evaluation, uint64 issued, uint64 nextUpdate);
    /// @notice A PCK certificate was kept; `pckHash` is keccak256 of its DER.
    event PckStored(bytes32 indexed pckHash, bytes6 indexed fmspc, uint64 notAfter);

    /// @notice Well-formed collateral that is not accepted; `field` names what speaks against it.
    error CollateralRefused(bytes32 field);

    /// @notice SHA-256 of the root certificate.
    function rootSha256() external view returns (bytes32);

    /// @notice Keeps the root's revocation list.
    /// @return stored False where it is the one that is kept.
    function storeRootList(bytes calldata list) external returns (bool stored);

    /// @notice Keeps the revocation list of a PCK CA that the root certified.
    function storePckList(bytes calldata list, bytes calldata authority) external returns (bool stored);

    /// @notice Keeps a TCB info.
    /// @param text JSON exactly as it was signed, the inner object.
    /// @param signature r ‖ s, 64 bytes.
    /// @param signer Certificate of the signer, which the root issued.
    function storeTcbInfo(bytes calldata text, bytes calldata signature, bytes calldata signer)
        external
        returns (bool stored);

    /// @notice Keeps an identity of quoting enclaves; as `storeTcbInfo`.
    function storeQeIdentity(bytes calldata text, bytes calldata signature, bytes calldata signer)
        external
        returns (bool stored);

    /// @notice Keeps a PCK certificate that a PCK CA issued which the root certified.
    function storePck(bytes calldata pck, bytes calldata authority) external returns (bool stored);

    /// @notice What holds at the block's time of the platform of a kept PCK certificate. Reverts with
    /// IAttestation.EvidenceRefused where something is missing, expired or revoked.
    /// @param tee 0 for SGX, 0x81 for TDX.
    function platformOf(bytes32 pckHash, uint256 tee) external view returns (PlatformCollateral memory);
}
