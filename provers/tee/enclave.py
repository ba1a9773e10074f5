"""The enclave: the runtime, one program and its configuration, all measured, behind bytes in and bytes out.

What it signs it computed from what it read; it takes no digest, root or output from outside without making it again. Here
it lives in the worker's process: wasmtime isolates the program, nothing isolates the enclave from its host. On real
hardware the same class runs inside of what the platform measures.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from eth_hash.auto import keccak

from provers.protocol import ProvingTask
from provers.tee.measurement import Measured
from provers.tee.messages import EnclaveResult, decode_task
from provers.tee.runtime.abi import check_output, encode_input
from provers.tee.runtime.code import runtime_digest
from provers.tee.runtime.configuration import Configuration
from provers.tee.runtime.readings import check_readings
from provers.tee.runtime.wasm import WasmProgram
from provers.tee.session import Session
from verifier.attestation.binding import CallerData, SessionKey, direct, register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.sealing import SealingKey, reading_info
from verifier.attestation.secret_request import SecretRequest
from verifier.commitment import device_indices
from verifier.errors import InvalidInput, Refused
from verifier.reading import Reading
from verifier.statement import Domain, Statement

Bind = Callable[[Sequence[bytes]], CallerData]
"""The caller data of the CPU's evidence, from the evidence of the devices that it vouches for."""
Quote = Callable[[Measured, bytes, Bind, int], bytes]
"""The platform's quoting: what is measured, the digest that is spoken for (32 bytes), the caller data of it and the time
in Unix seconds go in, encoded attachments (`verifier.attestation.direct_evidence`) come out."""
WITHOUT_SESSIONS = frozenset({Platform.SEV})
"""Platforms whose evidence is asked for by the host, so that it cannot carry a key of the guest."""


@dataclass(frozen=True)
class Opened:
    """A session, as the outside sees it."""

    key: SessionKey
    attachments: bytes
    """Evidence that carries it, encoded: the CPU's, then its devices'."""


class Enclave:
    """One program, loaded.

    Parameters: `signer` is the platform whose evidence carries the caller data; `identify` makes the program id of what
    is measured; `quote` is the platform's; `cache` is a private folder for the compiled program, or None.

    Raises InvalidInput (W3B-4030) for a module that is no program, or sealed readings on a platform without session keys.
    """

    def __init__(
        self,
        wasm: bytes,
        configuration: Configuration,
        *,
        signer: Platform,
        identify: Callable[[Measured], bytes],
        quote: Quote,
        cache: Path | None = None,
    ) -> None:
        if configuration.sealed and signer in WITHOUT_SESSIONS:
            raise InvalidInput(
                "W3B-4030", f"{signer.value} has no session key to ask for a secret with", field="sealed"
            )
        self._configuration = configuration
        self._program = WasmProgram(wasm, configuration.limits, cache=cache)
        self._signer, self._quote = signer, quote
        self.measured = Measured(runtime_digest(), hashlib.sha256(wasm).digest(), configuration.digest())
        """What the platform measures."""
        self.program_id = identify(self.measured)
        """32 bytes."""
        self._sessions: dict[tuple[Domain, bytes], Session] = {}
        self._asked: dict[bytes, tuple[SealingKey, bytes]] = {}
        self._opener: SealingKey | None = None
        self._lock = threading.Lock()

    def open_session(self, domain: Domain, prover: bytes, nonce: bytes, expiry: int, now: int) -> Opened:
        """Make a session key; from now on it signs what is proven for this prover in this domain.

        Parameters: `prover` is an address of 20 bytes; `nonce` has 32 bytes and is used once; `expiry` and `now` are Unix
        seconds. Raises InvalidInput (W3B-9101).
        """
        session = Session(domain, self.program_id, prover, nonce, expiry)

        def bind(devices: Sequence[bytes]) -> CallerData:
            return register_key(self._signer, domain, session.key, devices)

        attachments = self._quote(self.measured, session.key.digest(domain), bind, now)
        with self._lock:
            self._sessions[domain, prover] = session
        return Opened(session.key, attachments)

    def prove(self, message: bytes, now: int) -> bytes:
        """Run the program over a task (`messages.encode_task`) and sign the Statement (`EnclaveResult`).

        Raises InvalidInput W3B-1001, W3B-1002, W3B-1007, W3B-1010, W3B-4021; Refused W3B-1003 to W3B-1005, W3B-4012,
        W3B-4015 (no session is open), W3B-4031 to W3B-4034, W3B-9121 (a payload that is not sealed for its reading).
        """
        task = decode_task(message)
        if task.program_id != self.program_id:
            raise Refused("W3B-4012", f"the task is for program {task.program_id.hex()}", field="programId")
        check_readings(task, self._configuration)
        output = self._output(task)
        statement = task.statement(keccak(output))
        public_key, body = self._speak(task.domain, statement, now)
        return EnclaveResult(statement, output, public_key, body).encode()

    def ask_secret(self, domain: Domain, prover: bytes, nonce: bytes) -> SecretRequest:
        """A request for the secret that opens the readings, for a key broker; its answer is for `take_secret`.

        Parameters: `nonce` is the broker's challenge, 32 bytes. Raises InvalidInput (W3B-9120), Refused (W3B-4015).
        """
        sealing = SealingKey()
        request = self._session(domain, prover).request(self._configuration.sealed, nonce, sealing.public)
        with self._lock:
            self._asked = {nonce: (sealing, request.info(domain))}
        return request

    def take_secret(self, nonce: bytes, sealed: bytes) -> None:
        """Take a broker's answer; from now on sealed readings can be opened.

        Raises Refused (W3B-9121; W3B-9122 for a nonce that was not asked with), InvalidInput (W3B-9120).
        """
        with self._lock:
            if nonce not in self._asked:
                raise Refused("W3B-9122", f"nothing was asked with the nonce {nonce.hex()}", field="nonce")
            sealing, info = self._asked.pop(nonce)
        opener = SealingKey.from_secret(sealing.open(sealed, info))
        with self._lock:
            self._opener = opener

    @property
    def wants_secret(self) -> bool:
        """Whether readings are sealed, and no secret was taken yet."""
        return bool(self._configuration.sealed) and self._opener is None

    def _opened(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """The readings with their payloads in clear; what is signed and committed to are the sealed ones."""
        if not self._configuration.sealed:
            return readings
        if self._opener is None:
            raise Refused("W3B-4034", f"the secret {self._configuration.sealed} was not released", field="sealed")
        return [
            replace(
                each, payload=self._opener.open(each.payload, reading_info(each.project, each.device, each.sequence))
            )
            for each in readings
        ]

    def _output(self, task: ProvingTask) -> bytes:
        words = self._program.run(encode_input(self._opened(task.readings), device_indices(task.device_set)))
        return check_output(self._configuration.outputs, words) + task.opening.completeness.encode()

    def _speak(self, domain: Domain, statement: Statement, now: int) -> tuple[bytes, bytes]:
        if self._signer in WITHOUT_SESSIONS:

            def bind(devices: Sequence[bytes]) -> CallerData:
                return direct(self._signer, domain, statement, devices)

            return bytes(64), self._quote(self.measured, statement.digest(domain), bind, now)
        session = self._session(domain, statement.prover)
        return session.key.public_key, session.sign(statement)

    def _session(self, domain: Domain, prover: bytes) -> Session:
        with self._lock:
            session = self._sessions.get((domain, prover))
        if session is None:
            raise Refused("W3B-4015", f"no session is open for prover 0x{prover.hex()}", field="sessionKey")
        return session

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """It is made where it runs."""
        raise TypeError("an enclave holds session keys, and does not leave its process")
