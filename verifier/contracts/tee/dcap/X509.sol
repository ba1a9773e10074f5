// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Der} from "./Der.sol";
import {P256} from "./P256.sol";

/// @notice What is read of a certificate.
/// @param signedDigest SHA-256 of what its issuer signed.
/// @param issuer keccak256 of the issuer's name in DER.
/// @param subject keccak256 of its own name in DER.
/// @param notAfter Last second of its validity.
/// @param keyUsage First byte of the key usage: 0x80 digitalSignature, 0x04 keyCertSign, 0x02 cRLSign.
/// @param sgxStart Content of Intel's SGX extension; `sgxEnd` is 0 where there is none.
struct Certificate {
    bytes32 signedDigest;
    uint256 r;
    uint256 s;
    bytes32 issuer;
    bytes32 subject;
    uint64 notBefore;
    uint64 notAfter;
    uint256 x;
    uint256 y;
    uint160 serial;
    bool hasConstraints;
    bool isAuthority;
    uint256 keyUsage;
    uint256 sgxStart;
    uint256 sgxEnd;
}

/// @notice What is read of a revocation list.
/// @param serials Of the revoked certificates, 20 bytes each.
struct RevocationList {
    bytes32 signedDigest;
    uint256 r;
    uint256 s;
    bytes32 issuer;
    uint64 thisUpdate;
    uint64 nextUpdate;
    bytes serials;
}

