"""Private files: whole or not at all, for their owner only, and the first of several stays where it must."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provers import installation
from provers.installation import write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_and_its_new_folders_are_their_owners(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "keys" / "provers" / "a.json"
        assert write_private(path, "secret")
    finally:
        os.umask(before)
    assert (path.read_text(), mode(path)) == ("secret", 0o600)
    assert [mode(folder) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    path.chmod(0o644)
    assert write_private(path, b"\x00other")
    assert (path.read_bytes(), mode(path)) == (b"\x00other", 0o600)
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_what_is_to_stay_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert write_private(path, "first", keep=True)
    assert not write_private(path, "second", keep=True)
    assert path.read_text() == "first"
    assert write_private(path, "third")
    assert path.read_text() == "third"


def test_of_many_at_once_one_is_first_and_all_read_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda number: write_private(path, f"{number:02d}" * 1000, keep=True), range(32)))
    assert wrote.count(True) == 1
    assert path.read_text() == f"{wrote.index(True):02d}" * 1000
    assert [each.name for each in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("keep", [False, True])
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    path = tmp_path / "key"
    write_private(path, "before")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(installation.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, "after", keep=keep)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_killed_writer_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from provers import installation\n"
        "installation.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "installation.write_private(Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert not path.exists()
    (draft,) = tmp_path.iterdir()
    assert mode(draft) == 0o600
