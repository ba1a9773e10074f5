// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a vote says of its block (l1/consensus/machine.py, `Topic`).
enum Topic {
    Proposal,
    Lock,
    Commit
}

/// @notice One delegate's vote (l1/consensus/messages.py, `Vote`).
struct SignedVote {
    uint64 height;
    uint32 round;
    Topic topic;
    /// Zero for no block.
    bytes32 blockHash;
    /// Point of G2, 256 bytes (EIP-2537).
    bytes signature;
}

/// @notice What a proposer signed of its block (l1/consensus/messages.py, `Proposal`).
struct SignedProposal {
    uint64 height;
    uint32 round;
    /// The round of its proof plus one; 0 for a fresh block.
    uint32 validRound;
    bytes32 blockHash;
    /// Point of G2, 256 bytes (EIP-2537).
    bytes signature;
}

/// @title Proofs of equivocation
/// @notice Anybody may show that a delegate signed what no honest one signs. The rules are those of
/// l1/staking/evidence.py. A key convicts whoever registered it, also after another took its place.
interface IEvidence {
    /// @notice The candidate signed two messages of which it may sign one.
    /// @param candidate Who registered the key.
    /// @param offence Name of the place and the key; each is punished once.
    /// @param reporter Who showed it.
    /// @param height The height that both are about.
    event EquivocationProven(
        address indexed candidate, bytes32 indexed offence, address indexed reporter, uint64 height
    );
    /// @notice The chain's domain is kept.
    event DomainKept(bytes32 domain);

    /// @notice The messages are of two places: height, round or topic differ. COMMIT votes may be of two rounds.
    error EvidenceNotOnePlace();
    /// @notice The messages are for one block.
    error EvidenceAgrees();
    /// @notice A signature is not the key's on its message.
    error EvidenceUnsigned();
    /// @notice Nobody registered the key.
    error EvidenceOfStranger();
    /// @notice The offence was punished.
    error EvidenceKnown(bytes32 offence);
    /// @notice The genesis block's hash was not kept while EIP-2935 had it.
    error DomainUnknown();

    /// @notice Reports two votes of one key for different blocks, no block being one, in one height, round and topic;
    /// or two COMMIT votes in one height.
    /// @param key Point of G1, 128 bytes (EIP-2537).
    function reportEquivocation(bytes calldata key, SignedVote calldata first, SignedVote calldata second) external;

    /// @notice Reports two proposals of one key for different blocks in one height and round.
    /// @param key Point of G1, 128 bytes (EIP-2537).
    function reportProposals(bytes calldata key, SignedProposal calldata first, SignedProposal calldata second)
        external;

    /// @notice Keeps the chain's domain, which the staking contract asks for in the first poll. Nobody chooses it: it
    /// is made of the chain's id and the genesis block's hash, which EIP-2935 tells up to block 8,191.
    function keepDomain() external;

    /// @notice What every signed message of the chain starts from (l1/consensus/messages.py, `domain_of`); zero until
    /// it is kept.
    function domain() external view returns (bytes32);

    /// @notice Whether an offence was punished.
    function isPunished(bytes32 offence) external view returns (bool);
}
