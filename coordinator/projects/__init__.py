"""Projects: what is proven about whose devices, by which programs, under which assurance, stated in a versioned file.

In come project files; out go validated configurations, project versions and device sets in the ledger, and the outbox
transactions that publish them on chain.
"""
