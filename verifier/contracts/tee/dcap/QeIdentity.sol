// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {JsonReader, StrictJson} from "./StrictJson.sol";
import {Document, TcbInfo} from "./TcbInfo.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @title Identity of Intel's quoting enclaves, version 2 (Intel SGX and TDX Provisioning Certification Service API v4)
/// @notice Body: miscselect (4), its mask (4), attributes (16), their mask (16), signer (32), product (2), then levels
/// of isvsvn (2) and status (1), the highest first.
library QeIdentity {
    using StrictJson for JsonReader;

    uint256 internal constant LEVELS_AT = 74;
    uint256 internal constant LEVEL_BYTES = 3;

    /// @notice Reads the whole text. Reverts with MalformedJson.
    function parse(bytes memory text) internal pure returns (Document memory found) {
        JsonReader memory r = JsonReader(text, 0);
        bool tdx = !r.accept('{"id":"QE"', 10);
        if (tdx) r.expect('{"id":"TD_QE"', 13);
        found.tee = tdx ? TcbInfo.TDX : TcbInfo.SGX;
        r.expect(',"version":2,"issueDate":', 25);
        found.issued = r.readTime();
        r.expect(',"nextUpdate":', 14);
        found.nextUpdate = r.readTime();
        r.expect(',"tcbEvaluationDataNumber":', 27);
        found.evaluation = uint16(r.readUint(type(uint16).max));
        bytes memory body = _enclave(r);
        r.expect(',"tcbLevels":[', 14);
        uint256 last = type(uint256).max;
        do {
            r.expect('{"tcb":{"isvsvn":', 17);
            uint256 svn = r.readUint(type(uint16).max);
            if (svn > last) revert StrictJson.MalformedJson(r.place);
            last = svn;
            r.expect("}", 1);
            body = bytes.concat(body, bytes2(uint16(svn)), bytes1(uint8(TcbStatus.readRest(r))));
        } while (r.accept(",", 1));
        r.expect("]}", 2);
        r.close();
        found.body = body;
    }

    function _enclave(JsonReader memory r) private pure returns (bytes memory body) {
        r.expect(',"miscselect":', 14);
        body = bytes.concat(bytes4(bytes32(r.readHex(4))));
        r.expect(',"miscselectMask":', 18);
        body = bytes.concat(body, bytes4(bytes32(r.readHex(4))));
        r.expect(',"attributes":', 14);
        body = bytes.concat(body, bytes16(bytes32(r.readHex(16))));
        r.expect(',"attributesMask":', 18);
        body = bytes.concat(body, bytes16(bytes32(r.readHex(16))));
        r.expect(',"mrsigner":', 12);
        body = bytes.concat(body, bytes32(r.readHex(32)));
        r.expect(',"isvprodid":', 13);
        body = bytes.concat(body, bytes2(uint16(r.readUint(type(uint16).max))));
    }
}
