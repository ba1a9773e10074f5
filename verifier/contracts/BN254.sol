// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title BN254 by the precompiles of EIP-196 and EIP-197 (gas: EIP-1108)
library BN254 {
    /// Modulus of the base field.
    uint256 internal constant P = 21888242871839275222246405745257275088696311157297823662689037894645226208583;
    /// Order of the groups, which is the scalar field's modulus.
    uint256 internal constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// @notice A precompile refused its input, which this library only gives it in canonical form: too little gas.
    error PrecompileFailed(uint256 precompile);

    /// Whether (x, y) is canonical, on y^2 = x^3 + 3 and not infinity. G1 has cofactor 1, so this is membership;
    /// infinity, which EIP-196 writes as (0, 0), does not satisfy the equation.
    function isG1(uint256 x, uint256 y) internal pure returns (bool) {
        if (x >= P || y >= P) return false;
        return mulmod(y, y, P) == addmod(mulmod(mulmod(x, x, P), x, P), 3, P);
    }

    /// Whether 128 bytes in EIP-197 order are a canonical point of G2's prime-order subgroup, not infinity.
    function isG2(bytes calldata point) internal view returns (bool) {
        if (isG2Infinity(point)) return false;
        (bool valid,) = pairing(abi.encodePacked(uint256(0), uint256(0), point));
        return valid;
    }

    /// Whether 128 bytes are EIP-197's encoding of infinity.
    function isG2Infinity(bytes calldata point) internal pure returns (bool) {
        return keccak256(point) == keccak256(new bytes(128));
    }

    /// y of the negated point. No point of G1 but infinity has y = 0, as the order is odd; infinity is not given.
    function negate(uint256 y) internal pure returns (uint256) {
        return P - y;
    }

    /// ic[0] + sum of signals[i] · ic[i + 1], with the ic points at `offset` of `key`. The points are on the curve.
    function combine(bytes memory key, uint256 offset, uint256[] memory signals)
        internal
        view
        returns (uint256[2] memory sum)
    {
        bool ok = true;
        uint256[7] memory scratch;
        assembly ("memory-safe") {
            // scratch: sum (64), product (64), multiplicand (64) and scalar (32)
            let ic := add(add(key, 0x20), offset)
            mcopy(scratch, ic, 0x40)
            let end := add(add(signals, 0x20), shl(5, mload(signals)))
            for { let at := add(signals, 0x20) } lt(at, end) { at := add(at, 0x20) } {
                ic := add(ic, 0x40)
                mcopy(add(scratch, 0x80), ic, 0x40)
                mstore(add(scratch, 0xc0), mload(at))
                let product := staticcall(gas(), 7, add(scratch, 0x80), 0x60, add(scratch, 0x40), 0x40)
                let added := staticcall(gas(), 6, scratch, 0x80, scratch, 0x40)
                ok := and(ok, and(product, added))
            }
            mcopy(sum, scratch, 0x40)
        }
        if (!ok) revert PrecompileFailed(6);
    }

    /// Runs the pairing check. `valid` is false when a point is malformed, `one` is the check's result.
    function pairing(bytes memory pairs) internal view returns (bool valid, bool one) {
        assembly ("memory-safe") {
            valid := staticcall(gas(), 8, add(pairs, 0x20), mload(pairs), 0, 0x20)
            valid := and(valid, eq(returndatasize(), 0x20))
            one := and(valid, eq(mload(0), 1))
        }
    }

    /// `length` bytes of `data` from `offset`; the caller stays within bounds.
    function slice(bytes memory data, uint256 offset, uint256 length) internal pure returns (bytes memory part) {
        part = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(part, 0x20), add(add(data, 0x20), offset), length)
        }
    }
}
