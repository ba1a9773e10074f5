// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title An account of the staking contract that calls it again while it is paid
contract Reentrant {
    address private constant STAKING = address(uint160(uint56(bytes7("staking"))));

    /// @notice What is called while a payment arrives.
    bytes public again;
    /// @notice How often a payment arrived.
    uint256 public paid;
    /// @notice Whether a call in the meantime succeeded.
    bool public succeeded;
    /// @notice What a call in the meantime answered.
    bytes public answer;

    /// @notice Calls the staking contract.
    function act(bytes calldata data, bytes calldata again_) external payable {
        again = again_;
        (bool success, bytes memory reason) = STAKING.call{value: msg.value}(data);
        if (success) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }

    receive() external payable {
        ++paid;
        // Once is enough: what it calls may pay again.
        if (paid == 1) (succeeded, answer) = STAKING.call(again);
    }
}

/// @title Gives its coins to an account that is not asked
contract Forced {
    constructor(address to) payable {
        selfdestruct(payable(to));
    }
}
