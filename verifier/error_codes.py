"""The one table of error codes. `docs/reference/errors.md` is generated from it by `python -m verifier.error_codes`.

1xxx readings and intake; 2xxx project file; 3xxx tasks, ledger, scheduling; 4xxx provers and proofs; 5xxx chain and
settlement; 6xxx webhooks; 7xxx API and keys; 8xxx set-up and processes; 9xxx evidence.
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
    "W3B-1050": ErrorCode(
        "A device signed two different readings under one sequence number.",
        "Keep both as evidence: the first counts, the other is a dead letter. Mend the device or take it out.",
    ),
    "W3B-1051": ErrorCode(
        "The DA layer has no room left.",
        "Free space or raise the stream's limits, then send again what was not acknowledged.",
    ),
    "W3B-1052": ErrorCode(
        "The ledger did not take a batch of readings.",
        "Free the ledger's disk or bring its database back; nothing is lost, the batch is tried again by itself.",
    ),
    "W3B-1053": ErrorCode(
        "A project's intake broke off with an error of its own.",
        "It is tried again by itself; find the trace `intake_failed` in the log and report it.",
    ),
    "W3B-1054": ErrorCode(
        "A dead letter cannot be requeued.",
        "List them with `w3bstream stream dead-letters`: each is requeued once, and only where it is kept whole.",
    ),
    "W3B-1055": ErrorCode(
        "A call that sends readings stood still for a minute, or lasted more than an hour.",
        "Send again: readings that are in the stream are not added twice. End a call when there is nothing to send.",
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
    "W3B-2008": ErrorCode(
        "The project's assurance asks for more than the contracts of this chain know.",
        "Ask for a number of kinds only, or start with a fresh home folder, whose contracts are of this release.",
    ),
    "W3B-2009": ErrorCode(
        "A production installation publishes no project whose verifier rests on a simulated trust anchor.",
        "Use programs whose verifiers trust the vendors' roots, or an installation without W3BSTREAM_PRODUCTION.",
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
    "W3B-3011": ErrorCode(
        "Nothing confirmed the task's result within the time that its assurance names.",
        "See the attempts of the confirming kind with `w3bstream task get ID`, and add provers of it. Its result stands.",
    ),
    "W3B-3020": ErrorCode(
        "The driver of the ledger's database is not installed.", "Install it: `pip install 'w3bstream[postgres]'`."
    ),
    "W3B-3021": ErrorCode(
        "The ledger's database server does not answer.",
        "Start the server, and check host and port in W3BSTREAM_LEDGER_URL; what was committed is safe.",
    ),
    "W3B-3022": ErrorCode(
        "The ledger's database server refused the connection.",
        "Check role, password and database in W3BSTREAM_LEDGER_URL, and the server's pg_hba.conf.",
    ),
    "W3B-3023": ErrorCode("The ledger's database server is too old.", "Use PostgreSQL 14 or later."),
    "W3B-3024": ErrorCode(
        "The ledger's database was too slow.", "Try again; look for long transactions and slow disks at the server."
    ),
    "W3B-3025": ErrorCode(
        "A value cannot be stored in the ledger.", "Use numbers within their type's range, and text without NUL."
    ),
    "W3B-3026": ErrorCode(
        "The ledger's URL is of no kind that is supported.",
        "Set W3BSTREAM_LEDGER_URL to postgresql://user:password@host/database, or leave it empty for SQLite.",
    ),
    "W3B-3081": ErrorCode(
        "The coordinator itself broke an attempt off: it restarted, or it ended a worker for another attempt's sake.",
        "Nothing to do: the task is tried again, and such attempts count against the cap only after twenty of them.",
    ),
    "W3B-3082": ErrorCode(
        "A re-run computed another output than the task's.",
        "Compare them with `w3bstream task diff ID`: a prover or its program is broken.",
    ),
    "W3B-3083": ErrorCode(
        "The task cannot be put back: the chain has accepted proofs of it.",
        "Run `w3bstream reconcile`: the ledger is behind the chain.",
    ),
    "W3B-3084": ErrorCode("The re-run does not exist.", "List a task's re-runs with `w3bstream task diff ID`."),
    "W3B-3085": ErrorCode(
        "A re-run did not end in the time that the command waited.",
        "It goes on by itself: see its output later with `w3bstream task diff ID`, or wait longer with --timeout.",
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
        "Send the exact encoding of the proof's kind (docs/reference/encodings.md §4, tee-contracts.md).",
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
    "W3B-4015": ErrorCode(
        "A session key is not registered for the program and prover, has expired, or was revoked.",
        "Register a key of the enclave that runs now, with its evidence, and sign with it.",
    ),
    "W3B-4016": ErrorCode(
        "A session key cannot be registered: its nonce was used, its lifetime is too long, or it was revoked.",
        "Make a new key with a new nonce, within the verifier's longest lifetime.",
    ),
    "W3B-4017": ErrorCode(
        "The chain refused one session key of a TEE prover after the other.",
        "Read the last refusal in the message; `w3bstream tx list --purpose register_session_key` has them all.",
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
    "W3B-4030": ErrorCode(
        "A WASM program cannot be used: its module, its exports, an import, a start function or a limit.",
        "Build it as docs/reference/tee.md says, and give its manifest limits within their ranges.",
    ),
    "W3B-4031": ErrorCode(
        "A WASM program used up its fuel or its time.",
        "Check the program for a loop, or raise the limit in its manifest, which makes a new program id.",
    ),
    "W3B-4032": ErrorCode(
        "A WASM program trapped, or refused the window.",
        "Check the readings' payloads against what the program takes, and its memory limit.",
    ),
    "W3B-4033": ErrorCode(
        "A WASM program's input place or output is not what the ABI or its manifest says.",
        "Give back one canonical ABI word for each output of the manifest but the completeness.",
    ),
    "W3B-4034": ErrorCode(
        "An enclave has no secret to open the project's sealed readings with.",
        "Set W3BSTREAM_BROKER_URL for the workers, and add the program id to the secret (how-to/release-secrets.md).",
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
    "W3B-5011": ErrorCode(
        "The ledger holds transactions to send that are for another chain.",
        "Point the service at the chain that the message names, or start with a fresh home folder.",
    ),
    "W3B-5012": ErrorCode(
        "The chain's RPC servers contradict each other.",
        "Find out which of the named servers is wrong and take it out of W3BSTREAM_CHAIN_RPC_URL; with three or more the "
        "majority decides.",
    ),
    "W3B-5013": ErrorCode(
        "Too few of the chain's RPC servers answer to make this final.",
        "Bring the named servers back, or take them out of W3BSTREAM_CHAIN_RPC_URL; nothing is lost meanwhile.",
    ),
    "W3B-5014": ErrorCode(
        "The RPC servers of W3BSTREAM_CHAIN_RPC_URL are not all of one chain.",
        "Keep those of one chain: the same chain id and the same genesis block.",
    ),
    "W3B-5015": ErrorCode(
        "The transaction does not exist, or belongs to no project of the key.",
        "List the transactions with `w3bstream tx list`.",
    ),
    "W3B-5020": ErrorCode(
        "A position of a stream that was read is neither a reading nor a dead letter.",
        "Keep ledger and stream as they are and report it: a message was passed over.",
    ),
    "W3B-5021": ErrorCode(
        "A position of a stream, or a device's sequence number, stands in the ledger twice.",
        "Keep the ledger as it is and report it: a reading could count twice.",
    ),
    "W3B-5022": ErrorCode(
        "A reading is in no window, in the wrong one or in several, or a window does not hold its readings.",
        "Keep the ledger as it is and report it, with the task and the positions.",
    ),
    "W3B-5023": ErrorCode(
        "A stream is not the one that the ledger has read.",
        "Restore the stream's data; docs/explanation/intake.md says how a stream is made anew.",
    ),
    "W3B-5024": ErrorCode(
        "The chain has not recorded a task, or has recorded other inputs.",
        "Compare the contracts with `w3bstream status`; ledger or chain may come from a backup.",
    ),
    "W3B-5025": ErrorCode(
        "Ledger and chain differ about a task's settlement.",
        "Look at the task's transactions with `w3bstream tx list --task ID` and compare both values.",
    ),
    "W3B-5026": ErrorCode(
        "The chain has settled a task that the ledger does not have, or has as ended without a settlement.",
        "Stop any other coordinator that uses the key; a ledger restored from a backup does this too.",
    ),
    "W3B-5027": ErrorCode(
        "The chain has not recorded an attempt's assignment as the ledger has it.",
        "Look at the attempt's transaction with `w3bstream tx list --task ID`.",
    ),
    "W3B-5028": ErrorCode(
        "A transaction of the ledger is not on the chain as the ledger has it.",
        "Look at it with `w3bstream tx show ID`; a reorg below a final block, or a lying RPC server, does this.",
    ),
    "W3B-5029": ErrorCode(
        "A settled task does not have exactly one accepted proof for each kind that it needed.",
        "Look at the task's attempts with `w3bstream task get ID`.",
    ),
    "W3B-5030": ErrorCode(
        "A webhook message counts as delivered without a 2xx answer, or was given up.",
        "Send it again with `w3bstream webhook replay MESSAGE`.",
    ),
    "W3B-5031": ErrorCode(
        "W3BSTREAM_PRODUCTION is set, but the contracts on this chain accept simulated trust anchors.",
        "Start with a fresh home folder, whose contracts are then made for production, or unset W3BSTREAM_PRODUCTION.",
    ),
    "W3B-6001": ErrorCode(
        "A webhook URL is not allowed.",
        "Give an https URL on port 443 or one from 1024, without credentials; loopback works where "
        "allow_loopback_webhooks is true.",
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
    "W3B-6005": ErrorCode(
        "A webhook key cannot be read.",
        "Give the endpoint's secret (`whsec_…`) or public key (`whpk_…`) whole, as the service showed it.",
    ),
    "W3B-6006": ErrorCode(
        "Too many old keys of a webhook endpoint sign already.",
        "Wait until their overlap ends, or revoke them at once with `w3bstream webhook secret EP --overlap 0`.",
    ),
    "W3B-6007": ErrorCode(
        "The webhook message cannot be sent again: its body was pruned.",
        "It was delivered long ago; read the task with `w3bstream task get ID`, or its evidence.",
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
    "W3B-7020": ErrorCode(
        "The API key or the token has run out.",
        "Log in again (`w3bstream login`), or ask an administrator for a new key (`w3bstream keys api create`).",
    ),
    "W3B-7021": ErrorCode(
        "The token is not one of this installation, or it was changed.", "Log in again with `w3bstream login`."
    ),
    "W3B-7022": ErrorCode(
        "A login was refused.",
        "Ask for a new challenge and sign it with the key of a registered DID within 60 seconds.",
    ),
    "W3B-7023": ErrorCode("The identity does not exist.", "List them with `w3bstream identity list`."),
    "W3B-7024": ErrorCode(
        "A DID is not valid.",
        "Use did:key with an Ed25519, P-256 or secp256k1 key, or did:pkh:eip155:<chain>:<address>.",
    ),
    "W3B-7025": ErrorCode(
        "A job intent's signature does not hold, or its signer may not use the project.",
        "Sign docs/reference/encodings.md's JobIntent for this chain and Router with a registered did:pkh.",
    ),
    "W3B-7026": ErrorCode(
        "The signer has used this nonce for a job already.", "Sign the intent with a nonce that was not used before."
    ),
    "W3B-7027": ErrorCode(
        "The job's deadline has passed or is missing.", "Sign an intent with a deadline, Unix seconds, in the future."
    ),
    "W3B-7028": ErrorCode(
        "A quota or a rate limit is used up.",
        "Try again after the time that the answer's RetryInfo says; an administrator may raise the quota.",
    ),
    "W3B-7029": ErrorCode(
        "Too many failed logins or wrong keys came from this address.", "Wait a minute, then use a valid key."
    ),
    "W3B-7030": ErrorCode("The job does not exist.", "List the jobs with `w3bstream job list --project ID`."),
    "W3B-7031": ErrorCode(
        "The audit log does not hold together.",
        "Keep the ledger as it is: a row was changed, added or taken out at the id that the message names.",
    ),
    "W3B-7501": ErrorCode(
        "The explorer has no such page or thing, or this key may not see it.",
        "Search for the id, or begin at the overview; a key of one project sees that project only.",
    ),
    "W3B-7502": ErrorCode(
        "The explorer asks for a sign-in, or the session ended.",
        "Sign in with an API key or a login's token, or open a fresh link: `w3bstream explorer open`.",
    ),
    "W3B-7503": ErrorCode(
        "The sign-in link was used, ran out, or never was.",
        "Make a new one with `w3bstream explorer link`; each works once, for ten minutes.",
    ),
    "W3B-7504": ErrorCode(
        "A form did not come from a page of this explorer.",
        "Load the page again and press the button there; a program sends its API key instead of the cookie.",
    ),
    "W3B-7505": ErrorCode(
        "The explorer was called by a name that is not its own.",
        "Use the address that `w3bstream up` printed, or set W3BSTREAM_EXPLORER_URL to the name in front of it.",
    ),
    "W3B-7506": ErrorCode("Too many sign-ins failed.", "Wait a minute, then try again with a whole key."),
    "W3B-7507": ErrorCode(
        "The explorer has as many live connections as it takes.",
        "Close a tab; pages can be read without live updates.",
    ),
    "W3B-7508": ErrorCode(
        "The explorer does not answer on this machine.",
        "Start the service with `w3bstream up`; W3BSTREAM_EXPLORER=false switches the explorer off.",
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
    "W3B-8010": ErrorCode(
        "This coordinator does not lead any more.",
        "Nothing to do: another coordinator goes on with the work; `w3bstream status` names it.",
    ),
    "W3B-8011": ErrorCode(
        "Coordinators that share a ledger must share NATS and chain too.",
        "Set W3BSTREAM_NATS_URL and W3BSTREAM_CHAIN_RPC_URL to the same NATS and chain for each of them.",
    ),
    "W3B-8012": ErrorCode(
        "The ledger belongs to another account on chain.",
        "Copy `keys/coordinator.json` from the home folder of the first coordinator (mode 600), or use another ledger.",
    ),
    "W3B-8013": ErrorCode(
        "A prover's id belongs to the workers of another home folder.",
        "Set W3BSTREAM_PROVER_NAME to a name of its own for each home folder that shares the ledger.",
    ),
    "W3B-8020": ErrorCode(
        "The ledger has not taken a write of this coordinator for too long.",
        "Look at the ledger's disk and server, and for `leadership_unknown` in the log (docs/how-to/observe.md).",
    ),
    "W3B-8021": ErrorCode(
        "No coordinator leads: nothing is read, proven, settled or delivered.",
        "Start one; one that runs takes over within W3BSTREAM_LEADER_SECONDS, or says in its log why not.",
    ),
    "W3B-8022": ErrorCode(
        "The chain makes no blocks while transactions wait for one.",
        "Look at the chain's node; the transactions are sent again by themselves once it goes on.",
    ),
    "W3B-8023": ErrorCode(
        "Tasks wait for a kind of prover of which none is online.",
        "Start a prover of that kind; `w3bstream prover list` says why those that there are do not work.",
    ),
    "W3B-8024": ErrorCode(
        "The disk of the home folder is nearly full.",
        "Make room before the ledger and the streams refuse writes; the bound is W3BSTREAM_DISK_RESERVE_MIB.",
    ),
    "W3B-8101": ErrorCode(
        "The home folder of a chaos run holds an installation that is not its own.",
        "Give --home an empty folder, or leave it out.",
    ),
    "W3B-8102": ErrorCode(
        "The installation of a chaos run does not answer.", "Read chaos/service.out and logs/ in the run's home folder."
    ),
    "W3B-8110": ErrorCode(
        "A chaos run lost a message that was acknowledged.",
        "Keep the run's home folder and report it with the seed: nothing that is acknowledged may be lost.",
    ),
    "W3B-8111": ErrorCode(
        "A chaos run's reading was accepted twice.",
        "Keep the run's home folder and report it with the seed: a reading may count once.",
    ),
    "W3B-8112": ErrorCode(
        "A chaos run's reading did not reach FINAL.",
        "Look at the task's timeline in the run's home folder; W3BSTREAM_HOME=FOLDER w3bstream up starts it again.",
    ),
    "W3B-8113": ErrorCode(
        "A chaos run's webhook receiver did not hear of a FINAL task.",
        "Look at `w3bstream webhook deliveries` of the run's home folder, and report it with the seed.",
    ),
    "W3B-8114": ErrorCode(
        "A chaos run's webhook came under a second id, for no task, or with a wrong signature.",
        "Keep the run's home folder and report it with the seed.",
    ),
    "W3B-8115": ErrorCode(
        "A chaos run's installation did not come to rest in time.",
        "Give it longer with --drain, or less load with --rate; if that does not help, report it with the seed.",
    ),
    "W3B-8116": ErrorCode(
        "A chaos run's service did not end in order.", "Read logs/service.log in the run's home folder."
    ),
    "W3B-8117": ErrorCode(
        "A part of a chaos run could not be compared.", "Read logs/service.log in the run's home folder."
    ),
    "W3B-8118": ErrorCode(
        "A chaos run's ledger is not what its stream makes.",
        "Keep the run's home folder and report it with the seed, with what `w3bstream stream verify` says.",
    ),
    "W3B-9001": ErrorCode(
        "There is no evidence yet: the task is not settled.",
        "Wait until it is FINAL (`w3bstream task watch`), then ask again.",
    ),
    "W3B-9002": ErrorCode(
        "The file is no evidence file, or not in canonical form.",
        "Use the file as `w3bstream evidence get` wrote it; docs/reference/evidence-format.md has the form.",
    ),
    "W3B-9003": ErrorCode(
        "A block, transaction or receipt in the evidence or the webhook does not hold.",
        "Do not rely on the file; ask for another from whom you trust, and compare their SHA-256.",
    ),
    "W3B-9004": ErrorCode(
        "The chain's events in the evidence or the webhook do not say what the file or the webhook says.",
        "Do not rely on the file; the check that the message names tells what differs.",
    ),
    "W3B-9005": ErrorCode(
        "Readings or devices in the evidence do not match what the task committed to.",
        "Do not rely on the file; the check that the message names tells which one.",
    ),
    "W3B-9006": ErrorCode(
        "A program, proof or output in the evidence does not hold.",
        "Do not rely on the file; the check that the message names tells which one.",
    ),
    "W3B-9007": ErrorCode(
        "The chain does not give what evidence is made of.",
        "Set W3BSTREAM_CHAIN_RPC_URL to a node that serves old blocks, logs and receipts of an Ethereum chain.",
    ),
    "W3B-9008": ErrorCode(
        "The evidence rests on something that your trust file, checkpoint or node contradicts or does not accept.",
        "If you are sure of your own anchors do not rely on the file; else correct the anchor that the message names.",
    ),
    "W3B-9009": ErrorCode(
        "The trust file or a checkpoint is not valid.", "docs/how-to/verify-evidence.md has an example of each."
    ),
    "W3B-9010": ErrorCode(
        "There is no such reading in a settled window.",
        "Check project, device and sequence; a new reading is counted once its window is settled.",
    ),
    "W3B-9011": ErrorCode(
        "The evidence file is of another version of the format.", "Use the version of w3bstream that wrote it."
    ),
    "W3B-9012": ErrorCode(
        "The delegates' signatures in the evidence or the webhook do not show that its blocks are final.",
        "Do not rely on the file; ask for another from whom you trust, and compare their SHA-256.",
    ),
    "W3B-9101": ErrorCode(
        "Attestation evidence is malformed.",
        "Give the evidence as the platform made it: binary, hex or base64; docs/reference/attestation.md has each form.",
    ),
    "W3B-9102": ErrorCode(
        "The evidence is of a version, platform or algorithm that is not known.",
        "Check --platform; docs/reference/attestation.md lists the versions that are read.",
    ),
    "W3B-9103": ErrorCode(
        "An endorsement (collateral) that the evidence needs is missing.",
        "Put the file that the message names into the folder of --collateral.",
    ),
    "W3B-9104": ErrorCode(
        "An endorsement (collateral) is malformed.",
        "Fetch it again from the vendor's service; docs/how-to/verify-attestation.md says from where.",
    ),
    "W3B-9105": ErrorCode(
        "A certificate or collateral of the evidence is not valid at the time asked about.",
        "Fetch fresh collateral, or give --at with the time at which the evidence was made.",
    ),
    "W3B-9106": ErrorCode(
        "A signature or digest of the evidence does not hold.", "Do not rely on it; ask for fresh evidence."
    ),
    "W3B-9107": ErrorCode(
        "The evidence's chain does not lead to a trust anchor, or its collateral is another platform's.",
        "Check that the collateral belongs to this platform; simulated evidence has no vendor's anchor.",
    ),
    "W3B-9108": ErrorCode("A certificate, key or TCB of the evidence is revoked.", "Do not rely on this machine."),
    "W3B-9109": ErrorCode(
        "The evidence is of a debug, migratable or less privileged environment that the policy does not accept.",
        "Start the program in production mode, at VMPL 0, and ask for fresh evidence.",
    ),
    "W3B-9110": ErrorCode(
        "The platform's TCB is not accepted: its status, an advisory, or a security version.",
        "Have the machine's firmware brought up to date, or accept its status in the appraisal policy.",
    ),
    "W3B-9111": ErrorCode(
        "What runs is no known build of the program, or a revoked one.",
        "Compare the measurement with the program's reference values, and publish the build if it is yours.",
    ),
    "W3B-9112": ErrorCode(
        "The evidence does not carry the caller data that it must: it speaks for something else.",
        "Ask for evidence over this Statement or session key.",
    ),
    "W3B-9113": ErrorCode(
        "The evidence is older than the policy allows, or from the future.",
        "Ask for fresh evidence; check the clocks if its time is in the future.",
    ),
    "W3B-9114": ErrorCode(
        "Simulated attestation where a vendor's is required.",
        "Use real hardware, or a profile that is not production; simulated evidence proves nothing about hardware.",
    ),
    "W3B-9115": ErrorCode(
        "A trust anchor, appraisal policy or reference value is not valid.",
        "docs/reference/attestation.md has the form of each.",
    ),
    "W3B-9116": ErrorCode(
        "The verifier of that platform is not installed.",
        "Install the module that the message names: pip install 'w3bstream'.",
    ),
    "W3B-9117": ErrorCode(
        "A file of this installation's simulated TEE vendors is damaged, or not of its own hierarchy.",
        "Put the file back from a copy; or delete the vendor's folder that the message names: a new vendor is made, and "
        "evidence of the old one is refused from then on.",
    ),
    "W3B-9118": ErrorCode(
        "The folder of the simulated TEE vendors cannot be used.",
        "Check that the home folder is yours, has space, and can be written to.",
    ),
    "W3B-9120": ErrorCode(
        "A request to the key broker, a secret's name or a sealing key has another form.",
        "Make the request with the enclave's own tool (docs/how-to/release-secrets.md).",
    ),
    "W3B-9121": ErrorCode(
        "Sealed bytes cannot be opened.",
        "Seal them for this enclave's or project's key, and for this very request or reading.",
    ),
    "W3B-9122": ErrorCode(
        "The nonce of a request is no open challenge of the key broker.",
        "Ask the broker for a new challenge; each is good for one release within five minutes.",
    ),
    "W3B-9123": ErrorCode(
        "A request to the key broker is not signed by its session key.",
        "Sign it in the enclave whose session key it names.",
    ),
    "W3B-9124": ErrorCode(
        "An attestation passport is not accepted.",
        "Have a verifier that the broker trusts appraise the evidence again.",
    ),
    "W3B-9125": ErrorCode(
        "The key broker's folder cannot be used.",
        "Check that the folder is there, ours alone (mode 700), and has room.",
    ),
    "W3B-9126": ErrorCode(
        "The key broker has no such secret for this program.",
        "Ask the secret's owner to add the program id; the broker says the same whether the secret exists or not.",
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
