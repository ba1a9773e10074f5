"""Finality without a node: from a checkpoint that somebody trusts, whether a header is final.

In come headers, footers and delegate sets, by whatever way; out comes a yes, or the reason why not. Nothing is asked of
anybody, so the check works offline and years later.
"""
