// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Statement} from "./Types.sol";

/// @title The one interface that every proof system implements
/// @notice One contract a proof system; it holds keys by programId.
interface IVerifier {
    /// @notice Checks that `proof` proves `s` for the program `s.programId`.
    /// @dev The Router has already required keccak256(publicOutput) == s.output. The implementation requires that the
    /// proof's own input and output signals are those of `s`. Malformed input (wrong length, a coordinate or signal out
    /// of range, an unknown program) reverts with a custom error; well-formed input that does not prove `s` returns
    /// false. Callers treat both as a refusal.
    /// @param s What is claimed.
    /// @param publicOutput Canonical ABI encoding of the program's output.
    /// @param proof Encoding of the proof system's own.
    /// @return valid True only when the proof holds.
    function verify(Statement calldata s, bytes calldata publicOutput, bytes calldata proof)
        external
        view
        returns (bool valid);
}
