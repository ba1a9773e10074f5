// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Der} from "./Der.sol";

/// @notice What Intel's SGX extension says of a platform.
/// @param cpuSvn The 16 components of its TCB, big-endian: component 1 is the highest byte.
/// @param pceSvn Of its provisioning certification enclave.
struct PckPlatform {
    uint128 cpuSvn;
    uint16 pceSvn;
    bytes6 fmspc;
    bytes2 pceId;
}

/// @title Intel's SGX extension of PCK certificates (1.2.840.113741.1.13.1)
/// @notice Intel SGX PCK Certificate and CRL Specification rev 1.5, §1.3.5: PPID, TCB, PCE-ID, FMSPC and SGX type in
/// this order; what a Platform CA's certificate has after them is not appraised.
library PckExtension {
    /// 1.2.840.113741.1.13.1, the object identifier's content, and its length with one more arc, two more.
    uint256 private constant BASE = 0x2a864886f84d010d01;
    uint256 private constant ARCS_1 = 10;
    uint256 private constant ARCS_2 = 11;
    uint256 private constant COMPONENTS = 16;
    uint256 private constant TCB = 2;

    /// @notice Reads the content of the extension. Reverts with MalformedDer.
    function parse(bytes memory der, uint256 place, uint256 limit) internal pure returns (PckPlatform memory found) {
        uint256 value;
        uint256 end;
        (place, limit) = Der.readOnly(der, place, limit, Der.SEQUENCE);
        (value, place) = _entry(der, place, limit, BASE << 8 | 1, ARCS_1);
        (, end) = Der.readOnly(der, value, place, Der.OCTET_STRING);
        (value, place) = _entry(der, place, limit, BASE << 8 | TCB, ARCS_1);
        _tcb(der, value, place, found);
        (value, place) = _entry(der, place, limit, BASE << 8 | 3, ARCS_1);
        (value, end) = Der.readOctets(der, value, place, 2);
        Der.close(end, place);
        found.pceId = bytes2(bytes32(value));
        (value, place) = _entry(der, place, limit, BASE << 8 | 4, ARCS_1);
        (value, end) = Der.readOctets(der, value, place, 6);
        Der.close(end, place);
        found.fmspc = bytes6(bytes32(value));
        (value, place) = _entry(der, place, limit, BASE << 8 | 5, ARCS_1);
        Der.readOnly(der, value, place, Der.ENUMERATED);
        while (place < limit) {
            (, place) = Der.read(der, place, limit, Der.SEQUENCE);
        }
    }

    /// Where the value of the entry at `place` starts and ends, which must have the object identifier.
    function _entry(bytes memory der, uint256 place, uint256 limit, uint256 id, uint256 length)
        private
        pure
        returns (uint256 value, uint256 end)
    {
        (place, end) = Der.read(der, place, limit, Der.SEQUENCE);
        uint256 head = (Der.OBJECT_ID << 8 | length) << (8 * length) | id;
        value = Der.expect(der, place, end, bytes32(head << (256 - 8 * (length + 2))), length + 2);
    }

    function _tcb(bytes memory der, uint256 place, uint256 limit, PckPlatform memory found) private pure {
        uint256 number;
        uint256 value;
        uint256 end;
        (place, limit) = Der.readOnly(der, place, limit, Der.SEQUENCE);
        for (uint256 i = 1; i <= COMPONENTS; ++i) {
            (value, place) = _entry(der, place, limit, BASE << 16 | TCB << 8 | i, ARCS_2);
            (number, end) = Der.readUint(der, value, place);
            if (number > 255) revert Der.MalformedDer(value);
            Der.close(end, place);
            found.cpuSvn = found.cpuSvn << 8 | uint128(number);
        }
        (value, place) = _entry(der, place, limit, BASE << 16 | TCB << 8 | 17, ARCS_2);
        (number, end) = Der.readUint(der, value, place);
        if (number > type(uint16).max) revert Der.MalformedDer(value);
        Der.close(end, place);
        found.pceSvn = uint16(number);
        (value, place) = _entry(der, place, limit, BASE << 16 | TCB << 8 | 18, ARCS_2);
        (number, end) = Der.readOctets(der, value, place, 16);
        Der.close(end, place);
        // Verifiers read the one or the other: a platform where they differ is none that both agree on.
        if (number >> 128 != found.cpuSvn) revert Der.MalformedDer(value);
        Der.close(place, limit);
    }
}
