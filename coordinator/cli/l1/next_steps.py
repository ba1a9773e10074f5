"""What to do about each refusal of the staking and governance contracts, by the name of the contract's error."""

from __future__ import annotations

from typing import Final

NEXT_STEPS: Final[dict[str, str]] = {
    # --- staking: buckets ---
    "BucketUnknown": "List your buckets with `w3bstream l1 staking show ADDRESS`.",
    "NotBucketOwner": "Give the owner's key file with --key; `w3bstream l1 staking show {0}` says who that is.",
    "BucketUnstaked": "It votes no more: withdraw it when its wait is over, and stake anew.",
    "BucketStaked": "Unstake it first: w3bstream l1 staking unstake {0}",
    "AutoStakeOn": "Turn auto-stake off first: w3bstream l1 staking restake {0} --days DAYS --no-auto-stake",
    "AutoStakeOff": "Deposits are for auto-stake buckets: w3bstream l1 staking restake {0} --days DAYS --auto-stake",
    "NotMatured": "Wait until the duration is over, or stay; a duration is never made shorter before.",
    "WithdrawTooEarly": "Wait until that time, then withdraw it.",
    "DurationTooLong": "Give fewer --days; `w3bstream l1 staking parameters` has the limit.",
    "AmountTooSmall": "Send more; `w3bstream l1 staking parameters` has the least amounts and the fee.",
    "SelfStakeTooSmall": "Stake more; `w3bstream l1 staking parameters` has the least self-stake.",
    "SelfStakeLocked": "A self-stake stays until its candidate has left: w3bstream l1 staking exit",
    "EndorsementActive": "End the endorsement first: w3bstream l1 staking endorse {0} --give-notice",
    "NotEndorsed": "The bucket's owner endorses it with `w3bstream l1 staking endorse {0}`.",
    "SameCandidate": "Nothing to do: it votes for that candidate already.",
    "WrongCandidate": "Move its vote to you first: w3bstream l1 staking move {0} CANDIDATE",
    # --- staking: candidates ---
    "CandidateUnknown": "List the candidates with `w3bstream l1 staking candidates`.",
    "CandidateExists": "Change it with `w3bstream l1 staking update`.",
    "ZeroAddress": "Give an address other than zero.",
    "OperatorTaken": "Give the candidate an operator of its own: w3bstream l1 keygen --out FILE",
    "KeyTaken": "A voting key is registered once: make another with `w3bstream l1 keygen --out FILE`.",
    "KeyInvalid": "Give the registration as `w3bstream l1 keygen` printed it.",
    "PossessionUnproven": "Give the registration as `w3bstream l1 keygen` printed it.",
    "VotesTooLarge": "Stake less for this candidate, or stake for another one.",
    "NoSelfStake": "Only a candidate with a self-stake has to leave; its votes may go without.",
    "ExitPending": "It is leaving: cancel that with `w3bstream l1 staking exit --cancel`, or wait.",
    "ExitNotRequested": "Ask for it first: w3bstream l1 staking exit",
    "ExitActive": "It is admitted and goes on; when it is over, run `w3bstream l1 staking confirm-exit`.",
    "ExitNotDue": "Wait until that epoch; `w3bstream l1 staking delegates` says which one is going on.",
    "NothingToClaim": "Rewards come at the end of each epoch to the reward account of the candidate.",
    "PaymentFailed": "The receiver is a contract that takes no coins; send from an account that does.",
    # --- staking: what only the chain itself calls ---
    "NotProducer": "Only a block's producer does this.",
    "WrongBlock": "Only the chain itself does this, in its own block.",
    "PollExists": "Only the chain itself does this, once an epoch.",
    "PollUnknown": "Only the chain itself does this, after its poll.",
    "EpochAlreadyEnded": "Only the chain itself does this, once an epoch.",
    "RewardNotDue": "Only the chain itself does this, when the epoch is settled.",
    "CountsInvalid": "Only the chain itself does this.",
    "SeatInvalid": "Only the chain itself does this.",
    "NotEvidence": "Only the evidence contract does this.",
    "SnapshotNotPassed": "Ask about a block that is over.",
    "WeightTooLarge": "Nothing to do here: report it with the transaction.",
    # --- governance ---
    "InvalidDraft": "Mend that field of the draft; docs/reference/governance.md has the limits.",
    "BelowThreshold": "Stake more, or ask somebody with more stake to submit it.",
    "ProposalExists": "Submit it again as another one with `w3bstream l1 governance draft --salt TEXT`.",
    "UnknownProposal": "List the proposals with `w3bstream l1 governance list`.",
    "WrongState": "`w3bstream l1 governance show {0}` says where it is and what may be done.",
    "TooEarly": "Wait until that time; `w3bstream l1 governance show {0}` has the window.",
    "TooLate": "The window is over: w3bstream l1 governance advance {0}",
    "NotProposer": "Give the proposer's key file with --key; `w3bstream l1 governance show {0}` says who that is.",
    "AlreadySupported": "Nothing to do: an account supports once.",
    "AlreadyVoted": "Nothing to do: an account votes once, for good.",
    "NoWeight": "Only stake from before that block counts; stake now counts for later proposals.",
    "WeightOutOfRange": "Nothing to do here: report it with the transaction.",
    "CallsMismatch": "Give the draft that was submitted: --draft FILE.",
    "NotAContract": "The proposal calls an address without code and can never be executed; submit a mended one.",
    "CallFailed": "A call of the proposal fails; it stays queued until its window is over.",
    "NotSelf": "Only an executed proposal does this: w3bstream l1 governance draft --set NAME=VALUE",
    "ParameterOutOfBounds": "docs/reference/governance.md has the bounds of every parameter.",
    # --- libraries', and Solidity's own ---
    "ReentrancyGuardReentrantCall": "A call of the proposal executes it, or another one: it can never be executed.",
    "Error": "Read the contract's message.",
    "Panic": "Report it with the command: a contract of this chain should not panic.",
}


def next_step(name: str, subject: str) -> str:
    """What to do about an error; `subject` is the bucket or proposal that it names, if it names one."""
    return NEXT_STEPS.get(name, "Read the named contract error.").replace("{0}", subject or "ID")
