// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAttestation} from "../IAttestation.sol";
import {Der} from "./Der.sol";
import {IDcapCollateral, PlatformCollateral} from "./IDcapCollateral.sol";
import {P256} from "./P256.sol";
import {QeIdentity} from "./QeIdentity.sol";
import {TcbInfo} from "./TcbInfo.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @title DCAP quotes: v3 over an SGX enclave report, v4 and v5 over a TD report
/// @notice Evidence: keccak256 of the PCK certificate (32), signature of the quote (64), attestation key (64), report
/// of the quoting enclave (384), the PCK's signature of that (64), authentication data (32), and then the quote from
/// its header to the end of its body. Layouts: Intel SGX ECDSA QuoteGenReference, appendix A; TDX DCAP Quoting Library
/// API, appendix A. Integers of the quote are little-endian.
library DcapQuote {
    uint256 private constant SIGNATURE_AT = 32;
    uint256 private constant KEY_AT = 96;
    uint256 private constant QE_REPORT_AT = 160;
    uint256 private constant QE_SIGNATURE_AT = 544;
    uint256 private constant AUTH_AT = 608;
    uint256 private constant QUOTE_AT = 640;
    uint256 private constant HEADER = 48;
    uint256 private constant ENCLAVE_REPORT = 384;
    uint256 private constant TD_REPORT_10 = 584;
    uint256 private constant TD_REPORT_15 = 648;
    uint256 private constant TD_REPORT_15EX = 885;
    /// Type and size of the body, which a quote v5 says.
    uint256 private constant BODY_DESCRIPTOR = 6;
    bytes16 private constant INTEL_QE = 0x939a7233f79c4ca9940a0db3957f0607;

    /// Offsets in an enclave report.
    uint256 private constant MISCSELECT_AT = 16;
    uint256 private constant ATTRIBUTES_AT = 48;
    uint256 private constant MRENCLAVE_AT = 64;
    uint256 private constant MRSIGNER_AT = 128;
    uint256 private constant ISVPRODID_AT = 256;
    uint256 private constant ISVSVN_AT = 258;
    uint256 private constant REPORT_DATA_AT = 320;
    bytes1 private constant SGX_DEBUG = 0x02;

    /// Offsets in a TD report.
    uint256 private constant MRSIGNERSEAM_AT = 64;
    uint256 private constant SEAM_ATTRIBUTES_AT = 112;
    uint256 private constant TD_ATTRIBUTES_AT = 120;
    uint256 private constant MRTD_AT = 136;
    uint256 private constant MRCONFIGID_AT = 184;
    uint256 private constant RTMR_AT = 328;
    uint256 private constant TD_REPORT_DATA_AT = 520;
    uint256 private constant TEE_TCB_SVN2_AT = 584;
    uint256 private constant MRSERVICETD_AT = 600;
    /// Bits of the TD attributes, as a little-endian number: DEBUG (0) and profiling (4 to 6); reserved (1 to 3, 7 to
    /// 15, 23 to 26, 32 to 61: TDX Module ABI 348551-008US, table 3.23); SERVTD_EXT (17); MIGRATABLE (29);
    /// SEPT_VE_DISABLE (28), which must be set.
    uint256 private constant TD_DEBUG = 0x71;
    uint256 private constant TD_RESERVED = 0x3fffffff0780ff8e;
    uint256 private constant TD_SERVICE = 0x20020000;
    uint256 private constant TD_SEPT_VE_DISABLE = 0x10000000;

    /// @notice Requires the exact form of a quote of the platform; where its body begins.
    function requireForm(bytes calldata evidence, uint256 tee) internal pure returns (uint256 bodyAt) {
        if (evidence.length < QUOTE_AT + HEADER) revert IAttestation.MalformedEvidence("quote.header");
        uint256 version = _number(evidence, QUOTE_AT, 2);
        if (tee == TcbInfo.SGX ? version != 3 : (version != 4 && version != 5)) {
            revert IAttestation.MalformedEvidence("quote.version");
        }
        if (_number(evidence, QUOTE_AT + 2, 2) != 2) {
            revert IAttestation.MalformedEvidence("quote.attestation_key_type");
        }
        if (_number(evidence, QUOTE_AT + 4, 4) != tee) revert IAttestation.MalformedEvidence("quote.tee_type");
        if (bytes16(evidence[QUOTE_AT + 12:]) != INTEL_QE) revert IAttestation.MalformedEvidence("quote.qe_vendor_id");
        bodyAt = QUOTE_AT + HEADER;
        uint256 length = version == 3 ? ENCLAVE_REPORT : TD_REPORT_10;
        if (version == 5) {
            if (evidence.length < bodyAt + BODY_DESCRIPTOR) revert IAttestation.MalformedEvidence("quote.body_type");
            uint256 form = _number(evidence, bodyAt, 2);
            if (form < 2 || form > 4) revert IAttestation.MalformedEvidence("quote.body_type");
            length = form == 2 ? TD_REPORT_10 : form == 3 ? TD_REPORT_15 : TD_REPORT_15EX;
            if (_number(evidence, bodyAt + 2, 4) != length) revert IAttestation.MalformedEvidence("quote.body_size");
            bodyAt += BODY_DESCRIPTOR;
        }
        if (evidence.length != bodyAt + length) revert IAttestation.MalformedEvidence("quote.body");
    }

    /// @notice The PCK's key x, y signed the quoting enclave's report, which names the attestation key, which signed
    /// the quote.
    function requireSigned(bytes calldata evidence, uint256 x, uint256 y) internal view {
        if (
            !P256.verify(
                sha256(evidence[QE_REPORT_AT:QE_SIGNATURE_AT]),
                _word(evidence, QE_SIGNATURE_AT),
                _word(evidence, QE_SIGNATURE_AT + 32),
                x,
                y
            )
        ) revert IAttestation.EvidenceRefused("quote.qe_report_signature");
        bytes32 bound = sha256(bytes.concat(evidence[KEY_AT:QE_REPORT_AT], evidence[AUTH_AT:QUOTE_AT]));
        if (bound != bytes32(evidence[QE_REPORT_AT + REPORT_DATA_AT:])) {
            revert IAttestation.EvidenceRefused("quote.attestation_key");
        }
        if (
            !P256.verify(
                sha256(evidence[QUOTE_AT:]),
                _word(evidence, SIGNATURE_AT),
                _word(evidence, SIGNATURE_AT + 32),
                _word(evidence, KEY_AT),
                _word(evidence, KEY_AT + 32)
            )
        ) revert IAttestation.EvidenceRefused("quote.signature");
    }

    /// @notice The quoting enclave is Intel's, is not in debug mode, and is up to date.
    /// @param identity Body of QeIdentity.sol.
    function requireEnclave(bytes calldata evidence, bytes memory identity) internal pure {
        bytes calldata report = evidence[QE_REPORT_AT:QE_SIGNATURE_AT];
        if (report[ATTRIBUTES_AT] & SGX_DEBUG != 0) {
            revert IAttestation.EvidenceRefused("quote.qe_report.debug");
        }
        uint256 head = Der.word(identity, 0);
        if (_differs(bytes4(report[MISCSELECT_AT:]), bytes4(bytes32(head)), bytes4(bytes32(head << 32)))) {
            revert IAttestation.EvidenceRefused("quote.qe_report.miscselect");
        }
        if (
            _differs(
                bytes16(report[ATTRIBUTES_AT:]),
                bytes16(bytes32(head << 64)),
                bytes16(bytes32(Der.word(identity, 24)))
            )
        ) revert IAttestation.EvidenceRefused("quote.qe_report.attributes");
        if (_word(report, MRSIGNER_AT) != Der.word(identity, 40)) {
            revert IAttestation.EvidenceRefused("quote.qe_report.mrsigner");
        }
        if (_number(report, ISVPRODID_AT, 2) != Der.word(identity, 72) >> 240) {
            revert IAttestation.EvidenceRefused("quote.qe_report.isvprodid");
        }
        uint256 svn = _number(report, ISVSVN_AT, 2);
        for (uint256 place = QeIdentity.LEVELS_AT; place < identity.length; place += QeIdentity.LEVEL_BYTES) {
            uint256 level = Der.word(identity, place);
            if (svn < level >> 240) continue;
            if ((level >> 232) & 0xff == TcbStatus.UP_TO_DATE) return;
            break;
        }
        revert IAttestation.EvidenceRefused("quote.qe_report.isvsvn");
    }

    /// @notice The enclave is not in debug mode, and its platform's TCB is of an accepted status.
    function requireSgx(
        bytes calldata evidence,
        uint256 bodyAt,
        PlatformCollateral memory platform,
        uint256 acceptedStatuses
    ) internal pure {
        if (evidence[bodyAt + ATTRIBUTES_AT] & SGX_DEBUG != 0) {
            revert IAttestation.EvidenceRefused("report.attributes.debug");
        }
        (bool found, uint256 status) = TcbInfo.statusOf(platform.tcbInfo, 0, false, platform.svns, 0, 0);
        _requireStatus(found, status, acceptedStatuses);
    }

    /// @notice The TD is neither in debug mode nor profiled nor migratable, its module is Intel's and up to date, and
    /// the TCB is of an accepted status: of a TD 1.5 both when it was launched and now.
    function requireTdx(
        bytes calldata evidence,
        uint256 bodyAt,
        PlatformCollateral memory platform,
        uint256 acceptedStatuses
    ) internal pure {
        bytes calldata body = evidence[bodyAt:];
        _requireAttributes(_number(body, TD_ATTRIBUTES_AT, 8));
        uint256 svn = uint256(bytes32(body)) >> 128;
        uint256 levelsAt = _requireModule(body, svn, platform.tcbInfo, true);
        _requireTdxStatus(platform, levelsAt, svn, acceptedStatuses);
        if (body.length < TD_REPORT_15) return;
        for (uint256 place = MRSERVICETD_AT; place < TD_REPORT_15; place += 16) {
            if (bytes16(body[place:]) != 0) revert IAttestation.EvidenceRefused("report.mrservicetd");
        }
        svn = uint256(bytes32(body[TEE_TCB_SVN2_AT:])) >> 128;
        _requireModule(body, svn, platform.tcbInfo, false);
        _requireTdxStatus(platform, levelsAt, svn, acceptedStatuses);
    }

    /// @notice Artifact (verifier/attestation/identity.py) and caller data of an SGX quote.
    function sgxClaims(bytes calldata evidence, uint256 bodyAt)
        internal
        pure
        returns (bytes32 artifact, bytes memory callerData)
    {
        bytes calldata body = evidence[bodyAt:];
        artifact = keccak256(body[MRENCLAVE_AT:MRENCLAVE_AT + 32]);
        callerData = body[REPORT_DATA_AT:REPORT_DATA_AT + 64];
    }

    /// @notice Artifact and caller data of a TDX quote.
    function tdxClaims(bytes calldata evidence, uint256 bodyAt)
        internal
        pure
        returns (bytes32 artifact, bytes memory callerData)
    {
        bytes calldata body = evidence[bodyAt:];
        artifact = keccak256(
            bytes.concat(
                body[MRTD_AT:MRTD_AT + 48], body[MRCONFIGID_AT:MRCONFIGID_AT + 48], body[RTMR_AT:RTMR_AT + 4 * 48]
            )
        );
        callerData = body[TD_REPORT_DATA_AT:TD_REPORT_DATA_AT + 64];
    }

    function _requireAttributes(uint256 attributes) private pure {
        if (attributes & TD_DEBUG != 0) revert IAttestation.EvidenceRefused("report.attributes.debug");
        if (attributes & (TD_RESERVED | TD_SERVICE) != 0 || attributes & TD_SEPT_VE_DISABLE == 0) {
            revert IAttestation.EvidenceRefused("report.td_attributes");
        }
    }

    /// The module that the version names in `svn` is up to date and, where `signed`, the one that Intel signed; where
    /// the levels begin. Version 0 has no identity of its own.
    function _requireModule(bytes calldata body, uint256 svn, bytes memory info, bool signed)
        private
        pure
        returns (uint256 levelsAt)
    {
        uint256 version = (svn >> 112) & 0xff;
        uint256 count = Der.byteAt(info, TcbInfo.MODULE_BYTES);
        bool matched = version == 0;
        if (matched && signed) _requireSigner(body, info, 0);
        levelsAt = TcbInfo.MODULE_BYTES + 1;
        for (uint256 i; i < count; ++i) {
            uint256 levels = Der.byteAt(info, levelsAt + 1 + TcbInfo.MODULE_BYTES);
            if (!matched && Der.byteAt(info, levelsAt) == version) {
                matched = true;
                if (signed) _requireSigner(body, info, levelsAt + 1);
                _requireModuleLevel(info, levelsAt + 2 + TcbInfo.MODULE_BYTES, levels, svn >> 120);
            }
            levelsAt += 2 + TcbInfo.MODULE_BYTES + 2 * levels;
        }
        if (!matched) revert IAttestation.EvidenceRefused("tcb.tdx_module");
    }

    function _requireSigner(bytes calldata body, bytes memory info, uint256 place) private pure {
        if (
            _word(body, MRSIGNERSEAM_AT) != Der.word(info, place)
                || _word(body, MRSIGNERSEAM_AT + 16) != Der.word(info, place + 16)
        ) revert IAttestation.EvidenceRefused("report.mrsignerseam");
        uint256 attributes = Der.word(info, place + 48);
        uint256 mask = (attributes >> 128) & type(uint64).max;
        uint256 have = uint64(bytes8(body[SEAM_ATTRIBUTES_AT:]));
        // Bits that are not compared must not be set.
        if (have & mask != (attributes >> 192) & mask || have & ~mask != 0) {
            revert IAttestation.EvidenceRefused("report.seam_attributes");
        }
    }

    function _requireModuleLevel(bytes memory info, uint256 place, uint256 levels, uint256 svn) private pure {
        for (uint256 i; i < levels; ++i) {
            if (svn < Der.byteAt(info, place + 2 * i)) continue;
            if (Der.byteAt(info, place + 2 * i + 1) == TcbStatus.UP_TO_DATE) return;
            break;
        }
        revert IAttestation.EvidenceRefused("tcb.tdx_module");
    }

    function _requireTdxStatus(
        PlatformCollateral memory platform,
        uint256 levelsAt,
        uint256 svn,
        uint256 acceptedStatuses
    ) private pure {
        uint256 skip = (svn >> 112) & 0xff == 0 ? 0 : 2;
        (bool found, uint256 status) =
            TcbInfo.statusOf(platform.tcbInfo, levelsAt, true, platform.svns, svn, skip);
        _requireStatus(found, status, acceptedStatuses);
    }

    function _requireStatus(bool found, uint256 status, uint256 acceptedStatuses) private pure {
        if (!found) revert IAttestation.EvidenceRefused("tcb.level");
        if ((acceptedStatuses >> status) & 1 == 0) revert IAttestation.EvidenceRefused("tcb.status");
    }

    /// Whether two values differ where the mask has ones.
    function _differs(bytes16 left, bytes16 right, bytes16 mask) private pure returns (bool) {
        return (left ^ right) & mask != 0;
    }

    function _word(bytes calldata data, uint256 place) private pure returns (uint256) {
        return uint256(bytes32(data[place:place + 32]));
    }

    /// A little-endian number of so many bytes.
    function _number(bytes calldata data, uint256 place, uint256 length) private pure returns (uint256 value) {
        for (uint256 i = length; i > 0; --i) {
            value = value << 8 | uint8(data[place + i - 1]);
        }
    }
}
