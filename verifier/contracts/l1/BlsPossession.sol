// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Proof of possession of a BLS12-381 key
/// @notice PopVerify of BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_ (draft-irtf-cfrg-bls-signature-05 §3.3.3) on the
/// precompiles of EIP-2537; points in its uncompressed encoding. The proof is a signature of the compressed key.
library BlsPossession {
    /// @dev Bytes of a point of G1 and of G2 (EIP-2537).
    uint256 internal constant KEY_BYTES = 128;
    uint256 internal constant PROOF_BYTES = 256;

    address private constant SHA256 = address(0x02);
    address private constant MODEXP = address(0x05);
    address private constant G2ADD = address(0x0d);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_FP2_TO_G2 = address(0x11);
    /// @dev More than any call here costs. A refused input burns all gas that it was given, so it is not given all.
    uint256 private constant GAS = 300_000;

    /// @dev (p - 1) / 2, the upper 16 and the lower 32 bytes.
    uint256 private constant HALF_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;
    bytes private constant P =
        hex"1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";
    /// @dev The negative of G1's generator.
    bytes private constant MINUS_G1 =
        hex"00000000000000000000000000000000"
        hex"17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
        hex"00000000000000000000000000000000"
        hex"114d1d6855d545a8aa7d76c8cf2e21f267816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca";
    /// @dev The tag and its length.
    bytes private constant DST_PRIME = "BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_\x2b";

    /// @notice The key in ZCash's compressed form, 48 bytes: the first 32 and the last 16. Not checked to be a point.
    function compress(bytes calldata key) internal pure returns (bytes32 head, bytes16 tail) {
        uint256 yHigh = uint256(bytes32(key[64:96]));
        uint256 yLow = uint256(bytes32(key[96:128]));
        bool larger = yHigh > HALF_HIGH || (yHigh == HALF_HIGH && yLow > HALF_LOW);
        uint256 flags = uint256(larger ? 0xa0 : 0x80) << 248;
        head = bytes32(uint256(bytes32(key[16:48])) | flags);
        tail = bytes16(key[48:64]);
    }

    /// @notice Checks a proof.
    /// @param key 128 bytes.
    /// @param proof 256 bytes.
    /// @param compressed What `compress` made of `key`.
    /// @return valid Whether both are points of the prime-order subgroups, and the key is not infinity.
    /// @return proven Whether the proof holds; false where they are not valid.
    function verify(bytes calldata key, bytes calldata proof, bytes memory compressed)
        internal
        view
        returns (bool valid, bool proven)
    {
        bytes32 zero = keccak256(new bytes(KEY_BYTES));
        if (key.length != KEY_BYTES || proof.length != PROOF_BYTES || keccak256(key) == zero) return (false, false);
        // e(key, H(compressed)) = e(g1, proof)
        (bool success, bytes memory result) =
            PAIRING.staticcall{gas: GAS}(bytes.concat(key, _hashToG2(compressed), MINUS_G1, proof));
        if (!success || result.length != 32) return (false, false);
        return (true, abi.decode(result, (uint256)) == 1);
    }

    /// @dev hash_to_curve (RFC 9380 §3, suite BLS12381G2_XMD:SHA-256_SSWU_RO_). The cofactor is cleared by the
    /// precompile in each summand, which is the same as in the sum.
    function _hashToG2(bytes memory message) private view returns (bytes memory) {
        bytes32[8] memory uniform = _expand(message);
        bytes memory first = _call(MAP_FP2_TO_G2, bytes.concat(_reduce(uniform, 0), _reduce(uniform, 2)));
        bytes memory second = _call(MAP_FP2_TO_G2, bytes.concat(_reduce(uniform, 4), _reduce(uniform, 6)));
        return _call(G2ADD, bytes.concat(first, second));
    }

    /// @dev expand_message_xmd (RFC 9380 §5.3.1) to 256 bytes with SHA-256, whose block has 64 bytes.
    function _expand(bytes memory message) private pure returns (bytes32[8] memory uniform) {
        bytes32 start = sha256(bytes.concat(new bytes(64), message, hex"010000", DST_PRIME));
        uniform[0] = sha256(bytes.concat(start, hex"01", DST_PRIME));
        for (uint8 i = 1; i < 8; ++i) {
            uniform[i] = sha256(bytes.concat(start ^ uniform[i - 1], bytes1(i + 1), DST_PRIME));
        }
    }

    /// @dev 64 uniform bytes modulo p, as an EIP-2537 field element.
    function _reduce(bytes32[8] memory uniform, uint256 first) private view returns (bytes memory) {
        bytes memory lengths = abi.encode(64, 1, 48);
        return bytes.concat(
            bytes16(0), _call(MODEXP, bytes.concat(lengths, uniform[first], uniform[first + 1], hex"01", P))
        );
    }

    /// @dev A precompile that cannot refuse: its input is our own.
    function _call(address precompile, bytes memory input) private view returns (bytes memory output) {
        bool success;
        (success, output) = precompile.staticcall{gas: GAS}(input);
        assert(success && output.length != 0);
    }
}
