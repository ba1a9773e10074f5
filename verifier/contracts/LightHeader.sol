// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FinalHeader, IL1LightClient} from "./IL1LightClient.sol";

/// @title Header RLP of the chain
/// @notice Canonical RLP only (Yellow Paper appendix B), and no longer than a header can be.
library LightHeader {
    uint256 private constant MAX_BYTES = 4_096;
    /// @dev 15 fields at first (Yellow Paper §4.4), 21 since Prague; later forks append.
    uint256 private constant MIN_FIELDS = 15;
    uint256 private constant MAX_FIELDS = 32;
    uint256 private constant STATE_ROOT = 3;
    uint256 private constant RECEIPTS_ROOT = 5;
    uint256 private constant NUMBER = 8;
    uint256 private constant TIMESTAMP = 11;
    uint256 private constant EXTRA_DATA = 12;
    /// @dev Numbers and times are below.
    uint256 internal constant RANGE = 1 << 63;

    /// @notice Reads a header. Reverts with HeaderInvalid.
    function decode(bytes calldata raw) internal pure returns (FinalHeader memory header) {
        if (raw.length > MAX_BYTES) revert IL1LightClient.HeaderInvalid();
        (bool list, uint256 offset, uint256 length) = _item(raw, 0);
        _require(list && offset + length == raw.length);
        uint256 field;
        for (; offset < raw.length; ++field) {
            uint256 start;
            (list, start, length) = _item(raw, offset);
            _require(!list);
            if (field == STATE_ROOT) header.stateRoot = _root(raw, start, length);
            else if (field == RECEIPTS_ROOT) header.receiptsRoot = _root(raw, start, length);
            else if (field == NUMBER) header.number = _scalar(raw, start, length);
            else if (field == TIMESTAMP) header.timestamp = _scalar(raw, start, length);
            else if (field == EXTRA_DATA) header.nextRoot = _root(raw, start, length);
            offset = start + length;
        }
        _require(field >= MIN_FIELDS && field <= MAX_FIELDS);
        header.hash = keccak256(raw);
    }

    /// @dev The item at `offset`: whether it is a list, and where its payload is, which lies within `raw`.
    function _item(bytes calldata raw, uint256 offset) private pure returns (bool list, uint256 start, uint256 length) {
        _require(offset < raw.length);
        uint256 prefix = uint8(raw[offset]);
        if (prefix < 0x80) return (false, offset, 1);
        list = prefix >= 0xc0;
        length = prefix - (list ? 0xc0 : 0x80);
        start = offset + 1;
        if (length > 55) {
            uint256 size = length - 55;
            _require(size <= 2 && start + size <= raw.length);
            length = size == 1 ? uint8(raw[start]) : uint16(bytes2(raw[start:start + 2]));
            // Shorter lengths have a shorter form.
            _require(length > (size == 1 ? 55 : 255));
            start += size;
        }
        _require(start + length <= raw.length);
        // A single byte below 0x80 is its own encoding.
        _require(list || prefix != 0x81 || uint8(raw[start]) >= 0x80);
    }

    function _root(bytes calldata raw, uint256 start, uint256 length) private pure returns (bytes32) {
        _require(length == 32);
        return bytes32(raw[start:start + 32]);
    }

    /// @dev Leading zeros are let through, as the Python client does: the hash binds the bytes.
    function _scalar(bytes calldata raw, uint256 start, uint256 length) private pure returns (uint64) {
        uint256 value;
        for (uint256 i = start; i < start + length; ++i) {
            value = (value << 8) | uint8(raw[i]);
            _require(value < RANGE);
        }
        return uint64(value);
    }

    function _require(bool holds) private pure {
        if (!holds) revert IL1LightClient.HeaderInvalid();
    }
}
