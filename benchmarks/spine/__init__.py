"""What the spine costs and what it stands: each figure beside a named peer in the same run, or beside its target.

In: nothing but this machine; each part makes its own ledger, streams, Ray and peers in a temporary folder. Out: a table a
part, and with `--json` one JSON object as the last line (`python -m benchmarks.spine --help`).
"""
