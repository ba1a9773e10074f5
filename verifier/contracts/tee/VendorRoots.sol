// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title SHA-256 of the DER of the vendors' root certificates
/// @notice The same as in native/attestation/src/roots.rs and verifier/attestation/anchors.py, where their sources are;
/// a test compares them.
library VendorRoots {
    /// @notice Intel SGX Root CA.
    bytes32 internal constant INTEL_SGX = 0x44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3;
    /// @notice AMD Root Key of Milan.
    bytes32 internal constant AMD_MILAN = 0x69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd;
    /// @notice AMD Root Key of Genoa.
    bytes32 internal constant AMD_GENOA = 0x4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1;
    /// @notice AMD Root Key of Turin.
    bytes32 internal constant AMD_TURIN = 0x1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a;
    /// @notice aws.nitro-enclaves, root G1.
    bytes32 internal constant AWS_NITRO = 0x641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b;
    /// @notice NVIDIA Device Identity CA.
    bytes32 internal constant NVIDIA_DEVICE = 0x102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48;

    /// @notice Whether AMD signs SEV-SNP reports under the root.
    function isAmd(bytes32 root) internal pure returns (bool) {
        return root == AMD_MILAN || root == AMD_GENOA || root == AMD_TURIN;
    }
}
