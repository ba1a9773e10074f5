"""What every party must agree on: readings, roots, statements, proofs, the contracts that check them and their bindings.

In come encoded readings, statements and proofs; out come digests and yes or a coded refusal. Nothing here needs a server.
"""
