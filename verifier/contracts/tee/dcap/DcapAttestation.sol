// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITrustAnchor} from "../../ITrustAnchor.sol";
import {Appraisal, IAttestation} from "../IAttestation.sol";
import {ReportData} from "../ReportData.sol";
import {DcapQuote} from "./DcapQuote.sol";
import {IDcapCollateral, PlatformCollateral} from "./IDcapCollateral.sol";
import {TcbInfo} from "./TcbInfo.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @title Intel SGX or TDX, verified in Solidity
/// @notice Evidence is a quote in the order of DcapQuote.sol, without the certificates: the collateral keeps them. The
/// verifier off chain is verifier/attestation/intel_dcap.py.
contract DcapAttestation is ReportData {
    /// @notice No such platform, or a status that cannot be accepted.
    error PolicyInvalid();

    /// @notice Where the certificates, revocation lists and documents are.
    IDcapCollateral public immutable COLLATERAL;
    /// @notice 0 for SGX, 0x81 for TDX.
    uint256 public immutable TEE;
    /// @notice Bits of the accepted statuses: 1 UpToDate, 2 SWHardeningNeeded, 4 ConfigurationNeeded, 8
    /// ConfigurationAndSWHardeningNeeded.
    uint256 public immutable ACCEPTED_STATUSES;
    /// @notice Lowest tcbEvaluationDataNumber of TCB info and enclave identity.
    uint256 public immutable MINIMUM_EVALUATION;
    /// @inheritdoc ITrustAnchor
    bool public immutable isSimulated;

    /// @param collateral Where the certificates, revocation lists and documents are.
    /// @param tee 0 for SGX, 0x81 for TDX.
    /// @param acceptedStatuses Bits, see ACCEPTED_STATUSES; UpToDate must be among them.
    /// @param minimumEvaluation Lowest tcbEvaluationDataNumber.
    constructor(IDcapCollateral collateral, uint256 tee, uint256 acceptedStatuses, uint256 minimumEvaluation) {
        if (tee != TcbInfo.SGX && tee != TcbInfo.TDX) revert PolicyInvalid();
        if (acceptedStatuses & 1 == 0 || acceptedStatuses & ~TcbStatus.ACCEPTABLE != 0) revert PolicyInvalid();
        COLLATERAL = collateral;
        TEE = tee;
        ACCEPTED_STATUSES = acceptedStatuses;
        MINIMUM_EVALUATION = minimumEvaluation;
        isSimulated = collateral.isSimulated();
    }

    /// @inheritdoc IAttestation
    function kind() external view returns (string memory) {
        return TEE == TcbInfo.SGX ? "tee.sgx" : "tee.tdx";
    }

    /// @inheritdoc IAttestation
    function route() external pure returns (string memory) {
        return "dcap";
    }

    /// @inheritdoc IAttestation
    function appraise(bytes calldata evidence) external view returns (Appraisal memory found) {
        uint256 bodyAt = DcapQuote.requireForm(evidence, TEE);
        PlatformCollateral memory platform = COLLATERAL.platformOf(bytes32(evidence), TEE);
        if (platform.evaluation < MINIMUM_EVALUATION) revert EvidenceRefused("tcb.evaluation_number");
        DcapQuote.requireSigned(evidence, platform.x, platform.y);
        DcapQuote.requireEnclave(evidence, platform.identity);
        if (TEE == TcbInfo.SGX) {
            DcapQuote.requireSgx(evidence, bodyAt, platform, ACCEPTED_STATUSES);
            (found.artifact, found.callerData) = DcapQuote.sgxClaims(evidence, bodyAt);
        } else {
            DcapQuote.requireTdx(evidence, bodyAt, platform, ACCEPTED_STATUSES);
            (found.artifact, found.callerData) = DcapQuote.tdxClaims(evidence, bodyAt);
        }
        found.validUntil = platform.validUntil;
    }
}
