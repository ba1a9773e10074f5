// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @notice Where trust starts: a block that was final less than the unbonding time ago, or the genesis.
struct Checkpoint {
    uint256 chainId;
    bytes32 genesisHash;
    /// Number and time (Unix seconds) of the trusted block.
    uint64 number;
    uint64 timestamp;
    /// What the block's `extraData` names: the root of the set that decides the next block.
    bytes32 delegateRoot;
    /// That set; see IL1LightClient for the layout.
    bytes delegates;
    uint64 blocksPerEpoch;
    /// How long stake stays after its owner asks for it back.
    uint64 unbondingSeconds;
}

/// @notice What is read of a final header.
struct FinalHeader {
    bytes32 hash;
    uint64 number;
    /// Unix seconds.
    uint64 timestamp;
    bytes32 stateRoot;
    bytes32 receiptsRoot;
    /// Root of the set that decides the next block.
    bytes32 nextRoot;
}

/// @title A light client of the chain, on another chain
/// @notice Follows the chain's delegate sets by their certificates and says whether a header is final; the rules are
/// l1/light's. Needs the BLS12-381 precompiles of EIP-2537 (Ethereum since Pectra).
///
/// Arguments that come again:
/// - `header`: RLP of the block's header, as `w3b_getHeader` gives it.
/// - `footer`: round (4 bytes), signature (96, compressed), bitmap (delegate i is bit i % 8, the lowest first, of byte
///   i / 8), as `w3b_getCertificate` gives it.
/// - `signature`: the footer's signature as a point of EIP-2537, 256 bytes.
/// - `delegates`: a set in its order, 160 bytes a delegate: operator's address (20), power (12), BLS key as a point of
///   EIP-2537 (128).
///
/// Trust does not last: whoever has withdrawn his stake may sign another history with his old key and lose nothing. A
/// client whose head is older than the unbonding time refuses everything, for good, and must be deployed again from a
/// newer checkpoint.
interface IL1LightClient {
    /// @notice The client moved on to this final header.
    event HeadAdvanced(uint64 indexed number, bytes32 hash, uint64 timestamp);
    /// @notice The blocks after block `number` are decided by another set.
    /// @param root The root that the header named.
    /// @param count Number of its delegates.
    /// @param store Account whose code holds the set.
    event DelegateSetChanged(uint64 indexed number, bytes32 indexed root, uint256 count, address store);

    /// @notice Not a header: longer than 4,096 bytes, no canonical RLP, not 15 to 32 fields of bytes, a root that has
    /// not 32 bytes, or a number or time from 2^63 on.
    error HeaderInvalid();
    /// @notice The client's head is older than the unbonding time: it was to be trusted until `until`.
    error ClientStale(uint64 until);
    /// @notice The header does not lie after the client's head.
    error HeaderOld(uint64 number, uint64 head);
    /// @notice The header is of an epoch whose set is not known.
    error EpochUnknown(uint64 epoch, uint64 known);
    /// @notice The set is not the one that was named.
    error SetMismatch(bytes32 named, bytes32 given);
    /// @notice The footer is not a round, a signature and a bitmap of the set's size, or has a bit beyond the set.
    error BitmapInvalid();
    /// @notice The signers have not more than two thirds of the power.
    error PowerInsufficient(uint256 power, uint256 quorum);
    /// @notice The signature is not the signers' on this block, or `signature` is another point than the footer's.
    error SignatureInvalid();
    /// @notice A set that cannot decide anything: empty, of more than 226 delegates, of bytes that are no whole number
    /// of delegates, or with a power of zero, or an address or a key twice.
    error SetInvalid();
    /// @notice A key of the set is no point of the prime-order subgroup, or is infinity.
    error KeyInvalid();
    /// @notice Blocks per epoch or unbonding time of zero, or an unbonding time from 2^63 on.
    error ParametersInvalid();
    /// @notice Too little gas was given to keep the next set.
    error StoreFailed();
    /// @notice The nodes do not prove that there is a receipt at the index.
    error ReceiptNotProven();

    /// @notice Moves on to a final header of the known set's epoch. Anyone may call.
    /// @param nextDelegates The set that the header names; may be empty when it is the one before.
    function advance(
        bytes calldata header,
        bytes calldata footer,
        bytes calldata signature,
        bytes calldata nextDelegates
    ) external;

    /// @notice The header, once it is shown to be final; reverts for any other. It must lie after the client's head, in
    /// the epoch of the block that follows the head.
    function requireFinal(bytes calldata header, bytes calldata footer, bytes calldata signature)
        external
        view
        returns (FinalHeader memory);

    /// @notice The receipt of a final block's transaction, as the receipt trie holds it (EIP-2718).
    /// @param index The transaction's place in the block, from 0.
    /// @param proof Nodes of the receipt trie from its root to the receipt. Nodes that are no RLP revert with
    /// OpenZeppelin's errors.
    function verifyReceipt(
        bytes calldata header,
        bytes calldata footer,
        bytes calldata signature,
        uint256 index,
        bytes[] calldata proof
    ) external view returns (bytes memory receipt);

    /// @notice Number of the newest header that the client moved on to, and when (Unix seconds) the client goes stale
    /// unless it moves on.
    function head() external view returns (uint64 number, uint64 trustedUntil);

    /// @notice The set that decides the blocks after the head, to the end of the epoch.
    function delegateSet() external view returns (bytes32 root, uint256 count, uint256 quorum, address store);
}
