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
    "W3B-1001": ErrorCode("A reading's bytes are malformed.", "Encode it as docs/reference/encodings.md §1.1 says."),
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
    "W3B-1011": ErrorCode(
        "A project's DA stream is not the one that the ledger has read.",
        "Restore the stream's data, or create the stream anew with the first sequence that the message names.",
    ),
    "W3B-1012": ErrorCode(
        "The embedded NATS server does not run.",
        "Read nats/server.log in the home folder; the service starts the server again by itself.",
    ),
    "W3B-1013": ErrorCode(
        "A project's DA URL leads to an address that the service must not reach.",
        "Use a host with public addresses, or have the operator set allow_private_da for a private network.",
    ),
    "W3B-2001": ErrorCode(
        "The project file is not valid.",
        "Mend the line that the message names; docs/reference/project-file.md has the schema.",
    ),
    "W3B-2002": ErrorCode("The project does not exist.", "List the projects with `w3bstream project list`."),
    "W3B-2003": ErrorCode("The project version does not exist.", "List the versions with `w3bstream project get ID`."),
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
    "W3B-3005": ErrorCode("The retry cap is reached.", "See the reason of each attempt with `w3bstream task get ID`."),
    "W3B-3006": ErrorCode("The deadline passed.", "Add provers or give the project file a later deadline."),
    "W3B-3007": ErrorCode("The prover does not exist.", "List the provers with `w3bstream prover list`."),
    "W3B-3008": ErrorCode(
        "An attempt ran longer than allowed, or its worker was not heard of.",
        "Nothing to do: the task is tried again. If it happens to every attempt, raise W3BSTREAM_ATTEMPT_SECONDS.",
    ),
    "W3B-3009": ErrorCode(
        "The ledger's readings do not make the task's inputs.",
        "Keep the ledger as it is and report it: no proof of this task can be made from it.",
    ),
    "W3B-3010": ErrorCode(
        "Two different outputs were proven for one task.",
        "Compare the attempts with `w3bstream task get ID`: a prover or a proof system is broken.",
    ),
    "W3B-4001": ErrorCode(
        "No prover of that kind is installed.", "Install the extra or the package that registers it."
    ),
    "W3B-4002": ErrorCode(
        "A program's manifest or artifact is missing, damaged or of another kind.",
        "Restore the program's folder; the manifest lists each file with its SHA-256.",
    ),
    "W3B-4003": ErrorCode(
        "A circuit's inputs do not fit its input signals.", "Match the program's Python module to its circuit."
    ),
    "W3B-4004": ErrorCode(
        "A circuit refused its inputs: an assertion or a constraint does not hold.",
        "The message names it; check the window's readings, device set and output.",
    ),
    "W3B-4005": ErrorCode(
        "A circuit used up its fuel or memory.", "Check the circuit for a loop, or raise the prover's limits."
    ),
    "W3B-4006": ErrorCode(
        "A proving key cannot be used: damaged, of another circuit, or its contribution chain does not hold.",
        "Restore the key from your backup; a new set-up makes a new program id, which the project must publish.",
    ),
    "W3B-4007": ErrorCode(
        "A set-up or a proof could not be made on this machine.",
        "Read the message: a full disk, no random source, or no threads.",
    ),
    "W3B-4008": ErrorCode(
        "A prover's own check of its result failed.", "Report it with the task's id; nothing was sent."
    ),
    "W3B-4010": ErrorCode(
        "A proof's bytes are malformed.",
        "Send the 416 bytes of docs/reference/encodings.md §4, every value canonical.",
    ),
    "W3B-4011": ErrorCode("A proof opens other inputs than the Statement's.", "Prove the window that the task names."),
    "W3B-4012": ErrorCode(
        "A Statement is for another task, project, program or prover.", "Use the Statement of the assigned attempt."
    ),
    "W3B-4013": ErrorCode(
        "A public output is not the one that the Statement's hash names.",
        "Send the canonical ABI encoding that was proven.",
    ),
    "W3B-4014": ErrorCode(
        "A proof does not hold for its Statement.", "Prove again; if it repeats, report it with both values."
    ),
    "W3B-4020": ErrorCode(
        "A Statement, its opening or its public output does not fit a circuit's public signals.",
        "Use the values that the task's record shows; docs/reference/encodings.md §4 has the ranges.",
    ),
    "W3B-4021": ErrorCode(
        "A window's readings do not fit the program.",
        "Use the program's key type, payload and window capacity in the project file.",
    ),
    "W3B-4022": ErrorCode(
        "A program's manifest or artifact is missing or is not the one that was published.",
        "Restore the program's folder, or rebuild it with provers/zkp/circuits/build.py.",
    ),
    "W3B-4080": ErrorCode(
        "A prover broke off with an error of its own.", "Read the message; it is the prover's or the program's."
    ),
    "W3B-4081": ErrorCode(
        "A prover returned something that is not a proof of its task.",
        "Nothing to do: it was refused before it could be posted. Look at the prover that made it.",
    ),
    "W3B-4082": ErrorCode(
        "A prover worker died.", "Nothing to do: it is started again, and the task goes to another one."
    ),
    "W3B-4083": ErrorCode(
        "A prover worker could not be started.", "Read the message; mend the program or the prover's set-up."
    ),
    "W3B-5001": ErrorCode(
        "The chain does not answer.", "Check the RPC URL; nothing is lost, transactions wait in the outbox."
    ),
    "W3B-5002": ErrorCode(
        "The chain refused the transaction, in simulation or on chain.",
        "Read the named contract error; docs/explanation/settlement.md says what follows from each.",
    ),
    "W3B-5003": ErrorCode(
        "The chain's RPC server refused a request.",
        "Read the server's message; check that it serves the eth namespace.",
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
    "W3B-5008": ErrorCode(
        "A deployment record is malformed.", "Deploy again, or restore the file that the deployment wrote."
    ),
    "W3B-5009": ErrorCode(
        "A deployment transaction reverted.", "Check the account's balance, the coordinator and the heartbeat timeout."
    ),
    "W3B-5010": ErrorCode(
        "The chain does not say which blocks are final.",
        "Set W3BSTREAM_FINALITY_DEPTH to the number of blocks after which you trust that a block stays.",
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
    "W3B-6004": ErrorCode(
        "The webhook endpoint or message does not exist.", "List them with `w3bstream webhook list --project ID`."
    ),
    "W3B-7001": ErrorCode(
        "The call carries no API key.",
        "Send the metadata `authorization: Bearer w3b_…`; the command line takes --api-key or W3BSTREAM_API_KEY.",
    ),
    "W3B-7002": ErrorCode("The API key is not valid.", "Check that the key is whole and belongs to this installation."),
    "W3B-7003": ErrorCode(
        "The API key was revoked.", "Ask an administrator for a new one (`w3bstream keys api create`)."
    ),
    "W3B-7004": ErrorCode(
        "The API key lacks the scope that the method needs.", "Use a key with the scope that the message names."
    ),
    "W3B-7005": ErrorCode(
        "The API key works for another project only.", "Use a key of this project, or one without a project."
    ),
    "W3B-7006": ErrorCode(
        "The idempotency key is missing or not valid.",
        "Send 1 to 128 printable ASCII characters, new for each new request.",
    ),
    "W3B-7007": ErrorCode(
        "The idempotency key was used with another request.",
        "Use a new key for a new request; repeat a request unchanged.",
    ),
    "W3B-7008": ErrorCode(
        "A request is malformed or one of its fields is out of range.",
        "Mend the field that the message names; docs/reference/api.md has the limits.",
    ),
    "W3B-7009": ErrorCode(
        "The page token is not one of this list.",
        "Send next_page_token unchanged, with the same filter, or start without it.",
    ),
    "W3B-7010": ErrorCode(
        "A message is larger than the limit, or the service has too many calls under way.",
        "Send less in one call (at most 4 MiB a message), or try again later.",
    ),
    "W3B-7011": ErrorCode(
        "The service does not answer.", "Start it with `w3bstream up`, or check --target and W3BSTREAM_TARGET."
    ),
    "W3B-7012": ErrorCode(
        "The call's deadline passed before it was done.",
        "Repeat it with the same idempotency key and a later deadline; nothing is done twice.",
    ),
    "W3B-7013": ErrorCode("The API key does not exist.", "List the keys with `w3bstream keys api list`."),
    "W3B-7014": ErrorCode(
        "The service does not know this method.",
        "Use a client of the service's version (`w3bstream status` says which).",
    ),
    "W3B-7015": ErrorCode(
        "An error inside the service.", "Give the incident id to the operator, who finds the trace under it in the log."
    ),
    "W3B-7016": ErrorCode(
        "A file that the command needs is missing or not valid.", "Mend the file at the place that the message names."
    ),
    "W3B-7017": ErrorCode(
        "The service refused readings of the file.",
        "Read the reasons and run the command again: it goes on at the first refused one, with --skip-refused past it.",
    ),
    "W3B-7018": ErrorCode(
        "The last valid admin key cannot be revoked.", "Create another admin key first (`w3bstream keys api create`)."
    ),
    "W3B-7019": ErrorCode(
        "The API would serve in clear on a host other than loopback, or its TLS settings are incomplete.",
        "Set api_tls_cert and api_tls_key, or api_insecure=true behind a proxy that ends TLS.",
    ),
    "W3B-8001": ErrorCode(
        "Another service uses this home folder.", "Stop it, or set W3BSTREAM_HOME to another folder."
    ),
    "W3B-8002": ErrorCode("A part did not start.", "Read the log that the message names."),
    "W3B-8003": ErrorCode("A package that this command needs is not installed.", "Install the extra that it names."),
    "W3B-8004": ErrorCode(
        "The demo's outcome differs from what was sent.", "Run `w3bstream task list` and look at the reasons."
    ),
    "W3B-8005": ErrorCode(
        "A build tool or an npm package is not installed.",
        "Run `npm ci` at the repository's root, and put node on PATH.",
    ),
    "W3B-8006": ErrorCode(
        "The Solidity sources do not compile.", "Read the compiler's message and correct the source."
    ),
    "W3B-8007": ErrorCode("A setting's value is not valid.", "docs/reference/settings.md lists the settings."),
    "W3B-8008": ErrorCode(
        "The home folder cannot be made or written to.", "Set W3BSTREAM_HOME to a folder that you may write to."
    ),
}


def markdown() -> str:
    """The docs page, one row a code."""
    rows = [f"| `{code}` | {row.meaning} | {row.next_step} |" for code, row in sorted(CODES.items())]
    head = (
        "# Error codes\n\nGenerated from `verifier/error_codes.py` by `make docs`; do not edit.\n\n"
        "| code | meaning | next step |\n|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
