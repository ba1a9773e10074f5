// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAttestation} from "./IAttestation.sol";

/// @title Caller data of platforms whose evidence has 64 bytes of report data
/// @notice SGX, TDX, SEV-SNP and Arm CCA; the twin of verifier/attestation/binding.py.
abstract contract ReportData is IAttestation {
    /// @inheritdoc IAttestation
    function expected(bytes32 digest, bytes calldata publicKey, bytes32, bytes calldata devices)
        external
        pure
        virtual
        returns (bytes memory)
    {
        return bytes.concat(digest, _secondHalf(publicKey, devices));
    }

    /// SHA-256 over the key and the devices; zero where there is neither.
    function _secondHalf(bytes calldata publicKey, bytes calldata devices) internal pure returns (bytes32) {
        if (publicKey.length == 0 && devices.length == 0) return 0;
        return sha256(bytes.concat(publicKey, devices));
    }
}
