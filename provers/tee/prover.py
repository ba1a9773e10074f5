"""The TEE provers, one class for all platforms: kinds `tee.sgx` to `tee.nvidia-h100`.

A program is loaded into an enclave (enclave.py); its session keys are registered with evidence, and each result is one
signature. The platforms are this installation's simulated ones (simulation/), and every answer says so.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provers.installation import installation_home
from provers.programs import read_manifest
from provers.protocol import Prepared, Program, Progress, Proof, ProvingTask, RefusedKey, timed
from provers.tee.broker_client import BROKER_VARIABLE, Broker, broker_of_environment
from provers.tee.enclave import Bind, Enclave
from provers.tee.measurement import Measured
from provers.tee.messages import EnclaveResult, encode_task
from provers.tee.runtime.configuration import Configuration
from provers.tee.simulation.attester import attest
from provers.tee.simulation.vendors import SimulatedVendors
from verifier.attestation.anchors import SIMULATED_LABEL, SimulatedAnchors
from verifier.attestation.binding import SessionKey
from verifier.attestation.direct_evidence import appraise_direct, decode_attachments, encode_attachments
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact, kind_of, tee_program_id
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Attachment, Registration, appraise_registration
from verifier.attestation.result import AttestationResult
from verifier.errors import InvalidInput, Refused, Unavailable
from verifier.statement import Domain, Statement
from verifier.tee import DIRECT, SESSION_KEY, SessionKeys, TeeProof, key_address, verify_tee

LIFETIME = 86_400
"""Seconds that a session key is asked for."""
MARGIN = 900
"""Seconds before its end from which on a key signs no new result: the transaction has to be mined before."""
REFUSED_KEYS, REFUSAL_SECONDS = 3, 3600
"""A key that the chain refused is replaced so often in so long; then none is made for a while."""


@dataclass(frozen=True)
class _Live:
    """A session key in use."""

    registration: Registration
    expiry: int
    """Unix seconds: the key's, or of its evidence if that ends before."""

    @property
    def address(self) -> bytes:
        """What its signatures recover to, 20 bytes."""
        return key_address(self.registration.key.public_key)


@dataclass
class _Loaded:
    """What `Prepared.state` holds."""

    enclave: Enclave
    anchors: SimulatedAnchors
    live: dict[tuple[Domain, bytes], _Live] = field(default_factory=dict)
    """Newest key by domain and prover."""
    keys: dict[Domain, SessionKeys] = field(default_factory=dict)
    """What was admitted, by the contract's rules."""
    admitted: set[tuple[Domain, SessionKey]] = field(default_factory=set)
    """Whose registration was accepted."""
    opening: threading.Lock = field(default_factory=threading.Lock)


