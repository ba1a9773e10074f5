"""Simulated attesters: one hierarchy of keys and certificates a vendor and installation, labelled SIMULATED.

A program's measurement and caller data go in; evidence in the vendor's own layout, with its endorsements, comes out. It
verifies under this installation's `SimulatedAnchors` alone, and no appraisal of it is affirming.
"""
