// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Statement} from "./Types.sol";

/// @title What a project's own contract implements to receive verified results
/// @notice The Router calls it at most once with success for each taskId, with at most Router.DAPP_GAS gas. A revert
/// does not undo the settlement; it is recorded and anyone may retry.
interface IDapp {
    /// @notice Receives one settled result. Implementations accept calls of their Router only.
    /// @param s Statement of the proof that reached the project's assurance threshold.
    /// @param publicOutput Canonical ABI encoding of the program's output; its keccak256 is s.output.
    function process(Statement calldata s, bytes calldata publicOutput) external;
}
