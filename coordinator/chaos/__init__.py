"""Chaos: an installation of its own, under load, whose parts are killed and frozen in a seeded order; afterwards the
invariants of the design are checked against what the devices and the webhook receiver themselves have seen.

In come a seed, a duration and a scratch home folder; out goes an `Outcome` with what was accepted, proven, settled and
notified, and with every break. Nothing of the operator's own installation is touched.
"""
