"""Evidence files out of the ledger and the chain, for anybody to check with `verifier.evidence`.

In comes a settled task or one reading of it; out goes a document whose every part was read from the ledger or from the
chain's blocks and that was checked once before it is handed out. The same for a FINAL task whenever it is asked for.
"""
