"""Test only: a TeeVerifier over a committee, session keys whose owners we are, and the verifier off chain beside it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import coincurve
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from web3 import Web3

from tests.contracts.groth16_simulator import TrapdoorKey
from tests.contracts.tee_host import PAYER, Host, HostChain
from tests.contracts.world import OUTPUT_TYPES, WORDS, Claim, Task, World, address
from verifier import bindings as b
from verifier import signatures
from verifier.attestation.binding import SessionKey
from verifier.attestation.identity import tee_program_id
from verifier.bindings import tee
from verifier.errors import Refused
from verifier.statement import Domain, Statement
from verifier.tee import DIRECT, SESSION_KEY, SessionKeys, TeeProof, key_address, verify_tee

KIND = "tee.sgx"
ARTIFACT = keccak(b"measurements")
LIFETIME = 10_000
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_numbers = itertools.count(1)


def second_half(public_key: bytes, devices: bytes = b"") -> bytes:
    """The report data's second half; `devices` are digests of 32 bytes."""
    return hashlib.sha256(public_key + devices).digest() if public_key or devices else bytes(32)


@dataclass
class Secret:
    """The private half of a session key, which a real enclave would keep."""

    private: bytes
    key: SessionKey

    @classmethod
    def make(cls, program_id: bytes, prover: bytes, expiry: int, **changes: Any) -> Secret:
        private = keccak(b"session key" + next(_numbers).to_bytes(8))
        public = coincurve.PrivateKey(private).public_key.format(compressed=False)[1:]
        key = SessionKey(public, program_id, prover, keccak(private + b"nonce"), expiry)
        return cls(private, replace(key, **changes))

    @property
    def address(self) -> bytes:
        return key_address(self.key.public_key)

    def sign(self, digest: bytes) -> bytes:
        return signatures.sign(digest, self.private)


@dataclass
class Committee:
    """CommitteeAttestation and its members' keys, in ascending order of their addresses."""

    chain_id: int
    contract: str
    members: list[LocalAccount]
    kind: str = KIND
    simulated: bool = False

    def message(self, artifact: bytes, caller: bytes, devices: bytes, valid_until: int, **changes: Any) -> Any:
        """What a member signs, by a wallet's own EIP-712."""
        fields = {
            "Attestation": [
                {"name": "kind", "type": "string"},
                {"name": "artifact", "type": "bytes32"},
                {"name": "callerData", "type": "bytes"},
                {"name": "devices", "type": "bytes"},
                {"name": "validUntil", "type": "uint64"},
                {"name": "simulated", "type": "bool"},
            ]
        }
        domain = {
            "name": "W3bstream attestation committee",
            "version": "1",
            "chainId": changes.get("chain_id", self.chain_id),
            "verifyingContract": changes.get("contract", self.contract),
        }
        values = {
            "kind": changes.get("kind", self.kind),
            "artifact": artifact,
            "callerData": caller,
            "devices": devices,
            "validUntil": valid_until,
            "simulated": changes.get("simulated", self.simulated),
        }
        return encode_typed_data(domain, fields, values)

    def evidence(
        self,
        caller: bytes,
        valid_until: int,
        *,
        artifact: bytes = ARTIFACT,
        devices: bytes = b"",
        signers: Sequence[LocalAccount] | None = None,
        **changes: Any,
    ) -> bytes:
        """Evidence that the first two members, or `signers`, vouch for."""
        message = self.message(artifact, caller, devices, valid_until, **changes)
        made = [each.sign_message(message).signature for each in (self.members[:2] if signers is None else signers)]
        return pack(artifact, caller, devices, valid_until, made)


def pack(artifact: bytes, caller: bytes, devices: bytes, valid_until: int, made: Sequence[bytes]) -> bytes:
    """The evidence's encoding."""
    return encode(
        ["bytes32", "bytes", "bytes", "uint64", "bytes[]"], [artifact, caller, devices, valid_until, list(made)]
    )


def members(count: int, label: str = "member") -> list[LocalAccount]:
    """Accounts in ascending order of their addresses."""
    return sorted((Account.from_key(keccak(f"{label} {i}".encode())) for i in range(count)), key=address)


def shown(name: bytes) -> str:
    return Web3.to_checksum_address(name)


def host_world(time: int) -> World:
    """A world on an executor in this process: a Router without records, since only verifiers are asked."""
    one, two, stranger = (Account.from_key(keccak(name)) for name in (b"prover one", b"prover two", b"stranger"))
    host = Host(4690, time, accounts=(PAYER, one, two, stranger))
    router = shown(host.deploy("Router", bytes(20), bytes(20), False))
    groth16 = shown(host.deploy("Groth16Verifier", bytes.fromhex(router[2:])))
    nowhere = shown(bytes(20))
    deployment = b.Deployment(4690, 0, nowhere, nowhere, router, groth16, nowhere)
    key = TrapdoorKey.generate(seed=1)
    return World(HostChain(host), deployment, PAYER, stranger, (one, two), PAYER, b"", key, {})


