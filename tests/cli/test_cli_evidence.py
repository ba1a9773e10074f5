"""`w3bstream evidence verify` of files that came through badly."""

from __future__ import annotations

from pathlib import Path

from cli_run import Cli
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

WHOLE = (Path(__file__).parents[1] / "vectors" / "demo-task.w3bevidence").read_bytes()


@given(st.integers(0, len(WHOLE) - 1))
@example(0)
@example(1)
@example(len(WHOLE) - 1)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_file_is_invalid(tmp_path: Path, size: int) -> None:
    """Wherever it ends: the code, what to do, exit code 4."""
    file = tmp_path / "cut.w3bevidence"
    file.write_bytes(WHOLE[:size])
    found = Cli()("evidence", "verify", str(file), "--json", code=4).json
    assert (found["verdict"], found["error"]["code"]) == ("INVALID", "W3B-9002")
    assert "w3bstream evidence get" in found["error"]["next_step"]


def test_a_file_of_other_bytes(tmp_path: Path) -> None:
    file = tmp_path / "junk.w3bevidence"
    for content in (b"\xff" * 100, b"[" * 100_000, b"{}", b"null"):
        file.write_bytes(content)
        assert Cli()("evidence", "verify", str(file), "--json", code=4).json["error"]["code"] == "W3B-9002"
