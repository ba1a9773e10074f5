// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BLS12381} from "./BLS12381.sol";

/// @title Test only: what it costs to have a delegate set at hand, and to add keys, each in the ways there are
contract SetStores {
    bytes private _slots;
    bytes32 private _hash;
    address private _store;

    /// @notice Keeps bytes as storage slots.
    function keepSlots(bytes calldata set) external {
        _slots = set;
    }

    /// @notice Keeps the hash of bytes that are given again each time.
    function keepHash(bytes calldata set) external {
        _hash = keccak256(set);
    }

    /// @notice Keeps bytes as an account's code.
    function keepCode(bytes calldata set) external {
        bytes memory creation = bytes.concat(hex"61", bytes2(uint16(set.length + 1)), hex"80600a3d393df300", set);
        address store;
        assembly ("memory-safe") {
            store := create(0, add(creation, 32), mload(creation))
        }
        require(store != address(0));
        _store = store;
    }

    /// @notice What was kept, and the gas that reading it took; of calldata without what the transaction pays for it.
    function readSlots() external view returns (bytes memory set, uint256 used) {
        used = gasleft();
        set = _slots;
        used -= gasleft();
    }

    /// @notice See readSlots.
    function readCalldata(bytes calldata given) external view returns (bytes memory set, uint256 used) {
        used = gasleft();
        set = given;
        require(keccak256(set) == _hash);
        used -= gasleft();
    }

    /// @notice See readSlots.
    function readCode() external view returns (bytes memory set, uint256 used) {
        used = gasleft();
        address store = _store;
        uint256 length = store.code.length - 1;
        set = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(store, add(set, 32), 1, length)
        }
        used -= gasleft();
    }

    /// @notice Gas of adding points of 128 bytes one after the other.
    function addGas(bytes calldata points) external view returns (bytes memory sum, uint256 used) {
        used = gasleft();
        sum = new bytes(256);
        for (uint256 i; i < points.length; i += 128) {
            assembly ("memory-safe") {
                calldatacopy(add(sum, 160), add(points.offset, i), 128)
            }
            BLS12381.addG1(sum);
        }
        assembly ("memory-safe") {
            mstore(sum, 128)
        }
        used -= gasleft();
    }

    /// @notice Gas of one multi-scalar multiplication of the same points by one, 160 bytes a term.
    function msmGas(bytes memory terms) external view returns (bytes memory sum, uint256 used) {
        used = gasleft();
        sum = BLS12381.msmG1(terms);
        used -= gasleft();
    }
}
