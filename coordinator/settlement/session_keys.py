"""The call that registers an enclave's session key with its kind's TeeVerifier, by whichever route the kind has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from coordinator.settlement.chain import Chain
from coordinator.settlement.dcap_collateral import CollateralStore
from coordinator.settlement.key_registrations import Collateral, Registering
from coordinator.settlement.many_chains import agreed
from coordinator.settlement.tee_contracts import DCAP, NATIVE, Anchors, TeeContract, TeeContracts
from verifier import dcap_calldata
from verifier.attestation import onchain
from verifier.attestation.binding import register_key
from verifier.attestation.committee import Appraised
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact
from verifier.attestation.intel_quote import parse
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Registration, appraise_registration
from verifier.bindings.tee import register_session_key
from verifier.errors import Refused
from verifier.statement import Domain


class DigestSigner(Protocol):
    """Who speaks for evidence on the committee's route."""

    address: str
    """0x lower-case hex."""

    def sign_digest(self, digest: bytes) -> bytes:
        """r ‖ s ‖ v over 32 bytes (EIP-712)."""


class SessionKeyCalls:
    """Makes the calls. Parameters: `clock` gives Unix seconds."""

    def __init__(
        self,
        contracts: TeeContracts,
        chain: Chain,
        signer: DigestSigner,
        domain: Domain,
        *,
        anchors: Anchors,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._contracts = contracts
        self._chain = agreed(chain)  # a key that is refused is never registered
        self._signer = signer
        self._domain = domain
        self._anchors = anchors
        self._clock = clock

    async def call(self, document: Mapping[str, Any]) -> Registering:
        """The call that registers a key, and what has to be brought to the chain before.

        Parameters: `document` is `Registration.to_json()`. Raises what is wrong with it: InvalidInput (W3B-9101 to
        W3B-9104), Refused (W3B-4012, W3B-9105 to W3B-9114); what `TeeContracts.deployed` raises; and on the route `dcap`
        what `CollateralStore.missing` does.
        """
        registration = Registration.from_json(document)
        contract = await self._contracts.deployed(registration.kind)
        evidence = await asyncio.to_thread(self._evidence, registration, contract)
        data = register_session_key(registration.key, evidence)
        return Registering(contract.verifier, data, await self._collateral(registration, contract))

    async def _collateral(self, registration: Registration, contract: TeeContract) -> Collateral | None:
        if contract.route != DCAP:
            return None
        quote, endorsements = registration.cpu.evidence.data, registration.cpu.endorsements
        store = CollateralStore(self._chain, self._signer.address, contract.store, self._clock)
        data = await store.missing(quote, endorsements, registration.key.expiry)
        if not data:
            return None
        pck = "0x" + dcap_calldata.evidence(quote, endorsements)[:32].hex()
        return Collateral(contract.store, data, pck, parse(quote).tee)

    def _evidence(self, registration: Registration, contract: TeeContract) -> bytes:
        cpu = registration.cpu
        if contract.route == NATIVE:
            return onchain.encode(cpu.evidence, cpu.endorsements)
        if contract.route == DCAP:
            return dcap_calldata.evidence(cpu.evidence.data, cpu.endorsements)
        return self._vouched(registration, contract)

    def _vouched(self, registration: Registration, contract: TeeContract) -> bytes:
        """The committee's route: nothing is said that was not appraised here."""
        platform, key = registration.cpu.evidence.platform, registration.key
        anchors = self._anchors(Platform(registration.kind.removeprefix("tee.")))
        now = int(self._clock())
        result = appraise_registration(registration, self._domain, anchors, AppraisalPolicy(), at=now)
        result.require(allow_simulated=True)
        if not result.is_simulated:
            raise Refused("W3B-9114", "the contract takes simulated evidence only", field="anchor")
        claims = result.claims["cpu"] if registration.devices else result.claims
        measured = {name: bytes.fromhex(value) for name, value in claims["measurements"].items()}
        devices = [each.evidence for each in registration.devices]
        # One layout for every platform: that of report data (CommitteeAttestation.sol).
        caller = register_key(Platform.SGX, self._domain, key, [each.data for each in devices])["report_data"] or b""
        said = Appraised(
            registration.kind,
            artifact(platform, measured),
            caller,
            result.valid_until or key.expiry,
            simulated=True,
            devices=b"".join(bytes.fromhex(each.sha256) for each in devices),
        )
        chain_id, adapter = self._domain.chain_id, bytes.fromhex(contract.attestation[2:])
        return said.evidence(chain_id, adapter, [self._signer.sign_digest(said.digest(chain_id, adapter))])
