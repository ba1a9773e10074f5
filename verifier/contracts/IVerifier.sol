// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Statement} from "./Types.sol";

/// @title The one interface that every proof system implements
/// @notice One contract a proof system; it holds keys by programId.
/// @dev A verifier answers its own Router only, the one whose EIP-712 domain the Statement digest has. Anyone can
/// deploy another Router over the same registry and fleet: it would find this verifier published and, if it got an
/// answer, accept the proofs that were made for the first Router.
interface IVerifier {
    /// @notice The caller is not the Router whose digest this verifier checks.
    error NotRouter(address caller);

    /// @notice Checks that `proof` proves `s` for the program `s.programId`.
    /// @dev Requires msg.sender to be the verifier's Router, else reverts with NotRouter; an eth_call sets `from` to
    /// the Router's address. The Router has already required keccak256(publicOutput) == s.output. The implementation
    /// requires that the proof's own input and output signals are those of `s`, and that the public output ends with
    /// the completeness to which `s.inputs` commits. Malformed input (wrong length, a coordinate or signal out of
    /// range, an unknown program) reverts with a custom error; well-formed input that does not prove `s` returns false.
    /// Callers treat both as a refusal.
    /// @param s What is claimed.
    /// @param publicOutput Canonical ABI encoding of the program's output.
    /// @param proof Encoding of the proof system's own.
    /// @return valid True only when the proof holds.
    function verify(Statement calldata s, bytes calldata publicOutput, bytes calldata proof)
        external
        view
        returns (bool valid);
}
