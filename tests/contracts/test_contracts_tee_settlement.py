"""A session key from its registration to settled results, on both chains, as a prover would."""

from __future__ import annotations

import dataclasses

from tests.contracts.chain_client import events
from tests.contracts.tee_host import require_documented
from tests.contracts.tee_world import KIND, Secret, TeeWorld
from tests.contracts.world import Task, World, address
from verifier import bindings as b
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import tee_program_id
from verifier.bindings import tee


def recorded(world: World, programs: tuple[b.Program, ...]) -> Task:
    """A recorded task of a project with these programs, assigned to the first prover."""
    project = world.create_project(programs=programs, dapp=bytes(20))
    opening = world.opening()
    task = Task(world, project, opening)
    deadline = world.chain.now() + 10**5
    attempt = b.Assignment(task.task_id, address(world.provers[0]), b.kind_hash(KIND), deadline, 1)
    world.coordinate([b.TaskRecord(project, 1, opening)], [attempt])
    return task


def test_a_session_key_settles_results(world: World) -> None:
    enclave = TeeWorld.deploy(world)
    prover = world.provers[0]
    world.chain.send(prover, world.deployment.fleet, b.set_capabilities(address(prover), [KIND]))
    secret = enclave.secret()
    registered = enclave.register(secret)
    require_documented("register, committee, 2 of 3", registered["gasUsed"])
    assert enclave.refusal(secret.key, enclave.evidence(secret.key)).name == "NonceUsed"

    programs = (b.Program(KIND, enclave.program, bytes.fromhex(enclave.contract[2:])),)
    task, other = recorded(world, programs), recorded(world, programs)
    claim = enclave.claim(secret, task)
    assert other.refusal(dataclasses.replace(enclave.claim(secret, other), proof=claim.proof)).name == "ProofRefused"
    stranger = Secret.make(enclave.program, secret.key.prover, secret.key.expiry)
    assert task.refusal(enclave.claim(stranger, task)).name == "SessionKeyUnknown"
    elsewhere = tee_program_id(KIND, bytes(32))
    assert task.refusal(enclave.claim(secret, task, program_id=elsewhere)).name == "ProgramNotPublished"

    settled = task.settle(claim)
    assert [each.name for each in events(settled)] == ["ProofVerified", "TaskSettled"]
    require_documented("settle, session key, without a dApp", settled["gasUsed"])
    assert task.refusal(claim).name == "AlreadyVerified"
    assert [each.name for each in events(other.settle(enclave.direct(other)))] == ["ProofVerified", "TaskSettled"]


def test_adapters_are_deployed_with_the_vendors_roots(world: World) -> None:
    chain = world.chain
    policy = tee.SevSnpPolicy(snp=8, allow_smt=False)
    anchors = VendorAnchors()
    roots = {each: [anchor.sha256 for anchor in anchors.of(each)] for each in (Platform.SEV_SNP, Platform.NITRO)}
    snp = tee.deploy_sev_snp(chain.web3, chain.funded, roots[Platform.SEV_SNP], policy)
    nitro = tee.deploy_nitro(chain.web3, chain.funded, roots[Platform.NITRO], 3600)
    for adapter, kind in ((snp, "tee.sev-snp"), (nitro, "tee.nitro")):
        for function, wanted in (("kind", kind), ("route", "native"), ("isSimulated", False)):
            found = chain.read(adapter, b.encode_call("IAttestation", function))
            assert b.decode_result("IAttestation", function, found) == (wanted,)
    accepted = chain.read(snp, b.encode_call("SevSnpAttestation", "policy"))
    assert b.decode_result("SevSnpAttestation", "policy", accepted) == (dataclasses.astuple(policy),)
    # No such precompile on either chain of these tests: nothing is accepted, rather than everything.
    refused = chain.call(snp, b.encode_call("IAttestation", "appraise", b"\3\0" + bytes(10)))
    assert isinstance(refused, b.Revert)
    assert refused.name == "PrecompileMissing"