class TeeProver:
    """The `Prover` of one platform.

    Parameters: `home` is the data folder, default `installation_home()`; `policy` is what evidence is held against;
    `lifetime` is that of a session key in seconds; `clock` gives Unix seconds; `broker` releases the secrets that sealed
    readings need, default the one of `$W3BSTREAM_BROKER_URL`. Making one costs nothing: keys of the simulated vendor are
    made when a program is prepared.
    """

    def __init__(
        self,
        platform: Platform,
        home: Path | None = None,
        *,
        policy: AppraisalPolicy | None = None,
        lifetime: int = LIFETIME,
        clock: Callable[[], float] = time.time,
        broker: Broker | None = None,
    ) -> None:
        self.kind = kind_of(platform)
        """Proof kind."""
        self._platform, self._home, self._clock = platform, home, clock
        self._policy = policy or AppraisalPolicy()
        self._lifetime = lifetime
        self._broker = broker
        self._prepared: dict[tuple[str, bytes], Prepared] = {}
        self._lock = threading.Lock()

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        """Compile the program, measure it and load it into an enclave.

        Raises InvalidInput W3B-4022, W3B-4002 or W3B-4030 for the program's folder, W3B-9117 and Unavailable W3B-9118 for
        the installation's simulated vendor.
        """
        manifest = read_manifest(program.folder)
        if self.kind not in manifest.kinds:
            raise InvalidInput(
                "W3B-4002", f"{program.folder} is of kind {', '.join(manifest.kinds)}, not {self.kind}", field="kind"
            )
        configuration, wasm = Configuration.of(manifest), manifest.artifact("wasm")
        key = (manifest.artifacts["wasm"][1], configuration.digest())
        with self._lock:
            if key not in self._prepared:
                on_progress("compile", 0.0)
                self._prepared[key] = self._load(program, wasm, configuration)
            on_progress("ready", 1.0)
            return self._prepared[key]

    def _load(self, program: Program, wasm: bytes, configuration: Configuration) -> Prepared:
        home = installation_home(self._home)
        vendors = SimulatedVendors.open(home)
        attester = vendors.attester(self._platform)

        def identify(measured: Measured) -> bytes:
            return tee_program_id(self.kind, artifact(attester.signer, attester.measurements(measured)))

        def quote(measured: Measured, digest: bytes, bind: Bind, now: int) -> bytes:
            made = attest(attester, measured, digest, bind, now=now)
            return encode_attachments([Attachment(each.evidence, each.endorsements) for each in (made, *made.devices)])

        enclave = Enclave(
            wasm,
            configuration,
            signer=attester.signer,
            identify=identify,
            quote=quote,
            cache=home / "cache" / "tee",
        )
        state = _Loaded(enclave, vendors.anchors(self._platform))
        return Prepared(program, enclave.program_id, b"", f"{SIMULATED_LABEL} {vendors.name}", state)

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        """Run the program over one window; the first time for a prover address open a session.

        Raises what the enclave does (`Enclave.prove`), what a key broker refuses (Refused W3B-91xx, W3B-4015) or
        Unavailable W3B-4034 where it does not answer, Refused W3B-4008 (our own check failed), W3B-4012 (the task is
        for another program id) or W3B-4017 (the chain refused one session key after the other).
        """
        loaded: _Loaded = prepared.state
        if task.program_id != prepared.program_id:
            raise Refused("W3B-4012", f"the task is for program {task.program_id.hex()}", field="programId")
        seconds: dict[str, float] = {}
        live = None
        if self._platform is not Platform.SEV:
            on_progress("session", 0.0)
            with timed(seconds, "session"):
                live = self._session(prepared, task)
        on_progress("run", 0.0)
        with timed(seconds, "run"):
            made = EnclaveResult.decode(loaded.enclave.prove(encode_task(task), int(self._clock())))
        with timed(seconds, "check"):
            proof = TeeProof(task.opening, DIRECT if live is None else SESSION_KEY, made.body).encode()
            try:
                self.verify(prepared, task, made.statement, made.public_output, proof)
            except Refused as error:
                raise Refused("W3B-4008", f"the new proof does not pass its own check: {error}") from error
        on_progress("run", 1.0)
        return Proof(made.statement, made.public_output, proof, seconds, live.registration if live else None)

    def _session(self, prepared: Prepared, task: ProvingTask) -> _Live:
        """The key that signs for this prover, opened where there is none that lives long enough and was not refused."""
        loaded: _Loaded = prepared.state
        domain, prover, now = task.domain, task.prover, int(self._clock())
        refused = {each.address for each in task.refused_keys}
        with loaded.opening:
            live = loaded.live.get((domain, prover))
            if live is None or live.address in refused or live.expiry <= now + min(MARGIN, self._lifetime // 4):
                self._require_another_may_be_made(task.refused_keys, now)
                live = loaded.live[domain, prover] = self._open(prepared, domain, prover, now)
            if loaded.enclave.wants_secret:
                self._fetch_secret(loaded.enclave, live.registration, domain)
            return live

    def _require_another_may_be_made(self, refused: Sequence[RefusedKey], now: int) -> None:
        """Whatever the chain's reason is, it will most often hold for the next key as well. Raises Refused (W3B-4017)."""
        made = sorted(each.expiry - self._lifetime for each in refused)[-REFUSED_KEYS:]
        if len(made) == REFUSED_KEYS and (again := made[0] + REFUSAL_SECONDS) > now:
            why = f"the chain refused {REFUSED_KEYS} session keys, at last {refused[0].reason}"
            raise Refused("W3B-4017", f"{why}; the next is made at {again}", field="sessionKey")

    def _fetch_secret(self, enclave: Enclave, registration: Registration, domain: Domain) -> None:
        """Have the enclave take the secret that opens the readings; it comes sealed for the enclave alone."""
        broker = self._broker or broker_of_environment()
        if broker is None:
            raise Unavailable("W3B-4034", f"readings are sealed, and no {BROKER_VARIABLE} is set", field="broker")
        nonce = broker.challenge()
        request = enclave.ask_secret(domain, registration.key.prover, nonce)
        enclave.take_secret(nonce, broker.release(request, registration))

    def _open(self, prepared: Prepared, domain: Domain, prover: bytes, now: int) -> _Live:
        loaded: _Loaded = prepared.state
        nonce, expiry = secrets.token_bytes(32), now + self._lifetime
        session = loaded.enclave.open_session(domain, prover, nonce, expiry, now)
        cpu, *devices = decode_attachments(session.attachments)
        registration = Registration(self.kind, session.key, cpu, tuple(devices))
        self.admit(prepared, domain, registration)
        found = loaded.keys[domain].find(prepared.program_id, prover, key_address(session.key.public_key))
        return _Live(registration, found.expiry)

    def admit(self, prepared: Prepared, domain: Domain, registration: Registration) -> None:
        """Accept a session key's registration, as the contract will; the same one again changes nothing.

        Raises Refused W3B-9105 to W3B-9113 (the evidence is not accepted under this installation's anchors), W3B-4012
        (another kind's or program's), W3B-4015, W3B-4016; InvalidInput W3B-9101 to W3B-9104.
        """
        loaded: _Loaded = prepared.state
        if registration.kind != self.kind or registration.key.program_id != prepared.program_id:
            raise Refused("W3B-4012", f"the registration is of another {registration.kind} program", field="programId")
        if (domain, registration.key) in loaded.admitted:
            return
        result = self.appraise(prepared, domain, registration).require(allow_simulated=True)
        keys = loaded.keys.setdefault(domain, SessionKeys(domain, self._lifetime))
        keys.register(registration.key, registration.key.program_id, result.valid_until, result.at)
        loaded.admitted.add((domain, registration.key))

    def appraise(self, prepared: Prepared, domain: Domain, registration: Registration) -> AttestationResult:
        """The attestation result of a registration under this installation's anchors, which are simulated.

        Raises InvalidInput W3B-9101 to W3B-9104, Refused W3B-4012 for another program.
        """
        loaded: _Loaded = prepared.state
        return appraise_registration(registration, domain, loaded.anchors, self._policy, at=int(self._clock()))

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        """Check a proof as the contract will; the session key that signed must have been admitted (`admit`).

        Raises Refused: W3B-4010 malformed, W3B-4011 other inputs, W3B-4012 another task, project, program or prover,
        W3B-4013 another output, W3B-4015 no live session key signed, W3B-4020 a value out of range; for direct evidence
        what its appraisal raises.
        """
        loaded: _Loaded = prepared.state
        task.require(statement)
        now = int(self._clock())

        def direct(body: bytes, about: Statement) -> bytes:
            result = appraise_direct(body, task.domain, about, loaded.anchors, self._policy, at=now)
            result.require(allow_simulated=True)
            return about.program_id

        opening = verify_tee(
            task.domain,
            statement,
            public_output,
            proof,
            keys=loaded.keys.get(task.domain) or SessionKeys(task.domain, self._lifetime),
            now=now,
            direct=direct if self._platform is Platform.SEV else None,
        )
        if opening != task.opening:
            raise Refused("W3B-4011", f"the proof opens {opening}, the task {task.opening}", field="inputs")