@dataclass
class TeeWorld:
    """The contracts of a world, and the same rules off chain."""

    world: World
    contract: str
    committee: Committee
    keys: SessionKeys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = SessionKeys(self.domain, LIFETIME)

    @classmethod
    def deploy(cls, world: World, *, simulated: bool = False) -> TeeWorld:
        seats = members(3)
        names = [address(each) for each in seats]
        chain = world.chain
        if isinstance(chain, HostChain):
            adapter = shown(chain.host.deploy("CommitteeAttestation", KIND, simulated, names, 2))
            router = bytes.fromhex(world.deployment.router[2:])
            contract = shown(chain.host.deploy("TeeVerifier", router, bytes.fromhex(adapter[2:]), LIFETIME))
        else:
            adapter = tee.deploy_committee(chain.web3, chain.funded, KIND, names, 2, simulated=simulated)
            contract = tee.deploy_tee_verifier(
                chain.web3, chain.funded, world.deployment.router, adapter, max_lifetime=LIFETIME
            )
        return cls(world, contract, Committee(world.deployment.chain_id, adapter, seats, simulated=simulated))

    @property
    def domain(self) -> Domain:
        return self.world.domain

    @property
    def program(self) -> bytes:
        return tee_program_id(KIND, ARTIFACT)

    @property
    def now(self) -> int:
        return self.world.chain.now()

    def secret(self, prover: int = 0, **changes: Any) -> Secret:
        expiry = changes.pop("expiry", self.now + 1000)
        return Secret.make(self.program, address(self.world.provers[prover]), expiry, **changes)

    def evidence(self, key: SessionKey, *, valid_until: int | None = None, **changes: Any) -> bytes:
        """Good evidence for a session key."""
        caller = key.digest(changes.pop("domain", self.domain)) + second_half(key.public_key)
        return self.committee.evidence(caller, valid_until or self.now + 5000, **changes)

    def register(self, secret: Secret, evidence: bytes | None = None) -> Any:
        """Register on chain and off."""
        data = tee.register_session_key(secret.key, evidence or self.evidence(secret.key))
        receipt = self.world.chain.send(self.world.stranger, self.contract, data)
        self.keys.register(secret.key, self.program, 0, self.now)
        return receipt

    def refusal(self, key: SessionKey, evidence: bytes | None = None) -> b.Revert:
        """Why a registration is refused."""
        data = tee.register_session_key(key, self.evidence(key) if evidence is None else evidence)
        return self.world.chain.refusal(self.world.stranger, self.contract, data)

    def claim(self, secret: Secret, task: Task, **changes: Any) -> Claim:
        """A result that the session key signs for the task; `changes` are of the Statement."""
        output = encode(OUTPUT_TYPES, (*WORDS, *task.opening.completeness.words()))
        statement = Statement(
            task.project, 1, task.task_id, task.opening.commitment(), keccak(output), self.program, secret.key.prover
        )
        statement = replace(statement, **changes)
        body = secret.sign(statement.digest(self.domain))
        return Claim(statement, KIND, output, TeeProof(task.opening, SESSION_KEY, body).encode())

    def direct(self, task: Task, *, body: bytes | None = None, **changes: Any) -> Claim:
        """A result that evidence itself speaks for."""
        claim = self.claim(self.secret(), task)
        caller = claim.statement.digest(self.domain) + bytes(32)
        body = body or self.committee.evidence(caller, self.now + 5000, **changes)
        return replace(claim, proof=TeeProof(task.opening, DIRECT, body).encode())

    def ask(self, claim: Claim) -> bool | b.Revert:
        """What verify answers its Router."""
        data = b.verify(claim.statement, claim.public_output, claim.proof)
        result = self.world.chain.call(self.contract, data, self.world.deployment.router)
        return result if isinstance(result, b.Revert) else bool(decode(["bool"], result)[0])

    def judge(self, claim: Claim) -> str:
        """`True`, `False` or the revert's name; fails when the verifier off chain does not agree."""
        verdict = self.ask(claim)
        try:
            verify_tee(self.domain, claim.statement, claim.public_output, claim.proof, keys=self.keys, now=self.now)
            held = True
        except Refused:
            held = False
        assert (verdict is True) == held
        return verdict.name if isinstance(verdict, b.Revert) else str(verdict)
