"""Test only: the staking contract on the executor, one block an operation, beside the rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from staking_operations import ACTORS, Operation, People, perform, sent_value
from staking_world import START, keys

from l1.chain.genesis import Genesis, GenesisAccount
from l1.consensus.messages import domain_of
from l1.staking.contract import STAKING_ADDRESS, encode_call, encode_key, error_name, read_state, runtime_code
from l1.staking.evidence import EVIDENCE, EVIDENCE_ADDRESS, encode_evidence
from l1.staking.parameters import Parameters
from l1.staking.refusal import StakingRefused
from l1.staking.state import BlockContext, StakingState
from l1.staking.system_calls import BlockHeaders, apply_system_calls, expected_system_calls, seats_of
from native import _native

CHAIN_ID = 4690
RICH = 10**29
GAS = 12_000_000

NAMES = {
    "create": "createBucket",
    "move": "changeCandidate",
    "notice": "giveNotice",
    "revoke": "revokeEndorsement",
    "request_exit": "requestExit",
    "cancel_exit": "cancelExit",
    "confirm_exit": "confirmExit",
}
"""Operations that are called otherwise in the contract."""


def signer(name: str) -> LocalAccount:
    account: LocalAccount = Account.from_key(keccak(name.encode()))
    return account


def address(account: LocalAccount) -> bytes:
    return bytes.fromhex(account.address[2:])


ACTOR_KEYS = [signer(f"actor {number}") for number in range(ACTORS)]
OPERATOR_KEYS = [signer(f"operator {number}") for number in range(2 * ACTORS)]
PEOPLE = People([address(each) for each in ACTOR_KEYS], [address(each) for each in OPERATOR_KEYS])
SIGNERS = {address(each): each for each in (*ACTOR_KEYS, *OPERATOR_KEYS)}


def call_data(operation: Operation) -> bytes:
    """What the operation's transaction carries."""
    actor, pair = PEOPLE.actors[operation.actor], keys(operation.key)
    name = NAMES.get(operation.kind, operation.kind)
    match operation.kind:
        case "register":
            point, proof = encode_key(pair.public, pair.possession)
            operator = PEOPLE.operators[operation.operator]
            return encode_call(name, operator, actor, point, proof, operation.days, operation.auto_stake)
        case "update":
            point, proof = encode_key(pair.public, pair.possession) if operation.key else (b"", b"")
            return encode_call(name, PEOPLE.operators[operation.operator], actor, point, proof)
        case "create":
            return encode_call(name, PEOPLE.actors[operation.candidate], operation.days, operation.auto_stake)
        case "restake":
            return encode_call(name, operation.index, operation.days, operation.auto_stake)
        case "move":
            return encode_call(name, operation.index, PEOPLE.actors[operation.candidate])
        case "fund":
            return b""
        case "report":
            assert operation.evidence is not None, "a report has evidence"
            return encode_evidence(operation.evidence)
        case "request_exit" | "cancel_exit" | "confirm_exit" | "claim":
            return encode_call(name)
        case _:
            return encode_call(name, operation.index)


def called(operation: Operation) -> bytes:
    """The contract that it goes to."""
    return EVIDENCE_ADDRESS if operation.kind == "report" else STAKING_ADDRESS


def refusal_of(result: _native.CallResult) -> str:
    """The error's name, of either contract; empty for success, and for a revert without a reason."""
    return error_name(result.output) or EVIDENCE.error_name(result.output)


