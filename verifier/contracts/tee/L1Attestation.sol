// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {ShortString, ShortStrings} from "@openzeppelin/contracts/utils/ShortStrings.sol";

import {IL1LightClient} from "../IL1LightClient.sol";
import {ITrustAnchor} from "../ITrustAnchor.sol";
import {AttestationLog} from "./AttestationLog.sol";
import {Appraisal, IAttestation} from "./IAttestation.sol";
import {ReportData} from "./ReportData.sol";

/// @title Evidence that our L1 appraised
/// @notice On another chain: a receipt of a final L1 block has AttestationLog's event, by the one adapter that is named
/// here. More than two thirds of the L1's stake stand behind it.
/// @dev Evidence is abi.encode(bytes header, bytes footer, bytes signature, uint256 index, bytes[] proof, uint256 place):
/// the arguments of IL1LightClient.verifyReceipt and the event's place among the receipt's. Caller data has the
/// layout of ReportData whatever the platform: the L1 compared the platform's own.
contract L1Attestation is ReportData {
    using Memory for bytes;
    using Memory for Memory.Slice;
    using RLP for Memory.Slice;
    using ShortStrings for *;

    /// @notice The L1's light client on this chain.
    IL1LightClient public immutable CLIENT;
    /// @notice AttestationLog on the L1.
    address public immutable LOG;
    /// @notice The adapter on the L1 whose word counts.
    address public immutable ADAPTER;

    /// @inheritdoc ITrustAnchor
    bool public immutable isSimulated;

    ShortString private immutable _KIND;

    /// @param client The L1's light client on this chain.
    /// @param log AttestationLog on the L1.
    /// @param adapter IAttestation on the L1.
    /// @param kind_ The adapter's proof kind, at most 31 bytes.
    /// @param simulated What the adapter says of its anchor; evidence of one that says otherwise is refused.
    constructor(IL1LightClient client, address log, address adapter, string memory kind_, bool simulated) {
        CLIENT = client;
        LOG = log;
        ADAPTER = adapter;
        _KIND = kind_.toShortString();
        isSimulated = simulated;
    }

    /// @inheritdoc IAttestation
    function kind() public view returns (string memory) {
        return _KIND.toString();
    }

    /// @inheritdoc IAttestation
    function route() external pure returns (string memory) {
        return "finality";
    }

    /// @inheritdoc IAttestation
    /// @dev What is no such encoding reverts without a reason, what the light client refuses with its errors.
    function appraise(bytes calldata evidence) external view returns (Appraisal memory found) {
        (bytes32[] memory topics, bytes memory data) = _shown(evidence);
        bool simulated;
        bytes32 secondHalf;
        (found.artifact, secondHalf, found.devices, found.validUntil, simulated) =
            abi.decode(data, (bytes32, bytes32, bytes, uint64, bool));
        if (topics[1] != bytes32(uint256(uint160(ADAPTER)))) revert EvidenceRefused("adapter");
        if (topics[2] != keccak256(bytes(kind()))) revert EvidenceRefused("kind");
        if (simulated != isSimulated) revert EvidenceRefused("simulated");
        if (found.validUntil != 0 && found.validUntil < block.timestamp) revert EvidenceRefused("validUntil");
        found.callerData = bytes.concat(topics[3], secondHalf);
    }

    /// The event that the evidence shows.
    function _shown(bytes calldata evidence) private view returns (bytes32[] memory topics, bytes memory data) {
        (
            bytes memory header,
            bytes memory footer,
            bytes memory signature,
            uint256 index,
            bytes[] memory proof,
            uint256 place
        ) = abi.decode(evidence, (bytes, bytes, bytes, uint256, bytes[], uint256));
        return _event(CLIENT.verifyReceipt(header, footer, signature, index, proof), place);
    }

    /// The receipt's `place`-th event, which is AttestationLog's (EIP-2718, Yellow Paper §4.4.1).
    function _event(bytes memory receipt, uint256 place)
        private
        view
        returns (bytes32[] memory topics, bytes memory data)
    {
        Memory.Slice whole = receipt.asSlice();
        // A typed receipt begins with its type, a number below 0x80; a list with 0xc0 or more.
        if (uint8(receipt[0]) < 0x80) whole = whole.slice(1);
        Memory.Slice[] memory fields = whole.readList();
        if (fields[0].readUint256() != 1) revert EvidenceRefused("status");
        Memory.Slice[] memory logs = fields[3].readList();
        if (place >= logs.length) revert MalformedEvidence("log");
        Memory.Slice[] memory parts = logs[place].readList();
        if (parts[0].readAddress() != LOG) revert EvidenceRefused("emitter");
        Memory.Slice[] memory given = parts[1].readList();
        if (given.length != 4 || given[0].readBytes32() != AttestationLog.Appraised.selector) {
            revert EvidenceRefused("event");
        }
        topics = new bytes32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            topics[i] = given[i].readBytes32();
        }
        data = parts[2].readBytes();
    }
}
