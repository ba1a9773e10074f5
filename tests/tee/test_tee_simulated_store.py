"""The vendors' files: made once, whoever is first; damaged ones are refused and never replaced silently."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_installations import MEASURED, NOW, appraised, caller_of

from provers.tee.simulation.vendors import SimulatedVendors
from verifier.attestation.evidence import Platform
from verifier.errors import InvalidInput, Unavailable

QUICK = (Platform.SGX, Platform.TDX, Platform.CCA, Platform.NITRO, Platform.NVIDIA_H100)
"""All whose keys take no seconds to make."""
OPEN = """
import sys
from pathlib import Path
from provers.tee.simulation.vendors import SimulatedVendors
from verifier.attestation.evidence import Platform
print("ready", flush=True)
sys.stdin.readline()
found = SimulatedVendors.open(Path(sys.argv[1])).anchors(*map(Platform, sys.argv[2:]))
print(found.name, *(f"{name}={root.hex()}" for name, roots in sorted(found.roots.items()) for root in roots))
print([(each.instance_id.hex(), each.point.hex()) for each in found.cca_keys])
"""


def files(home: Path) -> dict[str, bytes]:
    folder = home / "tee/simulated"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose quick vendors have been opened."""
    home = tmp_path_factory.mktemp("whole")
    SimulatedVendors.open(home).anchors(*QUICK)
    return home


def copied(home: Path, to: Path) -> Path:
    for name, content in files(home).items():
        path = to / "tee/simulated" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return to


def test_processes_that_open_a_home_at_once_get_the_same_vendors(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path), *(each.value for each in QUICK)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [each.stdout.readline() for each in started if each.stdout] == ["ready\n"] * 4
    for each in started:
        assert each.stdin
        each.stdin.write("go\n")
        each.stdin.flush()
    said = {each.communicate(timeout=120)[0] for each in started}
    assert [each.returncode for each in started] == [0] * 4
    assert len(said) == 1
    assert said.pop().count("=") == 4  # CCA has a key and no root
    assert not [name for name in files(tmp_path) if Path(name).name.startswith(".")]


def test_threads_get_the_same_attester(whole: Path) -> None:
    vendors = SimulatedVendors.open(whole)
    assert vendors.attester(Platform.SGX) is vendors.attester(Platform.SGX)


def test_opening_makes_no_keys(tmp_path: Path) -> None:
    vendors = SimulatedVendors.open(tmp_path)
    assert list(files(tmp_path)) == ["installation.txt"]
    vendors.attester(Platform.SGX)
    assert {name.split("/")[0] for name in files(tmp_path)} == {"installation.txt", "intel"}


def test_nobody_else_can_read_the_files(whole: Path) -> None:
    for path in (whole / "tee").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_later_start_reads_what_is_there(whole: Path) -> None:
    before = files(whole)
    first, second = SimulatedVendors.open(whole), SimulatedVendors.open(whole)
    assert first.anchors(*QUICK) == second.anchors(*QUICK)
    assert first.name == second.name
    for platform in (Platform.SGX, Platform.TDX, Platform.CCA, Platform.NITRO):
        made = first.attester(platform).attest(MEASURED, caller_of(platform), now=NOW)
        result = appraised(made, anchors=second.anchors(platform), caller_data=caller_of(platform))
        assert result.findings == ()
        assert result.anchor.name == f"SIMULATED {first.name}"
    assert files(whole) == before


def test_two_homes_have_nothing_in_common(whole: Path, tmp_path: Path) -> None:
    SimulatedVendors.open(tmp_path).anchors(*QUICK)
    mine, theirs = files(whole), files(tmp_path)
    assert set(mine) == set(theirs)
    assert [name for name in mine if mine[name] == theirs[name]] == []


def opened(home: Path) -> None:
    SimulatedVendors.open(home).anchors(*QUICK)


def test_a_file_that_is_cut_short_is_named_and_kept(whole: Path, tmp_path: Path) -> None:
    """At any length: empty, one byte, half, all but the last line's end and a character."""
    home = copied(whole, tmp_path)
    for name, content in sorted(files(whole).items()):
        path = home / "tee/simulated" / name
        for length in (0, 1, len(content) // 2, len(content) - 2):
            path.write_bytes(content[:length])
            with pytest.raises(InvalidInput) as caught:
                opened(home)
            assert caught.value.code == "W3B-9117", (name, length)
            assert caught.value.field.endswith(name), (name, caught.value.field)
            assert path.read_bytes() == content[:length]
        path.write_bytes(content)
    opened(home)


def test_a_file_of_another_installation_is_refused(whole: Path, tmp_path: Path) -> None:
    """A foreign key is not its certificate's, and a foreign certificate is of no key that is here."""
    SimulatedVendors.open(tmp_path / "other").anchors(*QUICK)
    theirs = files(tmp_path / "other")
    home = copied(whole, tmp_path / "home")
    paired = [name for name in theirs if name.endswith(".pem")]
    assert len(paired) > 10
    for name in (*paired, *(f"{name.removesuffix('.pem')}.key" for name in paired), "nvidia/driver.swidtag"):
        path = home / "tee/simulated" / name
        own = path.read_bytes()
        path.write_bytes(theirs[name])
        with pytest.raises(InvalidInput) as caught:
            opened(home)
        assert caught.value.code == "W3B-9117", name
        path.write_bytes(own)
    opened(home)


def test_a_key_of_another_kind_is_refused(whole: Path, tmp_path: Path) -> None:
    home = copied(whole, tmp_path)
    folder = home / "tee/simulated"
    (folder / "intel/quoting.key").write_bytes((folder / "nvidia/root.key").read_bytes())
    with pytest.raises(InvalidInput, match="no key of secp256r1") as caught:
        opened(home)
    assert (caught.value.code, caught.value.field) == ("W3B-9117", "intel/quoting.key")


def test_a_home_that_cannot_be_used_is_an_error_with_a_code(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(Unavailable) as caught:
        SimulatedVendors.open(blocked)
    assert (caught.value.code, caught.value.field) == ("W3B-9118", "home")


def test_a_home_whose_making_was_broken_off_is_finished(whole: Path, tmp_path: Path) -> None:
    """Some files are there, others not: what is there stays, the rest is made of it."""
    home = copied(whole, tmp_path)
    for name in ("intel/pck.pem", "intel/pck-ca.pem", "nvidia/vbios.swidtag", "intel/quoting.key"):
        (home / "tee/simulated" / name).unlink()
    vendors = SimulatedVendors.open(home)
    for platform in (Platform.SGX, Platform.TDX):
        made = vendors.attester(platform).attest(MEASURED, caller_of(platform), now=NOW)
        assert appraised(made, anchors=vendors.anchors(platform)).findings == ()
    opened(home)
    assert set(files(home)) == set(files(whole))
