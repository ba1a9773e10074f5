"""Governance: proposals that stake supports, votes on and executes, as a contract, a pure model of it, and a reader.

In come drafts, votes and the clock; out come call data for any sender, records of proposals, and refusals by the
contract's own names.
"""
