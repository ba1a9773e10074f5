"""Known answers of gnark-crypto for every case, so that a machine without Go checks against them too.

    python -m tests.msm.vectors

writes `gnark_vectors.json`: for each group and case the SHA-256 of points and scalars, and gnark's sum.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.msm.programs import Program, build_go, start_go
from tests.msm.cases import CASES, Case
from tests.msm.groups import GROUPS

VECTORS = Path(__file__).with_name("gnark_vectors.json")


def gnark_sum(gnark: Program, case: Case, folder: Path) -> bytes:
    """gnark-crypto's sum."""
    (folder / "points").write_bytes(case.point_bytes)
    (folder / "scalars").write_bytes(case.scalar_bytes)
    files = {"points": str(folder / "points"), "scalars": str(folder / "scalars")}
    gnark.ask("load", group=case.group.name, **files)
    answer = gnark.ask("sum", group=case.group.name, count=len(case.points))
    return bytes.fromhex(answer["sum"])


def main() -> None:
    """Make them again."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    with start_go(build_go(), 1) as gnark, tempfile.TemporaryDirectory() as name:
        versions = gnark.ask("hello")["versions"]
        for group in GROUPS:
            for title, make in CASES.items():
                case = make(group)
                vector = {"input_sha256": case.digest, "sum": gnark_sum(gnark, case, Path(name)).hex()}
                found.setdefault(group.name, {})[title] = vector
    made_by = f"gnark-crypto {versions['gnark-crypto']}"
    VECTORS.write_text(json.dumps({"made_by": made_by, "sums": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