/// @title X.509 certificates and revocation lists (RFC 5280) of P-256 keys that P-256 keys signed
/// @notice Only what Intel's SGX and TDX hierarchy uses is taken; all else is malformed.
library X509 {
    uint256 internal constant DIGITAL_SIGNATURE = 0x80;
    uint256 internal constant KEY_CERT_SIGN = 0x04;
    uint256 internal constant CRL_SIGN = 0x02;

    /// AlgorithmIdentifier of ecdsa-with-SHA256, whole.
    bytes32 private constant ECDSA_SHA256 = hex"300a06082a8648ce3d040302";
    uint256 private constant ECDSA_SHA256_BYTES = 12;
    /// SubjectPublicKeyInfo of an uncompressed point of prime256v1, up to the point.
    bytes32 private constant P256_KEY = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    uint256 private constant P256_KEY_BYTES = 27;
    /// Version 3, explicitly tagged; version 2 of a list.
    bytes32 private constant VERSION_3 = hex"a003020102";
    bytes32 private constant LIST_VERSION_2 = hex"020101";
    bytes32 private constant TRUE = hex"0101ff";
    uint256 private constant CONTEXT_0 = 0xa0;
    uint256 private constant CONTEXT_3 = 0xa3;
    /// Object identifiers 2.5.29.15, 2.5.29.19 and 1.2.840.113741.1.13.1, content alone, as numbers.
    uint256 private constant KEY_USAGE = 0x551d0f;
    uint256 private constant BASIC_CONSTRAINTS = 0x551d13;
    uint256 private constant SGX = 0x2a864886f84d010d01;

    /// @notice Reads a certificate, whose end is the bytes' end. Reverts with MalformedDer.
    function parse(bytes memory der) internal view returns (Certificate memory found) {
        (uint256 place, uint256 end) = Der.readOnly(der, 0, der.length, Der.SEQUENCE);
        (uint256 inside, uint256 signedEnd) = Der.read(der, place, end, Der.SEQUENCE);
        found.signedDigest = Der.sha256Of(der, place, signedEnd);
        (found.r, found.s) = _signature(der, signedEnd, end);
        place = Der.expect(der, inside, signedEnd, VERSION_3, 5);
        (found.serial, place) = Der.readSerial(der, place, signedEnd);
        place = Der.expect(der, place, signedEnd, ECDSA_SHA256, ECDSA_SHA256_BYTES);
        (found.issuer, place) = _name(der, place, signedEnd);
        (inside, end) = Der.read(der, place, signedEnd, Der.SEQUENCE);
        (found.notBefore, inside) = Der.readTime(der, inside, end);
        (found.notAfter, inside) = Der.readTime(der, inside, end);
        Der.close(inside, end);
        (found.subject, place) = _name(der, end, signedEnd);
        place = Der.expect(der, place, signedEnd, P256_KEY, P256_KEY_BYTES);
        if (place + 64 > signedEnd) revert Der.MalformedDer(place);
        (found.x, found.y) = (Der.word(der, place), Der.word(der, place + 32));
        (inside, end) = Der.readOnly(der, place + 64, signedEnd, CONTEXT_3);
        (inside, end) = Der.readOnly(der, inside, end, Der.SEQUENCE);
        while (inside < end) {
            inside = _extension(der, inside, end, found);
        }
    }

    /// @notice Reads a complete revocation list, whose end is the bytes' end. Reverts with MalformedDer.
    function parseList(bytes memory der) internal view returns (RevocationList memory found) {
        (uint256 place, uint256 end) = Der.readOnly(der, 0, der.length, Der.SEQUENCE);
        (uint256 inside, uint256 signedEnd) = Der.read(der, place, end, Der.SEQUENCE);
        found.signedDigest = Der.sha256Of(der, place, signedEnd);
        (found.r, found.s) = _signature(der, signedEnd, end);
        place = Der.expect(der, inside, signedEnd, LIST_VERSION_2, 3);
        place = Der.expect(der, place, signedEnd, ECDSA_SHA256, ECDSA_SHA256_BYTES);
        (found.issuer, place) = _name(der, place, signedEnd);
        (found.thisUpdate, place) = Der.readTime(der, place, signedEnd);
        (found.nextUpdate, place) = Der.readTime(der, place, signedEnd);
        if (Der.has(der, place, signedEnd, Der.SEQUENCE)) {
            (inside, place) = Der.read(der, place, signedEnd, Der.SEQUENCE);
            found.serials = _revoked(der, inside, place);
        }
        (inside, end) = Der.readOnly(der, place, signedEnd, CONTEXT_0);
        _requireNothingCritical(der, inside, end);
    }

    /// @notice Whether `issuer` signed the certificate and may, and its name is the one that the certificate gives.
    function isIssuedBy(Certificate memory found, Certificate memory issuer) internal view returns (bool) {
        return issuer.isAuthority && issuer.keyUsage & KEY_CERT_SIGN != 0 && found.issuer == issuer.subject
            && P256.verify(found.signedDigest, found.r, found.s, issuer.x, issuer.y);
    }

    /// The algorithm and the signature, which end the certificate.
    function _signature(bytes memory der, uint256 place, uint256 limit) private pure returns (uint256 r, uint256 s) {
        place = Der.expect(der, place, limit, ECDSA_SHA256, ECDSA_SHA256_BYTES);
        (place, limit) = Der.readOnly(der, place, limit, Der.BIT_STRING);
        // No unused bits.
        place = Der.expect(der, place, limit, 0, 1);
        (place, limit) = Der.readOnly(der, place, limit, Der.SEQUENCE);
        (r, place) = Der.readUint(der, place, limit);
        (s, place) = Der.readUint(der, place, limit);
        Der.close(place, limit);
    }

    function _name(bytes memory der, uint256 place, uint256 limit) private pure returns (bytes32 digest, uint256 end) {
        (, end) = Der.read(der, place, limit, Der.SEQUENCE);
        digest = Der.keccakOf(der, place, end);
    }

    /// One extension: its object identifier as a number, whether it is critical, and its content.
    function _open(bytes memory der, uint256 place, uint256 limit)
        private
        pure
        returns (uint256 id, bool critical, uint256 start, uint256 end)
    {
        (place, limit) = Der.read(der, place, limit, Der.SEQUENCE);
        (start, end) = Der.read(der, place, limit, Der.OBJECT_ID);
        if (end == start || end - start > 32) revert Der.MalformedDer(place);
        id = Der.word(der, start) >> (256 - 8 * (end - start));
        place = end;
        if (Der.has(der, place, limit, Der.BOOLEAN)) {
            // False is the default, and a default is not written.
            place = Der.expect(der, place, limit, TRUE, 3);
            critical = true;
        }
        (start, end) = Der.readOnly(der, place, limit, Der.OCTET_STRING);
    }

    function _extension(bytes memory der, uint256 place, uint256 limit, Certificate memory found)
        private
        pure
        returns (uint256)
    {
        (uint256 id, bool critical, uint256 start, uint256 end) = _open(der, place, limit);
        if (id == KEY_USAGE) {
            if (found.keyUsage != 0) revert Der.MalformedDer(place);
            (start, limit) = Der.readOnly(der, start, end, Der.BIT_STRING);
            if (limit < start + 2) revert Der.MalformedDer(place);
            found.keyUsage = Der.byteAt(der, start + 1);
            if (found.keyUsage == 0) revert Der.MalformedDer(place);
        } else if (id == BASIC_CONSTRAINTS) {
            (start, limit) = Der.readOnly(der, start, end, Der.SEQUENCE);
            if (found.hasConstraints) revert Der.MalformedDer(place);
            found.hasConstraints = true;
            if (Der.has(der, start, limit, Der.BOOLEAN)) {
                start = Der.expect(der, start, limit, TRUE, 3);
                found.isAuthority = true;
                // A path of certificates is never longer here than any of Intel's path lengths allows.
                if (start < limit) (, start) = Der.readUint(der, start, limit);
            }
            Der.close(start, limit);
        } else if (id == SGX) {
            if (found.sgxEnd != 0) revert Der.MalformedDer(place);
            (found.sgxStart, found.sgxEnd) = (start, end);
        } else if (critical) {
            revert Der.MalformedDer(place);
        }
        return end;
    }

    function _requireNothingCritical(bytes memory der, uint256 place, uint256 limit) private pure {
        (place, limit) = Der.readOnly(der, place, limit, Der.SEQUENCE);
        while (place < limit) {
            uint256 end;
            bool critical;
            (, critical,, end) = _open(der, place, limit);
            // A list of part of the certificates, or of another's, says so in a critical extension.
            if (critical) revert Der.MalformedDer(place);
            place = end;
        }
    }

    /// The serials of a list's entries.
    function _revoked(bytes memory der, uint256 place, uint256 limit) private pure returns (bytes memory serials) {
        // An entry has 20 bytes at least, and the last write runs 12 bytes beyond its end.
        serials = new bytes(limit - place + 32);
        uint256 length;
        while (place < limit) {
            (uint256 inside, uint256 end) = Der.read(der, place, limit, Der.SEQUENCE);
            uint160 serial;
            (serial, inside) = Der.readSerial(der, inside, end);
            (, inside) = Der.readTime(der, inside, end);
            if (inside < end) _requireNothingCritical(der, inside, end);
            assembly ("memory-safe") {
                mstore(add(add(serials, 32), length), shl(96, serial))
            }
            length += 20;
            place = end;
        }
        assembly ("memory-safe") {
            mstore(serials, length)
        }
    }
}
