// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Der} from "./Der.sol";
import {JsonReader, StrictJson} from "./StrictJson.sol";
import {TcbStatus} from "./TcbStatus.sol";

/// @notice A document that Intel signs as JSON, in what a quote is compared with.
/// @param tee 0 for SGX, 0x81 for TDX.
/// @param issued Unix seconds.
/// @param nextUpdate Last second that it is valid.
/// @param evaluation tcbEvaluationDataNumber.
/// @param body The rest, in the layout that its library reads.
struct Document {
    uint256 tee;
    bytes6 fmspc;
    bytes2 pceId;
    uint64 issued;
    uint64 nextUpdate;
    uint16 evaluation;
    bytes body;
}

/// @title TCB info, version 3 (Intel SGX and TDX Provisioning Certification Service API v4)
/// @notice Body of SGX: levels. Body of TDX: signer (48), attributes (8) and mask (8) of the module; the number of
/// module identities (1); of each its version (1), signer, attributes, mask, the number of levels (1), and of each
/// level the isvsvn (1) and status (1); then levels. A level: 16 SGX components, PCE SVN (2), of TDX 16 TDX
/// components, status (1); the highest first.
library TcbInfo {
    using StrictJson for JsonReader;

    uint256 internal constant SGX = 0;
    uint256 internal constant TDX = 0x81;
    uint256 internal constant SGX_LEVEL_BYTES = 19;
    uint256 internal constant TDX_LEVEL_BYTES = 35;
    /// @notice Signer, attributes and mask of a TDX module.
    uint256 internal constant MODULE_BYTES = 64;
    uint256 private constant COMPONENTS = 16;

    /// @notice Reads the whole text. Reverts with MalformedJson.
    function parse(bytes memory text) internal pure returns (Document memory found) {
        JsonReader memory r = JsonReader(text, 0);
        bool tdx = !r.accept('{"id":"SGX"', 11);
        if (tdx) r.expect('{"id":"TDX"', 11);
        found.tee = tdx ? TDX : SGX;
        r.expect(',"version":3,"issueDate":', 25);
        found.issued = r.readTime();
        r.expect(',"nextUpdate":', 14);
        found.nextUpdate = r.readTime();
        r.expect(',"fmspc":', 9);
        found.fmspc = bytes6(bytes32(r.readHex(6)));
        r.expect(',"pceId":', 9);
        found.pceId = bytes2(bytes32(r.readHex(2)));
        r.expect(',"tcbType":0', 12);
        r.expect(',"tcbEvaluationDataNumber":', 27);
        found.evaluation = uint16(r.readUint(type(uint16).max));
        // The text is longer than the body with the word that a write may run over.
        bytes memory body = new bytes(text.length);
        uint256 length;
        if (tdx) length = _modules(r, body);
        r.expect(',"tcbLevels":[', 14);
        uint256 last = type(uint256).max;
        uint256 lastTdx = type(uint256).max;
        do {
            (uint256 level, uint256 tdxLevel, uint256 status) = _level(r, tdx);
            // The first level that a platform meets counts, so the highest must come first.
            if (level > last || (level == last && tdxLevel > lastTdx)) revert StrictJson.MalformedJson(r.place);
            (last, lastTdx) = (level, tdxLevel);
            length = _put(body, length, level, 18);
            if (tdx) length = _put(body, length, tdxLevel, 16);
            length = _put(body, length, status, 1);
        } while (r.accept(",", 1));
        r.expect("]}", 2);
        r.close();
        assembly ("memory-safe") {
            mstore(body, length)
        }
        found.body = body;
    }

    /// @notice The status of the first level that a platform meets. `found` is false where it meets none.
    /// @param place Where the levels begin in `data`; they end with it.
    /// @param platform SGX components and PCE SVN, as in a level.
    /// @param tdxSvn TDX components.
    /// @param skip TDX components at the front that the module's own levels judge.
    function statusOf(bytes memory data, uint256 place, bool tdx, uint256 platform, uint256 tdxSvn, uint256 skip)
        internal
        pure
        returns (bool found, uint256 status)
    {
        uint256 size = tdx ? TDX_LEVEL_BYTES : SGX_LEVEL_BYTES;
        for (; place + size <= data.length; place += size) {
            uint256 level = Der.word(data, place);
            if (!_meets(platform, level >> 112)) continue;
            if (tdx && !_componentsMeet(tdxSvn, Der.word(data, place + 18) >> 128, skip)) continue;
            return (true, Der.byteAt(data, place + size - 1));
        }
    }

    function _meets(uint256 platform, uint256 level) private pure returns (bool) {
        return uint16(platform) >= uint16(level) && _componentsMeet(platform >> 16, level >> 16, 0);
    }

    /// Whether each byte from `skip` on is at least the level's.
    function _componentsMeet(uint256 have, uint256 needs, uint256 skip) private pure returns (bool) {
        for (uint256 i = skip; i < COMPONENTS; ++i) {
            uint256 shift = 8 * (COMPONENTS - 1 - i);
            if (uint8(have >> shift) < uint8(needs >> shift)) return false;
        }
        return true;
    }

    function _modules(JsonReader memory r, bytes memory body) private pure returns (uint256 length) {
        r.expect(',"tdxModule":{', 14);
        length = _module(r, body, 0);
        r.expect("}", 1);
        r.expect(',"tdxModuleIdentities":[', 24);
        uint256 countAt = length++;
        uint256 count;
        do {
            r.expect('{"id":"TDX_', 11);
            length = _put(body, length, r.readDigits(1) >> 248, 1);
            r.expect('",', 2);
            length = _module(r, body, length);
            r.expect(',"tcbLevels":[', 14);
            uint256 levelsAt = length++;
            uint256 levels;
            do {
                r.expect('{"tcb":{"isvsvn":', 17);
                length = _put(body, length, r.readUint(255), 1);
                r.expect("}", 1);
                length = _put(body, length, TcbStatus.readRest(r), 1);
                ++levels;
            } while (r.accept(",", 1));
            r.expect("]}", 2);
            _putByte(body, levelsAt, levels);
            ++count;
        } while (r.accept(",", 1));
        r.expect("]", 1);
        _putByte(body, countAt, count);
    }

    function _module(JsonReader memory r, bytes memory body, uint256 length) private pure returns (uint256) {
        r.expect('"mrsigner":"', 12);
        length = _put(body, length, r.readDigits(32), 32);
        length = _put(body, length, r.readDigits(16) >> 128, 16);
        r.expect('","attributes":', 15);
        length = _put(body, length, r.readHex(8) >> 192, 8);
        r.expect(',"attributesMask":', 18);
        return _put(body, length, r.readHex(8) >> 192, 8);
    }

    function _level(JsonReader memory r, bool tdx)
        private
        pure
        returns (uint256 level, uint256 tdxLevel, uint256 status)
    {
        r.expect('{"tcb":{"sgxtcbcomponents":[', 28);
        level = _components(r);
        r.expect(',"pcesvn":', 10);
        level = level << 16 | r.readUint(type(uint16).max);
        if (tdx) {
            r.expect(',"tdxtcbcomponents":[', 21);
            tdxLevel = _components(r);
        }
        r.expect("}", 1);
        status = TcbStatus.readRest(r);
    }

    /// 16 components and the end of their list.
    function _components(JsonReader memory r) private pure returns (uint256 svns) {
        for (uint256 i; i < COMPONENTS; ++i) {
            if (i != 0) r.expect(",", 1);
            r.expect('{"svn":', 7);
            svns = svns << 8 | r.readUint(255);
            if (r.accept("}", 1)) continue;
            if (r.accept(',"category":', 12)) r.readString();
            if (r.accept(',"type":', 8)) r.readString();
            r.expect("}", 1);
        }
        r.expect("]", 1);
    }

    /// Writes the lower `size` bytes of `value`; the offset after them.
    function _put(bytes memory body, uint256 place, uint256 value, uint256 size) private pure returns (uint256) {
        assert(place + 32 <= body.length);
        assembly ("memory-safe") {
            mstore(add(add(body, 32), place), shl(sub(256, mul(8, size)), value))
        }
        return place + size;
    }

    function _putByte(bytes memory body, uint256 place, uint256 count) private pure {
        if (count > 255) revert StrictJson.MalformedJson(place);
        body[place] = bytes1(uint8(count));
    }
}
