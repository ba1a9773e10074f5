"""The provers: one protocol, one module a proof system, the Ray worker that runs them, and the sample programs.

In comes a proving task (readings, device set, statement without its output); out comes the output with its proof.
"""
