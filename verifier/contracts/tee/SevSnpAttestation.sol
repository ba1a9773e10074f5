// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Appraisal, IAttestation} from "./IAttestation.sol";
import {NativeEvidence} from "./NativeEvidence.sol";
import {ReportData} from "./ReportData.sol";
import {VendorRoots} from "./VendorRoots.sol";

/// @notice What of SEV-SNP an adapter accepts; debug is never.
/// @param bootloader Least level of the reported TCB's part, like the four after it.
/// @param fmc 0 but for Turin, whose only reports have it.
/// @param guestSvn Least security version of the guest.
/// @param maximumVmpl Least privileged level that a report may come from, 0 to 3.
/// @param allowSmt Whether the guest's policy may allow simultaneous multithreading.
/// @param allowMigration Whether it may allow a migration agent.
/// @param lists Revocation lists that must come with the evidence, 0 or 1.
struct SevSnpPolicy {
    uint8 bootloader;
    uint8 tee;
    uint8 snp;
    uint8 microcode;
    uint8 fmc;
    uint32 guestSvn;
    uint8 maximumVmpl;
    bool allowSmt;
    bool allowMigration;
    uint8 lists;
}

/// @title AMD SEV-SNP by our L1's precompile
/// @dev Evidence is the precompile's input after the time: 0x03, number of lists, then report, VCEK or VLEK, ASK, ARK and
/// lists, each after its length (uint32).
contract SevSnpAttestation is NativeEvidence, ReportData {
    /// @notice The precompile `sev-snp-verify`.
    address public constant PRECOMPILE = 0x0000000000000000000000000000000000573302;
    uint256 private constant SMT = 1 << 16;
    uint256 private constant MIGRATION = 1 << 18;
    uint256 private constant DEBUG = 1 << 19;
    uint256 private constant WORDS = 23;

    /// The precompile's answer. 48-byte digests are two words, the second with 16 bytes.
    struct Report {
        Head head;
        bytes32[2] reportData;
        bytes32 measurement;
        bytes16 measurementEnd;
        bytes32 hostData;
        bytes32[2] idKeyDigest;
        uint64 policy;
        uint256 vmpl;
        uint256 guestSvn;
        uint256 platformInfo;
        uint256 product;
        uint256 signingKey;
        uint256[5] tcb;
        bytes32 chip;
    }

    SevSnpPolicy private _policy;

    /// @param roots SHA-256 of each accepted ARK's DER.
    /// @param accepted What is accepted; never changes.
    constructor(bytes32[] memory roots, SevSnpPolicy memory accepted) NativeEvidence(roots) {
        _policy = accepted;
    }

    /// @notice What is accepted.
    function policy() external view returns (SevSnpPolicy memory) {
        return _policy;
    }

    /// @inheritdoc IAttestation
    function kind() external pure returns (string memory) {
        return "tee.sev-snp";
    }

    /// @inheritdoc IAttestation
    function appraise(bytes calldata evidence) external view returns (Appraisal memory) {
        SevSnpPolicy memory accepted = _policy;
        _requireLists(evidence, accepted.lists);
        Report memory report = abi.decode(_ask(PRECOMPILE, evidence, WORDS), (Report));
        _check(report, accepted);
        return Appraisal({
            artifact: keccak256(abi.encodePacked(report.measurement, report.measurementEnd, report.hostData)),
            callerData: abi.encodePacked(report.reportData),
            devices: "",
            validUntil: report.head.validUntil
        });
    }

    function _check(Report memory report, SevSnpPolicy memory accepted) private pure {
        if (report.policy & DEBUG != 0) revert EvidenceRefused("debug");
        if (report.policy & SMT != 0 && !accepted.allowSmt) revert EvidenceRefused("smt");
        if (report.policy & MIGRATION != 0 && !accepted.allowMigration) revert EvidenceRefused("migration");
        if (report.vmpl > accepted.maximumVmpl) revert EvidenceRefused("vmpl");
        if (report.guestSvn < accepted.guestSvn) revert EvidenceRefused("guestSvn");
        if (report.tcb[0] < accepted.bootloader) revert EvidenceRefused("bootloader");
        if (report.tcb[1] < accepted.tee) revert EvidenceRefused("tee");
        if (report.tcb[2] < accepted.snp) revert EvidenceRefused("snp");
        if (report.tcb[3] < accepted.microcode) revert EvidenceRefused("microcode");
        if (report.tcb[4] < accepted.fmc) revert EvidenceRefused("fmc");
    }

    function _isVendor(bytes32 root) internal pure override returns (bool) {
        return VendorRoots.isAmd(root);
    }
}
