// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";

import {BLS12381} from "./BLS12381.sol";
import {Checkpoint, FinalHeader, IL1LightClient} from "./IL1LightClient.sol";
import {LightDelegates} from "./LightDelegates.sol";
import {LightHeader} from "./LightHeader.sol";

/// @title Light client of the chain
/// @notice Nobody owns it and nothing in it can be changed but by certificates.
contract L1LightClient is IL1LightClient {
    /// @dev The footer: round, signature, bitmap.
    uint256 private constant ROUND_BYTES = 4;
    uint256 private constant BITMAP_AT = 100;
    /// @dev Topic of the votes that decide a block.
    uint8 private constant COMMIT = 2;

    /// @notice What every digest of the chain starts from.
    bytes32 public immutable DOMAIN;
    /// @notice Blocks that one set decides.
    uint64 public immutable BLOCKS_PER_EPOCH;
    /// @notice How long the newest header that was followed is trusted, by its own time.
    uint64 public immutable UNBONDING_SECONDS;

    uint64 private _number;
    address private _store;
    uint64 private _trustedUntil;

    /// @param checkpoint What to trust. Block 0 is trusted for the unbonding time from now on, any other from its own
    /// time.
    constructor(Checkpoint memory checkpoint) {
        uint64 unbonding = checkpoint.unbondingSeconds;
        if (checkpoint.blocksPerEpoch == 0 || unbonding == 0 || unbonding >= LightHeader.RANGE) {
            revert ParametersInvalid();
        }
        if (checkpoint.number >= LightHeader.RANGE || checkpoint.timestamp >= LightHeader.RANGE) {
            revert HeaderInvalid();
        }
        DOMAIN = keccak256(bytes.concat("w3bstream/l1", bytes32(checkpoint.chainId), checkpoint.genesisHash));
        BLOCKS_PER_EPOCH = checkpoint.blocksPerEpoch;
        UNBONDING_SECONDS = unbonding;
        _number = checkpoint.number;
        _trustedUntil = (checkpoint.number == 0 ? uint64(block.timestamp) : checkpoint.timestamp) + unbonding;
        _requireFresh();
        _install(checkpoint.number, checkpoint.delegateRoot, checkpoint.delegates);
    }

    /// @inheritdoc IL1LightClient
    function advance(
        bytes calldata header,
        bytes calldata footer,
        bytes calldata signature,
        bytes calldata nextDelegates
    ) external {
        (FinalHeader memory seen, bytes32 root) = _requireFinal(header, footer, signature);
        if (nextDelegates.length == 0 || seen.nextRoot == root) {
            // Nothing new is kept; a set that was given must still be the named one.
            _requireNamed(seen.nextRoot, nextDelegates.length == 0 ? root : LightDelegates.rootOf(nextDelegates));
        } else {
            _install(seen.number, seen.nextRoot, nextDelegates);
        }
        _number = seen.number;
        _trustedUntil = seen.timestamp + UNBONDING_SECONDS;
        emit HeadAdvanced(seen.number, seen.hash, seen.timestamp);
    }

    /// @inheritdoc IL1LightClient
    function requireFinal(bytes calldata header, bytes calldata footer, bytes calldata signature)
        external
        view
        returns (FinalHeader memory seen)
    {
        (seen,) = _requireFinal(header, footer, signature);
    }

    /// @inheritdoc IL1LightClient
    function verifyReceipt(
        bytes calldata header,
        bytes calldata footer,
        bytes calldata signature,
        uint256 index,
        bytes[] calldata proof
    ) external view returns (bytes memory receipt) {
        (FinalHeader memory seen,) = _requireFinal(header, footer, signature);
        TrieProof.ProofError error_;
        (receipt, error_) = TrieProof.tryTraverse(seen.receiptsRoot, RLP.encode(index), proof);
        if (error_ != TrieProof.ProofError.NO_ERROR) revert ReceiptNotProven();
    }

    /// @inheritdoc IL1LightClient
    function head() external view returns (uint64 number, uint64 trustedUntil) {
        return (_number, _trustedUntil);
    }

    /// @inheritdoc IL1LightClient
    function delegateSet() external view returns (bytes32 root, uint256 count, uint256 quorum, address store) {
        bytes memory delegates = LightDelegates.load(_store);
        return (
            LightDelegates.nameOf(delegates),
            LightDelegates.countOf(delegates),
            LightDelegates.quorumOf(delegates),
            _store
        );
    }

    /// @dev The header, and the root of the set that decided it.
    function _requireFinal(bytes calldata header, bytes calldata footer, bytes calldata signature)
        private
        view
        returns (FinalHeader memory seen, bytes32 root)
    {
        _requireFresh();
        seen = LightHeader.decode(header);
        if (seen.number <= _number) revert HeaderOld(seen.number, _number);
        uint64 epoch = (seen.number - 1) / BLOCKS_PER_EPOCH + 1;
        uint64 known = _number / BLOCKS_PER_EPOCH + 1;
        if (epoch != known) revert EpochUnknown(epoch, known);
        bytes memory delegates = LightDelegates.load(_store);
        bytes memory key = _requireQuorum(delegates, footer);
        root = LightDelegates.nameOf(delegates);
        // An infinite signature would be that of an infinite key; the compressed form here is never infinity.
        if (
            !BLS12381.isCompressed(signature, footer[ROUND_BYTES:BITMAP_AT])
                || !BLS12381.verify(key, _digest(seen, footer), signature)
        ) revert SignatureInvalid();
    }

    /// @dev The sum of the signers' keys.
    function _requireQuorum(bytes memory delegates, bytes calldata footer) private view returns (bytes memory) {
        uint256 count = LightDelegates.countOf(delegates);
        if (footer.length != BITMAP_AT + (count + 7) / 8) revert BitmapInvalid();
        uint256 signers;
        for (uint256 i = footer.length; i > BITMAP_AT; --i) {
            signers = (signers << 8) | uint8(footer[i - 1]);
        }
        if (signers >> count != 0) revert BitmapInvalid();
        (uint256 power, uint256 number) = LightDelegates.powerOf(delegates, signers);
        uint256 quorum = LightDelegates.quorumOf(delegates);
        if (power < quorum) revert PowerInsufficient(power, quorum);
        return LightDelegates.keyOf(delegates, signers, number);
    }

    /// @dev What each of the signers signed (l1/consensus/messages.py, `vote_digest`).
    function _digest(FinalHeader memory seen, bytes calldata footer) private view returns (bytes32) {
        bytes4 round = bytes4(footer[:ROUND_BYTES]);
        return keccak256(abi.encodePacked("w3bstream/l1/vote/1", DOMAIN, seen.number, round, COMMIT, seen.hash));
    }

    function _requireFresh() private view {
        if (block.timestamp >= _trustedUntil) revert ClientStale(_trustedUntil);
    }

    /// @dev From the block after `number` on the set decides, which is checked to be the named one.
    function _install(uint64 number, bytes32 named, bytes memory delegates) private {
        bytes32 given = LightDelegates.rootOf(delegates);
        _requireNamed(named, given);
        address store = LightDelegates.keep(delegates, given);
        _store = store;
        emit DelegateSetChanged(number, given, LightDelegates.countOf(LightDelegates.load(store)), store);
    }

    function _requireNamed(bytes32 named, bytes32 given) private pure {
        if (given != named) revert SetMismatch(named, given);
    }
}
