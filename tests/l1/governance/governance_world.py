"""Test only: the governance contract on our executor, with the clock in the test's hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from l1.contracts.abi import Decoded
from l1.governance import contract as c
from l1.governance.parameters import Parameters
from l1.governance.proposals import Call, Draft, Kind
from l1.governance.states import Step
from native import _native

CHAIN_ID = 4690
START = 1_800_000_000
FLOOR = 10
GAS = 8_000_000
VOTERS = tuple(Account.from_key(keccak(b"voter %d" % number)) for number in range(5))
QUICK = Parameters(
    proposal_threshold_bps=100,
    support_quorum_bps=1_000,
    turnout_quorum_bps=2_000,
    majority_bps=5_000,
    support_period=100,
    voting_delay=50,
    voting_period=40,
    time_lock=30,
    grace_period=20,
)
Solidity = dict[str, dict[str, Any]]


def address(account: LocalAccount) -> bytes:
    return bytes.fromhex(account.address[2:])


def policy(salt: int = 0, **changes: Any) -> Draft:
    fields = {"text": "Split rewards evenly", "uri": "ipfs://document", "document_hash": keccak(b"document")}
    return Draft(kind=Kind.POLICY, salt=salt.to_bytes(32, "big"), **fields | changes)


def technical(*calls: Call, salt: int = 0, **changes: Any) -> Draft:
    fields = {"text": "Call it", "uri": "ipfs://scheme", "document_hash": keccak(b"scheme")}
    fields |= {"artifact_hash": keccak(b"artifact"), "calls": calls}
    return Draft(kind=Kind.TECHNICAL, salt=salt.to_bytes(32, "big"), **fields | changes)


class Refused(AssertionError):
    """A transaction that should have passed was refused."""


@dataclass
class Receipt:
    """What a transaction did: nothing, and why, or the events of the governance contract."""

    refusal: Decoded | None
    events: list[Decoded]
    logs: list[tuple[bytes, list[bytes], bytes]]
    created: bytes
    gas: int


@dataclass
class World:
    """A chain with a stake contract and a governance contract, and blocks only when the test says so."""

    solidity: Solidity
    now: int = START
    parameters: Parameters = QUICK
    gas: int = GAS
    chain: _native.Chain = field(init=False)
    stake: bytes = field(init=False)
    governance: bytes = field(init=False)
    reader: c.GovernanceReader = field(init=False)

    def __post_init__(self) -> None:
        alloc: dict[bytes, Any] = {address(voter): (10**24, 0, b"", []) for voter in VOTERS}
        self.chain, _ = _native.Chain.genesis(
            chain_id=CHAIN_ID,
            gas_limit=60_000_000,
            base_fee_per_gas=10**9,
            timestamp=START,
            extra_data=b"",
            alloc=alloc,
        )
        self.stake = self.create("OpenStake")
        self.governance = self.deploy(self.stake, self.parameters)
        self.reader = c.GovernanceReader(self.governance, self.eth_call)

    # --- blocks ---

    def block(self, *transactions: tuple[LocalAccount, bytes | None, bytes, int]) -> list[Receipt]:
        """One block at `now` of (sender, callee, data, wei); what each did."""
        before = self.chain.view(self.chain.head_number)
        nonces: dict[str, int] = {}
        signed = []
        for sender, to, data, value in transactions:
            nonce = nonces.setdefault(sender.address, before.nonce(address(sender)))
            nonces[sender.address] += 1
            signed.append(_sign(sender, nonce, to, data, value, self.gas))
        executed = self.chain.build(
            signed,
            beneficiary=bytes(20),
            timestamp=self.now,
            prev_randao=bytes(32),
            parent_beacon_block_root=bytes(32),
            extra_data=b"",
        )
        assert executed.outcomes == [None] * len(signed), executed.outcomes
        self.chain.append(executed)
        alone = len(signed) == 1
        return [
            self._receipt(transaction, receipt, each, alone)
            for transaction, receipt, each in zip(transactions, executed.receipts, signed, strict=True)
        ]

    def _receipt(self, transaction: Any, receipt: _native.Receipt, signed: _native.Transaction, alone: bool) -> Receipt:
        sender, to, data, value = transaction
        refusal = None
        if not receipt.status:
            # What comes after it in the block may have removed its reason, which is then no longer to be had.
            refusal = self._replay(address(sender), to, data, value) if alone else Decoded("", {})
        ours = [log for log in receipt.logs if log[0] == getattr(self, "governance", None)]
        events = [c.CONTRACT.decode_event(topics, body) for _, topics, body in ours]
        assert None not in events
        created = keccak(_rlp_pair(signed.sender, signed.nonce))[12:]
        return Receipt(refusal, [each for each in events if each], receipt.logs, created, receipt.cumulative_gas_used)

    def _replay(self, sender: bytes, to: bytes | None, data: bytes, value: int) -> Decoded:
        # A refused transaction changed nothing, so the same message fails the same way after its block.
        result = self._call(sender, to, data, value)
        assert result.status != "success"
        return c.CONTRACT.decode_revert(result.output) if result.status == "revert" else Decoded(result.halt_reason, {})

    def _call(self, sender: bytes, to: bytes | None, data: bytes, value: int = 0) -> _native.CallResult:
        view = self.chain.view(self.chain.head_number)
        fees: dict[str, Any] = {"gas": self.gas, "gas_price": 0, "tip": None, "access_list": [], "gas_cap": self.gas}
        return view.call(sender=sender, to=to, data=data, value=value, **fees)

    def eth_call(self, to: bytes, data: bytes) -> bytes:
        result = self._call(bytes(20), to, data)
        if result.status != "success":
            raise Refused(c.CONTRACT.decode_revert(result.output))
        return result.output

    def pass_time(self, seconds: int) -> None:
        """An empty block `seconds` later, so that reads see that moment."""
        self.now += seconds
        self.block()

    def balance(self, account: bytes) -> int:
        return self.chain.view(self.chain.head_number).balance(account)

    # --- transactions ---

    def submit(self, sender: LocalAccount, data: bytes, to: bytes | None = None, value: int = 0) -> Receipt:
        """One block with one transaction, to the governance contract unless `to` says otherwise."""
        (receipt,) = self.block((sender, to or self.governance, data, value))
        return receipt

    def send(self, sender: LocalAccount, data: bytes, to: bytes | None = None, value: int = 0) -> Receipt:
        """`submit` that must succeed."""
        receipt = self.submit(sender, data, to, value)
        if receipt.refusal is not None:
            raise Refused(receipt.refusal)
        return receipt

    def refusal(self, sender: LocalAccount, data: bytes, to: bytes | None = None, value: int = 0) -> Decoded:
        """Why the transaction is refused; fails when it is not."""
        receipt = self.submit(sender, data, to, value)
        assert receipt.refusal is not None, "the transaction was accepted"
        return receipt.refusal

    def create(self, name: str, types: tuple[str, ...] = (), *arguments: Any) -> bytes:
        """Deploy a contract of solidity/GovernanceTargets.sol; its address."""
        code = bytes.fromhex(self.solidity[name]["evm"]["bytecode"]["object"])
        return self.deploy_code(code + encode(types, arguments))

    def deploy(self, stake: bytes, parameters: Parameters, floor: int = FLOOR) -> bytes:
        """Deploy a governance contract; its address."""
        return self.deploy_code(c.creation_code(stake, floor, parameters))

    def deploy_code(self, code: bytes) -> bytes:
        """Deploy init code; the contract's address."""
        (receipt,) = self.block((VOTERS[0], None, code, 0))
        if receipt.refusal is not None:
            raise Refused(receipt.refusal)
        return receipt.created

    def data(self, name: str, function: str, *arguments: Any) -> bytes:
        """Call data of a function of a test contract."""
        entry = next(each for each in self.solidity[name]["abi"] if each.get("name") == function)
        types = [each["type"] for each in entry["inputs"]]
        return keccak(f"{function}({','.join(types)})".encode())[:4] + encode(types, arguments)

    def ask(self, name: str, at: bytes, function: str, *arguments: Any) -> Any:
        """What a view of a test contract returns."""
        entry = next(each for each in self.solidity[name]["abi"] if each.get("name") == function)
        result = self.eth_call(at, self.data(name, function, *arguments))
        (value,) = decode([each["type"] for each in entry["outputs"]], result)
        return value

    # --- the process ---

    def set_weights(self, *weights: int) -> None:
        """Give the first voters these weights, and let the block pass."""
        voters = [address(voter) for voter in VOTERS[: len(weights)]]
        self.send(VOTERS[0], self.data("OpenStake", "set", voters, list(weights)), self.stake)

    def idea(self, draft: Draft, proposer: LocalAccount = VOTERS[0]) -> bytes:
        """Submit a draft; its id."""
        receipt = self.send(proposer, c.submit(draft))
        return bytes(receipt.events[0].args["id"])

    def advance(self, step: Step, proposal: bytes, sender: LocalAccount = VOTERS[0]) -> Receipt:
        return self.send(sender, c.advance(step, proposal))

    def proposal(self, draft: Draft) -> bytes:
        """An idea that the first voter's support made a proposal."""
        proposal = self.idea(draft)
        self.advance(Step.SUPPORT, proposal)
        return proposal

    def voting(self, draft: Draft) -> bytes:
        """A proposal whose vote is open."""
        proposal = self.proposal(draft)
        self.now += self.parameters.voting_delay
        self.advance(Step.OPEN, proposal)
        return proposal

    def closed(self, draft: Draft, *votes: bool) -> bytes:
        """A proposal after the votes of the first voters."""
        proposal = self.voting(draft)
        for voter, yes in zip(VOTERS, votes, strict=False):
            self.send(voter, c.vote(proposal, yes))
        self.now += self.parameters.voting_period
        self.advance(Step.CLOSE, proposal)
        return proposal

    def queued(self, draft: Draft) -> bytes:
        """A proposal whose time-lock runs."""
        proposal = self.closed(draft, True)
        self.advance(Step.QUEUE, proposal)
        return proposal

    def ready(self, draft: Draft) -> bytes:
        """A proposal whose time-lock is over."""
        proposal = self.queued(draft)
        self.now += self.parameters.time_lock
        return proposal


def _sign(sender: LocalAccount, nonce: int, to: bytes | None, data: bytes, value: int, gas: int) -> _native.Transaction:
    fields: dict[str, Any] = {"chainId": CHAIN_ID, "nonce": nonce, "gas": gas, "value": value, "data": data}
    fields |= {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 0}
    if to is not None:
        fields["to"] = to
    return _native.Transaction.decode(bytes(sender.sign_transaction(fields).raw_transaction))


def _rlp_pair(sender: bytes, nonce: int) -> bytes:
    """RLP of [address, nonce], whose hash names a created contract."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if not (len(number) == 1 and number[0] < 0x80):
        number = bytes([0x80 + len(number)]) + number
    return bytes([0xC0 + 21 + len(number), 0x94]) + sender + number
