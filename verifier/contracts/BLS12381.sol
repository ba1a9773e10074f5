// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title BLS12-381 signatures on the precompiles of EIP-2537
/// @notice Keys in G1, signatures in G2, suite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_
/// (draft-irtf-cfrg-bls-signature-05 §4.2.3). Points are in the precompiles' uncompressed encoding: a coordinate is 16
/// zero bytes and 48.
library BLS12381 {
    uint256 internal constant G1_BYTES = 128;
    uint256 internal constant G2_BYTES = 256;
    uint256 internal constant COMPRESSED_G2_BYTES = 96;

    address private constant MODEXP = address(0x05);
    uint256 private constant G1ADD = 0x0b;
    address private constant G1MSM = address(0x0c);
    address private constant G2ADD = address(0x0d);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_FP2_TO_G2 = address(0x11);
    /// @dev More than any call but G1MSM costs. A refused input burns all gas that it was given, so it is not given
    /// all.
    uint256 private constant GAS = 300_000;
    /// @dev What G1MSM costs a point at most: with its discount it is less.
    uint256 private constant MSM_GAS = 12_000;

    /// @dev The field's modulus, its upper 16 and lower 32 bytes, and half of it rounded down.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    uint256 private constant HALF_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;
    /// @dev The negative of G1's generator.
    bytes private constant MINUS_G1 =
        hex"00000000000000000000000000000000"
        hex"17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
        hex"00000000000000000000000000000000"
        hex"114d1d6855d545a8aa7d76c8cf2e21f267816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca";
    /// @dev The tags of signatures and of proofs of possession, and their length.
    bytes private constant SIGNATURE_TAG = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_\x2b";
    bytes private constant POSSESSION_TAG = "BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_\x2b";

    /// @notice Whether more than half of the field lies below: the sign of a point is that of its y.
    function isLarger(uint256 high, uint256 low) internal pure returns (bool) {
        return high > HALF_HIGH || (high == HALF_HIGH && low > HALF_LOW);
    }

    /// @notice The negative of a field element that is not zero.
    function negative(uint256 high, uint256 low) internal pure returns (uint256, uint256) {
        unchecked {
            return (P_HIGH - high - (low > P_LOW ? 1 : 0), P_LOW - low);
        }
    }

    /// @notice Adds the second half of `pair` to its first half, both points of G1 (256 bytes). Their subgroup is not
    /// checked.
    function addG1(bytes memory pair) internal view {
        bool success;
        assembly ("memory-safe") {
            success := staticcall(GAS, G1ADD, add(pair, 32), 256, add(pair, 32), 128)
            success := and(success, eq(returndatasize(), 128))
        }
        assert(success);
    }

    /// @notice A multi-scalar multiplication in G1, which is the precompile that checks the subgroup.
    /// @param terms 160 bytes each: a point and its scalar.
    /// @return sum Empty when a point is none of the subgroup.
    function msmG1(bytes memory terms) internal view returns (bytes memory sum) {
        bool success;
        uint256 gas_ = GAS + MSM_GAS * (terms.length / 160);
        (success, sum) = G1MSM.staticcall{gas: gas_}(terms);
        if (!success || sum.length != G1_BYTES) sum = "";
    }

    /// @notice Whether a point of G2 is what the compressed form (ZCash's, 96 bytes) stands for, and not infinity. Not
    /// checked to be a point.
    function isCompressed(bytes calldata point, bytes calldata compressed) internal pure returns (bool) {
        if (point.length != G2_BYTES || compressed.length != COMPRESSED_G2_BYTES) return false;
        (uint256 yHigh, uint256 yLow) = _coordinate(point, 192);
        // The sign is that of y's imaginary part, or of its real part when that is zero.
        if (yHigh | yLow == 0) (yHigh, yLow) = _coordinate(point, 128);
        if (yHigh | yLow == 0) return false;
        uint256 flags = uint256(isLarger(yHigh, yLow) ? 0xa0 : 0x80) << 120;
        (uint256 realHigh, uint256 realLow) = _coordinate(point, 0);
        (uint256 imaginaryHigh, uint256 imaginaryLow) = _coordinate(point, 64);
        return uint128(bytes16(compressed[:16])) == imaginaryHigh | flags
            && uint256(bytes32(compressed[16:48])) == imaginaryLow && uint128(bytes16(compressed[48:64])) == realHigh
            && uint256(bytes32(compressed[64:96])) == realLow;
    }

    /// @notice A point of G1 in ZCash's compressed form, 48 bytes: the first 32 and the last 16. Not checked to be a
    /// point.
    function compressG1(bytes calldata point) internal pure returns (bytes32 head, bytes16 tail) {
        (uint256 yHigh, uint256 yLow) = _coordinate(point, 64);
        uint256 flags = uint256(isLarger(yHigh, yLow) ? 0xa0 : 0x80) << 248;
        head = bytes32(uint256(bytes32(point[16:48])) | flags);
        tail = bytes16(point[48:64]);
    }

    /// @notice Whether the signature is that of the key's owner on a message. Whoever gives the key says that it is not
    /// infinity, or that the signature is not.
    function verify(bytes memory key, bytes32 message, bytes memory signature) internal view returns (bool holds) {
        (, holds) = _verify(key, bytes.concat(message), SIGNATURE_TAG, signature);
    }

    /// @notice Checks that the key's owner has its secret: PopVerify (§3.3.3). The proof signs the compressed key.
    /// @return valid Whether both are points of the prime-order subgroups, and the key is not infinity.
    /// @return proven Whether the proof holds; false where they are not valid.
    function verifyPossession(bytes calldata key, bytes memory compressed, bytes calldata proof)
        internal
        view
        returns (bool valid, bool proven)
    {
        if (keccak256(key) == keccak256(new bytes(G1_BYTES))) return (false, false);
        return _verify(key, compressed, POSSESSION_TAG, proof);
    }

    /// @dev e(key, H(message)) = e(g1, signature); the precompile refuses what is no point of G1 or G2.
    function _verify(bytes memory key, bytes memory message, bytes memory tag, bytes memory signature)
        private
        view
        returns (bool valid, bool holds)
    {
        // Longer ones would bring another pair into the product, and with it any result.
        if (key.length != G1_BYTES || signature.length != G2_BYTES) return (false, false);
        bytes memory result;
        (valid, result) = PAIRING.staticcall{gas: GAS}(bytes.concat(key, hashToG2(message, tag), MINUS_G1, signature));
        holds = valid && bytes32(result) == bytes32(uint256(1));
    }

    /// @notice hash_to_curve (RFC 9380 §3, suite BLS12381G2_XMD:SHA-256_SSWU_RO_). The cofactor is cleared by the
    /// precompile in each summand, which is the same as in the sum.
    /// @param tag The domain separation tag and its length, one byte.
    function hashToG2(bytes memory message, bytes memory tag) internal view returns (bytes memory) {
        bytes32[8] memory uniform = _expand(message, tag);
        bytes memory first = _call(MAP_FP2_TO_G2, bytes.concat(_reduce(uniform, 0), _reduce(uniform, 2)));
        bytes memory second = _call(MAP_FP2_TO_G2, bytes.concat(_reduce(uniform, 4), _reduce(uniform, 6)));
        return _call(G2ADD, bytes.concat(first, second));
    }

    /// @dev expand_message_xmd (RFC 9380 §5.3.1) to 256 bytes with SHA-256, whose block has 64 bytes.
    function _expand(bytes memory message, bytes memory tag) private pure returns (bytes32[8] memory uniform) {
        bytes32 start = sha256(bytes.concat(bytes32(0), bytes32(0), message, hex"010000", tag));
        bytes32 last = 0;
        for (uint8 i = 0; i < 8; ++i) {
            last = sha256(bytes.concat(start ^ last, bytes1(i + 1), tag));
            uniform[i] = last;
        }
    }

    /// @dev 64 uniform bytes modulo p, as an EIP-2537 field element: the modulus has as many bytes as that.
    function _reduce(bytes32[8] memory uniform, uint256 first) private view returns (bytes memory) {
        return _call(
            MODEXP,
            abi.encodePacked(
                uint256(64), uint256(1), uint256(64), uniform[first], uniform[first + 1], uint8(1), P_HIGH, P_LOW
            )
        );
    }

    /// @dev A coordinate's upper and lower 32 bytes.
    function _coordinate(bytes calldata point, uint256 offset) private pure returns (uint256 high, uint256 low) {
        high = uint256(bytes32(point[offset:offset + 32]));
        low = uint256(bytes32(point[offset + 32:offset + 64]));
    }

    /// @dev A precompile that cannot refuse: its input is our own.
    function _call(address precompile, bytes memory input) private view returns (bytes memory output) {
        bool success;
        (success, output) = precompile.staticcall{gas: GAS}(input);
        assert(success && output.length != 0);
    }
}
