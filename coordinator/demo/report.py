"""What the demo tells: lines and tables for people, or JSON lines for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from coordinator.demo.stages import StageTimes
from coordinator.ledger.stages import STAGES
from verifier.completeness import COMPLETENESS_OUTPUTS
from verifier.errors import W3bstreamError
from w3bstream.v1 import task_pb2

if TYPE_CHECKING:
    from coordinator.service import Service

NEXT = (
    ("up", "start the service and keep it up; the commands below talk to it"),
    ("status", "each part, the contracts, the chain's URL"),
    ("task list", "every task of this demo"),
    ("task get {task}", "one task's attempts, transactions and timeline"),
    ("keys device generate NAME", "make a device key of your own"),
)
"""Commands to try after the demo, with what each does."""


class Report:
    """Writes to standard output; progress of a step overwrites its line on a terminal and is left out elsewhere."""

    def __init__(self, json_output: bool) -> None:
        self._json = json_output
        self._console = Console(highlight=False)
        self._states: dict[str, str] = {}
        self._shown = False

    def step(self, text: str) -> None:
        """A step begins."""
        self._end_progress()
        if self._json:
            self._line({"step": text})
        else:
            self._console.print(f"[bold]·[/bold] {text}")

    def preparing(self, program: str, stage: str, done: float) -> None:
        """A program is made ready; called from a thread."""
        self._progress(f"  {program}: {stage} {done:.0%}")

    def sent(self, number: int, of: int) -> None:
        """Readings signed and on their way."""
        if number == of or number % 32 == 0:
            self._progress(f"  {number} of {of} readings signed and sent")

    def event(self, event: task_pb2.TaskEvent) -> None:
        """A line of a task's timeline."""
        if self._json:
            self._line({"task": event.task_id, "subject": event.subject, "from": event.source, "to": event.target})
        if event.subject != "task":
            return
        self._states[event.task_id] = event.target
        counts = Counter(self._states.values())
        others = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if state != "FINAL")
        self._progress(f"  {counts['FINAL']} of {len(self._states)} windows final" + (f" ({others})" if others else ""))

    def watched(self) -> None:
        """Every task has ended."""
        self._end_progress()

    def results(self, tasks: list[task_pb2.Task], stages: list[StageTimes]) -> None:
        """The last windows' results and where the time went."""
        if self._json:
            self._line({"stages": {row.name: round(row.mean, 3) for row in stages}})
            return
        table = Table(title=f"Results on chain, in tenths of °F (the last of {len(tasks)} windows)")
        own = slice(-len(COMPLETENESS_OUTPUTS))
        names = [field.name for field in tasks[0].result[own]] if tasks else []
        for name in ("task", "positions", *names, "transaction"):
            table.add_column(name, justify="left" if name in ("task", "transaction") else "right")
        for task in sorted(tasks, key=lambda task: task.window_start)[-5:]:
            values = [field.value for field in task.result[own]]
            span = f"{task.window_start} to {task.window_end - 1}"
            table.add_row(task.id[:14] + "…", span, *values, task.transaction_hash[:14] + "…")
        self._console.print(table)
        self._console.print(stage_table(stages))
        self._console.print("All windows come at once, for a few provers: `queue` is that wait.")

    def contract(self, service: Service, project_id: int, totals: dict[str, int], good: bool) -> None:
        """What the dApp's contract says, against what was sent."""
        if self._json:
            self._line({"project": project_id, "contract": totals, "equal_to_input": good})
            return
        verdict = "[green]equal to the input's[/green]" if good else "[red]not equal to the input's[/red]"
        self._console.print(
            f"The dApp's contract {service.deployment.temperature_dapp} holds, in tenths of a degree Fahrenheit: "
            f"{', '.join(f'{name} {value}' for name, value in totals.items())} ({verdict})."
        )

    def outcome(self, outcome: dict[str, Any]) -> None:
        """The last line, and what to try next."""
        if self._json:
            self._line(outcome)
            return
        self._console.print(
            f"[bold green]{outcome['final']} of {outcome['tasks']} tasks FINAL, "
            f"{outcome['webhooks_verified']} webhooks verified, {outcome['readings']} readings, "
            f"{outcome['seconds']} s.[/bold green]"
        )
        self._console.print("[bold]Try next[/bold]", soft_wrap=True)
        for line in next_lines(next(iter(self._states), "ID")):
            self._console.print(f"  {line}", soft_wrap=True)

    def error(self, error: W3bstreamError) -> None:
        """Why it failed, on standard error."""
        self._end_progress()
        sys.stderr.write(f"{error}\n{error.next_step}\n")

    def _line(self, value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def _progress(self, text: str) -> None:
        if not self._json and self._console.is_terminal:
            sys.stdout.write(f"\r\033[K{text}")
            sys.stdout.flush()
            self._shown = True

    def _end_progress(self) -> None:
        if self._shown:
            sys.stdout.write("\n")
            self._shown = False


def next_lines(task: str) -> list[str]:
    """The commands to try next, as this user has to type them."""
    command = "w3bstream" if shutil.which("w3bstream") else str(Path(sys.executable).with_name("w3bstream"))
    if not shutil.which("w3bstream") and Path(command).is_relative_to(Path.cwd()):
        command = str(Path(command).relative_to(Path.cwd()))
    home = Path(os.environ.get("W3BSTREAM_HOME", "~/.w3bstream")).expanduser()
    lines = [] if home == Path.home() / ".w3bstream" else [f"export W3BSTREAM_HOME={home}"]
    lines += [f"{command} {text.format(task=task)}  # {meaning}" for text, meaning in NEXT]
    return [*lines, "docs/tutorials/first-light.md has the same steps with your own CSV file, in ten minutes"]


def stage_table(stages: list[StageTimes]) -> Table:
    """The stages as a table."""
    meanings = dict(STAGES)
    table = Table(title="From a window's first reading to FINAL, seconds a task")
    for name in ("stage", "mean", "median", "longest", "share"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("what it is")
    for row in stages:
        figures = (f"{row.mean:.2f}", f"{row.median:.2f}", f"{row.longest:.2f}", f"{row.share:.0%}")
        table.add_row(row.name, *figures, meanings[row.name])
    return table
