// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BLS12381} from "../BLS12381.sol";
import {IEvidence, SignedProposal, SignedVote, Topic} from "./IEvidence.sol";
import {IStaking} from "./IStaking.sol";

/// @title Evidence
/// @notice The contract of the genesis that convicts equivocators before the staking contract, which takes this word
/// for it. It has no constructor: its code alone makes a genesis account.
contract Evidence is IEvidence {
    /// @notice The staking contract of the same genesis.
    IStaking public constant STAKING = IStaking(address(uint160(uint56(bytes7("staking")))));

    /// @dev Block hashes in the state (EIP-2935); called with a number it answers with the hash.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;
    /// @dev Kinds of offences: a vote's is its topic.
    uint256 private constant PROPOSALS = 3;
    /// @dev The round of an offence that is one of the height.
    uint256 private constant ANY_ROUND = type(uint32).max;

    /// @inheritdoc IEvidence
    bytes32 public domain;
    /// @inheritdoc IEvidence
    mapping(bytes32 offence => bool) public isPunished;

    /// @inheritdoc IEvidence
    function reportEquivocation(bytes calldata key, SignedVote calldata first, SignedVote calldata second) external {
        bool commit = first.topic == Topic.Commit;
        if (
            first.height != second.height || first.topic != second.topic || (first.round != second.round && !commit)
        ) revert EvidenceNotOnePlace();
        if (first.blockHash == second.blockHash) revert EvidenceAgrees();
        keepDomain();
        _requireSigned(key, _digest(first), first.signature);
        _requireSigned(key, _digest(second), second.signature);
        _convict(key, uint256(first.topic), first.height, commit ? ANY_ROUND : first.round);
    }

    /// @inheritdoc IEvidence
    function reportProposals(bytes calldata key, SignedProposal calldata first, SignedProposal calldata second)
        external
    {
        if (first.height != second.height || first.round != second.round) revert EvidenceNotOnePlace();
        if (first.blockHash == second.blockHash) revert EvidenceAgrees();
        keepDomain();
        _requireSigned(key, _digest(first), first.signature);
        _requireSigned(key, _digest(second), second.signature);
        _convict(key, PROPOSALS, first.height, first.round);
    }

    /// @inheritdoc IEvidence
    function keepDomain() public {
        if (domain != 0) return;
        (bool success, bytes memory genesis) = HISTORY.staticcall(abi.encode(0));
        // Zero is the hash of a block that the history contract was never told of.
        if (!success || genesis.length != 32 || bytes32(genesis) == 0) revert DomainUnknown();
        domain = keccak256(bytes.concat("w3bstream/l1", bytes32(block.chainid), genesis));
        emit DomainKept(domain);
    }

    function _requireSigned(bytes calldata key, bytes32 message, bytes calldata signature) private view {
        if (!BLS12381.verify(key, message, signature)) revert EvidenceUnsigned();
    }

    /// @dev The key is a point, since signatures hold under it: its compressed form names no other.
    function _convict(bytes calldata key, uint256 kind, uint64 height, uint256 round) private {
        (bytes32 head, bytes16 tail) = BLS12381.compressG1(key);
        bytes memory compressed = bytes.concat(head, tail);
        address candidate = STAKING.keyOwner(compressed);
        if (candidate == address(0)) revert EvidenceOfStranger();
        bytes32 offence = keccak256(abi.encode(kind, height, round, keccak256(compressed)));
        if (isPunished[offence]) revert EvidenceKnown(offence);
        isPunished[offence] = true;
        emit EquivocationProven(candidate, offence, msg.sender, height);
        STAKING.punishEquivocation(candidate);
    }

    function _digest(SignedVote calldata vote) private view returns (bytes32) {
        return keccak256(
            abi.encodePacked("w3bstream/l1/vote/1", domain, vote.height, vote.round, vote.topic, vote.blockHash)
        );
    }

    function _digest(SignedProposal calldata proposal) private view returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                "w3bstream/l1/proposal/1",
                domain,
                proposal.height,
                proposal.round,
                proposal.validRound,
                proposal.blockHash
            )
        );
    }
}
