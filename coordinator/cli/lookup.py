"""Projects by id or name, and tasks by id or the beginning of one, as a person gives them."""

from __future__ import annotations

import re
from itertools import islice

from coordinator.api.client import Client
from verifier.errors import InvalidInput, NotFound

SEARCHED = 10_000
"""Tasks, the newest ones, among which the beginning of an id is looked for."""
_LARGEST = (1 << 64) - 1
_NAME = re.compile(r"[a-z0-9-]{3,64}")
_TASK = re.compile(r"0x[0-9a-f]{64}")
_TASK_BEGINNING = re.compile(r"(0x)?[0-9a-f]{6,63}")


def project_id(client: Client, project: str) -> int:
    """The id of the project with this id or name; 0 for an empty text. An id is not looked up.

    Raises NotFound (W3B-2002) for a name that no project has, InvalidInput (W3B-7008) for what is neither.
    """
    if not project:
        return 0
    if project.isascii() and project.isdigit() and int(project) <= _LARGEST:
        return int(project)
    if _NAME.fullmatch(project) is None:
        raise InvalidInput(
            "W3B-7008",
            f"{project[:80]!r} is neither a project id nor a project name",
            field="project",
            next_step="List the projects with `w3bstream project list`.",
        )
    for each in client.projects():
        if each.name == project:
            return each.id
    raise NotFound("W3B-2002", f"there is no project {project!r}", field="project")


def task_id(client: Client, task: str) -> str:
    """The whole id of a task, of which 6 hex digits or more may be given; a whole id is not looked up.

    Raises NotFound (W3B-3003) when no task of the newest 10,000 begins so, InvalidInput (W3B-7008) when several do and
    for what is no id.
    """
    given = task.strip().lower().removesuffix("…")
    if _TASK.fullmatch(given):
        return given
    if _TASK_BEGINNING.fullmatch(given) is None:
        raise InvalidInput(
            "W3B-7008",
            f"{task[:80]!r} is no task id (0x and 64 hex digits)",
            field="task_id",
            next_step="Give the id, or its first 6 hex digits or more; `w3bstream task list` shows them.",
        )
    beginning = given if given.startswith("0x") else f"0x{given}"
    found = [each.id for each in islice(client.tasks(), SEARCHED) if each.id.startswith(beginning)]
    if not found:
        raise NotFound("W3B-3003", f"no task of the newest {SEARCHED:,} begins with {beginning}", field="task_id")
    if len(found) > 1:
        raise InvalidInput(
            "W3B-7008",
            f"{len(found)} tasks begin with {beginning}, such as {found[0]} and {found[1]}",
            field="task_id",
            next_step="Give more digits.",
        )
    return found[0]
