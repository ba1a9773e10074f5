"""Test only: the receiver of docs/how-to/receive-webhooks.md, as a reader of that page would have it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "receive-webhooks.md"
SECTION = "## Check that it is final"


def finality_receiver(node: str, genesis: str, router: str) -> dict[str, Any]:
    """The names that the example defines, `settled` among them, with the reader's own values filled in.

    It asks the node for the genesis and its delegates at once, and for nothing more in the first epoch.
    """
    section = PAGE.read_text().partition(SECTION)[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for line, value in ((r"NODE = ", node), (r"GENESIS = ", genesis), (r"CHAIN_ID, ROUTER = 4690, ", router)):
        code, count = re.subn(rf'^({line})"[^"]*"', rf'\g<1>"{value}"', code, flags=re.MULTILINE)
        assert count == 1, line
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names
