"""What a worker returned, checked before anybody acts on it: workers are not trusted, their proofs are."""

from __future__ import annotations

import math

from eth_hash.auto import keccak

from provers.protocol import Prepared, Proof, Prover, ProvingTask, Registrar
from verifier.attestation.registration import Registration
from verifier.errors import Refused, W3bstreamError

MAX_OUTPUT_BYTES = 16 * 32
"""docs/reference/encodings.md §3: at most 16 static words."""
MAX_PROOF_BYTES = 1 << 20
"""More than any chain takes as call data."""
MAX_REGISTRATION_BYTES = 1 << 20
"""A session key's evidence with its endorsements; that of eight GPUs with their manifests has 500 kB."""


def check_proof(prover: Prover, prepared: Prepared, task: ProvingTask, proof: Proof) -> None:
    """Require that `proof` is one of `task`, whole and valid. Blocks while it computes.

    A registration that comes with it is admitted first. Raises Refused: W3B-4081 for what is no proof of this task, or
    the prover's own code for one that does not verify and for a registration that is not admitted.
    """
    if not isinstance(proof, Proof):
        raise Refused("W3B-4081", f"the worker returned a {type(proof).__name__}, not a proof")
    for name, most in (("public_output", MAX_OUTPUT_BYTES), ("proof", MAX_PROOF_BYTES)):
        value = getattr(proof, name)
        if not isinstance(value, bytes) or not 0 < len(value) <= most:
            size = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
            raise Refused("W3B-4081", f"{name} is {size}; 1 to {most} bytes are allowed", field=name)
    if len(proof.public_output) % 32:
        raise Refused("W3B-4081", f"public_output has {len(proof.public_output)} bytes, not whole words")
    statement = task.statement(keccak(proof.public_output))
    if proof.statement != statement:
        raise Refused("W3B-4081", "the proof's statement is not the one of its task and output", field="statement")
    try:
        if proof.registration is not None:
            _admit(prover, prepared, task, proof.registration)
        prover.verify(prepared, task, statement, proof.public_output, proof.proof)
    except W3bstreamError:
        raise
    except Exception as error:  # a verifier that stumbles over hostile bytes has not accepted them
        raise Refused("W3B-4081", f"the verifier broke off with {type(error).__name__}: {str(error)[:300]}") from error


def _admit(prover: Prover, prepared: Prepared, task: ProvingTask, registration: object) -> None:
    if not isinstance(prover, Registrar) or not isinstance(registration, Registration):
        what = f"the worker returned a registration ({type(registration).__name__}) of {prover.kind}, which has none"
        raise Refused("W3B-4081", what, field="registration")
    size = sum(
        len(each.evidence.data) + sum(map(len, each.endorsements.parts.values()))
        for each in (registration.cpu, *registration.devices)
    )
    if size > MAX_REGISTRATION_BYTES:
        raise Refused("W3B-4081", f"registration has {size} bytes of evidence", field="registration")
    if Registration.from_json(registration.to_json()) != registration:  # it is kept, and sent on, as JSON
        raise Refused("W3B-4081", "the registration is not what its JSON says", field="registration")
    if registration.key.prover != task.prover:
        raise Refused("W3B-4081", "the registration is of another prover's key", field="registration.key.prover")
    prover.admit(prepared, task.domain, registration)


def clean_seconds(seconds: object) -> dict[str, float]:
    """The times that a prover reports, as far as they are finite numbers by name; at most 32 of them."""
    if not isinstance(seconds, dict):
        return {}
    return {
        str(stage)[:64]: float(value)
        for stage, value in list(seconds.items())[:32]
        if isinstance(value, int | float) and math.isfinite(value)
    }
