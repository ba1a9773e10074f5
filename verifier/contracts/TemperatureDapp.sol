// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDapp} from "./IDapp.sol";
import {Completeness, Statement} from "./Types.sol";

/// @title Sample dApp: temperature windows
/// @notice Keeps the results of the sample program `temperature_window`. Any project may name it; results are kept by
/// project. The unit of the values is whatever the project's devices send; the demo's devices send tenths of a degree
/// Fahrenheit.
contract TemperatureDapp is IDapp {
    /// @notice The public output of one window.
    struct Window {
        uint32 count;
        int64 sum;
        int32 minimum;
        int32 maximum;
        Completeness completeness;
    }

    /// @notice Everything a project has been delivered so far.
    struct Totals {
        uint64 windows;
        uint128 count;
        int128 sum;
        int32 minimum;
        int32 maximum;
        uint128 missing;
        uint64 duplicates;
        uint64 late;
        uint64 reordered;
    }

    /// @notice A window was delivered.
    event TemperatureWindow(
        uint256 indexed projectId,
        bytes32 indexed taskId,
        address indexed prover,
        uint32 count,
        int64 sum,
        int32 minimum,
        int32 maximum,
        Completeness completeness
    );

    /// @notice The caller is not the Router.
    error NotRouter(address caller);
    /// @notice The public output is not 256 bytes.
    error OutputLength(uint256 length);
    /// @notice No reading, or minimum above maximum.
    error ImpossibleWindow(uint32 count, int32 minimum, int32 maximum);
    /// @notice The task was delivered before.
    error AlreadyDelivered(bytes32 taskId);

    /// @notice The only caller that may deliver.
    address public immutable ROUTER;

    mapping(uint256 projectId => bytes32 taskId) private _latest;
    mapping(uint256 projectId => Totals) private _totals;
    mapping(bytes32 taskId => Window) private _results;

    /// @param router The Router.
    constructor(address router) {
        ROUTER = router;
    }

    /// @inheritdoc IDapp
    function process(Statement calldata s, bytes calldata publicOutput) external {
        if (msg.sender != ROUTER) revert NotRouter(msg.sender);
        if (publicOutput.length != 256) revert OutputLength(publicOutput.length);
        if (_results[s.taskId].count != 0) revert AlreadyDelivered(s.taskId);
        // abi.decode reverts when a word is out of its type's range.
        Window memory result = abi.decode(publicOutput, (Window));
        if (result.count == 0 || result.minimum > result.maximum) {
            revert ImpossibleWindow(result.count, result.minimum, result.maximum);
        }
        _results[s.taskId] = result;
        _latest[s.projectId] = s.taskId;
        _add(_totals[s.projectId], result);
        emit TemperatureWindow(
            s.projectId,
            s.taskId,
            s.prover,
            result.count,
            result.sum,
            result.minimum,
            result.maximum,
            result.completeness
        );
    }

    /// @notice The window delivered last, and its task; all zero when there is none. Windows may settle out of order.
    function latest(uint256 projectId) external view returns (bytes32 taskId, Window memory result) {
        taskId = _latest[projectId];
        result = _results[taskId];
    }

    /// @notice The result of a task; `count` is zero when there is none.
    function resultOf(bytes32 taskId) external view returns (Window memory) {
        return _results[taskId];
    }

    /// @notice Running totals of a project; `windows` is zero when there are none.
    function totalsOf(uint256 projectId) external view returns (Totals memory) {
        return _totals[projectId];
    }

    function _add(Totals storage totals, Window memory result) private {
        if (totals.windows == 0 || result.minimum < totals.minimum) totals.minimum = result.minimum;
        if (totals.windows == 0 || result.maximum > totals.maximum) totals.maximum = result.maximum;
        totals.windows += 1;
        totals.count += result.count;
        totals.sum += result.sum;
        totals.missing += result.completeness.missing;
        totals.duplicates += result.completeness.duplicates;
        totals.late += result.completeness.late;
        totals.reordered += result.completeness.reordered;
    }
}
