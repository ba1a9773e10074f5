"""Running the command in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from coordinator.cli import app


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its one JSON object."""
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    @property
    def error(self) -> dict[str, str]:
        """Its error in JSON."""
        found: dict[str, str] = json.loads(self.err)["error"]
        return found


class Cli:
    """The `w3bstream` command."""

    def __call__(self, *arguments: str, code: int = 0) -> Ran:
        """Run it and require its exit code."""
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.stderr}\n{result.exception!r}"
        return Ran(result.exit_code, result.stdout, result.stderr)
