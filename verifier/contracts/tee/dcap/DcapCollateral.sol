// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";

import {ITrustAnchor} from "../../ITrustAnchor.sol";
import {IAttestation} from "../IAttestation.sol";
import {VendorRoots} from "../VendorRoots.sol";
import {Der} from "./Der.sol";
import {IDcapCollateral, PlatformCollateral} from "./IDcapCollateral.sol";
import {P256} from "./P256.sol";
import {PckExtension, PckPlatform} from "./PckExtension.sol";
import {QeIdentity} from "./QeIdentity.sol";
import {Document, TcbInfo} from "./TcbInfo.sol";
import {Certificate, RevocationList, X509} from "./X509.sol";

/// @title Intel's collateral for DCAP quotes
/// @notice What is read of each document is kept as the code of an account of its own: reading it costs a tenth of
/// reading storage.
contract DcapCollateral is IDcapCollateral, Multicall {
    using X509 for Certificate;

    /// @notice SHA-256 of the Intel SGX Root CA's certificate, 2018 to 2049.
    bytes32 public constant INTEL_ROOT = VendorRoots.INTEL_SGX;
    /// Bytes before the body of a kept document: serial of its signer.
    uint256 private constant SERIAL_BYTES = 20;
    /// Offsets in a kept PCK certificate: x, y, 18 bytes of SVNs, FMSPC and PCE-ID, its serial, its CA's serial and id.
    uint256 private constant SVNS_AT = 64;
    uint256 private constant FMSPC_AT = 82;
    uint256 private constant SERIAL_AT = 90;
    uint256 private constant AUTHORITY_SERIAL_AT = 110;
    uint256 private constant AUTHORITY_AT = 130;

    /// What is kept: the account that has it as code (zero for an empty list), from when it is, its last second, and
    /// the tcbEvaluationDataNumber of a document.
    struct Item {
        address data;
        uint40 issued;
        uint40 expires;
        uint16 evaluation;
    }

    /// @inheritdoc IDcapCollateral
    bytes32 public immutable rootSha256;
    /// @inheritdoc ITrustAnchor
    bool public immutable isSimulated;
    bytes32 private immutable ROOT_NAME;
    uint256 private immutable ROOT_X;
    uint256 private immutable ROOT_Y;
    uint160 private immutable ROOT_SERIAL;
    uint64 private immutable ROOT_NOT_AFTER;

    mapping(bytes32 authority => Item) private _lists;
    mapping(uint256 tee => mapping(bytes6 fmspc => mapping(bytes2 pceId => Item))) private _tcbInfos;
    mapping(uint256 tee => Item) private _identities;
    mapping(bytes32 pckHash => Item) private _pcks;

    /// @param root Certificate of the root, signed by itself, DER. Any other than Intel's own is a simulated one.
    constructor(bytes memory root) {
        Certificate memory found = X509.parse(root);
        if (!found.isIssuedBy(found) || found.keyUsage & X509.CRL_SIGN == 0) revert CollateralRefused("root");
        rootSha256 = sha256(root);
        isSimulated = rootSha256 != INTEL_ROOT;
        (ROOT_NAME, ROOT_X, ROOT_Y) = (found.subject, found.x, found.y);
        (ROOT_SERIAL, ROOT_NOT_AFTER) = (found.serial, found.notAfter);
    }

    /// @inheritdoc IDcapCollateral
    function storeRootList(bytes calldata list) external returns (bool) {
        return _storeList(list, _root(), "root_ca_crl");
    }

    /// @inheritdoc IDcapCollateral
    function storePckList(bytes calldata list, bytes calldata authority) external returns (bool) {
        return _storeList(list, _authority(authority, "pck_crl.issuer"), "pck_crl");
    }

    /// @inheritdoc IDcapCollateral
    function storeTcbInfo(bytes calldata text, bytes calldata signature, bytes calldata signer)
        external
        returns (bool)
    {
        Document memory found = TcbInfo.parse(text);
        Certificate memory by = _requireSigned(text, signature, signer, "tcb_info");
        Item storage item = _tcbInfos[found.tee][found.fmspc][found.pceId];
        if (!_replace(item, found, by, "tcb_info")) return false;
        emit TcbInfoStored(
            found.tee, found.fmspc, found.pceId, found.evaluation, found.issued, item.expires
        );
        return true;
    }

    /// @inheritdoc IDcapCollateral
    function storeQeIdentity(bytes calldata text, bytes calldata signature, bytes calldata signer)
        external
        returns (bool)
    {
        Document memory found = QeIdentity.parse(text);
        Certificate memory by = _requireSigned(text, signature, signer, "qe_identity");
        Item storage item = _identities[found.tee];
        if (!_replace(item, found, by, "qe_identity")) return false;
        emit QeIdentityStored(found.tee, found.evaluation, found.issued, item.expires);
        return true;
    }

    /// @inheritdoc IDcapCollateral
    function storePck(bytes calldata pck, bytes calldata authority) external returns (bool) {
        bytes32 pckHash = keccak256(pck);
        Item storage item = _pcks[pckHash];
        if (item.data != address(0)) return false;
        Certificate memory by = _authority(authority, "pck.issuer");
        Certificate memory found = X509.parse(pck);
        if (!found.isIssuedBy(by) || found.isAuthority || found.keyUsage & X509.DIGITAL_SIGNATURE == 0) {
            revert CollateralRefused("pck");
        }
        _requireNow(found.notBefore, found.notAfter, "pck.validity");
        if (found.sgxEnd == 0) revert CollateralRefused("pck.sgx_extension");
        PckPlatform memory platform = PckExtension.parse(pck, found.sgxStart, found.sgxEnd);
        item.data = _keep(
            bytes.concat(
                abi.encodePacked(found.x, found.y, platform.cpuSvn, platform.pceSvn, platform.fmspc, platform.pceId),
                abi.encodePacked(found.serial, by.serial, _idOf(by))
            ),
            "pck"
        );
        item.issued = uint40(found.notBefore > by.notBefore ? found.notBefore : by.notBefore);
        item.expires = uint40(_earlier(found.notAfter, by.notAfter));
        emit PckStored(pckHash, platform.fmspc, item.expires);
        return true;
    }

    /// @inheritdoc IDcapCollateral
    function platformOf(bytes32 pckHash, uint256 tee) external view returns (PlatformCollateral memory found) {
        found.validUntil = ROOT_NOT_AFTER;
        if (found.validUntil < block.timestamp) revert IAttestation.EvidenceRefused("root.expired");
        bytes memory pck = _loadCurrent(_pcks[pckHash], found, "pck");
        found.x = Der.word(pck, 0);
        found.y = Der.word(pck, 32);
        found.svns = Der.word(pck, SVNS_AT) >> 112;
        uint256 names = Der.word(pck, FMSPC_AT);
        Item storage item = _tcbInfos[tee][bytes6(bytes32(names))][bytes2(bytes32(names << 48))];
        found.evaluation = item.evaluation;
        found.tcbInfo = _loadCurrent(item, found, "tcb_info");
        item = _identities[tee];
        if (item.evaluation < found.evaluation) found.evaluation = item.evaluation;
        found.identity = _loadCurrent(item, found, "qe_identity");
        _requireNotRevoked(pck, found);
        found.tcbInfo = _withoutSerial(found.tcbInfo);
        found.identity = _withoutSerial(found.identity);
    }

    /// None of the certificates that a quote rests on is on its issuer's list.
    function _requireNotRevoked(bytes memory pck, PlatformCollateral memory found) private view {
        bytes memory list = _loadCurrent(_lists[_idOf(_root())], found, "root_ca_crl");
        if (_contains(list, ROOT_SERIAL)) revert IAttestation.EvidenceRefused("root.revoked");
        if (_contains(list, _serialAt(pck, AUTHORITY_SERIAL_AT))) {
            revert IAttestation.EvidenceRefused("pck.issuer.revoked");
        }
        if (_contains(list, _serialAt(found.tcbInfo, 0))) {
            revert IAttestation.EvidenceRefused("tcb_info.signer.revoked");
        }
        if (_contains(list, _serialAt(found.identity, 0))) {
            revert IAttestation.EvidenceRefused("qe_identity.signer.revoked");
        }
        list = _loadCurrent(_lists[bytes32(Der.word(pck, AUTHORITY_AT))], found, "pck_crl");
        if (_contains(list, _serialAt(pck, SERIAL_AT))) revert IAttestation.EvidenceRefused("pck.revoked");
    }

    /// The content of an item that is there and valid now; `validUntil` becomes its end if that is earlier.
    function _loadCurrent(Item storage item, PlatformCollateral memory found, bytes32 field)
        private
        view
        returns (bytes memory data)
    {
        Item memory kept = item;
        if (kept.expires == 0) revert IAttestation.EvidenceRefused(field);
        if (kept.issued > block.timestamp || kept.expires < block.timestamp) {
            revert IAttestation.EvidenceRefused(_join(field, ".expired"));
        }
        found.validUntil = _earlier(found.validUntil, kept.expires);
        address pointer = kept.data;
        if (pointer == address(0)) return data;
        data = new bytes(pointer.code.length - 1);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), 1, mload(data))
        }
    }

    function _storeList(bytes memory der, Certificate memory by, bytes32 field) private returns (bool) {
        RevocationList memory found = X509.parseList(der);
        if (found.issuer != by.subject || by.keyUsage & X509.CRL_SIGN == 0) revert CollateralRefused(field);
        if (!P256.verify(found.signedDigest, found.r, found.s, by.x, by.y)) {
            revert CollateralRefused(_join(field, ".signature"));
        }
        // At `nextUpdate` there is a newer one (RFC 5280 §5.1.2.5): the second before is the last of this one.
        uint64 last = found.nextUpdate - 1;
        _requireNow(found.thisUpdate, last, field);
        bytes32 authority = _idOf(by);
        Item storage item = _lists[authority];
        if (found.thisUpdate == item.issued) return false;
        if (found.thisUpdate < item.issued) revert CollateralRefused(_join(field, ".older"));
        item.data = found.serials.length == 0 ? address(0) : _keep(found.serials, field);
        item.issued = uint40(found.thisUpdate);
        item.expires = uint40(last);
        emit RevocationListStored(authority, found.thisUpdate, found.nextUpdate);
        return true;
    }

    /// Keeps a document in the place of one that is older; false where it is the same.
    function _replace(Item storage item, Document memory found, Certificate memory by, bytes32 field)
        private
        returns (bool)
    {
        _requireNow(found.issued, found.nextUpdate, field);
        if (found.evaluation == item.evaluation && found.issued == item.issued) return false;
        if (
            found.evaluation < item.evaluation
                || (found.evaluation == item.evaluation && found.issued < item.issued)
        ) revert CollateralRefused(_join(field, ".older"));
        item.data = _keep(abi.encodePacked(by.serial, found.body), field);
        item.issued = uint40(found.issued);
        item.expires = uint40(_earlier(found.nextUpdate, by.notAfter));
        item.evaluation = found.evaluation;
        return true;
    }

    /// The signer, whom the root certified, signed the text.
    function _requireSigned(bytes calldata text, bytes calldata signature, bytes memory signer, bytes32 field)
        private
        view
        returns (Certificate memory by)
    {
        by = X509.parse(signer);
        if (!by.isIssuedBy(_root()) || by.isAuthority || by.keyUsage & X509.DIGITAL_SIGNATURE == 0) {
            revert CollateralRefused(_join(field, ".signer"));
        }
        _requireNow(by.notBefore, by.notAfter, _join(field, ".signer"));
        if (
            signature.length != 64
                || !P256.verify(
                    sha256(text), uint256(bytes32(signature)), uint256(bytes32(signature[32:])), by.x, by.y
                )
        ) revert CollateralRefused(_join(field, ".signature"));
    }

    /// A PCK CA that the root certified.
    function _authority(bytes memory der, bytes32 field) private view returns (Certificate memory by) {
        by = X509.parse(der);
        if (!by.isIssuedBy(_root()) || !by.isAuthority) revert CollateralRefused(field);
        _requireNow(by.notBefore, by.notAfter, field);
    }

    /// What is known of the root, as far as it issues.
    function _root() private view returns (Certificate memory root) {
        root.subject = ROOT_NAME;
        root.x = ROOT_X;
        root.y = ROOT_Y;
        root.isAuthority = true;
        root.keyUsage = X509.KEY_CERT_SIGN | X509.CRL_SIGN;
    }

    function _idOf(Certificate memory authority) private pure returns (bytes32) {
        return keccak256(abi.encode(authority.subject, authority.x, authority.y));
    }

    function _requireNow(uint64 from, uint64 until, bytes32 field) private view {
        if (from > block.timestamp || until < block.timestamp) revert CollateralRefused(_join(field, ".time"));
    }

    /// Deploys an account whose code is STOP followed by `data`.
    function _keep(bytes memory data, bytes32 field) private returns (address pointer) {
        // More than the code of an account may have (EIP-170).
        if (data.length > 24_575) revert CollateralRefused(_join(field, ".size"));
        // PUSH2 size DUP1 PUSH1 10 RETURNDATASIZE CODECOPY RETURNDATASIZE RETURN, then the code.
        bytes memory creation = abi.encodePacked(hex"61", uint16(data.length + 1), hex"80600a3d393df300", data);
        assembly ("memory-safe") {
            pointer := create(0, add(creation, 32), mload(creation))
        }
        if (pointer == address(0)) revert CollateralRefused(_join(field, ".size"));
    }

    function _serialAt(bytes memory data, uint256 place) private pure returns (uint160) {
        return uint160(Der.word(data, place) >> 96);
    }

    function _withoutSerial(bytes memory data) private pure returns (bytes memory body) {
        uint256 length = data.length - SERIAL_BYTES;
        // In place: the serial is not needed any more, and the length moves over it.
        assembly ("memory-safe") {
            body := add(data, SERIAL_BYTES)
            mstore(body, length)
        }
    }

    function _contains(bytes memory serials, uint160 serial) private pure returns (bool found) {
        assembly ("memory-safe") {
            let place := add(serials, 32)
            for { let end := add(place, mload(serials)) } lt(place, end) { place := add(place, 20) } {
                if eq(shr(96, mload(place)), serial) { found := 1 }
            }
        }
    }

    function _earlier(uint64 left, uint64 right) private pure returns (uint64) {
        return left < right ? left : right;
    }

    /// A field's name with an ending; what does not fit in 32 bytes is cut off.
    function _join(bytes32 name, bytes32 ending) private pure returns (bytes32 joined) {
        uint256 length;
        while (length < 32 && name[length] != 0) ++length;
        return length == 32 ? name : name | ending >> (8 * length);
    }
}
