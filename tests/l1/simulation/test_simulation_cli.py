"""`python -m l1.simulation`: what it prints, what it exits with, and that its replay command replays."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from l1.simulation.__main__ import main
from l1.simulation.plan import Wish
from l1.simulation.runs import Progress, run_one


def _run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "l1.simulation", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_last_line_is_json() -> None:
    """Runs, heights, violations and failing seeds; 0 when nothing was violated."""
    status, out, _ = _run("--seeds", "0:6", "--faults", "all", "--json")
    result = json.loads(out.splitlines()[-1])
    assert status == 0
    assert list(result) == ["runs", "heights", "violations", "failing_seeds"]
    assert (result["runs"], result["violations"], result["failing_seeds"]) == (6, 0, [])
    assert result["heights"] >= 18


@pytest.mark.parametrize("faults", ["asymmetry,usurping", "asymmetry,churn,usurping"])
def test_the_reference_port_fails_and_says_how_to_see_it_again(faults: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that is printed runs that one seed, and fails in the same way."""
    given = ["--seeds", "0:30", "--delegates", "4", "--faults", faults, "--reference-port", "--json"]
    assert main(given) == 1
    out, errors = capsys.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert result["violations"] == len(result["failing_seeds"]) > 0
    replay = next(line for line in errors.splitlines() if "replay: " in line).partition("replay: ")[2]
    words = shlex.split(replay)
    assert words[:3] == ["python", "-m", "l1.simulation"]
    assert main(words[3:]) == 1
    seen = capsys.readouterr().err.splitlines()
    assert set(seen) <= set(errors.splitlines())
    assert seen[-1].endswith(replay)


@pytest.mark.parametrize(
    "given",
    [
        ("--seeds", "5:5"),
        ("--seeds", "x"),
        ("--seeds=-3:2",),
        ("--faults", "gremlins"),
        ("--delegates", "0"),
        ("--delegates", "99999"),
        ("--jobs", "0"),
        ("--era", "bronze"),
        ("--reference-port", "--signatures"),
    ],
)
def test_options_without_sense_are_refused(given: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and a text that names what was wrong."""
    try:
        status = main(given)
    except SystemExit as error:
        status = error.code  # type: ignore[assignment]
    assert status == 2
    assert capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """What is checked, examples, and the name of every fault."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "--seeds 0:500" in text
    assert "usurping" in text
    assert "torn log" in text


@pytest.mark.parametrize(
    "extra", [("--signatures", "--delegates", "4"), ("--power-skew",), ("--jobs", "2"), ("--faults", "none")]
)
def test_options_of_a_run(extra: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Signatures, skewed power, two processes, and no faults at all."""
    assert main(["--seeds", "0:2", "--heights", "2", *extra, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["runs"] == 2


def test_progress_is_said_every_two_seconds_at_most() -> None:
    """Not once a run."""
    times = iter([0.0, 0.5, 1.9, 2.1, 3.0, 4.2])
    lines: list[str] = []
    progress = Progress(5, lines.append, lambda: next(times))
    report = run_one(1, Wish(frozenset()))
    for _ in range(5):
        progress.add(report)
    assert [line.split(",")[0] for line in lines] == ["3/5 runs", "5/5 runs"]
