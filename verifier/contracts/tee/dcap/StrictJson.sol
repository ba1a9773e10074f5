// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Timestamps} from "./Timestamps.sol";

/// @notice A text that is read from the front.
/// @param place Offset of the next character.
struct JsonReader {
    bytes text;
    uint256 place;
}

/// @title JSON of one exact shape
/// @notice Intel signs the text, so the text itself is read: without white space, its names in Intel's order, nothing
/// more and nothing less. Whatever else it could mean is never asked.
library StrictJson {
    /// @notice What stands at the offset is not what must stand there.
    error MalformedJson(uint256 place);

    /// @notice Requires the first `length` characters of `literal`, at most 32, and goes on after them.
    function expect(JsonReader memory r, bytes32 literal, uint256 length) internal pure {
        if (!accept(r, literal, length)) revert MalformedJson(r.place);
    }

    /// @notice Goes on after `literal` if it is what comes next, and says whether it did.
    function accept(JsonReader memory r, bytes32 literal, uint256 length) internal pure returns (bool found) {
        bytes memory text = r.text;
        uint256 place = r.place;
        uint256 next;
        // No offset is near 2^256: none is beyond the text's end.
        unchecked {
            next = place + length;
        }
        assembly ("memory-safe") {
            found :=
                iszero(
                    or(
                        gt(next, mload(text)),
                        shr(sub(256, shl(3, length)), xor(mload(add(add(text, 32), place)), literal))
                    )
                )
        }
        if (found) r.place = next;
    }

    /// @notice Requires the end of the text.
    function close(JsonReader memory r) internal pure {
        if (r.place != r.text.length) revert MalformedJson(r.place);
    }

    /// @notice A number from 0 to `most`, which is below 10^12.
    function readUint(JsonReader memory r, uint256 most) internal pure returns (uint256 value) {
        uint256 start = r.place;
        uint256 end = r.text.length;
        uint256 word = _word(r);
        uint256 place = start;
        while (place < end && place < start + 13) {
            uint256 digit = (word >> 248) ^ 0x30;
            if (digit > 9) break;
            value = value * 10 + digit;
            word <<= 8;
            ++place;
        }
        // The shortest form alone, so that a number has one spelling.
        bool padded = place > start + 1 && _word(r) >> 248 == 0x30;
        if (place == start || value > most || padded) revert MalformedJson(start);
        r.place = place;
    }

    /// @notice Hexadecimal digits of so many bytes, at most 32, between quotes; in the word's upper bytes.
    function readHex(JsonReader memory r, uint256 length) internal pure returns (uint256 value) {
        expect(r, '"', 1);
        value = readDigits(r, length);
        expect(r, '"', 1);
    }

    /// @notice Hexadecimal digits of so many bytes, at most 32; in the word's upper bytes.
    function readDigits(JsonReader memory r, uint256 length) internal pure returns (uint256 value) {
        uint256 place = r.place;
        if (place + 2 * length > r.text.length) revert MalformedJson(place);
        bytes memory text = r.text;
        for (uint256 i; i < 2 * length; ++i) {
            uint256 character;
            assembly ("memory-safe") {
                character := byte(0, mload(add(add(text, 32), add(place, i))))
            }
            uint256 digit = character ^ 0x30;
            if (digit > 9) {
                // Below "a" this wraps around to far more than 15.
                unchecked {
                    digit = (character | 0x20) - 0x57;
                }
                if (digit < 10 || digit > 15) revert MalformedJson(place + i);
            }
            value = value << 4 | digit;
        }
        r.place = place + 2 * length;
        value <<= 256 - 8 * length;
    }

    /// @notice A time as Intel writes it, "2025-06-19T10:56:11Z", between quotes, as Unix seconds.
    function readTime(JsonReader memory r) internal pure returns (uint64 found) {
        uint256 start = r.place;
        expect(r, '"', 1);
        uint256 digits = _digits(r, 4);
        expect(r, "-", 1);
        digits = digits * 100 + _digits(r, 2);
        expect(r, "-", 1);
        digits = digits * 100 + _digits(r, 2);
        expect(r, "T", 1);
        digits = digits * 100 + _digits(r, 2);
        expect(r, ":", 1);
        digits = digits * 100 + _digits(r, 2);
        expect(r, ":", 1);
        digits = digits * 100 + _digits(r, 2);
        expect(r, 'Z"', 2);
        found = Timestamps.unix(digits);
        if (found == 0) revert MalformedJson(start);
    }

    /// @notice A string of visible characters and spaces without escapes, between quotes: its keccak256.
    function readString(JsonReader memory r) internal pure returns (bytes32 digest) {
        expect(r, '"', 1);
        bytes memory text = r.text;
        uint256 start = r.place;
        uint256 place = start;
        uint256 end = text.length;
        while (true) {
            uint256 character;
            assembly ("memory-safe") {
                character := byte(0, mload(add(add(text, 32), place)))
            }
            if (place >= end || character < 0x20 || character > 0x7e || character == 0x5c) revert MalformedJson(place);
            if (character == 0x22) break;
            ++place;
        }
        assembly ("memory-safe") {
            digest := keccak256(add(add(text, 32), start), sub(place, start))
        }
        r.place = place + 1;
    }

    /// @notice A list of advisories such as "INTEL-SA-00289", which may be empty.
    function skipAdvisories(JsonReader memory r) internal pure {
        expect(r, "[", 1);
        if (accept(r, "]", 1)) return;
        do {
            expect(r, '"INTEL-SA-', 10);
            _digits(r, 5);
            expect(r, '"', 1);
        } while (accept(r, ",", 1));
        expect(r, "]", 1);
    }

    function _digits(JsonReader memory r, uint256 count) private pure returns (uint256 value) {
        uint256 word = _word(r);
        if (r.place + count > r.text.length) revert MalformedJson(r.place);
        for (uint256 i; i < count; ++i) {
            uint256 digit = (word >> 248) ^ 0x30;
            if (digit > 9) revert MalformedJson(r.place + i);
            value = value * 10 + digit;
            word <<= 8;
        }
        r.place += count;
    }

    /// The 32 characters that come next; beyond the end they are anything.
    function _word(JsonReader memory r) private pure returns (uint256 word) {
        bytes memory text = r.text;
        uint256 place = r.place;
        assembly ("memory-safe") {
            word := mload(add(add(text, 32), place))
        }
    }
}
