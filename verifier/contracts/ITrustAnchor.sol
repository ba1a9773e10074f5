// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What a verifier's word rests on
/// @notice A verifier of attestation evidence trusts the roots of those who make the hardware, or simulated ones that
/// prove nothing about hardware. Whoever settles for value asks, and refuses a simulated one.
interface ITrustAnchor {
    /// @notice True when what the contract accepts can rest on a simulated trust anchor; false for vendors' roots alone,
    /// and for a proof system that needs no trust in hardware. Never changes.
    function isSimulated() external view returns (bool);
}
