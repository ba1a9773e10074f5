"""What must hold: a window that a circuit and two simulated enclaves prove settles by all three, each verified on chain;
the session keys are registered once; nothing of it passes for genuine; and where the circuit only confirms, it does so
after the enclave's result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from web3 import Web3

from coordinator.api.client import Client
from tests.e2e.installation import ChainView, Installation, until, with_keys
from tests.e2e.weather_project import CAPACITY, WeatherProject, require_exactly_once, temperatures, wait_final
from verifier.bindings import abi_of
from verifier.evidence.report import Verdict
from verifier.evidence.verification import verify_evidence
from w3bstream.v1 import project_pb2, task_pb2

KINDS = ("zkp.groth16", "tee.sev-snp", "tee.cca")
WINDOWS = 2
ROUTES = {"tee.sev-snp": "native", "tee.cca": "committee"}
IN_TIME = 2
"""`ConfirmationStatus.Confirmed` of Types.sol."""


@dataclass
class Proven:
    """The project with its tasks, all of them FINAL."""

    installation: Installation
    client: Client
    project: WeatherProject
    version: project_pb2.ProjectVersion
    tasks: list[task_pb2.Task]

    def verifier(self, kind: str) -> str:
        return Web3.to_checksum_address(next(each.verifier for each in self.version.programs if each.kind == kind))


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Proven]:
    settings = {"PROVER_KINDS": ",".join(KINDS), "PROVERS": "1"}
    installation = Installation(with_keys(tmp_path_factory.mktemp("tee") / "home", keys), settings)
    installation.start()
    try:
        with installation.client() as client:
            more = "".join(f"  - kind: {kind}\n    program: temperature_wasm\n" for kind in KINDS[1:])
            assurance = f"{len(KINDS)} of [{', '.join(KINDS)}]"
            project = WeatherProject(client, "three-kinds", more=more, assurance=assurance)
            client.ingest(project.sign(temperatures(WINDOWS * CAPACITY)))
            tasks = wait_final(client, project.id, WINDOWS)
            version = client.get_project(project.id).versions[-1]
            yield Proven(installation, client, project, version, tasks)
    finally:
        installation.stop()


def test_each_task_is_verified_by_every_kind_and_settled_once(proven: Proven) -> None:
    require_exactly_once(proven.installation, proven.project.id, temperatures(WINDOWS * CAPACITY))
    router = ChainView(proven.client).contract("Router")
    for task in proven.tasks:
        for kind in KINDS:
            prover = router.functions.verifiedBy(task.id, keccak(kind.encode())).call()
            assert int(prover, 16), f"{kind} is not verified for {task.id}"
        attempts = proven.client.get_task(task.id).attempts
        verified = {each.kind: each.trust for each in attempts if each.state == "VERIFIED"}
        assert verified.keys() == set(KINDS)
        assert all(verified[kind].startswith("SIMULATED") for kind in ROUTES)


def test_a_session_key_is_registered_once_for_all_its_results(proven: Proven) -> None:
    rows = proven.installation.rows("select state from outbox_tx where purpose = 'register_session_key'")
    assert [row["state"] for row in rows] == ["FINAL"] * (len(KINDS) - 1)


def test_what_is_simulated_says_so_on_chain(proven: Proven) -> None:
    web3 = ChainView(proven.client).web3
    for kind, route in ROUTES.items():
        verifier = web3.eth.contract(address=proven.verifier(kind), abi=abi_of("TeeVerifier"))
        assert verifier.functions.isSimulated().call() is True
        assert verifier.functions.kind().call() == kind
        adapter = web3.eth.contract(address=verifier.functions.ATTESTATION().call(), abi=abi_of("CommitteeAttestation"))
        assert adapter.functions.route().call() == route
    provers = {each.kind: each.trust for each in proven.client.list_provers()}
    assert all(provers[kind].startswith("SIMULATED") for kind in ROUTES)


def test_the_evidence_file_holds_and_names_whose_word_the_simulated_kinds_rest_on(proven: Proven) -> None:
    report = verify_evidence(proven.client.get_evidence(proven.tasks[0].id).data)
    assert report.verdict is Verdict.CONSISTENT, "nothing of it is pinned by a reader here"
    unchecked = {anchor.name for anchor in report.anchors if "verifier" in anchor.name}
    assert all(any(kind in name for name in unchecked) for kind in ROUTES), report.anchors


def test_an_enclave_settles_a_task_now_and_the_circuit_confirms_it(proven: Proven) -> None:
    client = proven.client
    more = "  - kind: tee.sev-snp\n    program: temperature_wasm\n"
    project = WeatherProject(client, "two-stages", more=more, assurance="tee.sev-snp now, zkp.groth16 within 10m")
    client.ingest(project.sign(temperatures(CAPACITY)))
    (task,) = wait_final(client, project.id, 1)
    until(lambda: client.get_task(task.id).task.confirmation.state == "CONFIRMED", 60, "the circuit confirms it")
    confirmed = ChainView(client).contract("Router").functions.confirmationOf(task.id).call()
    assert (confirmed[0], confirmed[1]) == (IN_TIME, keccak(b"zkp.groth16"))
    attempts = sorted(client.get_task(task.id).attempts, key=lambda each: each.fence)
    assert [(each.kind, each.state) for each in attempts] == [("tee.sev-snp", "VERIFIED"), ("zkp.groth16", "VERIFIED")]
