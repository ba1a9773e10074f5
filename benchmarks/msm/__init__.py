"""What multi-scalar multiplication costs here and in others' libraries, and what the bucket constructions are worth.

In: nothing but this machine; points and scalars are drawn in a temporary folder. Out: tables of CPU time, wall time,
memory and ratios, and with `--json` one JSON object as the last line (`python -m benchmarks.msm --help`).
"""
