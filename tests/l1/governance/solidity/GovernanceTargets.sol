// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Call, IGovernance} from "l1/IGovernance.sol";
import {IStakeWeight} from "l1/IStakeWeight.sol";
import {StakeCheckpoints} from "l1/StakeCheckpoints.sol";

/// Weights that anybody sets, kept by the library that the staking contract uses.
contract OpenStake is IStakeWeight {
    using StakeCheckpoints for StakeCheckpoints.History;

    StakeCheckpoints.History private _history;

    function set(address[] calldata voters, uint256[] calldata weights) external {
        for (uint256 i = 0; i < voters.length; ++i) {
            _history.push(voters[i], weights[i]);
        }
    }

    function latest(address voter) external view returns (uint256) {
        return _history.latest(voter);
    }

    function latestTotal() external view returns (uint256) {
        return _history.latestTotal();
    }

    function weightAt(address voter, uint64 snapshot) external view returns (uint256) {
        return _history.upperLookup(voter, snapshot);
    }

    function totalAt(uint64 snapshot) external view returns (uint256) {
        return _history.upperLookupTotal(snapshot);
    }
}

/// Says what it was told to say, whether it adds up or not.
contract LyingStake is IStakeWeight {
    uint256 public total;
    mapping(address voter => uint256) public weight;

    function set(address voter, uint256 voters, uint256 all) external {
        weight[voter] = voters;
        total = all;
    }

    function weightAt(address voter, uint64) external view returns (uint256) {
        return weight[voter];
    }

    function totalAt(uint64) external view returns (uint256) {
        return total;
    }
}

/// What proposals call.
contract Ledger {
    uint256 public sum;
    uint256 public received;
    bool public broken;

    error Refused(uint256 amount);

    function add(uint256 amount) external payable {
        if (broken) revert Refused(amount);
        sum += amount;
        received += msg.value;
    }

    function setBroken(bool to) external {
        broken = to;
    }
}

/// Calls back into governance when it is called, and remembers what came of it.
contract Intruder {
    IGovernance private immutable _GOVERNANCE;
    bytes public attack;
    bool public bubbles;
    bool public succeeded;
    bytes public answer;
    uint256 public visits;

    constructor(IGovernance governance) {
        _GOVERNANCE = governance;
    }

    function arm(bytes calldata data, bool bubble) external {
        attack = data;
        bubbles = bubble;
    }

    receive() external payable {
        _strike();
    }

    fallback() external payable {
        _strike();
    }

    function _strike() private {
        ++visits;
        (succeeded, answer) = address(_GOVERNANCE).call(attack);
        if (bubbles && !succeeded) {
            bytes memory reason = answer;
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }
}
