// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Appraisal, IAttestation} from "./IAttestation.sol";
import {NativeEvidence} from "./NativeEvidence.sol";
import {VendorRoots} from "./VendorRoots.sol";

/// @notice A value that a GPU's firmware may measure.
/// @param driver SHA-256 of the driver's version.
/// @param vbios SHA-256 of the VBIOS's version.
/// @param block_ Measurement block, 1 to 64.
/// @param value SHA-256 of the block's value. More than one row of a block are alternatives.
struct GpuReference {
    bytes32 driver;
    bytes32 vbios;
    uint8 block_;
    bytes32 value;
}

/// @title Composite evidence: a CPU that vouches for NVIDIA Hopper GPUs
/// @notice The program runs in the CPU's environment, whose evidence names it and holds SHA-256 over the GPUs' evidence; a
/// GPU names only its firmware, which is compared with fixed reference values. Both carry the same digest.
/// @dev Evidence is abi.encode(bytes cpu, bytes[] gpus): the CPU adapter's encoding, and for each GPU the precompile's
/// input after the time: number of certificates, of lists, then report, certificates and lists, each after its length
/// (uint32).
contract NvidiaH100Attestation is NativeEvidence {
    /// @notice The precompile `nvidia-h100-verify`.
    address public constant PRECOMPILE = 0x0000000000000000000000000000000000573304;
    /// @notice Most GPUs that one piece of evidence may have.
    uint256 public constant MAX_GPUS = 8;
    uint256 private constant WORDS = 76;
    uint256 private constant BLOCKS = 64;
    /// Where the report begins in a GPU's parts, and where its length is.
    uint256 private constant REPORT_AT = 6;
    uint256 private constant LENGTH_AT = 2;

    /// The precompile's answer.
    struct Report {
        Head head;
        bytes32 nonce;
        bytes32 driver;
        bytes32 vbios;
        bytes32[2] firmware;
        bytes32 device;
        uint256 count;
        bytes32 digest;
        bytes32[64] measurements;
    }

    /// @notice A reference value without a block of 1 to 64, or of zero.
    error InvalidReference(uint256 index);
    /// @notice The CPU's adapter has caller data of another layout than ReportData's 64 bytes.
    error UnsuitableCpu();

    /// @notice Appraises the CPU's evidence.
    IAttestation public immutable CPU;
    /// @notice Revocation lists that must come with each GPU's evidence, 0 or 1.
    uint8 public immutable LISTS;

    /// Blocks that a driver and VBIOS have reference values of: bit i is block i + 1.
    mapping(bytes32 firmware => uint256 blocks) private _blocks;
    mapping(bytes32 row => bool) private _references;

    /// @param cpu Adapter of the CPU, with report data; its roots count as its own.
    /// @param roots SHA-256 of each accepted root of GPUs.
    /// @param references Values that the firmware may measure, from NVIDIA's signed manifests.
    /// @param lists Revocation lists that must come with each GPU's evidence, 0 or 1.
    constructor(IAttestation cpu, bytes32[] memory roots, GpuReference[] memory references, uint8 lists)
        NativeEvidence(roots)
    {
        CPU = cpu;
        LISTS = lists;
        if (cpu.expected(0, "", 0, "").length != 64) revert UnsuitableCpu();
        if (cpu.isSimulated()) isSimulated = true;
        for (uint256 i = 0; i < references.length; ++i) {
            GpuReference memory row = references[i];
            if (row.block_ == 0 || row.block_ > BLOCKS || row.value == 0) revert InvalidReference(i);
            _blocks[_firmware(row.driver, row.vbios)] |= uint256(1) << (row.block_ - 1);
            _references[keccak256(abi.encode(row))] = true;
        }
    }

    /// @inheritdoc IAttestation
    function kind() external pure returns (string memory) {
        return "tee.nvidia-h100";
    }

    /// @inheritdoc IAttestation
    function expected(bytes32 digest, bytes calldata publicKey, bytes32 nonce, bytes calldata devices)
        external
        view
        returns (bytes memory)
    {
        return CPU.expected(digest, publicKey, nonce, devices);
    }

    /// @inheritdoc IAttestation
    /// @dev What is no such encoding reverts without a reason.
    function appraise(bytes calldata evidence) external view returns (Appraisal memory found) {
        (bytes memory cpu, bytes[] memory gpus) = abi.decode(evidence, (bytes, bytes[]));
        if (gpus.length == 0 || gpus.length > MAX_GPUS) revert MalformedEvidence("gpus");
        found = CPU.appraise(cpu);
        if (found.callerData.length != 64 || found.devices.length != 0) revert EvidenceRefused("cpu");
        bytes32 digest = bytes32(found.callerData);
        for (uint256 i = 0; i < gpus.length; ++i) {
            (bytes32 hash, uint64 validUntil) = this.appraiseGpu(gpus[i], digest);
            found.devices = bytes.concat(found.devices, hash);
            if (found.validUntil == 0 || validUntil < found.validUntil) found.validUntil = validUntil;
        }
    }

    /// @notice Appraises one GPU's evidence alone; it names no program.
    /// @param parts The precompile's input after the time.
    /// @param nonce The digest that it must carry.
    /// @return hash SHA-256 of its report.
    /// @return validUntil Unix seconds.
    function appraiseGpu(bytes calldata parts, bytes32 nonce) external view returns (bytes32 hash, uint64 validUntil) {
        _requireLists(parts, LISTS);
        Report memory report = abi.decode(_ask(PRECOMPILE, parts, WORDS), (Report));
        if (report.nonce != nonce) revert EvidenceRefused("nonce");
        _compare(report);
        // The precompile read the same length from the same place.
        uint256 length = uint32(bytes4(parts[LENGTH_AT:REPORT_AT]));
        return (sha256(parts[REPORT_AT:REPORT_AT + length]), report.head.validUntil);
    }

    /// Every block with a reference value of the driver and VBIOS has one of its values.
    function _compare(Report memory report) private view {
        uint256 blocks = _blocks[_firmware(report.driver, report.vbios)];
        if (blocks == 0) revert EvidenceRefused("firmware");
        for (uint256 i = 0; i < BLOCKS; ++i) {
            if (blocks & (1 << i) == 0) continue;
            bytes32 row = keccak256(abi.encode(report.driver, report.vbios, i + 1, report.measurements[i]));
            if (!_references[row]) revert EvidenceRefused("measurements");
        }
    }

    function _firmware(bytes32 driver, bytes32 vbios) private pure returns (bytes32) {
        return keccak256(abi.encode(driver, vbios));
    }

    function _isVendor(bytes32 root) internal pure override returns (bool) {
        return root == VendorRoots.NVIDIA_DEVICE;
    }
}
