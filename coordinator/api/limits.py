"""The API's limits on messages, calls and connections: the one table (docs/reference/api.md prints it)."""

from __future__ import annotations

MAX_MESSAGE = 4 << 20
"""Bytes of one request message."""
MAX_ANSWER = 64 << 20
"""Bytes of one answer: a task's evidence may be long; a page has at most 200 rows."""
MAX_METADATA = 16 << 10
"""Bytes of a call's metadata: an API key takes 61, a token about 600. From 8 KiB on gRPC may refuse it."""
MAX_CALLS = 4096
"""Calls under way at once, watches included; one more is answered RESOURCE_EXHAUSTED."""
MAX_CALLS_PER_CONNECTION = 1024
"""Streams of one connection; HTTP/2 makes a client's further calls wait."""
CONNECTION_IDLE_SECONDS = 600
"""A connection without a call is closed after so long; clients come back by themselves."""
HANDSHAKE_SECONDS = 20
"""A connection that has not finished TLS and HTTP/2's preface by then is closed."""
PING_SECONDS, PING_ANSWER_SECONDS = 60, 20
"""A silent connection is pinged; one that does not answer is closed."""
CLIENT_PING_SECONDS, PING_STRIKES = 1, 10
"""A client that pings more often than once in so many seconds, with nothing sent to it in between, is cut off after so
many pings too many. gRPC's own probes of the bandwidth are pings too: on a busy machine they come in bursts."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_ANSWER),
    ("grpc.max_metadata_size", MAX_METADATA // 2),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
    ("grpc.max_concurrent_streams", MAX_CALLS_PER_CONNECTION),
    ("grpc.max_connection_idle_ms", CONNECTION_IDLE_SECONDS * 1000),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
    # Two servers on one port would share its callers without a word.
    ("grpc.so_reuseport", 0),
    # A watch may be silent for long: ping it, and let clients ping, but not in a flood.
    ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", PING_ANSWER_SECONDS * 1000),
    # Without this a ping that arrives just after a call's end counts as one too many for two hours.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", CLIENT_PING_SECONDS * 1000),
    ("grpc.http2.max_ping_strikes", PING_STRIKES),
)
"""gRPC's channel arguments. No limit on a connection's age: it would end watches that are well."""


def rows() -> list[tuple[str, str]]:
    """(what, limit) for the reference."""
    return [
        ("a request message", f"{MAX_MESSAGE >> 20} MiB"),
        ("an answer", f"{MAX_ANSWER >> 20} MiB"),
        ("a call's metadata", f"{MAX_METADATA >> 10} KiB; safe up to {MAX_METADATA >> 11} KiB"),
        ("readings in one message of `Ingest`", "256; those beyond are refused one by one"),
        ("readings in `SubmitTask` and `SubmitJob`", "1,024; all are refused when one is bad"),
        ("a project file", "1 MiB"),
        ("wait of `SubmitTask`", "the call's deadline, at most 300 s"),
        ("calls under way", f"{MAX_CALLS:,}; of one key or identity `W3BSTREAM_API_CALLS_PER_KEY` (1,024)"),
        ("calls under way on one connection", f"{MAX_CALLS_PER_CONNECTION:,}; more wait"),
        ("a connection without a call", f"closed after {CONNECTION_IDLE_SECONDS} s"),
        ("a connection's handshake", f"{HANDSHAKE_SECONDS} s"),
        (
            "a silent connection",
            f"pinged after {PING_SECONDS} s, closed when no answer comes in {PING_ANSWER_SECONDS} s",
        ),
        ("pings of a client", f"one in {CLIENT_PING_SECONDS} s; after {PING_STRIKES} more it is cut off"),
        ("a token", "15 minutes; a login's challenge 60 s, once"),
    ]