@dataclass
class Pair:
    """The contract and the rules, at the same block."""

    parameters: Parameters
    others: dict[bytes, GenesisAccount] = field(default_factory=dict)
    chain: _native.Chain = field(init=False)
    domain: bytes = field(init=False)
    """What the delegates of the chain sign under."""
    state: StakingState = field(default_factory=StakingState)
    block: BlockContext = field(default_factory=lambda: replace(START, height=0))
    nonces: Counter[bytes] = field(default_factory=Counter)
    beneficiaries: list[bytes] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        alloc = {each: GenesisAccount(balance=RICH) for each in (*PEOPLE.actors, *PEOPLE.operators)} | self.others
        alloc[STAKING_ADDRESS] = GenesisAccount(nonce=1, code=runtime_code(self.parameters))
        alloc[EVIDENCE_ADDRESS] = GenesisAccount(nonce=1, code=EVIDENCE.deployed_code)
        genesis = Genesis(chain_id=CHAIN_ID, base_fee_per_gas=7, timestamp=self.block.timestamp, alloc=alloc)
        self.chain, first = genesis.executor()
        self.domain = domain_of(CHAIN_ID, first.hash)

    def transaction(
        self, sender: bytes, data: bytes, value: int = 0, to: bytes = STAKING_ADDRESS, *, gas: int = GAS
    ) -> _native.Transaction:
        """A signed transaction with the sender's next nonce."""
        fields = {
            "chainId": CHAIN_ID,
            "nonce": self.nonces[sender],
            "gas": gas,
            "maxFeePerGas": 10**12,
            "maxPriorityFeePerGas": 0,
            "to": to,
            "value": value,
            "data": data,
        }
        self.nonces[sender] += 1
        return _native.Transaction.decode(bytes(SIGNERS[sender].sign_transaction(fields).raw_transaction))

    def build(
        self, transactions: list[_native.Transaction], producer: bytes, timestamp: int | None = None
    ) -> _native.ExecutedBlock:
        """The next block with these transactions; the head stays."""
        executed = self.chain.build(
            transactions,
            beneficiary=producer,
            timestamp=self.block.timestamp + 1 if timestamp is None else timestamp,
            prev_randao=bytes(32),
            parent_beacon_block_root=bytes(32),
            extra_data=b"",
        )
        assert set(executed.outcomes) <= {None}
        return executed

    def send(self, sender: bytes, to: bytes, data: bytes, value: int, *, seconds: int) -> _native.ExecutedBlock:
        """A block with one transaction on the contract's side only; the rules stay behind."""
        time = self.block.timestamp + seconds
        executed = self.build([self.transaction(sender, data, value, to)], PEOPLE.operators[0], time)
        self.chain.append(executed)
        self.block = BlockContext(self.block.height + 1, time)
        return executed

    def view(self) -> _native.StateView:
        return self.chain.view(self.block.height)

    def call(
        self,
        data: bytes,
        sender: bytes = bytes(20),
        value: int = 0,
        *,
        to: bytes = STAKING_ADDRESS,
        view: _native.StateView | None = None,
    ) -> _native.CallResult:
        """A call on the head or another view, which sees that block's height and time."""
        return (view or self.view()).call(
            sender=sender,
            to=to,
            data=data,
            value=value,
            gas=GAS,
            gas_price=0,
            tip=None,
            access_list=[],
            gas_cap=GAS,
        )

    def read(self, data: bytes) -> bytes:
        result = self.call(data)
        assert result.status == "success", error_name(result.output)
        return result.output

    def step(self, block: BlockContext, producer: bytes, finalized_hash: bytes, operation: Operation | None) -> None:
        """Execute a block on both: its system calls, then an operation; both must take or refuse it alike."""
        parameters = self.parameters
        epoch = parameters.epoch_of(block.height)
        if block.height == parameters.first_height(epoch):
            self.beneficiaries = []
        if seats_of(self.state, epoch):
            self.beneficiaries.append(producer)
        headers = BlockHeaders(block.height, self.beneficiaries, finalized_hash)
        # The calls come from what the contract holds, as a node has it.
        held = read_state(self.read, epoch) if self.block.height else StakingState()
        calls = expected_system_calls(parameters, held, headers)
        assert calls == expected_system_calls(parameters, self.state, headers)
        transactions = [self.transaction(producer, data) for data in calls]
        if operation is not None:
            value = sent_value(parameters, operation)
            caller, data = PEOPLE.actors[operation.actor], call_data(operation)
            transactions.append(self.transaction(caller, data, value, called(operation)))
        executed = self.build(transactions, producer, block.timestamp)
        assert all(receipt.status for receipt in executed.receipts[: len(calls)])
        self.chain.append(executed)
        self.block = block
        self.done["system calls"] += len(calls)
        self.state = apply_system_calls(parameters, self.state, headers)
        if operation is not None:
            self.operate(operation, executed.receipts[-1].status)

    def operate(self, operation: Operation, accepted: bool) -> None:
        """The operation on the rules, compared with what the contract made of it."""
        refused = ""
        try:
            self.state, _ = perform(self.parameters, self.state, self.block, operation, PEOPLE)
        except StakingRefused as refusal:
            refused = refusal.reason
        assert accepted == (not refused), f"{operation}: the rules say {refused or 'accepted'}"
        if refused:
            # Nothing came after it in the block, so the same call is refused again for the same reason.
            data, value = call_data(operation), sent_value(self.parameters, operation)
            again = self.call(data, PEOPLE.actors[operation.actor], value, to=called(operation))
            assert refusal_of(again) == refused, operation
        self.done[refused or operation.kind] += 1
