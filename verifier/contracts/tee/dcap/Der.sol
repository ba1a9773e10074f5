// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Timestamps} from "./Timestamps.sol";

/// @title DER (ITU-T X.690), read from the front
/// @notice Places are offsets into the bytes; `limit` ends the element that is read from, and is never beyond them.
library Der {
    /// @notice What stands at the offset is not what must stand there, is not in DER, or is cut off.
    error MalformedDer(uint256 place);

    uint256 internal constant BOOLEAN = 0x01;
    uint256 internal constant INTEGER = 0x02;
    uint256 internal constant BIT_STRING = 0x03;
    uint256 internal constant OCTET_STRING = 0x04;
    uint256 internal constant OBJECT_ID = 0x06;
    uint256 internal constant ENUMERATED = 0x0a;
    uint256 internal constant UTC_TIME = 0x17;
    uint256 internal constant GENERALIZED_TIME = 0x18;
    uint256 internal constant SEQUENCE = 0x30;

    /// @notice Content of the element at `place`, which must have the tag. Lengths of up to three bytes, in the
    /// shortest form.
    function read(bytes memory data, uint256 place, uint256 limit, uint256 tag)
        internal
        pure
        returns (uint256 start, uint256 end)
    {
        if (place + 2 > limit || byteAt(data, place) != tag) revert MalformedDer(place);
        uint256 length = byteAt(data, place + 1);
        start = place + 2;
        if (length >= 0x80) {
            uint256 count = length - 0x80;
            if (count == 0 || count > 3 || start + count > limit) revert MalformedDer(place);
            length = 0;
            for (uint256 i; i < count; ++i) {
                length = (length << 8) | byteAt(data, start + i);
            }
            if (length < 0x80 || length >> (8 * (count - 1)) == 0) revert MalformedDer(place);
            start += count;
        }
        end = start + length;
        if (end > limit) revert MalformedDer(place);
    }

    /// @notice Content of the element at `place`, which must be all that there is up to `limit`.
    function readOnly(bytes memory data, uint256 place, uint256 limit, uint256 tag)
        internal
        pure
        returns (uint256 start, uint256 end)
    {
        (start, end) = read(data, place, limit, tag);
        close(end, limit);
    }

    /// @notice Requires that an element was read to its end.
    function close(uint256 place, uint256 limit) internal pure {
        if (place != limit) revert MalformedDer(place);
    }

    /// @notice Whether an element of the tag stands at `place`.
    function has(bytes memory data, uint256 place, uint256 limit, uint256 tag) internal pure returns (bool) {
        return place < limit && byteAt(data, place) == tag;
    }

    /// @notice Requires the first `length` bytes of `literal` at `place`; the offset after them.
    function expect(bytes memory data, uint256 place, uint256 limit, bytes32 literal, uint256 length)
        internal
        pure
        returns (uint256)
    {
        if (place + length > limit || (word(data, place) ^ uint256(literal)) >> (256 - 8 * length) != 0) {
            revert MalformedDer(place);
        }
        return place + length;
    }

    /// @notice A non-negative INTEGER below 2^256 at `place`, in the shortest form.
    function readUint(bytes memory data, uint256 place, uint256 limit)
        internal
        pure
        returns (uint256 value, uint256 end)
    {
        uint256 start;
        (start, end) = read(data, place, limit, INTEGER);
        uint256 length = end - start;
        if (length == 0 || byteAt(data, start) >= 0x80) revert MalformedDer(place);
        if (byteAt(data, start) == 0 && length > 1) {
            if (byteAt(data, ++start) < 0x80) revert MalformedDer(place);
            --length;
        }
        if (length > 32) revert MalformedDer(place);
        value = word(data, start) >> (256 - 8 * length);
    }

    /// @notice A certificate's serial number at `place`: at most 20 bytes (RFC 5280 §4.1.2.2).
    function readSerial(bytes memory data, uint256 place, uint256 limit) internal pure returns (uint160, uint256) {
        (uint256 value, uint256 end) = readUint(data, place, limit);
        if (value > type(uint160).max) revert MalformedDer(place);
        return (uint160(value), end);
    }

    /// @notice An OCTET STRING of exactly so many bytes at `place`, at most 32, in the word's upper bytes.
    function readOctets(bytes memory data, uint256 place, uint256 limit, uint256 length)
        internal
        pure
        returns (uint256 value, uint256 end)
    {
        uint256 start;
        (start, end) = read(data, place, limit, OCTET_STRING);
        if (end - start != length) revert MalformedDer(place);
        value = (word(data, start) >> (256 - 8 * length)) << (256 - 8 * length);
    }

    /// @notice A UTCTime or GeneralizedTime at `place`, to the second and in UTC (RFC 5280 §4.1.2.5), as Unix seconds.
    function readTime(bytes memory data, uint256 place, uint256 limit)
        internal
        pure
        returns (uint64 seconds_, uint256 end)
    {
        bool short = has(data, place, limit, UTC_TIME);
        uint256 start;
        (start, end) = read(data, place, limit, short ? UTC_TIME : GENERALIZED_TIME);
        if (end - start != (short ? 13 : 15) || byteAt(data, end - 1) != 0x5a) revert MalformedDer(place);
        uint256 digits;
        for (uint256 i = start; i < end - 1; ++i) {
            uint256 digit = byteAt(data, i) ^ 0x30;
            if (digit > 9) revert MalformedDer(i);
            digits = digits * 10 + digit;
        }
        if (short) digits += digits < 50 * 10 ** 10 ? 2000 * 10 ** 10 : 1900 * 10 ** 10;
        seconds_ = Timestamps.unix(digits);
        if (seconds_ == 0) revert MalformedDer(place);
    }

    /// @notice The byte at `place`.
    function byteAt(bytes memory data, uint256 place) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := byte(0, mload(add(add(data, 32), place)))
        }
    }

    /// @notice The 32 bytes from `place`; beyond the end they are anything.
    function word(bytes memory data, uint256 place) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := mload(add(add(data, 32), place))
        }
    }

    /// @notice keccak256 of the bytes from `start` to `end`.
    function keccakOf(bytes memory data, uint256 start, uint256 end) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := keccak256(add(add(data, 32), start), sub(end, start))
        }
    }

    /// @notice SHA-256 of the bytes from `start` to `end`.
    function sha256Of(bytes memory data, uint256 start, uint256 end) internal view returns (bytes32 digest) {
        bool success;
        assembly ("memory-safe") {
            success := staticcall(gas(), 2, add(add(data, 32), start), sub(end, start), 0, 32)
            success := and(success, eq(returndatasize(), 32))
            digest := mload(0)
        }
        assert(success);
    }
}
