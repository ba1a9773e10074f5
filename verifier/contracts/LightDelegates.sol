// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {BLS12381} from "./BLS12381.sol";
import {IL1LightClient} from "./IL1LightClient.sol";

/// @title Delegate sets: checked once, kept as an account's code, read for each certificate
/// @notice A set is given as 160 bytes a delegate: address (20), power (12), key (128). It is kept as the root (32),
/// the quorum (16), the sum of all keys (96), then power (12) and key (96) of each delegate: to read an account's code
/// costs less than to take the set as calldata, and far less than to read it from storage.
library LightDelegates {
    uint256 private constant GIVEN_BYTES = 160;
    uint256 private constant KEPT_BYTES = 108;
    /// @dev Offsets in what is kept.
    uint256 private constant QUORUM_AT = 32;
    uint256 private constant SUM_AT = 48;
    uint256 private constant MEMBERS_AT = 144;
    uint256 private constant POWER_BYTES = 12;
    /// @dev As many as fit the code of an account (EIP-170), and the bits of a word; the chain has 144 at most
    /// (IIP-53).
    uint256 private constant MAX_DELEGATES = 226;
    /// @dev One delegate's largest encoding in the set's root.
    uint256 private constant MAX_RLP_BYTES = 85;
    /// @dev A power of two, and more than twice as many as there are addresses and keys.
    uint256 private constant SEEN = 1024;

    /// @notice The root that a header names a set by: keccak256 of the RLP list of [address, power, compressed key].
    /// Reverts with SetInvalid for a length that no set has.
    function rootOf(bytes memory given) internal pure returns (bytes32 root) {
        uint256 count = given.length / GIVEN_BYTES;
        if (count == 0 || count > MAX_DELEGATES || count * GIVEN_BYTES != given.length) {
            revert IL1LightClient.SetInvalid();
        }
        // Three bytes for the list's prefix, and a word that the last write may run into.
        bytes memory encoded = new bytes(3 + count * MAX_RLP_BYTES + 32);
        uint256 end = 3;
        for (uint256 i; i < count; ++i) {
            end = _encode(given, i * GIVEN_BYTES, encoded, end);
        }
        // One delegate has more than 55 bytes, and 226 have fewer than 2^16.
        uint256 length = end - 3;
        uint256 start = length < 256 ? 1 : 0;
        encoded[start] = bytes1(uint8(length < 256 ? 0xf8 : 0xf9));
        if (length >= 256) encoded[1] = bytes1(uint8(length >> 8));
        encoded[2] = bytes1(uint8(length));
        assembly ("memory-safe") {
            root := keccak256(add(add(encoded, 32), start), sub(end, start))
        }
    }

    /// @notice Checks a set and keeps it. Reverts with SetInvalid or KeyInvalid.
    /// @param root What `rootOf` made of it.
    /// @return store Account whose code, after one byte, is the set.
    function keep(bytes memory given, bytes32 root) internal returns (address store) {
        bytes memory terms = bytes.concat(given);
        bytes memory kept = new bytes(MEMBERS_AT + given.length / GIVEN_BYTES * KEPT_BYTES);
        uint256[] memory seen = new uint256[](SEEN);
        uint256 total;
        uint256 to = MEMBERS_AT;
        for (uint256 from; from < given.length; from += GIVEN_BYTES) {
            uint256 head = _word(given, from);
            if (uint96(head) == 0) revert IL1LightClient.SetInvalid();
            total += uint96(head);
            _requireNew(seen, (head >> 96) | (1 << 160));
            _requireNew(seen, _keyHash(given, from + 32));
            // A term of the sum is a point and its scalar, one.
            _copy(given, from + 32, terms, from, BLS12381.G1_BYTES);
            _put(terms, from + BLS12381.G1_BYTES, 1);
            _put(kept, to, uint256(uint96(head)) << 160);
            _copy(given, from + 48, kept, to + POWER_BYTES, 48);
            _copy(given, from + 112, kept, to + POWER_BYTES + 48, 48);
            to += KEPT_BYTES;
        }
        bytes memory sum = BLS12381.msmG1(terms);
        if (sum.length == 0) revert IL1LightClient.KeyInvalid();
        _put(kept, 0, uint256(root));
        _copy(bytes.concat(bytes16(uint128(2 * total / 3 + 1))), 0, kept, QUORUM_AT, 16);
        _copy(sum, 16, kept, SUM_AT, 48);
        _copy(sum, 80, kept, SUM_AT + 48, 48);
        store = _deploy(kept);
    }

    /// @notice The set that an account holds.
    function load(address store) internal view returns (bytes memory kept) {
        uint256 length = store.code.length - 1;
        kept = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(store, add(kept, 32), 1, length)
        }
    }

    /// @notice Number of delegates.
    function countOf(bytes memory kept) internal pure returns (uint256) {
        return (kept.length - MEMBERS_AT) / KEPT_BYTES;
    }

    /// @notice The root that a header named the set by.
    function nameOf(bytes memory kept) internal pure returns (bytes32) {
        return bytes32(_word(kept, 0));
    }

    /// @notice The least power that is strictly more than two thirds.
    function quorumOf(bytes memory kept) internal pure returns (uint256) {
        return _word(kept, QUORUM_AT) >> 128;
    }

    /// @notice Power and number of the delegates whose bits are set; delegate i's is bit i.
    function powerOf(bytes memory kept, uint256 signers) internal pure returns (uint256 power, uint256 number) {
        for (uint256 offset = MEMBERS_AT; signers != 0; offset += KEPT_BYTES) {
            if (signers & 1 == 1) {
                power += _word(kept, offset) >> 160;
                ++number;
            }
            signers >>= 1;
        }
    }

    /// @notice The sum of the signers' keys, a point of G1. Where they are more than half it is the sum of all keys
    /// less the others'.
    /// @param number How many they are.
    function keyOf(bytes memory kept, uint256 signers, uint256 number) internal view returns (bytes memory key) {
        uint256 count = countOf(kept);
        bool most = 2 * number > count;
        // The sum so far, infinity at first, and the next point.
        key = new bytes(2 * BLS12381.G1_BYTES);
        if (most) {
            _copyKey(kept, SUM_AT, key, 0);
            signers ^= (1 << count) - 1;
        }
        for (uint256 offset = MEMBERS_AT + POWER_BYTES; signers != 0; offset += KEPT_BYTES) {
            if (signers & 1 == 1) {
                _copyKey(kept, offset, key, BLS12381.G1_BYTES);
                if (most) _negate(key);
                BLS12381.addG1(key);
            }
            signers >>= 1;
        }
        assembly ("memory-safe") {
            mstore(key, 128)
        }
    }

    /// @dev Encodes the delegate at `from` to `offset`; where the next one goes.
    function _encode(bytes memory given, uint256 from, bytes memory encoded, uint256 offset)
        private
        pure
        returns (uint256)
    {
        uint256 head = _word(given, from);
        uint256 power = uint96(head);
        // Below 0x80 a byte is its own encoding.
        bool single = power != 0 && power < 0x80;
        uint256 size = power == 0 || single ? 0 : Math.log256(power) + 1;
        _put(encoded, offset, (0xf8 << 248) | ((71 + size) << 240) | (0x94 << 232));
        _put(encoded, offset + 3, head);
        _put(encoded, offset + 23, ((single ? power : 0x80 + size) << 248) | (single ? 0 : power << (248 - 8 * size)));
        offset += 24 + size;
        uint256 flags = BLS12381.isLarger(_word(given, from + 96), _word(given, from + 128)) ? 0xa0 : 0x80;
        uint256 high = uint128(_word(given, from + 32)) | (flags << 120);
        _put(encoded, offset, (0xb0 << 248) | (high << 120));
        _put(encoded, offset + 17, _word(given, from + 64));
        return offset + 49;
    }

    /// @dev keccak256 of the point of G1 at `offset`. Reverts with KeyInvalid for infinity.
    function _keyHash(bytes memory given, uint256 offset) private pure returns (uint256 hash) {
        uint256 y = _word(given, offset + 64) | _word(given, offset + 96);
        // No other point of the subgroup has a y of zero.
        if (y == 0) revert IL1LightClient.KeyInvalid();
        assembly ("memory-safe") {
            hash := keccak256(add(add(given, 32), offset), 128)
        }
    }

    /// @dev Puts a value that is not zero into the table. Reverts with SetInvalid for one that is in it.
    function _requireNew(uint256[] memory seen, uint256 value) private pure {
        uint256 offset = value % SEEN;
        while (seen[offset] != 0) {
            if (seen[offset] == value) revert IL1LightClient.SetInvalid();
            offset = (offset + 1) % SEEN;
        }
        seen[offset] = value;
    }

    /// @dev Makes an account whose code is a STOP, so that nobody calls it, and the set.
    function _deploy(bytes memory kept) private returns (address store) {
        // PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN
        bytes memory creation =
            bytes.concat(hex"61", bytes2(uint16(kept.length + 1)), hex"80600a3d393df3", hex"00", kept);
        assembly ("memory-safe") {
            store := create(0, add(creation, 32), mload(creation))
        }
        if (store == address(0)) revert IL1LightClient.StoreFailed();
    }

    /// @dev A kept key as a point of G1, over one that is there.
    function _copyKey(bytes memory kept, uint256 from, bytes memory points, uint256 to) private pure {
        _copy(kept, from, points, to + 16, 48);
        _copy(kept, from + 48, points, to + 80, 48);
    }

    /// @dev Negates the second of two points of G1, which is not infinity.
    function _negate(bytes memory pair) private pure {
        (uint256 high, uint256 low) = BLS12381.negative(_word(pair, 192), _word(pair, 224));
        _put(pair, 192, high);
        _put(pair, 224, low);
    }

    function _word(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), offset))
        }
    }

    function _put(bytes memory data, uint256 offset, uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(add(add(data, 32), offset), word)
        }
    }

    function _copy(bytes memory source, uint256 from, bytes memory target, uint256 to, uint256 length) private pure {
        assembly ("memory-safe") {
            mcopy(add(add(target, 32), to), add(add(source, 32), from), length)
        }
    }
}
