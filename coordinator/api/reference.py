"""docs/reference/api.md, drawn from the .proto files and the scope table: `python -m coordinator.api.reference`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from coordinator.api.auth import SCOPES
from coordinator.api.errors import status_code
from coordinator.api.limits import rows
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Refused, Unavailable, W3bstreamError

PROTOS = Path(__file__).resolve().parents[2] / "proto" / "w3bstream" / "v1"

HEAD = """# gRPC API

Drawn by `make docs`; do not edit. The messages stand, with every field explained, in `proto/w3bstream/v1/*.proto`.

## Calling it

The service writes its address to `api.json` in the home folder and listens on loopback unless `W3BSTREAM_API_HOST` says
otherwise. There it needs TLS: `W3BSTREAM_API_TLS_CERT` and `W3BSTREAM_API_TLS_KEY` name PEM files, and the address it
writes begins with `https://`. Without them it does not start (`W3B-7019`) unless `W3BSTREAM_API_INSECURE=true` says that
a proxy ends TLS. `grpc.health.v1.Health/Check` needs no key; `Health/Watch`, `Health/List` and server reflection take any
valid one. In Python:

```python
from coordinator.api.client import Client

with Client("127.0.0.1:50051", "w3b_…") as client:
    project = client.create_project("weather")
    for event in client.watch_tasks(project_id=project.id, until_settled=True):
        print(event.task_id, event.target)
```

`Client` is synchronous and typed, has one method for each call, and needs neither Ray nor NATS nor a database. A
`https://` target uses TLS. Any other language: generate stubs from the .proto files.

## Keys, tokens, certificates

Send `authorization: Bearer w3b_…` with every call, or the token that a login with a DID gives. A key or identity has
scopes and may be bound to one project. The first admin key lies in `admin.key` (mode 600) of the home folder;
`w3bstream keys api create` makes others, `w3bstream identity add` registers DIDs. What is revoked is refused at once, and
calls under way end. With `W3BSTREAM_API_CLIENT_CA` the client must show a certificate too.
[security.md](../explanation/security.md) says why, [access.md](../how-to/access.md) how.

## Idempotency

Every create and submit takes an `idempotency_key` of 1 to 128 printable ASCII characters. The same key with the same
request has one effect and returns the first answer, for ever; with another request it is refused (`W3B-7007`). Keys
belong to the API key or identity and the method. Stored answers are sealed under the caller's own key. `SubmitTask` and
`SubmitJob` may be repeated at any time: they name the same job and the same tasks.

## Pages and watches

Lists take `page_size` (0 means 50, at most 200) and `page_token`, which belongs to its filter. A watch starts after
`after_event_id`, sends each event once and in order, and is gone on with by handing back the last id. The Python
client does so by itself when a connection breaks.

## Limits

| what | limit |
|---|---|
@LIMITS@

## Errors

Every error is a `google.rpc.Status` with an `ErrorInfo` (reason: the [code](errors.md); domain: `w3bstream`; metadata:
`kind`, `message`, `next_step`, `field`), where a field is to blame a `BadRequest`, and where time helps a `RetryInfo`. An
`INTERNAL` error carries an incident id only; the trace stands under it in the service's log.

| kind | gRPC status |
|---|---|
"""

_RPC = re.compile(r"((?:  //[^\n]*\n)+)  rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\);")
_SERVICE = re.compile(r"((?://[^\n]*\n)+)service (\w+) \{\n(.*?)\n\}", re.DOTALL)
_KINDS = (
    InvalidInput("W3B-7008", ""),
    Refused("W3B-1003", ""),
    NotFound("W3B-3003", ""),
    Conflict("W3B-3001", ""),
    Conflict("W3B-3002", ""),
    Conflict("W3B-2004", ""),
    Conflict("W3B-7007", ""),
    Denied("W3B-7001", ""),
    Denied("W3B-7004", ""),
    Unavailable("W3B-1008", ""),
    Unavailable("W3B-7010", ""),
    Unavailable("W3B-7012", ""),
    W3bstreamError("W3B-7015", ""),
)


def _prose(comment: str) -> str:
    text = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    return re.sub(r" ?(Scope [a-z:]+|Any valid key|No key)\.$", "", text)


def _service(comment: str, name: str, body: str) -> str:
    lines = [f"\n## {name}\n", _prose(comment), "", "| method | takes | gives | scope | |", "|---|---|---|---|---|"]
    for prose, method, stream_in, request, stream_out, answer in _RPC.findall(body):
        takes, gives = f"{stream_in}`{request}`", f"{stream_out}`{answer}`"
        scope = SCOPES[f"/w3bstream.v1.{name}/{method}"]
        lines.append(f"| `{method}` | {takes} | {gives} | `{scope}` | {_prose(prose)} |")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """The page."""
    kinds = [
        f"| `{type(error).__name__}`, such as `{error.code}` | `{status_code(error).name}` |\n" for error in _KINDS
    ]
    services = [
        _service(*found)
        for path in sorted(PROTOS.glob("*.proto"))
        for found in _SERVICE.findall(path.read_text("utf-8"))
    ]
    limits = "\n".join(f"| {what} | {limit} |" for what, limit in rows())
    return HEAD.replace("@LIMITS@", limits) + "".join(kinds) + "".join(services)


if __name__ == "__main__":
    sys.stdout.write(markdown())
