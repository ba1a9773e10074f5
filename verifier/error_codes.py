"""The one table of error codes. `docs/reference/errors.md` is generated from it by `python -m verifier.error_codes`.

1xxx readings and intake; 2xxx project file; 3xxx tasks, ledger, scheduling; 4xxx provers and proofs; 5xxx chain and
settlement; 6xxx webhooks; 7xxx API and keys; 8xxx set-up and processes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorCode:
    """One row: when the code is raised and what the reader can do."""

    meaning: str
    """When it is raised."""
    next_step: str
    """What to do about it."""


CODES: dict[str, ErrorCode] = {
    "W3B-1001": ErrorCode(
        "A reading's bytes are malformed.", "Encode it as docs/reference/encodings.md §1.1 says."
    ),
    "W3B-1002": ErrorCode("A reading is larger than the limit.", "Send at most 4,096 bytes of payload."),
    "W3B-1003": ErrorCode(
        "A reading's signature does not verify.", "Sign the canonical bytes with the device's registered key."
    ),
    "W3B-1004": ErrorCode(
        "The reading's device is not in the project's device set.",
        "Add the device to the project file and publish a new version.",
    ),
    "W3B-1005": ErrorCode(
        "The reading repeats a sequence number of its device.",
        "Give each reading the next sequence number; a resend needs nothing more.",
    ),
    "W3B-1006": ErrorCode(
        "The reading's project does not exist or is paused.", "Check the project id, or resume the project."
    ),
    "W3B-1007": ErrorCode(
        "The reading's payload does not fit the project's program.",
        "Send the payload type that the project file names.",
    ),
    "W3B-1008": ErrorCode(
        "The DA layer does not answer.", "Check the NATS URL; readings not acknowledged must be sent again."
    ),
    "W3B-1009": ErrorCode(
        "The reading was published under the subject of another project or device.",
        "Publish to da.<project>.<device> of the reading itself.",
    ),
    "W3B-1010": ErrorCode(
        "A device, its key or its device set is not valid.",
        "Use the public key that the device's own tool printed (64 bytes, x and y), once in each set.",
    ),
    "W3B-2001": ErrorCode(
        "The project file is not valid.",
        "Mend the line that the message names; docs/reference/project-file.md has the schema.",
    ),
    "W3B-2002": ErrorCode("The project does not exist.", "List the projects with `w3bstream project list`."),
    "W3B-2003": ErrorCode(
        "The project version does not exist.", "List the versions with `w3bstream project get ID`."
    ),
    "W3B-2004": ErrorCode(
        "A project of that name exists.", "Choose another name, or repeat the call with its idempotency key."
    ),
    "W3B-2005": ErrorCode(
        "The project file names a program that this installation does not have.",
        "Install the program, or name one of those listed.",
    ),
    "W3B-3001": ErrorCode(
        "The task or attempt is in a state that does not allow this.",
        "Look at its timeline with `w3bstream task get ID`.",
    ),
    "W3B-3002": ErrorCode(
        "The report carries an old fencing token.",
        "Nothing to do: another attempt holds the lease, the report was recorded and refused.",
    ),
    "W3B-3003": ErrorCode("The task does not exist.", "List the tasks with `w3bstream task list`."),
    "W3B-3004": ErrorCode("The attempt does not exist.", "Look at the task with `w3bstream task get ID`."),
    "W3B-3005": ErrorCode(
        "The retry cap is reached.", "See the reason of each attempt with `w3bstream task get ID`."
    ),
    "W3B-3006": ErrorCode("The deadline passed.", "Add provers or give the project file a later deadline."),
    "W3B-3007": ErrorCode("The prover does not exist.", "List the provers with `w3bstream prover list`."),
    "W3B-4001": ErrorCode(
        "No prover of that kind is installed.", "Install the extra or the package that registers it."
    ),
    "W3B-4020": ErrorCode(
        "A Statement, its opening or its public output does not fit a circuit's public signals.",
        "Use the values that the task's record shows; docs/reference/encodings.md §4 has the ranges.",
    ),
    "W3B-4021": ErrorCode(
        "A window's readings do not fit the program.",
        "Use the program's key type, payload and window capacity in the project file.",
    ),
    "W3B-5001": ErrorCode(
        "The chain does not answer.", "Check the RPC URL; nothing is lost, transactions wait in the outbox."
    ),
    "W3B-5002": ErrorCode(
        "The chain refused the transaction, in simulation or on chain.",
        "Read the named contract error; docs/explanation/settlement.md says what follows from each.",
    ),
    "W3B-5003": ErrorCode(
        "The chain's RPC server refused a request.", "Read the server's message; check that it serves the eth namespace."
    ),
    "W3B-5004": ErrorCode(
        "The ledger and the chain do not belong together.",
        "Point the service at the chain that the ledger was made on, or start with a fresh home folder.",
    ),
    "W3B-5005": ErrorCode(
        "A transaction that had to be mined first was refused.", "Read the refusal of the earlier transaction."
    ),
    "W3B-5006": ErrorCode(
        "The coordinator's key file cannot be used.",
        "Restore the file from your backup with mode 600; do not let others read it.",
    ),
    "W3B-5007": ErrorCode(
        "Two different outputs were proven for one task.",
        "A person must look: compare both attempts; nothing more is accepted for the task.",
    ),
    "W3B-6001": ErrorCode(
        "A webhook URL is not allowed.",
        "Give an https URL without credentials; loopback works where allow_loopback_webhooks is true.",
    ),
    "W3B-6002": ErrorCode(
        "A URL leads to an address that the service must not reach.", "Give a host with public addresses only."
    ),
    "W3B-6003": ErrorCode(
        "A webhook's signature does not hold.",
        "Check the endpoint's secret, pass the body byte for byte, and check the clock.",
    ),
    "W3B-6004": ErrorCode("The webhook endpoint or message does not exist.", "List them with `w3bstream webhook list`."),
}


def markdown() -> str:
    """The docs page, one row a code."""
    rows = [f"| `{code}` | {row.meaning} | {row.next_step} |" for code, row in sorted(CODES.items())]
    head = "# Error codes\n\nGenerated from `verifier/error_codes.py` by `make docs`; do not edit.\n\n| code | meaning | next step |\n|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
